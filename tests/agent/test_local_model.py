import sys
import time
from pathlib import Path

import pytest

from rewardsmith.agent import local_download
from rewardsmith.agent.asking import AttemptError
from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.local_model import (
    Engine,
    LocalModel,
    free_cores,
    from_hub,
    joined,
    seed_of,
    usable_cores,
)
from rewardsmith.agent.prices import FREE
from rewardsmith.errors import ConfigError, DownloadError

REQUEST = Request("designer", (Message("user", "Say: yes"),), max_tokens=4)


def test_without_xllamacpp_the_message_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigError, match="pip install xllamacpp"):
        Engine(tmp_path / "m.gguf")


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"m\.gguf is no file"):
        LocalModel(tmp_path / "m.gguf")


def test_making_the_model_loads_and_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDSMITH_CACHE", "/no/such/cache")
    model = LocalModel()
    assert (model.name, model.price) == ("local:qwen2.5-coder-1.5b", FREE)


def test_the_pieces_of_a_stream_make_one_completion() -> None:
    whole = joined(
        [
            {"choices": [{"delta": {"role": "assistant", "content": None}}]},
            {"choices": [{"delta": {"content": "ye"}}]},
            {"choices": [{"delta": {"content": "s"}, "finish_reason": None}]},
            {"choices": [{"delta": {}, "finish_reason": "length"}]},
            {"choices": [], "usage": {"prompt_tokens": 3}, "timings": {"predicted_per_second": 9}},
        ]
    )
    assert whole["choices"][0]["message"]["content"] == "yes"
    assert whole["choices"][0]["finish_reason"] == "length"
    assert (whole["usage"], whole["timings"]["predicted_per_second"]) == ({"prompt_tokens": 3}, 9)


def test_an_error_in_the_stream_is_a_refused_request() -> None:
    with pytest.raises(AttemptError, match="too long") as caught:
        joined([{"error": {"message": "the request is too long"}}])
    assert caught.value.kind == "bad_request"


def test_the_same_question_has_the_same_seed_and_another_sample_another() -> None:
    other = Request("designer", REQUEST.messages, sample=1, max_tokens=4)
    assert seed_of("m", REQUEST) == seed_of("m", REQUEST) != seed_of("m", other)
    assert 0 <= seed_of("m", REQUEST) < 2**31


def test_there_is_at_least_one_core_for_the_model(tmp_path: Path) -> None:
    assert 1 <= free_cores(over_s=0.05) <= usable_cores()


def test_cores_that_are_taken_get_no_thread(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu 0 0 0 0 0 0 0 0\n")

    class Busy(type(stat)):  # type: ignore[misc]
        reads = 0

        def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
            Busy.reads += 1
            return f"cpu {100 * Busy.reads} 0 0 0 0 0 0 0\n"

    assert free_cores(Busy(stat), over_s=0.0) == 1


def test_where_the_load_is_unknown_every_usable_core_is_taken(tmp_path: Path) -> None:
    assert free_cores(tmp_path / "none", over_s=0.0) == usable_cores()


def test_a_file_of_a_hub_is_named_in_three_parts() -> None:
    for spec in ("m.gguf", "a/b", "a/b/m.bin", "a/../m.gguf", "a/b/c/m.gguf"):
        with pytest.raises(ConfigError, match="OWNER/REPOSITORY"):
            from_hub(spec)


def test_a_hub_that_cannot_be_reached_is_a_download_error(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(DownloadError, match="cannot be fetched"):
        from_hub("a/b/m.gguf", folder=tmp_path, notify=said.append, hub="http://127.0.0.1:1")
    assert "not checked" in said[0]


def test_a_file_of_a_hub_that_is_there_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "a__b__m.gguf").write_text("")
    assert from_hub("a/b/m.gguf", folder=tmp_path, hub="http://127.0.0.1:1").exists()


@pytest.mark.local_llm
def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    path = tmp_path / "m.gguf"
    path.write_bytes(b"no model at all")
    with pytest.raises(ConfigError, match=r"m\.gguf cannot be loaded"):
        Engine(path)


@pytest.mark.slow
@pytest.mark.local_llm
@pytest.mark.skipif(not local_download.is_present(), reason="the local model is not in the cache")
def test_the_real_model_answers_counts_and_keeps_its_deadline() -> None:
    pytest.importorskip("xllamacpp")
    model = LocalModel()
    first, second = model.ask(REQUEST), model.ask(REQUEST)
    assert first.text == second.text != ""
    assert (second.usage.completion_tokens or 0) > 0
    assert (second.usage.cached_tokens or 0) > 10
    assert second.usage.cost_usd == 0.0
    assert (model.tokens_per_s or 0.0) > 0.0
    engine = Engine(local_download.ensure(), threads=1)
    began_s = time.monotonic()
    body = {"messages": [{"role": "user", "content": "Count to 9999."}], "max_tokens": 900}
    with pytest.raises(AttemptError, match="in time"):
        engine.complete(body, time.monotonic() + 0.5)
    assert time.monotonic() - began_s < 20.0
