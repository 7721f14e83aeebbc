from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.envs.step import Steps
from rewardsmith.runs.training.trainers.underway import Underway


def told(lengths: list[list[int]], steps: int) -> Steps:
    """Steps of environments whose episodes have the given lengths; each row can be told apart."""
    starts, ends = np.zeros((2, steps, len(lengths)), bool)
    for i, episodes in enumerate(lengths):
        edges = np.cumsum([0, *episodes])
        starts[edges[edges < steps], i] = True
        ends[edges[(edges > 0) & (edges <= steps)] - 1, i] = True
    number = np.arange(starts.size, dtype=np.float64)
    flat = ends.reshape(-1)
    return Steps(len(lengths), {"x": number}, {"x": -number}, number, flat, ~flat & False,
                 starts.reshape(-1), number)  # fmt: skip


def part(steps: Steps, first: int, last: int) -> Steps:
    rows = np.arange(first * steps.num_envs, last * steps.num_envs)
    cut = steps.take(rows)
    return replace(cut, num_envs=steps.num_envs, starts=steps.starts[rows])


@given(
    lengths=st.lists(st.lists(st.integers(1, 9), min_size=8, max_size=8), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 39), max_size=4),
)
def test_the_steps_kept_reach_back_to_the_oldest_episode_under_way(
    lengths: list[list[int]], cuts: list[int]
) -> None:
    steps = min(40, *(sum(episodes) for episodes in lengths))
    whole, kept, before = told(lengths, steps), Underway(), 0
    for cut in sorted({cut for cut in cuts if cut < steps} | {steps}):
        kept.add(part(whole, before, cut))
        before = cut
    ages = []
    for episodes in lengths:
        edges = np.cumsum([0, *episodes])
        ages.append(steps - int(edges[edges <= steps][-1]))
    if max(ages) == 0:
        assert kept.steps is None
        return
    assert kept.steps is not None
    wanted = part(whole, steps - max(ages), steps)
    assert kept.steps.num_envs == wanted.num_envs
    assert kept.steps.after["x"].tolist() == wanted.after["x"].tolist()
    assert kept.steps.before["x"].tolist() == wanted.before["x"].tolist()
    assert kept.steps.starts.tolist() == wanted.starts.tolist()
    again = Underway()
    again.put_back(kept.kept(), len(lengths))
    assert again.steps is not None
    assert again.steps.action.tolist() == wanted.action.tolist()


def test_before_the_first_step_nothing_is_under_way() -> None:
    assert Underway().steps is None
    assert Underway().kept() == {}
