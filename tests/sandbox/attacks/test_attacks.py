"""What hostile programs try, behind every backend, and where nothing stands in their way."""

import os
import re
import time

import numpy as np
import pytest
from attack_bait import Bait
from attack_control import NEIGHBOUR, Unconfined, careless
from attack_neutral import NEUTRAL
from attack_probes import HERE, PRELUDE, PROBES, ROOT, Probe
from attack_programs import ANSWERS, ENDINGS, REJECTED
from attack_record import CONTROL, RECORDING, Record

from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import CANARY, EXAMPLE_SPEC, REFUSED, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.process import ProcessBackend
from rewardsmith.sandbox.program import rejection
from rewardsmith.sandbox.reward import RewardBatch


def _one_program(probes: dict[str, Probe], words: dict[str, str]) -> str:
    """A program in which the number of rows says which probe to make; it raises what it got."""
    parts = [PRELUDE]
    for index, probe in enumerate(probes.values()):
        line = probe.line
        for word, value in words.items():
            line = re.sub(rf"\b{word}\b", value.replace("\\", r"\\"), line)
        parts.append(f"def attempt_{index}():\n    return {line}\n")
    names = ", ".join(f"attempt_{index}" for index in range(len(probes)))
    call = "    got = attempts[len(height) - 8]()\n"
    tail = (
        "def compute_reward(height):\n" + call + "    raise RuntimeError(f'it got {got!a:.99}')\n"
    )
    return "\n".join([*parts, f"attempts = [{names}]", tail])


def _tried(
    backend: Backend, probes: dict[str, Probe], words: dict[str, str], arrays: Arrays = NUMPY
) -> dict[str, str]:
    """What each probe said, all in one worker."""
    found = {}
    with RewardClient(
        _one_program(probes, words),
        EXAMPLE_SPEC,
        sandbox=backend,
        policy=False,
        limits=Limits.for_arrays(arrays),
    ) as client:
        for index, name in enumerate(probes):
            answer = client.rewards(example_steps(8 + index))
            assert isinstance(answer, Failure), name
            assert answer.kind == "reward_error", (name, answer)
            found[name] = answer.text
        assert client.ledger.starts == 1, "a refusal does not end the worker"
    return found


def test_the_kernel_refuses_every_attempt(backend: Backend, bait: Bait, record: Record) -> None:
    before = bait.files()
    found = _tried(backend, PROBES, bait.words)
    doors = {name: text for name, text in found.items() if not REFUSED.search(text)}
    assert doors == {}
    assert CANARY not in "".join(found.values())
    assert bait.files() == before
    for name in found:
        record.settle(PROBES[name].attack, name, backend.name, "B")


def test_with_jax_the_kernel_refuses_the_same(bait: Bait) -> None:
    """But what it compiled has to run: memory may become executable, though never stay writable."""
    before = bait.files()
    found = _tried(ProcessBackend(), PROBES, bait.words, Arrays("jax"))
    doors = {name for name, text in found.items() if not REFUSED.search(text)}
    assert doors == {"memory that becomes executable"}
    assert CANARY not in "".join(found.values())
    assert bait.files() == before


def _control_outcome(probe: Probe, text: str) -> str:
    """What a control showed: the hole, that only root has it, or that there is nothing here."""
    if "it got" in text:
        return "open to root" if probe.control == ROOT else "open"
    if probe.missing and any(re.search(rf"{error}\b", text) for error in probe.errors):
        return "missing"
    if probe.control == ROOT and os.getuid() != 0 and re.search(r"Errno (1|13)\b", text):
        return "open to root"
    return f"closed: {text}"


@pytest.mark.usefixtures("namespaces")
def test_where_nothing_confines_every_attempt_succeeds(bait: Bait, record: Record) -> None:
    """The positive control: a refusal above is a wall's doing, not the probe's own mistake."""
    here = {name: probe for name, probe in PROBES.items() if probe.control == HERE}
    inside = {name: probe for name, probe in PROBES.items() if probe.control != HERE}
    before = bait.files()
    found = _tried(ProcessBackend(walls=False), here, bait.words)
    words = {**bait.words, "PARENT": str(NEIGHBOUR)}
    found |= _tried(Unconfined(bait.folder), inside, words)
    assert bait.files() == before, "a control touched this machine"
    shown = {name: _control_outcome(PROBES[name], text) for name, text in found.items()}
    closed = {name: text for name, text in shown.items() if text.startswith("closed")}
    assert closed == {}
    for name, outcome in shown.items():
        probe = PROBES[name]
        # Other kernels have less or more than the recorded one.
        any_of_three = probe.missing and not RECORDING
        known = record.recorded(probe.attack, name, CONTROL) if any_of_three else outcome
        record.settle(probe.attack, name, CONTROL, known)


def test_wrong_answers_are_failures_and_the_worker_goes_on(
    backend: Backend, record: Record
) -> None:
    for name, program in ANSWERS.items():
        with RewardClient(
            program.source, EXAMPLE_SPEC, sandbox=backend, limits=program.limits, policy=False
        ) as client:
            failure = client.rewards(example_steps(9))
            assert client.worker_facts, f"{name} ended its worker"
        assert isinstance(failure, Failure), name
        assert failure.kind in program.kinds, (name, failure)
        assert re.search(program.text, failure.text), (name, failure)
        assert len(failure.text) < 3000, name
        assert not set("\x1b\r\x00\u202e\u2028") & set(failure.text), name
    for name in ANSWERS:
        record.settle(ANSWERS[name].attack, name, backend.name, ANSWERS[name].shown())


@pytest.mark.parametrize("name", ENDINGS)
def test_every_end_is_a_failure_of_its_own_kind(
    backend: Backend, name: str, record: Record
) -> None:
    program = ENDINGS[name]
    began = time.monotonic()
    with RewardClient(
        program.source, EXAMPLE_SPEC, sandbox=backend, limits=program.limits, policy=False
    ) as client:
        failure = client.rewards(example_steps(9))
        took = time.monotonic() - began
    assert isinstance(failure, Failure)
    assert failure.kind in program.kinds, failure
    assert re.search(program.text, failure.text), failure
    assert len(failure.text) < 3000
    assert took < program.seconds + 10.0
    record.settle(program.attack, name, backend.name, program.shown())


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", [*ANSWERS, *ENDINGS])
def test_a_careless_caller_gets_the_same_program_undiluted(
    name: str, bait: Bait, record: Record
) -> None:
    """The positive control: the program does what it is meant to where nobody takes care."""
    program = {**ANSWERS, **ENDINGS}[name]
    seconds = 0.5 if program.careless.startswith("ran on") else 10.0
    found = careless(program.source, bait.folder, seconds=seconds)
    assert re.search(program.careless, found), found
    record.settle(program.attack, name, CONTROL, program.control)


@pytest.mark.parametrize("name", REJECTED)
def test_a_text_that_hides_or_floods_is_refused_before_it_runs(name: str, record: Record) -> None:
    attack, source, words = REJECTED[name]
    failure = rejection(source, EXAMPLE_SPEC)
    assert isinstance(failure, Failure)
    assert failure.kind == "rejected"
    assert re.search(words, failure.text), failure
    assert not set("\u202e\u2066\u200b\0") & set(failure.text)
    for column in ("docker", "bubblewrap", "process"):
        record.settle(attack, name, column, "R rejected")


@pytest.mark.parametrize("name", NEUTRAL)
def test_an_attempt_beside_an_honest_answer_changes_nothing(
    backend: Backend, name: str, record: Record
) -> None:
    attempt, steps = NEUTRAL[name], example_steps(9)
    given = steps.after["height"].copy()
    began = time.monotonic()
    with RewardClient(
        attempt.source(), EXAMPLE_SPEC, sandbox=backend, policy=False, limits=Limits(call_s=5.0)
    ) as client:
        answers = [client.rewards(steps) for _ in range(3)]
        assert client.worker_facts["seccomp"] is True
        assert client.ledger.starts == 1
    assert time.monotonic() - began < 20.0, "nothing that it left keeps its end from coming"
    for answer in answers:
        assert isinstance(answer, RewardBatch), answer
        np.testing.assert_array_equal(answer.total, given)
    np.testing.assert_array_equal(steps.after["height"], given)
    assert len(client.printed) <= 4096
    assert not set("\x1b\r\u202e\u2028\x07") & set(client.printed)
    record.settle(attempt.attack, name, backend.name, "N")


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", NEUTRAL)
def test_beside_a_careless_trainer_the_same_attempt_is_no_joke(
    name: str, bait: Bait, record: Record
) -> None:
    attempt = NEUTRAL[name]
    seconds = 0.5 if attempt.careless == "ran on" else 20.0
    found = careless(attempt.source(attempt.beside), bait.folder, seconds=seconds)
    assert re.search(attempt.careless, found), found
    record.settle(attempt.attack, name, CONTROL, "open")
