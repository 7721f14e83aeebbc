"""Asks a reward worker for the rewards of recorded steps: arrays in, arrays or a failure out."""

import math
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.answers import Answer, read_answer
from rewardsmith.sandbox.backend import Backend, Limits, Worker
from rewardsmith.sandbox.backends import resolve
from rewardsmith.sandbox.columns import Call, most_rows, plan, write_columns
from rewardsmith.sandbox.explain import ended_failure, error_failure
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import FUNCTION, Mode, Parsed, RewardProgram, parse, rejection
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.wire import WireError, cleaned


@dataclass
class Ledger:
    """What a client has asked and how long it waited, for reports."""

    calls: int = 0
    rows: int = 0
    wall_s: float = 0.0
    starts: int = 0
    start_s: float = 0.0


class RewardClient:
    """A reward program behind its walls; implements ``RewardSource``.

    The worker starts at the first call. A program that fails never raises: its failure is returned.
    After a crash the next fresh call starts a new worker; a call that carries memory does not,
    since that memory is lost.

    Args:
        program: source text, as it came out of the contract check or as written.
        spec: the environment whose fields it may ask for.
        sandbox: "auto", a backend's name, "none", or a backend.
        limits: what the worker may use.
        mode: "batched" or "rows"; None takes what the program's mark says.
        policy: False leaves out the friendly rules on the text, to try the walls alone.
    """

    def __init__(
        self,
        program: str,
        spec: EnvSpec,
        *,
        sandbox: str | Backend = "auto",
        limits: Limits | None = None,
        mode: Mode | None = None,
        policy: bool = True,
    ) -> None:
        self._program = RewardProgram(program)
        self._limits = limits or Limits()
        self._mode: Mode = mode or self._program.mode
        self._sandbox = sandbox
        parsed = parse(program)
        self._parsed: Parsed | Failure = parsed
        if policy and isinstance(parsed, Parsed):
            self._parsed = rejection(program, spec) or parsed
        self._worker: Worker | None = None
        self._broken: Failure | None = None
        self._carried_envs: int | None = None
        self._request = 0
        self._began = 0.0  # when the present call did, in seconds of the monotonic clock
        self.ledger = Ledger()
        self.printed = ""
        self.constants: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the worker."""
        self.close()

    @property
    def worker_facts(self) -> dict[str, Any]:
        """What the running worker said of itself; empty before the first call."""
        return dict(self._worker.hello) if self._worker is not None else {}

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the rewards of ``steps``, or what the program did wrong. See ``RewardSource``.

        Raises:
            SandboxUnavailable: this machine cannot confine the program; nothing was run.
            ConfigError: one step of all environments is larger than the region of a call.
        """
        if isinstance(self._parsed, Failure):
            return self._parsed
        if steps.rows == 0:
            return RewardBatch(np.zeros(0), {})
        self._began = began = time.monotonic()
        try:
            return self._rewards(self._parsed, steps, carry)
        finally:
            self.ledger.calls += 1
            self.ledger.rows += steps.rows
            self.ledger.wall_s += time.monotonic() - began

    def close(self) -> None:
        """Ends the worker, if there is one; safe to call twice."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _rewards(self, parsed: Parsed, steps: Steps, carry: bool) -> RewardBatch | Failure:
        carry = carry and parsed.uses_memory
        if self._seconds_left() <= 0:
            return self._time_is_up()
        if carry and self._broken is not None:
            return self._broken
        self._broken = None
        if self._worker is None:
            failure = self._start(parsed)
            if failure is not None:
                return failure
        answers: list[Answer] = []
        for call in self._calls(parsed, steps, carry):
            answer = self._ask(call)
            if isinstance(answer, Failure):
                # Memory stopped somewhere inside: a call that goes on from there would be wrong.
                self._broken = answer if parsed.uses_memory else self._broken
                return answer
            answers.append(answer)
        self._carried_envs = steps.num_envs if parsed.uses_memory else None
        return self._joined(answers)

    def _calls(self, parsed: Parsed, steps: Steps, carry: bool) -> Iterator[Call]:
        """Cuts the rows into calls that fit the region; memory goes on from one to the next."""
        carry = carry and self._carried_envs == steps.num_envs
        most = most_rows(parsed.parameters, steps, self._limits.region_bytes)
        if parsed.uses_memory:
            if most < steps.num_envs:
                size = self._limits.region_bytes >> 20
                raise ConfigError(
                    f"one step of {steps.num_envs} environments does not fit into a call's {size} "
                    "MiB; reward with fewer environments at once, or raise Limits.region_bytes"
                )
            most = most // steps.num_envs * steps.num_envs
        for first in range(0, steps.rows, most):
            rows = slice(first, min(first + most, steps.rows))
            yield plan(parsed.parameters, steps, rows, carry=carry or first > 0)

    def _start(self, parsed: Parsed) -> Failure | None:
        began = time.monotonic()
        worker = resolve(self._sandbox, self._limits.arrays).start(self._limits)
        self._worker, self._carried_envs = worker, None
        weakref.finalize(self, worker.stop)  # for those who forget to close
        self.ledger.starts += 1
        reply = self._exchange(
            {
                "do": "load",
                "source": self._program.source,
                "function": FUNCTION,
                "parameters": list(parsed.parameters),
                "memory": parsed.uses_memory,
                "by_row": self._mode == "rows",
            },
            self._limits.call_s,
        )
        self.ledger.start_s += time.monotonic() - began
        if isinstance(reply, Failure):
            return reply
        if "error" in reply[0]:
            failure = error_failure(reply[0]["error"], self._program.source, 0)
            self.close()
            return failure
        return None

    def _ask(self, call: Call) -> Answer | Failure:
        worker = self._worker
        assert worker is not None
        region = worker.shared if worker.shared is not None else bytearray(call.out)
        write_columns(region, call)
        allowed = self._limits.call_s + self._limits.row_s * call.rows
        seconds = min(allowed, self._seconds_left() - (time.monotonic() - self._began))
        blob = b"" if worker.shared is not None else memoryview(region)
        reply = self._exchange(
            call.request(), seconds, blob, 0 if worker.shared else call.answer_bytes
        )
        if isinstance(reply, Failure):
            stopped = reply.kind == "stalled" and seconds < allowed
            return self._time_is_up(call.rows) if stopped else reply
        header, content = reply
        if "printed" in header:
            self.printed = (self.printed + cleaned(str(header.pop("printed")), 4096))[:4096]
        if "error" in header:
            return error_failure(header["error"], self._program.source, call.shown_rows)
        answer = read_answer(header, call, worker.shared if worker.shared is not None else content)
        if isinstance(answer, Failure) and answer.kind == "protocol_error":
            self._broken = answer
            self.close()
        return answer

    def _seconds_left(self) -> float:
        """What is left of the time for all calls."""
        total = self._limits.total_s
        return math.inf if total is None else total - self.ledger.wall_s

    def _time_is_up(self, asked: int = 0) -> Failure:
        """Says with numbers how slow the program was; ``asked`` rows came to no answer."""
        self.close()
        rows, total = self.ledger.rows, self._limits.total_s or 1e-3
        calls = self.ledger.calls
        self._broken = Failure(
            kind="timeout",
            text=(
                f"The reward is too slow: in the {total:.0f} s that all its calls may take it "
                f"rewarded {rows} rows in {calls} calls, {rows / total:.0f} rows per second"
                f"{f', and a call of {asked} rows was under way' if asked else ''}. "
                "Compute on whole arrays, without loops over environments, and less per step."
            ),
        )
        return self._broken

    def _exchange(
        self,
        request: dict[str, Any],
        seconds: float,
        blob: bytes | memoryview = b"",
        answer_bytes: int = 0,
    ) -> tuple[dict[str, Any], bytes] | Failure:
        worker = self._worker
        assert worker is not None
        self._request += 1
        deadline = time.monotonic() + seconds
        try:
            if worker.pipes.waiting():
                raise WireError("protocol_error", "it spoke without being asked")
            worker.pipes.send({"id": self._request, **request}, blob, deadline=deadline)
            header, content = worker.pipes.receive(deadline=deadline, blob_bytes=answer_bytes)
            if type(header.get("id")) is not int or header.pop("id") != self._request:
                raise WireError("protocol_error", "it answered another question")
        except WireError as error:
            status = worker.stop(grace_s=1.0 if error.fault == "exited" else 0.0)
            self._worker = None
            self._broken = ended_failure(error.fault, status, str(error))
            return self._broken
        except BaseException:  # an interrupt: half a frame may be on its way
            self.close()
            raise
        return header, content

    def _joined(self, answers: list[Answer]) -> RewardBatch | Failure:
        names = list(answers[0].components)
        for answer in answers:
            if list(answer.components) != names:
                text = (
                    f"The components differ from call to call: {names}, {list(answer.components)}."
                )
                return Failure(kind="bad_output", text=text)
        self.constants = frozenset.intersection(*(answer.constants for answer in answers))
        if len(answers) == 1:
            return RewardBatch(answers[0].total, answers[0].components)
        parts: dict[str, FloatArray] = {
            name: np.concatenate([answer.components[name] for answer in answers]) for name in names
        }
        return RewardBatch(np.concatenate([answer.total for answer in answers]), parts)
