import pytest
from training_rig import (
    TASK,
    Paying,
    candidate,
    hacked,
    state,
    stored,
    training,
)

from rewardsmith.agent.evidence.after import Played, after_training, played, reached_by_others
from rewardsmith.runs.records import Arm, Candidate, TrainingReport
from rewardsmith.sandbox.failure import Failure

RISING = [0.1 * i for i in range(10)]


def look(one: Candidate, source: Paying | None = None) -> Played:
    return played(one, TASK, stored=lambda unit: stored(), opened=lambda p: source or Paying())


def test_a_trained_candidate_gets_alarm_shares_and_episodes() -> None:
    one = hacked()
    found = after_training(one, state(one), look(one))
    assert [item.probe for item in found] == ["alarm", "shares", "episodes"]
    assert found[0].verdict == "warn"
    assert found[0].facts["stretch"]["last"] == 19


def test_nothing_found_after_training_refuses_a_candidate() -> None:
    one = hacked()
    found = after_training(one, state(one), look(one), random=[0.0])
    assert "fail" not in {item.verdict for item in found}


def test_what_others_reached_says_what_is_possible() -> None:
    one, other = hacked(), candidate("g0.1", training([9.0] * 10, run=RISING))
    human = Arm(name="human", candidate=None, reports=(training([5.0], run=[1.0]),))
    random = Arm(name="random", candidate=None, reports=(training([1.0], run=[1.0]),))
    known = state(one, other, candidate("g0.2"), arms=[human, random])
    assert reached_by_others(one, known) == (9.0, 5.0)
    assert "where 9 is known to be possible" in after_training(one, known, look(one))[0].text


def test_a_child_is_compared_with_its_parent() -> None:
    parent = hacked()
    evidence = after_training(parent, state(parent), look(parent))
    parent = parent.model_copy(update={"evidence": evidence})
    child = hacked("g1.0", parent="g0.0")
    found = after_training(child, state(parent, child), look(child))
    assert found[-1].facts["notes"][-1].startswith("against g0.0: length 20 to 20")


def test_a_worker_is_asked_once_and_closed() -> None:
    source = Paying()
    seen = look(hacked(), source)
    assert source.closed
    assert seen.judged[1].columns["reward.bounce"].tolist() == [1.0] * 20


def test_a_program_that_fails_on_its_episodes_leaves_their_fields() -> None:
    seen = look(hacked(), Paying(Failure(kind="timeout", text="too long")))
    assert seen.values is None
    assert seen.judged[0].components == ()
    assert seen.judged[0].fields


@pytest.mark.parametrize("lost", ["episodes", "fitness"])
def test_what_is_not_there_is_not_made_up(lost: str) -> None:
    one = hacked()
    if lost == "fitness":
        failed = TrainingReport(
            unit="u", seed=1, steps=0, failure=Failure(kind="oom", text="memory")
        )
        one = candidate("g0.0", failed)
    seen = played(one, TASK, stored=lambda unit: (), opened=lambda program: Paying())
    assert seen == Played()
    found = after_training(one, state(one), seen)
    assert [item.probe for item in found] == (["alarm", "shares"] if lost == "episodes" else [])
