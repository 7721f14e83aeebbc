"""A language model on this machine's processor: the default where no key is set.

The only module that imports ``xllamacpp``, which runs llama.cpp inside this process.
"""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewardsmith.agent import local_download
from rewardsmith.agent.asking import Asking, AttemptError, Notify, Patience, Seams
from rewardsmith.agent.chat_format import messages_of, reply_of
from rewardsmith.agent.llm import Reply, Request
from rewardsmith.agent.local_download import Progress
from rewardsmith.agent.openmp import load_openmp
from rewardsmith.agent.prices import FREE, Price
from rewardsmith.agent.recorded import request_key
from rewardsmith.errors import ConfigError, DownloadError

DEFAULT_NAME = "qwen2.5-coder-1.5b"
CONTEXT_TOKENS = 8192
# On two busy cores 1,000 tokens take minutes; the deadline is for a process that hangs.
PATIENCE = Patience(deadline_s=1800.0, attempt_s=900.0, attempts=3)
_HUB = "https://huggingface.co"

_engines: dict[Path, "Engine"] = {}
_engines_lock = threading.Lock()
# Held for one question at a time, so that no question's time runs while it waits for another.
_turn = threading.Lock()


class Engine:
    """One loaded model. It answers one question at a time, with all cores."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Loads the file.

        Raises:
            ConfigError: xllamacpp is not installed, or the file is no model it can load.
        """
        load_openmp()
        try:
            import xllamacpp  # type: ignore[import-untyped]
        except ImportError as error:
            raise ConfigError(
                f"the local model needs xllamacpp, which cannot be imported ({error}): "
                "pip install xllamacpp (or use another one, see --llm)"
            ) from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.cache_prompt = True
        params.verbosity = 0
        params.ui = False
        self.threads = threads or free_cores()
        params.cpuparams.n_threads = self.threads
        params.cpuparams_batch.n_threads = self.threads
        began_s = time.monotonic()
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ConfigError(
                f"{path} cannot be loaded as a GGUF model ({error}); the file may be damaged, or "
                "of a newer format than this xllamacpp knows"
            ) from error
        self.load_s = time.monotonic() - began_s
        self._turn = threading.Lock()

    @property
    def busy(self) -> bool:
        """Returns whether a question is being answered."""
        return self._turn.locked()

    def complete(self, body: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        """The chat completion of a request body, streamed so that it can be ended.

        Args:
            body: as for an OpenAI-compatible endpoint.
            deadline_s: `time.monotonic` at which the answer is ended and given up.

        Raises:
            AttemptError: ``timeout`` or, for a request that it refuses, ``bad_request``.
        """
        pieces: list[Mapping[str, Any]] = []
        late = threading.Event()

        def piece(chunk: Mapping[str, Any] | list[Mapping[str, Any]]) -> bool:
            pieces.extend(chunk if isinstance(chunk, list) else [chunk])
            if time.monotonic() > deadline_s:
                late.set()
            return late.is_set()

        with self._turn:
            options = {"include_usage": True}
            whole = {**body, "stream": True, "stream_options": options}
            try:
                self._server.handle_chat_completions(whole, piece)
            except RuntimeError as error:
                raise AttemptError("bad_request", f"the local model refused: {error}") from None
        if late.is_set():
            raise AttemptError("timeout", "the local model did not finish in time")
        return joined(pieces)


class LocalModel:
    """A GGUF file, loaded at the first question and once per process."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        name: str = DEFAULT_NAME,
        patience: Patience = PATIENCE,
        seams: Seams = Seams(),  # noqa: B008  (frozen)
        notify: Notify | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Takes a file; None: the embedded default, fetched at the first question if needed.

        Raises:
            ConfigError: there is no such file.
        """
        if path is not None and not path.is_file():
            raise ConfigError(f"--llm local: {path} is no file; a GGUF model is wanted")
        self._path = path
        self._model = name
        self._notify = notify
        self._progress = progress
        self._asking = Asking(self.name, self._attempt, patience, seams, notify)
        self.tokens_per_s: float | None = None

    @property
    def name(self) -> str:
        """Returns ``local:MODEL``."""
        return f"local:{self._model}"

    @property
    def price(self) -> Price:
        """Returns a price of nothing."""
        return FREE

    def prepare(self) -> Path:
        """Fetches and loads what is missing, so that the first question need not; the file's path.

        Raises:
            DownloadError: the file could not be fetched.
            ConfigError: it cannot be loaded.
        """
        path = self._file()
        engine_for(path, self._notify)
        return path

    def _file(self) -> Path:
        return self._path or local_download.ensure(progress=self._progress, notify=self._notify)

    def ask(self, request: Request) -> Reply:
        """Returns one reply; questions of several threads are answered in turn.

        Raises:
            ModelError: no usable reply.
            DownloadError: the model could not be fetched.
            ConfigError: it could not be loaded.
        """
        self._file()  # a download is not part of the call: it has no deadline
        with _turn:
            return self._asking.ask(request)

    def _attempt(self, request: Request, sent: Mapping[str, Any], timeout_s: float) -> Reply:
        engine = engine_for(self._file(), self._notify)
        body = {"messages": messages_of(request), **sent}
        body.setdefault("seed", seed_of(self.name, request))
        answer = engine.complete(body, time.monotonic() + timeout_s)
        speed = answer.get("timings", {}).get("predicted_per_second")
        if isinstance(speed, int | float):
            self.tokens_per_s = float(speed)
        return reply_of(answer, model=self.name, price=FREE)


def usable_cores() -> int:
    """Physical cores that this process may use: two threads on one core only hinder each other."""
    usable = getattr(os, "sched_getaffinity", None)
    allowed = usable(0) if usable else set(range(os.cpu_count() or 1))
    siblings = {_siblings(core) for core in allowed}
    return max(1, len(siblings))


def _siblings(core: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return str(core)


def free_cores(stat: Path = Path("/proc/stat"), over_s: float = 0.2) -> int:
    """Usable cores that are idle now, at least 1.

    Threads of one model wait for each other many times a token, spinning: with one of two cores
    taken by another process, two threads were measured at 2.2 tokens/s and one at 22.
    """
    before = _idle_ticks(stat)
    time.sleep(over_s)
    after = _idle_ticks(stat)
    if before is None or after is None or after[1] <= before[1]:
        return usable_cores()
    share = (after[0] - before[0]) / (after[1] - before[1])
    return max(1, min(usable_cores(), round(share * (os.cpu_count() or 1) - 0.1)))


def _idle_ticks(stat: Path) -> tuple[int, int] | None:
    """Idle and all ticks of all cores since the machine started."""
    try:
        ticks = [int(word) for word in stat.read_text("ascii").splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return ticks[3] + ticks[4], sum(ticks)


def engine_for(path: Path, notify: Notify | None = None) -> Engine:
    """The engine of a file, loaded once per process; again when its cores were taken by others.

    Raises:
        ConfigError: the file cannot be loaded.
    """
    with _engines_lock:
        engine = _engines.get(path)
        free = free_cores() if engine is None or not engine.busy else engine.threads
        # Upwards only where it pays for reading the prompt's prefix again.
        if engine is None or free < engine.threads or free >= 4 * engine.threads:
            if notify is not None:
                notify(f"loading {path.name} for {free} of {usable_cores()} cores")
            _engines.pop(path, None)
            engine = None  # one model in memory at a time
            engine = _engines[path] = Engine(path, free)
        return engine


def seed_of(name: str, request: Request) -> int:
    """A seed that differs from sample to sample and is the same for the same question."""
    return int(request_key(name, request)[:8], 16) & 0x7FFFFFFF


def joined(pieces: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The one completion that the pieces of a stream make up."""
    text, finish = [], None
    whole: dict[str, Any] = {}
    for piece in pieces:
        if "error" in piece:
            error = piece["error"]
            said = error.get("message", error) if isinstance(error, Mapping) else error
            raise AttemptError("bad_request", f"the local model refused: {said}{_cure(str(said))}")
        for name in ("usage", "timings"):
            if piece.get(name):
                whole[name] = piece[name]
        for choice in piece.get("choices", []):
            text.append(choice.get("delta", {}).get("content") or "")
            finish = choice.get("finish_reason") or finish
    message = {"role": "assistant", "content": "".join(text)}
    whole["choices"] = [{"index": 0, "finish_reason": finish, "message": message}]
    return whole


def _cure(said: str) -> str:
    if "context" not in said.lower():
        return ""
    return (
        f"; prompt and answer together have {CONTEXT_TOKENS} tokens here: take a model with a "
        "longer context, or shorten the task's text or its card"
    )


def from_hub(
    spec: str,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    notify: Notify | None = None,
    hub: str = _HUB,
) -> Path:
    """The path of a file ``OWNER/REPOSITORY/FILE.gguf`` of a hub, fetched where it is not there.

    Raises:
        ConfigError: the name has another form.
        DownloadError: the hub cannot be reached, or has no such file.
    """
    parts = spec.split("/")
    if len(parts) != 3 or not spec.endswith(".gguf") or ".." in parts:
        raise ConfigError(f"--llm local:hf:{spec}: OWNER/REPOSITORY/FILE.gguf is wanted")
    path = (folder or local_download.cache_folder()) / "__".join(parts)
    if path.is_file():
        return path
    if notify is not None:
        notify(f"fetching {spec} from {hub}; its hash is not known here, so it is not checked")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with local_download.locked(path):
            if not path.is_file():  # another process may have fetched it meanwhile
                local_download.download(
                    f"{hub}/{parts[0]}/{parts[1]}/resolve/main/{parts[2]}", path, progress
                )
    except OSError as error:
        raise DownloadError(f"{hub}: {spec} cannot be fetched ({error})") from error
    return path
