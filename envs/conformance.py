"""What every suite of tasks must keep; its author inherits ``SuiteConformance`` in a test file.

class TestMySuite(SuiteConformance):
    def tasks(self):
        return my_package.tasks()
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from rewardsmith.envs.card import prove
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.recorder import make_env
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Task

_SEEDS = (0, 1)
_STEPS = 60


class SuiteConformance:
    """Tests that pytest collects from a subclass; ``tasks`` is all that it must define."""

    def tasks(self) -> Iterable[Task]:
        """Returns the suite's tasks."""
        raise NotImplementedError

    def test_ids_are_unique(self) -> None:
        """No two tasks of the suite share an id."""
        ids = [task.id for task in self.tasks()]
        assert ids
        assert len(ids) == len(set(ids)), f"twice: {ids}"

    def test_fields_and_hidden_fields_share_no_name(self) -> None:
        """What fitness alone may see is under no name that a reward may use."""
        for task in self.tasks():
            names = [item.name for item in (*task.env.fields, *task.env.hidden)]
            assert len(names) == len(set(names)), f"{task.id}: {names}"

    def test_every_field_says_what_it_is(self) -> None:
        """Unit and meaning are all that the author of a reward knows."""
        for task in self.tasks():
            for item in task.env.fields:
                assert item.unit, f"{task.id}: {item.name}"
                assert item.meaning, f"{task.id}: {item.name}"

    def test_the_card_fits_the_environment(self) -> None:
        """Every source gives a value of the declared shape, after a reset and after a step."""
        for task in self.tasks():
            env = make_env(task.env)
            prove(task.env, env)
            env.close()

    def test_the_action_fits_the_environment(self) -> None:
        """The card's action is the environment's action space."""
        for task in self.tasks():
            env = make_env(task.env)
            space, action = env.action_space, task.env.action
            assert tuple(space.shape or ()) == action.shape, task.id
            assert getattr(space, "n", None) == action.count, task.id
            env.close()

    def test_before_is_the_after_of_the_step_before(self) -> None:
        """Within an episode ``before[t]`` equals ``after[t - 1]`` in every field."""
        for task in self.tasks():
            steps = _episodes(task)[0].steps
            assert steps.starts.tolist() == [True] + [False] * (steps.rows - 1), task.id
            for name in steps.after:
                assert _same(steps.before[name][1:], steps.after[name][:-1]), f"{task.id}: {name}"

    def test_columns_are_finite_and_of_the_declared_shape(self) -> None:
        """Every column is (rows, *shape), finite, and contiguous."""
        for task in self.tasks():
            steps = _episodes(task)[0].steps
            for item in (*task.env.fields, *task.env.hidden):
                column = steps.after[item.name]
                assert column.shape == (steps.rows, *item.shape), f"{task.id}: {item.name}"
                assert np.isfinite(column).all(), f"{task.id}: {item.name}"
                assert column.flags.c_contiguous, f"{task.id}: {item.name}"

    def test_the_same_seed_gives_the_same_episode(self) -> None:
        """A reset seed and a policy determine every field to the bit."""
        for task in self.tasks():
            for one, two in zip(_episodes(task), _episodes(task), strict=True):
                for name in one.steps.after:
                    same = _same(one.steps.after[name], two.steps.after[name])
                    assert same, f"{task.id}: {name} differs for seed {one.seed}"

    def test_the_fitness_is_a_finite_score(self) -> None:
        """A random policy's episodes get a finite fitness and a word for how they ended."""
        for task in self.tasks():
            for score in judge(task, _episodes(task)):
                assert math.isfinite(score.fitness), task.id
                assert score.outcome, task.id

    def test_a_task_survives_json(self) -> None:
        """A child process rebuilds the same task from its JSON."""
        adapter = TypeAdapter(Task)
        for task in self.tasks():
            assert adapter.validate_json(adapter.dump_json(task)) == task, task.id


def _episodes(task: Task) -> tuple[Episode, ...]:
    return rollout(task.env, random_act(task.env, 0), _SEEDS, max_steps=_STEPS)


def _same(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> bool:
    return bool(np.array_equal(one, two))
