import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.agent.fake_server import FakeServer
from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.models import default_spec, full_name, make_model
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
