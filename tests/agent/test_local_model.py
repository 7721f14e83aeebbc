import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent import local_download
from rewardsmith.agent.asking import AttemptError, Patience, ask_many
from rewardsmith.agent.llm import Message, Reply, Request
from rewardsmith.agent.local_model import (
    CONTEXT_TOKENS,
    Engine,
    LocalModel,
    free_cores,
    from_hub,
    joined,
    seed_of,
    usable_cores,
)
from rewardsmith.agent.prices import FREE
from rewardsmith.errors import ConfigError, DownloadError, ModelError

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


class FakeLlama:
    """Stands for the module xllamacpp: streams ``words``, one each ``step_s``."""

    def __init__(self, words: Sequence[str] = ("ye", "s"), step_s: float = 0.0) -> None:
        self.words = words
        self.step_s = step_s
        self.error: dict[str, object] | None = None
        self.breaks: Exception | None = None
        self.params: list[SimpleNamespace] = []
        self.bodies: list[dict[str, Any]] = []
        self.at_once, self.most_at_once = 0, 0

    def CommonParams(self) -> SimpleNamespace:
        threads = SimpleNamespace(n_threads=0)
        return SimpleNamespace(
            model=SimpleNamespace(path=""),
            cpuparams=threads,
            cpuparams_batch=SimpleNamespace(n_threads=0),
        )

    def Server(self, params: SimpleNamespace) -> "FakeLlama":
        if self.breaks is not None:
            raise self.breaks
        self.params.append(params)
        return self

    def handle_chat_completions(
        self, body: dict[str, Any], piece: Callable[[object], bool]
    ) -> None:
        self.bodies.append(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self._stream(piece)
        finally:
            self.at_once -= 1

    def _stream(self, piece: Callable[[object], bool]) -> None:
        if self.error is not None:
            piece(self.error)
            return
        for word in self.words:
            time.sleep(self.step_s)
            if piece({"choices": [{"delta": {"content": word}}]}):
                return
        end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        usage = {"prompt_tokens": 3, "completion_tokens": len(self.words)}
        piece([end, {"usage": usage, "timings": {"predicted_per_second": 21}}])


@pytest.fixture(name="llama")
def _llama(monkeypatch: pytest.MonkeyPatch) -> FakeLlama:
    fake = FakeLlama()
    monkeypatch.setitem(sys.modules, "xllamacpp", fake)
    return fake


@pytest.fixture(name="gguf")
def _gguf(tmp_path: Path) -> Path:
    path = tmp_path / "own.gguf"
    path.write_bytes(b"GGUF")
    return path


QUICK = Patience(deadline_s=5.0, attempt_s=0.4, attempts=1)


def test_an_answer_is_counted_timed_and_free(llama: FakeLlama, gguf: Path) -> None:
    model = LocalModel(gguf, name="own")
    reply = model.ask(REQUEST)
    assert (reply.text, reply.model, reply.finish) == ("yes", "local:own", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 2)
    assert (reply.usage.cost_usd, model.tokens_per_s) == (0.0, 21.0)


def test_the_model_is_loaded_once_and_told_its_context_and_cores(
    llama: FakeLlama, gguf: Path
) -> None:
    said: list[str] = []
    model = LocalModel(gguf, notify=said.append)
    assert model.prepare() == gguf
    engine = Engine(gguf, threads=3)
    params = llama.params[-1]
    assert (params.n_ctx, params.n_parallel) == (CONTEXT_TOKENS, 1)
    assert params.cpuparams.n_threads == params.cpuparams_batch.n_threads == engine.threads == 3
    assert params.model.path == str(gguf)
    assert said[0].startswith("loading own.gguf for ")


def test_what_is_asked_is_streamed_and_has_a_seed_of_its_own(llama: FakeLlama, gguf: Path) -> None:
    model = LocalModel(gguf)
    other = Request("designer", REQUEST.messages, sample=1, max_tokens=4)
    seeded = Request("designer", REQUEST.messages, parameters={"seed": 5})
    for request in (REQUEST, other, seeded):
        model.ask(request)
    first, second, third = llama.bodies
    assert first["messages"] == [{"role": "user", "content": "Say: yes"}]
    assert (first["max_tokens"], first["stream"]) == (4, True)
    assert first["seed"] != second["seed"]
    assert (third["seed"], "max_tokens" in third) == (5, False)


def test_a_slow_answer_is_ended_at_its_deadline(llama: FakeLlama, gguf: Path) -> None:
    llama.words, llama.step_s = ["word "] * 1000, 0.02
    began_s = time.monotonic()
    with pytest.raises(ModelError, match="did not finish in time") as caught:
        LocalModel(gguf, patience=QUICK).ask(REQUEST)
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began_s < 5.0


def test_no_questions_time_runs_while_it_waits_for_its_turn(llama: FakeLlama, gguf: Path) -> None:
    llama.step_s = 0.06  # 0.12 s each: the eighth one begins long after one attempt's 0.4 s
    models = [LocalModel(gguf, patience=QUICK), LocalModel(gguf, patience=QUICK)]
    asked = [Request("designer", (Message("user", str(n)),)) for n in range(8)]
    replies: list[Reply | ModelError] = []
    threads = [
        threading.Thread(target=lambda m=m, a=a: replies.extend(ask_many(m, a, workers=4)))
        for m, a in ((models[0], asked[:4]), (models[1], asked[4:]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.text for r in replies if isinstance(r, Reply)] == ["yes"] * 8
    assert llama.most_at_once == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            {"message": "the request exceeds the available context size (8192 tokens)"},
            f"together have {CONTEXT_TOKENS} tokens here",
        ),
        ({"code": 400}, "refused: {'code': 400}"),
        ("broken template", "refused: broken template"),
    ],
)
def test_a_refused_question_is_a_clear_error_at_once(
    llama: FakeLlama, gguf: Path, error: object, said: str
) -> None:
    llama.error = {"error": error}
    with pytest.raises(ModelError) as caught:
        LocalModel(gguf).ask(REQUEST)
    assert caught.value.kind == "bad_request"
    assert said in str(caught.value)
    assert len(llama.bodies) == 1


def test_an_engine_that_breaks_while_it_answers_is_a_refusal(
    llama: FakeLlama, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(body: object, piece: object) -> None:
        raise RuntimeError("out of memory")

    model = LocalModel(gguf)
    model.prepare()
    monkeypatch.setattr(llama, "handle_chat_completions", broken)
    with pytest.raises(ModelError, match="refused: out of memory"):
        model.ask(REQUEST)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "xllamacpp", llama)
    assert model.ask(REQUEST).text == "yes"  # nothing is locked afterwards


def test_a_file_that_cannot_be_loaded_is_a_config_error_each_time(
    llama: FakeLlama, gguf: Path
) -> None:
    llama.breaks = RuntimeError("bad magic")
    model = LocalModel(gguf)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"own\.gguf cannot be loaded.*bad magic"):
            model.ask(REQUEST)
    llama.breaks = None
    assert model.ask(REQUEST).text == "yes"


def test_an_empty_answer_is_an_error_and_a_cut_one_says_so(llama: FakeLlama, gguf: Path) -> None:
    llama.words = ()
    with pytest.raises(ModelError) as caught:
        LocalModel(gguf, patience=QUICK).ask(REQUEST)
    assert caught.value.kind == "empty"
    cut = joined([{"choices": [{"delta": {"content": "ha"}, "finish_reason": "length"}]}])
    assert cut["choices"][0]["finish_reason"] == "length"


def test_two_that_want_a_file_of_a_hub_fetch_it_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls: list[str] = []

    def download(url: str, path: Path, progress: object) -> None:
        urls.append(url)
        time.sleep(0.05)
        path.write_bytes(b"GGUF")

    monkeypatch.setattr(local_download, "download", download)
    threads = [
        threading.Thread(target=from_hub, args=("a/b/m.gguf",), kwargs={"folder": tmp_path})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert urls == ["https://huggingface.co/a/b/resolve/main/m.gguf"]


def test_a_folder_for_hub_files_that_cannot_be_made_is_a_download_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be fetched"):
        from_hub("a/b/m.gguf", folder=tmp_path / "file" / "models")


PIECE = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {"delta": st.fixed_dictionaries({}, optional={"content": st.none() | st.text()})},
                optional={"finish_reason": st.none() | st.sampled_from(["stop", "length"])},
            ),
            max_size=1,
        ),
        "usage": st.none() | st.just({"prompt_tokens": 1}),
    },
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECE, max_size=8))
def test_no_text_of_a_stream_is_lost(pieces: list[dict[str, Any]]) -> None:
    deltas = [choice["delta"] for piece in pieces for choice in piece.get("choices", [])]
    whole = joined(list(pieces))
    text = "".join(delta.get("content") or "" for delta in deltas)
    assert whole["choices"][0]["message"]["content"] == text
    assert ("usage" in whole) == any(piece.get("usage") for piece in pieces)


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
