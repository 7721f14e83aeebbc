"""A person, or any other program, as the model: prompts go to files, answers come from files."""

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from rewardsmith.agent.asking import Notify, Seams
from rewardsmith.agent.chat_format import LONGEST_REPLY_CHARS, messages_of
from rewardsmith.agent.llm import Reply, Request, Usage
from rewardsmith.agent.recorded import request_key
from rewardsmith.errors import ConfigError, ModelError, StoreError
from rewardsmith.runs.whole import write_whole

END = "END"
_POLL_S = 0.25
# Editors write in pieces; a file that has not changed for this long is taken as complete.
_STABLE_S = 1.0


class ManualModel:
    """Writes ``NNNN-<role>.prompt.md`` and waits for ``NNNN-<role>.answer.md`` beside it.

    The number belongs to the question: asked again after a restart, it finds the answer there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        notify: Notify | None = None,
        deadline_s: float | None = None,
        stable_s: float = _STABLE_S,
        paste: Callable[[], str] | None = None,
        seams: Seams = Seams(),  # noqa: B008  (frozen)
    ) -> None:
        """Prepares the folder.

        Args:
            folder: where prompts and answers lie; made if needed.
            notify: is told where each prompt lies and what to do.
            deadline_s: how long to wait for one answer; None: as long as it takes.
            stable_s: how long an answer file must not have changed.
            paste: reads one answer from the terminal instead of waiting for a file.
            seams: clock and sleep.

        Raises:
            ConfigError: the folder cannot be made.
        """
        self._folder = folder
        self._notify = notify
        self._deadline_s = deadline_s
        self._stable_s = stable_s
        self._paste = paste
        self._seams = seams
        self._numbering = threading.Lock()
        self._terminal = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: no folder for prompts can be made ({error})") from error

    @property
    def name(self) -> str:
        """Returns ``manual``."""
        return "manual"

    def ask(self, request: Request) -> Reply:
        """Returns the answer once it is there and complete.

        Raises:
            ModelError: ``timeout``, it did not come within the deadline; ``empty``, nothing was
                pasted.
            StoreError: the prompt cannot be written.
        """
        began_s = self._seams.now()
        try:
            prompt = self._prompt_file(request)
            answer = prompt.with_name(prompt.name.replace(".prompt.md", ".answer.md"))
            if _state(answer) is None:
                self._announce(prompt, answer)
        except OSError as error:
            raise StoreError(f"{self._folder}: no prompt can be written ({error})") from error
        text = self._wait(answer, began_s)
        finish = "stop" if len(text) <= LONGEST_REPLY_CHARS else "length"
        return Reply(
            text=text[:LONGEST_REPLY_CHARS],
            model=self.name,
            finish=finish,
            usage=Usage(cost_usd=0.0),
            wall_s=self._seams.now() - began_s,
        )

    def _prompt_file(self, request: Request) -> Path:
        key = request_key(self.name, request)
        with self._numbering:
            known = sorted(self._folder.glob("*.prompt.md"))
            for path in known:
                if key in _first_line(path):
                    return path
            number = max((_number(path) for path in known), default=0) + 1
            path = self._folder / f"{number:04d}-{request.role}.prompt.md"
            write_whole(path, _as_markdown(request, key).encode(), lasting=False)
            return path

    def _announce(self, prompt: Path, answer: Path) -> None:
        if self._paste is not None:
            with self._terminal:
                self._say(f"{prompt.read_text('utf-8')}\n--- answer, then a line with {END}:")
                text = self._paste()
                if not text.strip():  # the input is at its end: nobody will ever type more
                    raise ModelError("empty", f"nothing was pasted; {prompt} waits for an answer")
                write_whole(answer, text.encode(errors="replace"), lasting=False)
        else:
            self._say(f"waiting for a person: read {prompt}, put the answer into {answer}")

    def _wait(self, answer: Path, began_s: float) -> str:
        last: tuple[int, int] | None = None
        since_s = self._seams.now()
        while True:
            now_s = self._seams.now()
            state = _state(answer)
            if state != last:
                last, since_s = state, now_s
            elif state is not None and (self._paste or now_s - since_s >= self._stable_s):
                text = _text_in(answer)
                if text.strip():
                    return text
            if self._deadline_s is not None and now_s - began_s > self._deadline_s:
                said = f"no answer in {answer} within {self._deadline_s:.0f} s"
                raise ModelError("timeout", f"{said}; the prompt stays, resume to wait again")
            self._seams.sleep(min(_POLL_S, max(self._stable_s / 2, 0.001)))

    def _say(self, text: str) -> None:
        if self._notify is not None:
            self._notify(text)


def pasted() -> str:
    """One answer from standard input, up to a line that says END or to the input's end."""
    lines = []
    for line in sys.stdin:
        if line.strip() == END:
            break
        lines.append(line)
    return "".join(lines)


def _as_markdown(request: Request, key: str) -> str:
    head = f"<!-- request {key}, sample {request.sample} -->\n"
    parts = [f"## {m['role']}\n\n{m['content'].strip()}\n" for m in messages_of(request)]
    return head + "\n" + "\n".join(parts)


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline()


def _number(path: Path) -> int:
    match = re.match(r"\d+", path.name)
    return int(match.group()) if match else 0


def _text_in(path: Path) -> str:
    """The file's text; empty where it cannot be read, as while an editor replaces it."""
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file that is there and not empty, else None."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_size, facts.st_mtime_ns) if facts.st_size else None
