"""Every call on record: a question is asked once in a run, and a run can be replayed."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from rewardsmith.agent.asking import parameters_of
from rewardsmith.agent.chat_format import messages_of
from rewardsmith.agent.llm import LanguageModel, Reply, Request, Usage
from rewardsmith.errors import ModelError, StoreError
from rewardsmith.runs.store import write_durably


class CallStore(Protocol):
    """Where calls are kept. A ``put`` under a key that exists replaces what was there."""

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the record under a key, None where there is none."""
        ...

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Keeps a record; it is on disk when this returns."""
        ...


def request_key(model: str, request: Request) -> str:
    """64 hex digits over all that decides an answer: model, role, messages, parameters, sample."""
    asked = {
        "model": model,
        "role": request.role,
        "messages": messages_of(request),
        "parameters": parameters_of(request),
        "sample": request.sample,
    }
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class RecordedModel:
    """Asks the model within only what the store does not hold an answer to."""

    def __init__(self, model: LanguageModel, store: CallStore) -> None:
        """Keeps both; nothing is read yet."""
        self._model = model
        self._store = store
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Returns the name of the model within."""
        return self._model.name

    def ask(self, request: Request) -> Reply:
        """Returns the recorded reply, or asks and records.

        Raises:
            ModelError: no usable reply.
        """
        key = request_key(self.name, request)
        with self._alone(key):
            record = self._store.get(key)
            if record is not None:
                return _reply_in(record)
            # A failure is no answer: it is not recorded, and asked again after a restart.
            reply = self._model.ask(request)
            self._store.put(key, {**_asked(self.name, request), **_answered(reply)})
            return reply

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Two threads with the same question: the second waits for the first one's answer."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            yield


class ReplayModel:
    """Answers from records alone: same question, same answer, to the bit, without any model."""

    def __init__(
        self, store: CallStore, names: Sequence[str], on_miss: LanguageModel | None = None
    ) -> None:
        """Prepares a replay.

        Args:
            store: the recorded calls.
            names: of the models that were asked, as in the records.
            on_miss: asked what is not on record; None: a miss is an error.
        """
        self._store = store
        self._names = tuple(names)
        self._on_miss = on_miss

    @property
    def name(self) -> str:
        """Returns the name of the model that was recorded, so that keys stay the same."""
        return self._names[0] if self._names else "replay"

    def ask(self, request: Request) -> Reply:
        """Returns the recorded reply.

        Raises:
            ModelError: ``replay_miss``.
        """
        for name in self._names:
            record = self._store.get(request_key(name, request))
            if record is not None:
                return _reply_in(record)
        if self._on_miss is not None:
            return self._on_miss.ask(request)
        raise ModelError(
            "replay_miss",
            f"no recorded answer to this {request.role} call (sample {request.sample}, model "
            f"{self.name}): the run was made with other prompts, settings or code; replay it with "
            "the version that made it, or let a model answer what is missing",
        )


class FolderCalls:
    """A store of calls: one JSON file each, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Takes a folder; it is made with the first record."""
        self.folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the record under a key, None where there is none.

        Raises:
            StoreError: the file is damaged.
        """
        path = self.folder / f"{key}.json"
        try:
            record = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: not a recorded call ({error}); delete it") from error
        if not isinstance(record, dict):
            raise StoreError(f"{path}: not a recorded call; delete it")
        return record

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Keeps a record; it is on disk when this returns.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        path = self.folder / f"{key}.json"
        write_durably(path, json.dumps(record, indent=1).encode())

    def names(self) -> tuple[str, ...]:
        """Names of the models that were asked."""
        keys = (path.stem for path in sorted(self.folder.glob("*.json")))
        records = (record for key in keys if (record := self.get(key)))
        return tuple(sorted({str(record.get("model")) for record in records}))


def _asked(model: str, request: Request) -> dict[str, Any]:
    return {
        "model": model,
        "role": request.role,
        "sample": request.sample,
        "parameters": parameters_of(request),
        "messages": messages_of(request),
    }


def _answered(reply: Reply) -> dict[str, Any]:
    return {
        "text": reply.text,
        "answered_by": reply.model,
        "finish": reply.finish,
        "usage": asdict(reply.usage),
        "wall_s": reply.wall_s,
        "attempts": reply.attempts,
        "dropped_parameters": list(reply.dropped_parameters),
    }


def _reply_in(record: dict[str, Any]) -> Reply:
    try:
        if not isinstance(record["text"], str):
            raise TypeError(f"its text is {record['text']!r}")
        return Reply(
            text=record["text"],
            model=record["answered_by"],
            finish=record["finish"],
            usage=Usage(**record["usage"]),
            wall_s=record["wall_s"],
            attempts=record["attempts"],
            dropped_parameters=tuple(record["dropped_parameters"]),
        )
    except (KeyError, TypeError) as error:
        raise StoreError(f"a recorded call is damaged: {error!r}") from error
