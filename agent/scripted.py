"""Answers from a script instead of a model: for tests, tutorials and rehearsals.

A script file is YAML::

    pick: hash            # or "order"; hash: the answer depends on the question alone
    delay_s: 0.0          # how long each answer takes
    counter: calls.txt    # optional; one line is appended for each answer given
    designer: [answer, answer, ...]
    critic: [...]         # any role left out falls back on "any"
    analyzer: [...]
    any: [...]
"""

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rewardsmith.agent.chat_format import messages_of
from rewardsmith.agent.llm import Reply, Request, Role, Usage
from rewardsmith.errors import ConfigError, ModelError

Answers = Sequence[str] | Mapping[str, Sequence[str]] | Callable[[Request], str]
Pick = Literal["order", "hash"]
_ROLES: tuple[str, ...] = ("designer", "critic", "analyzer", "any")
_SETTINGS = frozenset({"pick", "delay_s", "counter"})


class ScriptedModel:
    """Gives the scripted answers; counts the calls."""

    def __init__(
        self,
        answers: Answers,
        counter: Path | None = None,
        *,
        pick: Pick = "order",
        delay_s: float = 0.0,
        name: str = "scripted",
    ) -> None:
        """Takes the script.

        Args:
            answers: one list for all roles, a list for each role (``any`` for the others), or a
                function of the request.
            counter: a file that gets one line for each answer given, whatever happens to this
                process afterwards.
            pick: ``order``: one after the other, from the start again at the end; ``hash``: by
                the request alone, so that a resumed run is told the same as an unbroken one.
            delay_s: how long an answer takes.
            name: as in ``--llm``.
        """
        self._answers = answers
        self._counter = counter
        self._pick = pick
        self._delay_s = delay_s
        self._name = name
        self._lock = threading.Lock()
        self._given: dict[str, int] = {}
        self.requests: list[Request] = []

    @property
    def name(self) -> str:
        """Returns ``scripted`` or ``scripted:FILE``."""
        return self._name

    @property
    def calls(self) -> int:
        """Returns how many answers were asked for."""
        return len(self.requests)

    def ask(self, request: Request) -> Reply:
        """Returns the next, or the matching, scripted answer.

        Raises:
            ModelError: ``empty``, the script has no answer for the role.
        """
        if self._delay_s:
            time.sleep(self._delay_s)
        with self._lock:
            text = self._text(request)
            self.requests.append(request)
            self._count(request)
        usage = Usage(
            prompt_tokens=_tokens(request), completion_tokens=len(text) // 4, cost_usd=0.0
        )
        return Reply(text=text, model=self.name, usage=usage, wall_s=self._delay_s)

    def _text(self, request: Request) -> str:
        if callable(self._answers):
            return self._answers(request)
        key, answers = self._list_for(request.role)
        if not answers:
            raise ModelError("empty", f"{self.name} has no answer for the {request.role}")
        if self._pick == "hash":
            return answers[_place(request, len(answers))]
        number = self._given.get(key, 0)
        self._given[key] = number + 1
        return answers[number % len(answers)]

    def _list_for(self, role: Role) -> tuple[str, Sequence[str]]:
        if isinstance(self._answers, Mapping):
            key = role if role in self._answers else "any"
            return key, self._answers.get(key, ())
        assert not callable(self._answers)
        return "any", self._answers

    def _count(self, request: Request) -> None:
        if self._counter is None:
            return
        line = f"{_digest(request)[:16]} {request.role} {request.sample}\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        handle = os.open(self._counter, flags, 0o644)
        try:
            os.write(handle, line.encode())  # one write: lines of several processes stay whole
        finally:
            os.close(handle)


def read_script(path: Path) -> ScriptedModel:
    """The model of a script file.

    Raises:
        ConfigError: the file cannot be read, or is not a script; the message says what is wrong.
    """
    import yaml

    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a readable script ({error})") from error
    return _model_of(raw, path)


def _model_of(raw: object, path: Path) -> ScriptedModel:
    if not isinstance(raw, Mapping) or not set(raw) - _SETTINGS:
        wanted = ", ".join(_ROLES)
        raise ConfigError(f"{path}: a mapping from roles ({wanted}) to lists of answers is wanted")
    unknown = sorted(str(key) for key in set(raw) - _SETTINGS - set(_ROLES))
    if unknown:
        known = ", ".join([*_ROLES, *sorted(_SETTINGS)])
        raise ConfigError(f"{path}: {unknown[0]!r} is no key of a script; there are {known}")
    for role in set(raw) & set(_ROLES):
        _check_answers(raw[role], f"{path}: {role}")
    pick, delay_s = raw.get("pick", "hash"), raw.get("delay_s", 0.0)
    number = isinstance(delay_s, int | float) and not isinstance(delay_s, bool)
    if pick not in ("order", "hash") or not number or not 0.0 <= delay_s < math.inf:
        raise ConfigError(f"{path}: pick is 'order' or 'hash', delay_s a number >= 0")
    counter = raw.get("counter")
    if counter is not None and not (isinstance(counter, str) and counter.strip()):
        raise ConfigError(f"{path}: counter is {counter!r}; the name of a file is wanted")
    return ScriptedModel(
        {role: tuple(raw[role]) for role in _ROLES if role in raw},
        counter=None if counter is None else path.parent / counter,
        pick=pick,
        delay_s=float(delay_s),
        name=f"scripted:{path.name}",
    )


def _check_answers(answers: object, where: str) -> None:
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) for a in answers):
        raise ConfigError(f"{where} is no list of texts; write each answer as a block: - |")


def _place(request: Request, count: int) -> int:
    """Place in a list of answers: K samples of one question get K answers in a row."""
    asked = json.dumps([request.role, messages_of(request)], sort_keys=True)
    start = int(hashlib.sha256(asked.encode()).hexdigest()[:8], 16)
    return (start + request.sample) % count


def _digest(request: Request) -> str:
    asked = json.dumps([request.role, messages_of(request), request.sample], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()


def _tokens(request: Request) -> int:
    return sum(len(message.content) // 4 for message in request.messages)
