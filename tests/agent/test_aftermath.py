from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_rig import TASK, Paying, candidate, hacked, state, stored, summary, training

from rewardsmith.agent.aftermath import NOT_ON_RECORD, Aftermath, untrained
from rewardsmith.agent.inspecting import Goals
from rewardsmith.envs.collect import rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.step import Steps
from rewardsmith.prompts.questions import questions_in
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.inspections import Inspections
from rewardsmith.runs.records import Candidate
from rewardsmith.runs.store import RunStore
from rewardsmith.runs.training.files import TRAJECTORIES
from rewardsmith.runs.training.policy import PolicySpec, action_part, checked, save_policy
from rewardsmith.runs.training.trajectories import save_episodes
from rewardsmith.sandbox.reward import RewardBatch

(ASKED,) = questions_in('[{"ask": "stat", "of": "reward.bounce", "statistic": "sum"}]')


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore.create(tmp_path / "run", {"config": {}}, TASK)
    folder = made.job_path("g0.0.s0")
    folder.mkdir(parents=True)
    save_episodes(folder / TRAJECTORIES, stored())
    return made


def aftermath(store: RunStore, opened: list[str] | None = None) -> Aftermath:
    def start(candidate: Candidate) -> Paying:
        if opened is not None:
            opened.append(candidate.program or "")
        return Paying()

    return Aftermath(TASK, Bank(store.bank_path), store.job_path, opened=start)


def test_evidence_is_of_the_stored_episodes(store: RunStore) -> None:
    one = hacked()
    found = aftermath(store).evidence(one, state(one))
    assert [item.probe for item in found] == ["alarm", "shares", "episodes"]
    assert found[2].facts["episodes"] == 3


def test_a_training_without_stored_episodes_still_has_its_curve(tmp_path: Path) -> None:
    bare = RunStore.create(tmp_path / "run", {"config": {}}, TASK)
    one = hacked()
    assert [e.probe for e in aftermath(bare).evidence(one, state(one))] == ["alarm", "shares"]


def test_an_answer_is_given_once_and_kept(store: RunStore) -> None:
    opened: list[str] = []
    answers = aftermath(store, opened).answers(hacked(), Inspections(store))
    assert answers(ASKED).startswith("sum of reward.bounce in all: 20 (mean of 3 episodes")
    later = aftermath(store, opened).answers(hacked(), Inspections(store))
    assert later(ASKED) == answers(ASKED)
    assert opened == ["p"]


def test_where_an_episode_was_lost_is_found_by_playing_on(store: RunStore) -> None:
    arrays = {"action_net.weight": [[-4.0, -4.0, 4.0]], "action_net.bias": [0.0]}
    good = checked(
        PolicySpec(kind="linear", observation_size=3, **action_part(TASK.env.action)),
        {name: np.array(values, dtype=np.float32) for name, values in arrays.items()},
    )
    played = iter(range(60))

    def gives_up(seen: Any) -> Any:
        return good(seen) if next(played) < 5 else np.zeros(1, dtype=np.float32)

    (lost,) = rollout(TASK.env, gives_up, [0])
    (own,) = judge(TASK, [lost])
    told = summary(own.fitness, success=own.success, length=lost.length, bounce=1.0)
    one = candidate("g0.0", training([own.fitness], episodes=[told], bounce=[1.0]))
    folder = store.job_path("g0.0.s0")
    save_episodes(folder / TRAJECTORIES, [lost])
    (asked,) = questions_in('[{"ask": "decided", "episode": 0}]')
    (beyond,) = questions_in('[{"ask": "decided", "episode": 1}]')
    answers = aftermath(store).answers(one, Inspections(store))
    assert "no episode 1; 0 to 0" in answers(beyond)
    bare = aftermath(store)._decided(one, 0)
    assert bare.startswith("cannot be answered: ")
    assert "policy" in bare
    save_policy(good, folder)
    said = answers(asked)
    assert said.startswith("episode 0 (failure) was decided in steps 20 to 29: ")
    assert aftermath(store).answers(one, Inspections(store))(asked) == said


def test_a_replay_is_answered_from_the_record(store: RunStore, tmp_path: Path) -> None:
    said = aftermath(store).answers(hacked(), Inspections(store))(ASKED)
    target = RunStore.create(tmp_path / "replay", {"config": {}}, TASK)
    replayed = Inspections(target, recorded=store)
    assert aftermath(target).answers(hacked(), replayed)(ASKED) == said
    (other,) = questions_in('[{"ask": "count", "where": "distance < 1"}]')
    assert aftermath(target).answers(hacked(), replayed)(other) == NOT_ON_RECORD


def test_only_random_episodes_that_were_played_to_their_end_count(store: RunStore) -> None:
    bank = Bank(store.bank_path)
    assert untrained(bank, TASK) == ()
    bank.ensure_random(TASK, rows=320, seed=0)
    found = untrained(bank, TASK)
    assert found
    assert all(e.terminated or e.length == TASK.env.max_steps for e in found)
    short = Bank(store.bank_path / "short")
    short.append(stored(count=2, length=5), policy="random")
    assert untrained(short, TASK) == ()


def test_the_untrained_policy_is_what_a_training_is_compared_with(store: RunStore) -> None:
    one = hacked()
    Bank(store.bank_path).append(stored(count=4, length=TASK.env.max_steps), policy="random")
    facts = aftermath(store).evidence(one, state(one))[0].facts
    # Paid one per step, forty steps long; the late return is 0.75 on 100 steps.
    assert facts["leap"] == pytest.approx((70.0 - 40.0) / 70.0)
    assert facts["reached"]["gain"] is not None


def high(program: str, steps: Steps) -> RewardBatch | None:
    """A subgoal that holds in the last step of all alone."""
    held = np.arange(steps.rows) == steps.rows - 1
    return RewardBatch(np.zeros(steps.rows), {"high": held.astype(np.float64)})


def test_the_funnel_stands_at_the_head_where_a_program_has_subgoals(store: RunStore) -> None:
    def evidence(goals: Goals) -> list[str]:
        bank, jobs = Bank(store.bank_path), store.job_path
        made = Aftermath(TASK, bank, jobs, opened=lambda candidate: Paying(), goals=goals)
        return [item.text for item in made.evidence(hacked(), state(hacked()))]

    assert evidence(high)[0].startswith("2 of 3 episodes stop at the start, before 'high'.")
    assert not any("stop" in text for text in evidence(lambda program, steps: None))
