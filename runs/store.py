"""The folder of one run: names of its files, durable writes, its state."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError, StoreError
from rewardsmith.runs.fold import fold
from rewardsmith.runs.journal import Event, Journal
from rewardsmith.runs.records import RunState
from rewardsmith.runs.whole import write_whole

_TASK = TypeAdapter(Task)


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file so that it exists whole or not at all.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        why = error.strerror or error
        message = f"{path}: cannot be written ({why}); free some space or check the folder's rights"
        raise StoreError(message) from error


class RunStore:
    """One run folder. Every name in it is known here and nowhere else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path / "journal.jsonl")

    @classmethod
    def create(cls, path: Path, head: Mapping[str, Any], task: Task) -> "RunStore":
        """Makes the folder with its head (configuration, versions, command); returns the store."""
        store = cls(path)
        content = {**head, "task": _TASK.dump_python(task, mode="json")}
        write_durably(store.head_path, json.dumps(content, indent=2).encode() + b"\n")
        return store

    @classmethod
    def open(cls, path: Path) -> "RunStore":
        """Returns the store of an existing run.

        Raises:
            StoreError: the folder holds no run.
        """
        store = cls(path)
        if not store.head_path.is_file():
            raise StoreError(f"{path}: not a run folder (no run.json); see `rewardsmith show`")
        return store

    @property
    def head_path(self) -> Path:
        """The file that says what the run is."""
        return self.path / "run.json"

    @property
    def report_path(self) -> Path:
        """The static report."""
        return self.path / "report.html"

    @property
    def best_path(self) -> Path:
        """The folder of what a user takes away."""
        return self.path / "best"

    @property
    def bank_path(self) -> Path:
        """The folder of stored transitions."""
        return self.path / "bank"

    def job_path(self, unit: str) -> Path:
        """The folder of one unit of work."""
        return self.path / "jobs" / unit

    def program_path(self, candidate: str) -> Path:
        """The file of a candidate's program: data to us, imported by nobody."""
        return self.path / "candidates" / candidate / "reward.py"

    def pictures_path(self, candidate: str) -> Path:
        """The numbers behind the pictures of a candidate's reward."""
        return self.path / "candidates" / candidate / "pictures.json"

    def head(self) -> dict[str, Any]:
        """Returns the run's head as written at its start."""
        try:
            value = json.loads(self.head_path.read_bytes())
        except ValueError as error:
            raise StoreError(f"{self.head_path}: not JSON ({error}); restore the file") from error
        if not isinstance(value, dict):
            raise StoreError(f"{self.head_path}: an object was expected; restore the file")
        return value

    def task(self) -> Task:
        """Returns the run's task."""
        try:
            return _TASK.validate_python(self.head().get("task"))
        except ValidationError as error:
            raise StoreError(f"{self.head_path}: no valid task ({error}); restore it") from error

    def append(self, kind: str, data: Mapping[str, Any]) -> Event:
        """Appends one event; it is on disk when this returns."""
        return self.journal.append(kind, data)

    def state(self) -> RunState:
        """Returns the run as of now, folded from the journal."""
        return fold(self.path.name, self.task().id, self.journal.read())

    def put_blob(self, content: str) -> str:
        """Stores a text by its content and returns its SHA-256."""
        raw = content.encode("utf-8", "surrogatepass")
        name = hashlib.sha256(raw).hexdigest()
        path = self.path / "blobs" / name
        if not path.exists():
            write_durably(path, raw)
        return name

    def get_blob(self, name: str) -> str:
        """Returns a stored text.

        Raises:
            StoreError: it is missing or its content does not match its name.
        """
        path = self.path / "blobs" / name
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; the run folder is incomplete") from error
        if hashlib.sha256(raw).hexdigest() != name:
            raise StoreError(f"{path}: content does not match its name; restore the file")
        return raw.decode("utf-8", "surrogatepass")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Holds the run for this process: only one works on it at a time; readers are not blocked.

        Raises:
            ConfigError: another process works on it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(
                    f"{self.path}: another process works on this run; wait for it or stop it"
                ) from error
            yield


class CallRecords:
    """The model calls of a run, by request hash: what was answered is never asked again."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._blobs: dict[str, str] = {
            event.data["hash"]: event.data["blob"]
            for event in store.journal.read()
            if event.kind == "asked"
        }

    def get(self, request_hash: str) -> dict[str, Any] | None:
        """Returns the record of a call, or None if it was never answered in this run."""
        blob = self._blobs.get(request_hash)
        if blob is None:
            return None
        value: dict[str, Any] = json.loads(self._store.get_blob(blob))
        return value

    def put(self, request_hash: str, record: dict[str, Any]) -> None:
        """Stores a call; it is on disk when this returns."""
        blob = self._store.put_blob(json.dumps(record, sort_keys=True))
        told = {key: record.get(key) for key in ("role", "model", "usage", "wall_s")}
        self._store.append("asked", {"hash": request_hash, "blob": blob, **told})
        self._blobs[request_hash] = blob
