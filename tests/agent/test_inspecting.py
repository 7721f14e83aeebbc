"""What the loop does with a ledger: what it trains, asks, tells, keeps and repeats."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_rig import ACCEPT, ANALYSIS, Arithmetic, Killed, Rig, Weighed, answer

from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.inspecting import Probes
from rewardsmith.agent.llm import Request
from rewardsmith.agent.replaying import StoredReports, decisions
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import Candidate, Evidence, RunState
from rewardsmith.runs.store import RunStore
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

BROKEN = answer(1).replace("near = ", "broken = near = ")
FARMABLE = answer(9)


def health(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
    """Passes everything, with the number of rows as its score."""
    return Evidence(
        probe="health", verdict="pass", text="varied", score=len(values.total), facts={"of": (1, 2)}
    )


def farming(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
    """Refuses what pays much."""
    bad = bool(np.abs(values.total).max() > 6)
    text = "`near` pays for standing still" if bad else "nothing to farm"
    return Evidence(probe="farming", verdict="fail" if bad else "pass", text=text)


def never(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
    """Tells that a refusal did not end the ledger."""
    assert np.abs(values.total).max() < 6
    return Evidence(probe="never", verdict="pass", text="asked")


def twins(others: Mapping[str, RewardBatch], timed: bool) -> tuple[Probe, ...]:
    """Refuses what pays in every row as another does."""

    def same(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        found = [name for name, v in others.items() if np.allclose(v.total, values.total)]
        verdict, text = ("fail", f"pays as {found[0]} does") if found else ("pass", "unlike others")
        return Evidence(probe="starc", verdict=verdict, text=text)

    return (same,)


def alarm(candidate: Candidate, state: RunState) -> tuple[Evidence, ...]:
    """Warns of every training."""
    fitness = candidate.reports[0].fitness
    return (Evidence(probe="alarm", verdict="warn", text="the return rose alone", score=fitness),)


PROBES = Probes(alone=lambda program: (health, farming, never), beside=twins, after=alarm)


def rig(folder: Path, *designs: str, critic: str = ACCEPT, **more: Any) -> Rig:
    """A run of one generation with a candidate per design, its repair turns off."""
    options = {"candidates": len(designs), "generations": 1, "repair_turns": 0}
    answers = {"designer": designs, "critic": [critic], "analyzer": [ANALYSIS]}
    kept = more | {"options": options | more.get("options", {}), "probes": PROBES}
    return Rig(folder / "run", answers, **kept)


def trained(state: RunState) -> list[str]:
    return [item.id for item in state.candidates if item.reports]


def ledgers(state: RunState) -> list[list[tuple[str, str]]]:
    return [[(e.probe, e.verdict) for e in c.evidence] for c in state.candidates]


def asked(used: Rig, role: str) -> list[str]:
    return [r.messages[-1].content for r in used.model.requests if r.role == role]


def test_of_broken_duplicate_farmable_and_good_exactly_the_good_one_is_trained(
    tmp_path: Path,
) -> None:
    first = (answer(2), FARMABLE, FARMABLE, FARMABLE)
    used = rig(tmp_path, *first, BROKEN, answer("2 * 1"), answer(12), answer(4),
               options={"candidates": 4, "generations": 2})  # fmt: skip
    state = used.agent().run()
    broken, duplicate, farmable, good = state.candidates[4:]
    assert trained(state) == ["g0.0", good.id]
    assert broken.failure is not None
    assert broken.evidence == ()
    assert [e.text for e in duplicate.evidence if e.verdict == "fail"] == ["pays as g0.0 does"]
    assert [e.text for e in farmable.evidence if e.verdict == "fail"] == [
        "`near` pays for standing still"
    ]
    assert [e.verdict for e in good.evidence] == ["pass"] * 4 + ["warn"]
    assert state.best == good.id


def test_siblings_of_one_preference_are_trained_once(tmp_path: Path) -> None:
    state = rig(tmp_path, BROKEN, answer(4), answer("4 * 1"), FARMABLE).agent().run()
    assert trained(state) == ["g0.1"]
    assert state.candidates[2].evidence[-1].text == "pays as g0.1 does"


def test_a_ledger_ends_at_the_first_refusal(tmp_path: Path) -> None:
    state = rig(tmp_path, FARMABLE, answer(1)).agent().run()
    assert ledgers(state) == [
        [("health", "pass"), ("farming", "fail")],
        [("health", "pass"), ("farming", "pass"), ("never", "pass"), ("starc", "pass"),
         ("alarm", "warn")],
    ]  # fmt: skip


def test_a_program_is_evaluated_once_for_all_probes(tmp_path: Path) -> None:
    used = rig(tmp_path, answer(1), answer(2), answer(3))
    used.agent().run()
    assert sorted(Counter(used.evaluated).values()) == [1, 1, 1]


def test_the_critic_reads_the_ledger_and_is_not_asked_of_what_is_refused(tmp_path: Path) -> None:
    used = rig(tmp_path, FARMABLE, answer(1), options={"critic_rounds": 1})
    used.agent().run()
    prompt, *_ = prompts = asked(used, "critic")
    assert all("-1 * distance" in prompt for prompt in prompts)
    assert "> pass, health 4: varied\n> pass, farming: nothing to farm\n" in prompt


def test_a_refused_program_gets_the_repair_turn_with_what_was_found(tmp_path: Path) -> None:
    used = rig(tmp_path, FARMABLE, answer(3), options={"candidates": 1, "repair_turns": 1})
    state = used.agent().run()
    assert trained(state) == ["g0.0"]
    assert "> farming: `near` pays for standing still" in asked(used, "designer")[1]
    assert state.candidates[0].evidence[1].verdict == "pass", "the evidence is of what is trained"


def test_a_repair_that_breaks_the_program_leaves_the_refused_one(tmp_path: Path) -> None:
    used = rig(tmp_path, FARMABLE, BROKEN, options={"candidates": 1, "repair_turns": 1})
    [candidate] = used.agent().run().candidates
    assert candidate.failure is None
    assert candidate.evidence[-1].probe == "farming"


def test_a_revision_that_a_probe_refuses_leaves_the_accepted_program(tmp_path: Path) -> None:
    revise = ACCEPT.replace('"accept"', '"revise"').replace("[]", '["pay more for near"]')
    used = rig(tmp_path, answer(3), FARMABLE, critic=revise,
               options={"candidates": 1, "critic_rounds": 1})  # fmt: skip
    [candidate] = used.agent().run().candidates
    assert "-3 *" in (candidate.program or "")
    assert trained(used.store.state()) == ["g0.0"]


class Slow(Weighed):
    """A worker in which programs of weight 5 take too long."""

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        if "-5" in self.program:
            return Failure(kind="timeout", text="no answer within 10 s")
        return super().rewards(steps, carry=carry)


def test_a_program_that_fails_on_the_bank_is_a_failure_to_mend(tmp_path: Path) -> None:
    used = rig(tmp_path, answer(5), answer(3), worker=Slow,
               options={"candidates": 1, "repair_turns": 1})  # fmt: skip
    [candidate] = used.agent().run().candidates
    assert "no answer within 10 s" in asked(used, "designer")[1]
    assert candidate.failure is None


def test_the_analyzer_is_told_what_a_training_showed(tmp_path: Path) -> None:
    used = rig(tmp_path, answer(1))
    used.agent().run()
    assert "> warn, alarm 1" in asked(used, "analyzer")[0]
    assert ": the return rose alone" in asked(used, "analyzer")[0]


def test_a_generation_without_training_shows_the_next_what_came_farthest(tmp_path: Path) -> None:
    used = rig(tmp_path, BROKEN, FARMABLE, answer(1), answer(2),
               options={"candidates": 2, "generations": 2})  # fmt: skip
    used.agent().run()
    prompt = asked(used, "designer")[2]
    assert "## The nearest so far, g0.1: failed: `near` pays for standing still" in prompt
    assert "> fail, farming: 'near' pays for standing still" in prompt
    assert "-9 * distance" in prompt


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_audit_trains_what_was_refused_and_says_so(tmp_path: Path, share: float) -> None:
    used = rig(tmp_path, BROKEN, FARMABLE, FARMABLE, options={"audit_rejected": share})
    state = used.agent().run()
    assert trained(state) == (["g0.1"] if share else [])
    notes = [e.facts for c in state.candidates for e in c.evidence if e.probe == "audit"]
    assert notes == [{"refused_by": "farming"}] * len(trained(state))


def by_the_question(request: Request) -> str:
    """Answers of all sorts that hang on the question alone."""
    if request.role == "analyzer":
        return ANALYSIS
    if request.role == "critic":
        return ACCEPT
    digits = sum(map(ord, "".join(m.content for m in request.messages))) + request.sample
    kinds = (BROKEN, FARMABLE, answer(2), answer("2 * 1"), answer(3 + digits % 97 / 100))
    return kinds[digits % len(kinds)]


MIXED = {"candidates": 5, "generations": 2, "repair_turns": 1, "audit_rejected": 0.5}


def mixed(folder: Path, **more: Any) -> Rig:
    return Rig(folder, by_the_question, options=dict(MIXED), probes=PROBES, **more)


class Cut(RunStore):
    """A store whose process is killed before it writes one more event."""

    left = 0

    def append(self, kind: str, data: Mapping[str, Any]) -> Any:
        if self.left <= 0:
            raise Killed
        self.left -= 1
        return super().append(kind, data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A run of all sorts that nobody cut."""
    used = mixed(tmp_path_factory.mktemp("whole") / "run")
    used.agent().run()
    return used


@pytest.mark.parametrize("after", [4, 13, 22, 33, 45, 60])
def test_a_run_cut_after_any_event_resumes_with_the_same_ledgers(
    tmp_path: Path, whole: Rig, after: int
) -> None:
    broken = mixed(tmp_path / "broken")
    broken.store = Cut(tmp_path / "broken")
    broken.store.left = after
    with pytest.raises(Killed):
        broken.agent().run()
    again = mixed(tmp_path / "broken")
    assert decisions(again.agent().run()) == decisions(whole.store.state())
    seen = [(e.data["candidate"], e.data["subject"]) for e in again.store.journal.read()
            if e.kind == "inspected"]  # fmt: skip
    assert len(seen) == len(set(seen))


def test_that_run_has_something_of_every_sort(whole: Rig) -> None:
    state = whole.store.state()
    found = {(e.probe, e.verdict) for c in state.candidates for e in c.evidence}
    assert {("farming", "fail"), ("starc", "fail"), ("duplicate", "fail")} <= found
    assert any(e.probe == "audit" for c in state.candidates for e in c.evidence)
    assert any(item.failure for item in state.candidates)
    assert len(whole.store.journal.read()) > 60


def test_a_replay_takes_the_ledgers_from_the_record_and_evaluates_nothing(
    tmp_path: Path, whole: Rig
) -> None:
    stored: Any = StoredReports(whole.store.state())
    again = mixed(tmp_path / "again", recorded=whole.store, executor=stored)
    assert decisions(again.agent().run()) == decisions(whole.store.state())
    assert again.evaluated == []


def test_without_probes_there_is_no_ledger(tmp_path: Path) -> None:
    used = rig(tmp_path, FARMABLE)
    used.probes = Probes()
    state = used.agent().run()
    assert trained(state) == ["g0.0"]
    assert ledgers(state) == [[]]
    assert used.evaluated == []


def test_what_a_training_showed_has_no_say_in_what_is_trained(tmp_path: Path) -> None:
    def refuse(candidate: Candidate, state: RunState) -> tuple[Evidence, ...]:
        return (Evidence(probe="alarm", verdict="fail", text="hacked"),)

    used = rig(tmp_path, answer(1), executor=Arithmetic())
    used.probes = Probes(after=refuse)
    first = used.agent().run()
    used.store.journal.path.write_bytes(
        b"".join(line for line in used.store.journal.path.read_bytes().splitlines(keepends=True)
                 if b'"generation_done"' not in line and b'"finished"' not in line)
    )  # fmt: skip
    again = used.agent().run()
    assert decisions(again) == decisions(first)
    assert again.best == "g0.0"


def test_what_the_bank_says_of_subgoals_is_in_the_ledger_and_refuses_nothing(
    tmp_path: Path,
) -> None:
    def goals(program: str, steps: Steps) -> RewardBatch | None:
        return RewardBatch(np.zeros(steps.rows), {"always": np.ones(steps.rows)})

    used = rig(tmp_path, answer(1))
    used.probes = replace(PROBES, goals=goals)
    state = used.agent().run()
    assert trained(state) == ["g0.0"]
    (remark,) = [e for c in state.candidates for e in c.evidence if e.probe == "subgoals"]
    assert remark.verdict == "warn"
    assert "'always' holds in every step" in remark.text
