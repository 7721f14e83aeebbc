"""From ``--llm PROVIDER[:MODEL]`` to a language model."""

import difflib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rewardsmith.agent.asking import Notify, Patience
from rewardsmith.agent.llm import LanguageModel, Reply, Request
from rewardsmith.agent.local_download import Progress
from rewardsmith.agent.prices import find_price
from rewardsmith.errors import ConfigError, ModelError

PROVIDERS = ("local", "openai", "litellm", "manual", "scripted", "replay")
_LOCAL = "local:qwen2.5-coder-1.5b"
# The usual key variables, in order of preference, and what to ask where one of them is set.
DEFAULTS: tuple[tuple[str, str], ...] = (
    ("ANTHROPIC_API_KEY", "litellm:anthropic/claude-sonnet-5-5"),
    ("GEMINI_API_KEY", "litellm:gemini/gemini-3.1-pro-preview"),
    ("MISTRAL_API_KEY", "litellm:mistral/codestral-2508"),
    ("DEEPSEEK_API_KEY", "litellm:deepseek/deepseek-v4-pro"),
    ("XAI_API_KEY", "litellm:xai/grok-4.5"),
)


def default_spec() -> str:
    """What is asked where no ``--llm`` is given: the provider whose key is set, else ``local``."""
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return "openai"
    for variable, spec in DEFAULTS:
        if os.environ.get(variable):
            return spec
    return _LOCAL


def make_model(  # noqa: PLR0913  (all have defaults)
    spec: str | None = None,
    *,
    run_dir: Path | None = None,
    notify: Notify | None = None,
    progress: Progress | None = None,
    prices: Path | None = None,
    deadline_s: float | None = None,
    live: bool = True,
) -> LanguageModel:
    """Returns the model that a specification names.

    Args:
        spec: ``PROVIDER[:MODEL]``, or ``provider/model`` for litellm; None: `default_spec`.
        run_dir: the run's folder; ``manual`` keeps its prompts in it.
        notify: is told about waits, downloads and what a person has to do.
        progress: is told about a download, in bytes.
        prices: the user's own table of prices.
        deadline_s: when a question is given up, repeats included; None: the model's own.
        live: off: only the name is wanted (for a replay); no key, file or package is needed,
            and a question is an error.

    Raises:
        ConfigError: unknown provider (with the nearest names), missing key, file or package.
    """
    spec = spec or default_spec()
    provider, model = _split(spec)
    if not live and provider != "replay":
        return NameOnly(full_name(spec))
    makers: dict[str, Callable[[], LanguageModel]] = {
        "openai": lambda: _openai(model, notify, prices, deadline_s),
        "litellm": lambda: _litellm(model, notify, prices, deadline_s),
        "local": lambda: _local(model, notify, progress, deadline_s),
        "manual": lambda: _manual(model, run_dir, notify, deadline_s),
        "scripted": lambda: _scripted(model),
        "replay": lambda: _replay(model),
    }
    return makers[provider]()


def full_name(spec: str | None = None) -> str:
    """The name that the model of ``spec`` will have, without making it; to be kept in a run.

    Raises:
        ConfigError: unknown provider; or the endpoint serves several models and none is named.
    """
    provider, model = _split(spec or default_spec())
    if provider == "openai":
        return f"openai:{model or _openai_default()}"
    if provider == "local":
        from rewardsmith.agent.local_model import DEFAULT_NAME

        return f"local:{Path(model).name if model else DEFAULT_NAME}"
    if provider == "manual":
        return "manual"
    return f"{provider}:{Path(model).name if provider == 'scripted' else model}".rstrip(":")


class NameOnly:
    """A model that has a name and cannot be asked."""

    def __init__(self, name: str) -> None:
        """Takes the name."""
        self._name = name

    @property
    def name(self) -> str:
        """Returns the name."""
        return self._name

    def ask(self, request: Request) -> Reply:
        """Raises.

        Raises:
            ModelError: ``replay_miss``, always.
        """
        raise ModelError("replay_miss", f"no model may be asked here ({self._name} is on record)")


def _split(spec: str) -> tuple[str, str]:
    provider, _, model = spec.partition(":")
    if provider in PROVIDERS:
        return provider, model
    # anthropic/claude-..., ollama/qwen2.5:7b: what litellm names with a slash
    if "/" in provider and not provider.startswith((".", "/", "~")):
        return "litellm", spec
    near = difflib.get_close_matches(provider.lower(), PROVIDERS, 3, 0.4)
    if spec.endswith(".gguf"):
        near = [f"local:{spec}"]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(
        f"--llm {spec}: there is no provider {provider!r}; {hint}There are {', '.join(PROVIDERS)}, "
        "each with an optional :MODEL, and provider/model as litellm names it"
    )


def _openai(
    model: str, notify: Notify | None, prices: Path | None, deadline_s: float | None
) -> LanguageModel:
    from rewardsmith.agent.openai_model import OpenAIModel, endpoint

    endpoint()  # says what is missing before anything is asked
    model = model or _openai_default()
    price = find_price(f"openai:{model}", prices, shipped=False)
    patience = patient(Patience(), deadline_s)
    return OpenAIModel(model, price=price, patience=patience, notify=notify)


def patient(usual: Patience, deadline_s: float | None) -> Patience:
    """The usual patience, ended after ``deadline_s`` where that is given."""
    if deadline_s is None:
        return usual
    return replace(usual, deadline_s=deadline_s, attempt_s=min(usual.attempt_s, deadline_s))


def _openai_default() -> str:
    """OpenAI's own endpoint: a model of ours; any other: the only one that it serves."""
    from rewardsmith.agent.openai_model import DEFAULT_MODEL, OPENAI_URL, endpoint, model_names

    url, key = endpoint()
    if url.rstrip("/") == OPENAI_URL:
        return DEFAULT_MODEL
    names = model_names(url, key)
    if len(names) != 1:
        listed = ", ".join(sorted(names)[:12]) or "none"
        raise ConfigError(f"which model? --llm openai:MODEL; OPENAI_BASE_URL serves: {listed}")
    return names[0]


def _litellm(
    model: str, notify: Notify | None, prices: Path | None, deadline_s: float | None
) -> LanguageModel:
    from rewardsmith.agent.litellm_model import LiteLLMModel

    if not model:
        raise ConfigError(
            "--llm litellm: a model is wanted, e.g. litellm:anthropic/claude-sonnet-5-5"
        )
    price = find_price(f"litellm:{model}", prices, shipped=False)
    patience = patient(Patience(), deadline_s)
    return LiteLLMModel(model, price=price, patience=patience, notify=notify)


def _local(
    model: str, notify: Notify | None, progress: Progress | None, deadline_s: float | None
) -> LanguageModel:
    from rewardsmith.agent.local_model import DEFAULT_NAME, PATIENCE, LocalModel, from_hub

    patience = patient(PATIENCE, deadline_s)
    if model in ("", DEFAULT_NAME):
        return LocalModel(patience=patience, notify=notify, progress=progress)
    if model.startswith("hf:"):
        path = from_hub(model.removeprefix("hf:"), progress=progress, notify=notify)
        name = path.name.rpartition("__")[2]
        return LocalModel(path, name=name, patience=patience, notify=notify)
    path = Path(model).expanduser()
    return LocalModel(path, name=path.name, patience=patience, notify=notify)


def _manual(
    model: str, run_dir: Path | None, notify: Notify | None, deadline_s: float | None
) -> LanguageModel:
    from rewardsmith.agent.manual_model import ManualModel, pasted

    folder = (run_dir or Path()) / "manual"
    if model == "paste":
        return ManualModel(folder, notify=notify, deadline_s=deadline_s, paste=pasted)
    chosen = Path(model).expanduser() if model else folder
    return ManualModel(chosen, notify=notify, deadline_s=deadline_s)


def _scripted(model: str) -> LanguageModel:
    from rewardsmith.agent.scripted import read_script
    from rewardsmith.agent.synthetic import SyntheticModel

    return read_script(Path(model).expanduser()) if model else SyntheticModel()


def _replay(model: str) -> LanguageModel:
    from rewardsmith.agent.recorded import FolderCalls, ReplayModel
    from rewardsmith.runs.store import CallRecords, RunStore

    if not model:
        raise ConfigError("--llm replay: a run is wanted, e.g. replay:results/hopper-1a2b3c4d")
    path = Path(model).expanduser()
    if not path.is_dir():
        raise ConfigError(f"--llm replay: {path} is no run folder")
    if (path / "journal.jsonl").is_file():
        store = RunStore.open(path)
        records = CallRecords(store)
        asked = (event.data["hash"] for event in store.journal.read() if event.kind == "asked")
        known = (record for key in asked if (record := records.get(key)))
        return ReplayModel(records, sorted({str(record["model"]) for record in known}))
    calls = FolderCalls(path)
    return ReplayModel(calls, calls.names())
