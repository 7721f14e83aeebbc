import itertools
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent.asking import Patience
from rewardsmith.agent.budget import price_of
from rewardsmith.agent.fake_server import FakeServer
from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.models import (
    DEFAULTS,
    PROVIDERS,
    default_spec,
    full_name,
    make_model,
    patient,
)
from rewardsmith.agent.recorded import FolderCalls, RecordedModel
from rewardsmith.agent.scripted import ScriptedModel
from rewardsmith.errors import ConfigError, ModelError

REQUEST = Request("designer", (Message("user", "hop"),))


def test_without_a_key_the_default_is_the_local_model() -> None:
    assert default_spec() == "local:qwen2.5-coder-1.5b"
    assert make_model().name == "local:qwen2.5-coder-1.5b"


@pytest.mark.parametrize(
    ("variable", "spec"),
    [
        ("OPENAI_API_KEY", "openai"),
        ("OPENAI_BASE_URL", "openai"),
        ("ANTHROPIC_API_KEY", "litellm:anthropic/claude-sonnet-5-5"),
        ("MISTRAL_API_KEY", "litellm:mistral/codestral-2508"),
    ],
)
def test_a_key_that_is_set_decides_the_default(
    monkeypatch: pytest.MonkeyPatch, variable: str, spec: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1/v1")
    assert default_spec() == spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("opnai:gpt", "did you mean openai"),
        ("loca", "did you mean local"),
        ("qqq", "There are local, openai"),
        ("OPENAI:gpt", "did you mean openai"),
        ("Local", "did you mean local"),
        ("./own/m.gguf", r"did you mean local:\./own/m\.gguf"),
        ("m.gguf", r"did you mean local:m\.gguf"),
        ("/abs/m.gguf", r"did you mean local:/abs/m\.gguf"),
        ("./script.yaml", "there is no provider"),
        ("~/x", "there is no provider"),
        (":", "there is no provider ''"),
        ("hf:a/b/c.gguf", "there is no provider 'hf'"),
        ("local:hf:", "OWNER/REPOSITORY/FILE"),
        ("local:folder/", "is no file"),
        ("litellm:", "a model is wanted"),
        ("replay:", "a run is wanted"),
        ("openai:gpt-5.4", "OPENAI_API_KEY is not set"),
        ("openai", "OPENAI_API_KEY is not set"),
        ("anthropic/claude-sonnet-5-5", "ANTHROPIC_API_KEY is not set"),
        ("litellm:nobody/x", "no provider for 'nobody/x'"),
        ("litellm", "a model is wanted"),
        ("local:/no/such.gguf", r"/no/such\.gguf is no file"),
        ("local:hf:only-a-name", "OWNER/REPOSITORY/FILE"),
        ("scripted:/no/such.yaml", r"such\.yaml"),
        ("replay", "a run is wanted"),
        ("replay:/no/such/run", "is no run folder"),
    ],
)
def test_a_bad_specification_says_what_is_wrong(spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_model(spec)


def test_an_endpoint_with_one_model_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with pytest.raises(ConfigError, match="fake-large, fake-small"):
            make_model("openai")
        model = make_model("openai:fake-small")
        assert (model.name, model.ask(REQUEST).model) == ("openai:fake-small",) * 2


def test_openai_without_a_name_is_a_model_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    model = make_model("openai")
    assert model.name == full_name("openai") == "openai:gpt-5.4"
    assert "canary" not in repr(model)


def test_manual_prompts_lie_in_the_run(tmp_path: Path) -> None:
    assert make_model("manual", run_dir=tmp_path).name == "manual"
    assert (tmp_path / "manual").is_dir()


def test_a_recorded_folder_replays(tmp_path: Path) -> None:
    RecordedModel(ScriptedModel(["one"]), FolderCalls(tmp_path)).ask(REQUEST)
    assert make_model(f"replay:{tmp_path}").ask(REQUEST).text == "one"


def test_a_name_alone_needs_neither_key_nor_package() -> None:
    model = make_model("openai:gpt-5.4", live=False)
    assert model.name == "openai:gpt-5.4"
    with pytest.raises(ModelError) as caught:
        model.ask(REQUEST)
    assert caught.value.kind == "replay_miss"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (None, "local:qwen2.5-coder-1.5b"),
        ("local", "local:qwen2.5-coder-1.5b"),
        ("local:/some/own.gguf", "local:own.gguf"),
        ("manual:/folder", "manual"),
        ("scripted", "scripted"),
        ("scripted:/a/b.yaml", "scripted:b.yaml"),
        ("ollama/qwen2.5:7b", "litellm:ollama/qwen2.5:7b"),
    ],
)
def test_a_full_name_is_known_beforehand(spec: str | None, name: str) -> None:
    assert full_name(spec) == name


def test_with_litellm_poisoned_all_that_does_not_use_it_works() -> None:
    code = """
import importlib, pkgutil, sys
sys.modules["litellm"] = None
import rewardsmith.agent
for module in pkgutil.iter_modules(rewardsmith.agent.__path__, "rewardsmith.agent."):
    importlib.import_module(module.name)
from rewardsmith.agent.models import make_model
from rewardsmith.errors import ConfigError
for spec in ("local", "scripted", "openai:m"):
    make_model(spec)
try:
    make_model("anthropic/claude-sonnet-5-5")
except ConfigError as error:
    assert "pip install litellm" in str(error), error
assert "openai" not in sys.modules and "xllamacpp" not in sys.modules, "heavy imports"
"""
    environment = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("spec", "kind", "name"),
    [
        ("local:", "LocalModel", "local:qwen2.5-coder-1.5b"),
        ("local:qwen2.5-coder-1.5b", "LocalModel", "local:qwen2.5-coder-1.5b"),
        ("openai:a:b/c", "OpenAIModel", "openai:a:b/c"),
        ("ollama/qwen2.5:7b", "LiteLLMModel", "litellm:ollama/qwen2.5:7b"),
        ("litellm:ollama/qwen2.5:7b", "LiteLLMModel", "litellm:ollama/qwen2.5:7b"),
        ("scripted", "SyntheticModel", "scripted"),
        ("scripted:", "SyntheticModel", "scripted"),
        ("manual", "ManualModel", "manual"),
        ("manual:paste", "ManualModel", "manual"),
    ],
)
def test_every_form_of_a_specification_makes_its_model_under_its_full_name(
    spec: str, kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    model = make_model(spec, run_dir=tmp_path)
    assert (type(model).__name__, model.name) == (kind, name)
    assert full_name(spec) == name


def test_files_and_folders_are_named_after_the_colon(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    (tmp_path / "s.yaml").write_text("any: [hello]")
    assert make_model(f"local:{tmp_path}/own.gguf").name == "local:own.gguf"
    assert make_model(f"scripted:{tmp_path}/s.yaml").ask(REQUEST).text == "hello"
    make_model(f"manual:{tmp_path}/answers")
    assert (tmp_path / "answers").is_dir()


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "s.yaml").write_text("any: [hello]")
    assert make_model("scripted:~/s.yaml").ask(REQUEST).text == "hello"


def test_a_deadline_ends_the_call_and_no_attempt_lasts_longer() -> None:
    usual = Patience(deadline_s=600.0, attempt_s=300.0)
    assert patient(usual, None) is usual
    assert patient(usual, 60.0) == replace(usual, deadline_s=60.0, attempt_s=60.0)
    assert patient(usual, 1000.0) == replace(usual, deadline_s=1000.0)


@pytest.mark.parametrize("fault", ["stall", "slow_drip", "rate_limit", "server_error"])
def test_a_deadline_holds_for_the_model_that_is_made(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer(itertools.repeat(fault)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        model = make_model("openai:m", deadline_s=0.5)
        began_s = time.monotonic()
        with pytest.raises(ModelError):
            model.ask(REQUEST)
        assert time.monotonic() - began_s < 8.0  # a busy machine, and the package's import


def test_a_deadline_holds_for_a_person_too(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        make_model("manual", run_dir=tmp_path, deadline_s=0.1).ask(REQUEST)
    assert caught.value.kind == "timeout"


def test_the_users_prices_reach_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "p.toml"
    own.write_text('[openai]\n"fake-small" = { input = 1000000, output = 0 }\n')
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        usage = make_model("openai:fake-small", prices=own).ask(REQUEST).usage
    assert usage.cost_usd == usage.prompt_tokens


def test_an_endpoint_that_is_gone_is_said_where_its_only_model_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(ModelError) as caught:
        make_model("openai")
    assert caught.value.kind == "connection"


@pytest.mark.parametrize(("variable", "spec"), DEFAULTS)
def test_every_default_can_be_made_with_its_key_and_has_a_price(
    variable: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "canary-0123456789")
    assert default_spec() == full_name(spec) == spec
    model = make_model()
    assert model.name == spec
    price = price_of(model)
    assert price is not None
    assert 0.0 < price.input < price.output
    assert "canary" not in repr(model)


@pytest.mark.parametrize("spec", ["openai:m", "anthropic/x", "local:/no/such.gguf", "manual"])
def test_for_a_replay_a_name_is_enough(spec: str) -> None:
    model = make_model(spec, live=False)
    assert model.name == full_name(spec)
    with pytest.raises(ModelError, match="no model may be asked"):
        model.ask(REQUEST)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_name_or_a_config_error(text: str) -> None:
    if text.startswith("openai") or not text:
        return
    try:
        name = full_name(text)
    except ConfigError as error:
        assert "--llm" in str(error)  # noqa: PT017
    else:
        assert name.split(":")[0] in PROVIDERS
