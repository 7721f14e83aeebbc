"""Stacks of trainings: no lane knows of another; and what is told on the way."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.policy import Policy
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import (
    Lane,
    Order,
    StackTrainer,
    Trained,
    Unwatched,
    Watch,
    find_trainer,
)
from rewardsmith.runs.training.trainers.fast import _check_rungs, _rule, ppo
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

CONTINUOUS, DISCRETE = (replace(task.env, max_steps=13) for task in toy.tasks())
SMALL = {"n_envs": 3, "n_steps": 16, "batch_size": 24, "n_epochs": 2, "net_arch": [8, 8]}


def order(seed: int, spec: EnvSpec = CONTINUOUS, **changes: Any) -> Order:
    params = hyperparams("fast", spec.id, SMALL | {"normalize_obs": True} | changes)
    return Order(spec, params, seed=seed, steps=200)


class Scaled:
    """The native reward times a factor; a failure or another factor from a given call on."""

    def __init__(self, factor: float, *, after: int = 10**9, then: Any = None) -> None:
        self.factor, self.after, self.then, self.calls = factor, after, then, 0

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.calls += 1
        factor = self.factor
        if self.calls > self.after:
            if isinstance(self.then, Failure):
                return self.then
            factor = self.then
        total = factor * steps.native_reward
        return RewardBatch(total=total, components={"scaled": total})

    def close(self) -> None:
        pass


def lane(seed: int, factor: float, watch: Watch | None = None, **changes: Any) -> Lane:
    return Lane(order(seed, **changes), Scaled(factor), watch or Unwatched())


def policies(results: list[Trained | Failure]) -> list[Policy]:
    assert all(isinstance(result, Trained) for result in results), results
    return [result.policy for result in results if isinstance(result, Trained)]


def same(one: Policy, other: Policy) -> bool:
    weights = all(np.array_equal(array, other.weights[name]) for name, array in one.weights.items())
    return weights and one.spec == other.spec


def test_the_fast_trainer_takes_single_trainings_and_stacks() -> None:
    assert isinstance(find_trainer("fast"), StackTrainer)
    assert ppo.train_stack([]) == []


@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        (CONTINUOUS, {}),
        (DISCRETE, {}),
        (CONTINUOUS, {"use_sde": True, "sde_sample_freq": 4}),
        (CONTINUOUS, {"normalize_obs": False, "activation": "relu", "schedule": "linear"}),
    ],
    ids=["gaussian", "categorical", "state-dependent", "relu"],
)
def test_a_lanes_weights_are_the_same_to_the_bit_in_every_stack(
    spec: EnvSpec, changes: dict[str, Any]
) -> None:
    def one(seed: int) -> Lane:
        return Lane(order(seed, spec, **changes), Scaled(1.0 + seed), Unwatched())

    alone = policies(ppo.train_stack([one(4)]))[0]
    for seeds in ((4, 5), (9, 8, 4, 7, 6)):
        stacked = policies(ppo.train_stack([one(seed) for seed in seeds]))
        assert same(stacked[seeds.index(4)], alone)
    assert not same(stacked[0], alone)


FAILURE = Failure(kind="stalled", text="no answer for 5 s")


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (Scaled(1.0, after=1, then=FAILURE), "stalled"),
        (Scaled(1.0, after=1, then=1e300), "diverged"),
        (Scaled(1.0, after=1, then=np.nan), "diverged"),
    ],
    ids=["failure", "overflow", "NaN"],
)
def test_a_lane_that_fails_leaves_its_neighbours_as_they_were(bad: Scaled, kind: str) -> None:
    def stack(middle: Any) -> list[Trained | Failure]:
        return ppo.train_stack([lane(1, 1.0), Lane(order(2), middle, Unwatched()), lane(3, 2.0)])

    healthy, found = stack(Scaled(1.0)), stack(bad)
    assert isinstance(found[1], Failure)
    assert found[1].kind == kind
    assert bad.calls == 2
    for ours, theirs in zip(policies([found[0], found[2]]), policies(healthy)[::2], strict=True):
        assert same(ours, theirs)


def test_weights_that_blow_up_end_their_lane_alone() -> None:
    changes: dict[str, Any] = {"normalize_reward": False, "learning_rate": 1.0}
    calm, wild = (lane(1, factor, **changes) for factor in (1e-3, 1e38))
    kept, failed = ppo.train_stack([calm, wild])
    assert isinstance(failed, Failure)
    assert failed.kind == "diverged"
    assert same(policies([kept])[0], policies(ppo.train_stack([lane(1, 1e-3, **changes)]))[0])


def test_a_stack_ends_where_every_lane_has_failed() -> None:
    sources = [Scaled(1.0, after=0, then=FAILURE) for _ in range(2)]
    found = ppo.train_stack([Lane(order(i), s, Unwatched()) for i, s in enumerate(sources)])
    assert found == [FAILURE, FAILURE]
    assert [source.calls for source in sources] == [1, 1]


def test_orders_of_other_hyperparameters_are_not_stacked() -> None:
    with pytest.raises(ConfigError, match="train them apart"):
        ppo.train_stack([lane(1, 1.0), lane(2, 1.0, gamma=0.5)])


def test_an_update_follows_the_hyperparameters_of_the_preset() -> None:
    from rewardsmith.runs.training.policy import PolicySpec

    spec = PolicySpec(kind="ppo", observation_size=2, action_shape=(1,), hidden=(4,))
    changes = {"target_kl": 0.5, "normalize_advantage": False, "ent_coef": 0.25}
    rule = _rule(hyperparams("fast", "Hopper-v5", changes), spec)
    assert (rule.target_kl, rule.normalize_advantage, rule.ent_coef) == (0.5, False, 0.25)
    assert (rule.batch_size, rule.n_epochs, rule.clip_range) == (128, 10, 0.2)


class Seen(Unwatched):
    """Notes what it is told, and looks at the policy."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def rewarded(self, steps: int, batch: RewardBatch) -> None:
        self.told.append(("rewarded", steps))

    def updated(self, steps: int, policy: Any, std: Any) -> Mapping[str, float]:
        self.told.append(("updated", steps))
        assert policy().spec.kind == "ppo"
        return {"fitness/mean": float(steps)}


def test_each_watch_hears_of_its_rollouts_and_then_of_the_updates() -> None:
    watches = [Seen(), Seen()]
    ppo.train_stack([lane(i, 1.0, watch) for i, watch in enumerate(watches)])
    steps = [48 * i for i in range(1, 6)]
    wanted = [(what, step) for step in steps for what in ("rewarded", "updated")]
    assert watches[0].told == watches[1].told == wanted


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def test_the_log_has_every_name_that_stable_baselines3_logs(tmp_path: Path) -> None:
    for name in ("ppo", "fast"):
        given = replace(order(1), logs=tmp_path / name)
        assert isinstance(find_trainer(name).train(given, NativeReward(), Seen()), Trained)
    ours, theirs = scalars(tmp_path / "fast"), scalars(tmp_path / "ppo")
    assert set(theirs) <= set(ours)
    assert set(ours) - set(theirs) == {"time/compile_s"}
    assert ours["fitness/mean"] == [(48 * i, 48.0 * i) for i in range(1, 6)]
    for name in ("rollout/ep_len_mean", "train/clip_range", "train/learning_rate"):
        assert ours[name][-1][1] == pytest.approx(theirs[name][-1][1])


def test_each_lane_writes_a_log_of_its_own(tmp_path: Path) -> None:
    lanes = [
        Lane(replace(order(seed), logs=tmp_path / str(seed)), Scaled(1.0), Unwatched())
        for seed in (1, 2)
    ]
    ppo.train_stack(lanes)
    one, two = (scalars(tmp_path / str(seed))["reward/scaled"] for seed in (1, 2))
    assert len(one) == len(two) == 5
    assert one != two


def test_a_linear_schedule_ends_at_a_rate_of_zero(tmp_path: Path) -> None:
    given = replace(order(1, schedule="linear", learning_rate=1e-3), logs=tmp_path)
    ppo.train(given, NativeReward(), Unwatched())
    rates = [value for _, value in scalars(tmp_path)["train/learning_rate"]]
    assert rates == pytest.approx([1e-3 * (1 - 48 * i / 200) for i in range(1, 5)] + [0.0])


def test_without_jax_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ConfigError, match=r"pip install 'rewardsmith\[fast\]'"):
        ppo.train(order(1), NativeReward(), Unwatched())


def rung(seed: int, folder: Path, stop: int | None = 90) -> Lane:
    """A lane up to a rung with a checkpoint there, or from the checkpoint on to the end."""
    checkpoint = folder / str(seed)
    checkpoint.mkdir(exist_ok=True)
    places: dict[str, Any] = {"checkpoint": checkpoint} if stop else {"resume": checkpoint}
    return Lane(replace(order(seed), stop=stop, **places), Scaled(1.0 + seed), Unwatched())


def test_lanes_are_promoted_from_one_stack_into_another_without_a_change(tmp_path: Path) -> None:
    never = policies(ppo.train_stack([lane(seed, 1.0 + seed) for seed in (1, 2)]))
    first = ppo.train_stack([rung(seed, tmp_path) for seed in (1, 2, 3)])
    assert [result.steps for result in first if isinstance(result, Trained)] == [96, 96, 96]
    second = policies(ppo.train_stack([rung(seed, tmp_path, None) for seed in (2, 1)]))
    assert same(second[0], never[1])
    assert same(second[1], never[0])


def test_checkpoints_of_different_rungs_are_not_stacked(tmp_path: Path) -> None:
    ppo.train_stack([rung(1, tmp_path)])
    ppo.train_stack([rung(2, tmp_path, 40)])
    with pytest.raises(ConfigError, match=r"\[48, 96\] env steps"):
        ppo.train_stack([rung(seed, tmp_path, None) for seed in (1, 2)])


def test_a_lane_that_has_failed_leaves_no_checkpoint(tmp_path: Path) -> None:
    bad = Scaled(1.0, after=1, then=FAILURE)
    ppo.train_stack([rung(1, tmp_path), replace(rung(2, tmp_path), reward=bad)])
    assert any((tmp_path / "1").iterdir())
    assert not any((tmp_path / "2").iterdir())


def test_checkpoints_are_refused_where_they_would_not_go_on_to_the_bit(tmp_path: Path) -> None:
    _check_rungs([rung(1, tmp_path)], "cpu")
    _check_rungs([lane(1, 1.0)], "gpu")
    for stop in (90, None):
        with pytest.raises(ConfigError, match="on the CPU alone"):
            _check_rungs([lane(1, 1.0), rung(2, tmp_path, stop)], "gpu")
