from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bank_rig import CONTINUOUS, to_the_target

from rewardsmith.agent.evidence.decisive import decided, decisive_step, exploring, in_words
from rewardsmith.envs.collect import rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Score
from rewardsmith.runs.training.policy import PolicySpec, checked

FAILED = Score(1.0, False, "fell")
STANDS = "def fitness(episode):\n    return Score(episode.length, not episode.terminated, '')\n"
PLACES = range(0, 100, 10)


def succeeds_before(step: int, of: int = 8) -> Callable[[int], Sequence[Score]]:
    """Rollouts of which ``of`` eighths succeed from before ``step``, and none later."""
    return lambda t: [Score(0.0, t < step and n < of, "") for n in range(8)]


@pytest.mark.parametrize(
    ("lost_at", "found"), [(37, (30, 40)), (30, (20, 30)), (1, (0, 10)), (95, (90, 100))]
)
def test_the_decisive_steps_are_those_between_two_places(
    lost_at: int, found: tuple[int, int]
) -> None:
    answer = decisive_step(PLACES, 100, succeeds_before(lost_at), FAILED)
    assert answer is not None
    assert (answer.before, answer.step) == found
    assert (answer.by, answer.at_start, answer.at_before, answer.at_step) == ("success", 1, 1, 0)


def test_half_of_the_first_success_rate_is_the_bar_not_half_of_all() -> None:
    rates = {0: 4, 10: 4, 20: 3, 30: 2, 40: 1, 50: 1}
    answer = decisive_step(
        range(0, 60, 10), 60, lambda t: [Score(0, n < rates[t], "") for n in range(8)], FAILED
    )
    assert answer is not None
    assert (answer.before, answer.step) == (30, 40)
    assert (answer.at_start, answer.at_before, answer.at_step) == (0.5, 0.25, 0.125)


def test_it_is_told_in_a_sentence() -> None:
    found = decisive_step(PLACES, 100, succeeds_before(37), FAILED)
    assert in_words(found, 2, FAILED) == (
        "episode 2 (failure) was decided in steps 30 to 39: played on by its policy with noise, "
        "the success rate is 1 from the start, 1 from step 30, 0 from step 40"
    )
    assert in_words(None, 2, FAILED).startswith("episode 2 was lost nowhere")


def test_few_places_are_rolled_out_from() -> None:
    asked: list[int] = []

    def roll_out(t: int) -> Sequence[Score]:
        asked.append(t)
        return succeeds_before(333)(t)

    answer = decisive_step(range(0, 1_000, 10), 1_000, roll_out, FAILED)
    assert answer is not None
    assert answer.step == 340
    assert len(asked) == len(set(asked)) <= 8


def test_an_episode_that_its_policy_never_wins_was_not_decided_in_it() -> None:
    assert decisive_step(PLACES, 100, succeeds_before(50, of=0), FAILED) is None


def test_a_success_has_lost_nothing() -> None:
    own = Score(1.0, True, "there")
    assert decisive_step(PLACES, 100, succeeds_before(1_000), own) is None


def test_where_a_task_knows_no_success_fitness_is_what_is_lost() -> None:
    own = Score(2.0, None, "fell")
    answer = decisive_step(PLACES, 100, lambda t: [Score(10.0 - t / 10, None, "")] * 8, own)
    assert answer is not None
    assert (answer.by, answer.at_start) == ("fitness", 10.0)
    assert (answer.before, answer.step) == (40, 50)  # 6.0 lies between 10 and 2


def balancing(seen: Any) -> Any:
    x, angle, speed, turn = seen
    force = 12.0 * angle + 3.0 * turn + 0.3 * x + 0.6 * speed
    return np.clip([force], -3.0, 3.0).astype(np.float32)


def test_a_pole_pushed_over_is_found_where_no_rescue_was_left(tmp_path: Path) -> None:
    judged_by = tmp_path / "stands.py"
    judged_by.write_text("from rewardsmith.envs.task import Score\n\n\n" + STANDS)
    task = find_task("InvertedPendulum-v5", fitness=str(judged_by))
    task = replace(task, env=replace(task.env, max_steps=60))
    played = iter(range(60))

    def pushed(seen: Any) -> Any:
        return balancing(seen) if next(played) < 30 else np.array([-0.5], dtype=np.float32)

    (episode,) = rollout(task.env, pushed, [0], snapshot_every=1)
    (own,) = judge(task, [episode])
    answer = decided(task, episode, own, balancing, rollouts=4)
    assert answer is not None
    assert 30 < answer.before < answer.step <= episode.length < 60
    assert answer.step == answer.before + 1
    assert answer.at_before >= 0.5 > answer.at_step
    assert answer == decided(task, episode, own, balancing, rollouts=4)
    # The same without snapshots: the stored actions are played again.
    plain = replace(episode, snapshots={})
    replayed = decided(task, plain, own, balancing, rollouts=4)
    assert replayed is not None
    assert (replayed.before, replayed.step) == (30, episode.length)


def test_a_policy_explores_with_its_own_noise_if_it_has_any() -> None:
    spec = PolicySpec(kind="linear", observation_size=3, action_shape=(1,))
    zeros = {"action_net.weight": np.zeros((1, 3)), "action_net.bias": np.zeros(1)}
    quiet = checked(spec, {name: part.astype(np.float32) for name, part in zeros.items()})
    std = {"log_std": np.log(np.array([0.3], dtype=np.float32))}
    loud = replace(quiet, weights={**quiet.weights, **std})
    seen = np.zeros(3)
    for policy, size in ((quiet, 0.1), (loud, 0.3), (lambda seen: np.zeros(1), 0.1)):
        act = exploring(policy, CONTINUOUS.env, np.random.default_rng(0))
        assert np.std([act(seen) for _ in range(2_000)]) == pytest.approx(size, rel=0.1)


def test_a_toy_episode_is_decided_where_the_way_left_became_too_short() -> None:
    good = to_the_target(CONTINUOUS)
    played = iter(range(60))

    def gives_up(seen: Any) -> Any:
        return good(seen) if next(played) < 5 else np.zeros(1, dtype=np.float32)

    (episode,) = rollout(CONTINUOUS.env, gives_up, [0])
    (own,) = judge(CONTINUOUS, [episode])
    answer = decided(CONTINUOUS, episode, own, good)
    assert answer is not None
    assert answer.by == "success"
    assert answer.at_start > 0.9
    assert (answer.before, answer.step) == (20, 30)  # the last ten of 40 steps are what counts
