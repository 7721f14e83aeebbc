"""Trains and judges one unit: ``python -m rewardsmith.runs.training.job FOLDER``.

The folder holds ``unit.json``; ``report.json`` is the last thing to appear in it. A folder with a
report is left alone; one without is started over, so that a killed job can simply be run again.
"""

import contextlib
import resource
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Episode
from rewardsmith.errors import ConfigError, RewardsmithError
from rewardsmith.runs.records import EpisodeSummary, TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.curve import CurveWatch
from rewardsmith.runs.training.gating import visible
from rewardsmith.runs.training.judges import judged
from rewardsmith.runs.training.judging import Judgement
from rewardsmith.runs.training.lifetime import die_with_parent, forget_secrets
from rewardsmith.runs.training.policy import save_policy
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import MeteredReward, open_reward
from rewardsmith.runs.training.trainers import Order, Trained, find_trainer
from rewardsmith.runs.training.trajectories import load_episodes
from rewardsmith.runs.whole import write_whole
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

_PACKAGES = ("numpy", "gymnasium", "mujoco", "torch", "stable-baselines3", "jax")


def run_job(folder: Path) -> TrainingReport:
    """Returns the report of the folder's unit; trains and judges it if there is none yet.

    Raises:
        TrainingError: training or judging broke for a reason that is not the reward's.
        ConfigError: the unit asks for something that does not exist.
        SandboxUnavailable: this machine cannot confine the reward program.
    """
    unit = files.read_unit(folder)
    known = files.finished(folder, unit)
    if known is not None:
        return known
    check(unit)
    files.clear(folder)
    start = time.monotonic()
    with open_reward(unit) as reward:
        watch = CurveWatch(unit, folder)
        outcome = _train(unit, folder, reward, watch) if unit.steps > 0 else None
        report = reported(unit, folder, reward, watch, outcome)
    return written(folder, report, reward, wall_s=time.monotonic() - start, cpu_s=cpu_seconds())


def written(
    folder: Path, report: TrainingReport, reward: MeteredReward, *, wall_s: float, cpu_s: float
) -> TrainingReport:
    """Adds to the report what it took, and leaves it in the folder: the job is done."""
    report = report.model_copy(
        update={
            "wall_s": wall_s,
            "cpu_s": cpu_s,
            "reward_calls": reward.calls,
            "reward_wall_s": reward.wall_s,
            "switches": reward.switches,
            "versions": _versions(),
        }
    )
    write_whole(folder / files.REPORT, report.model_dump_json(indent=1).encode())
    return report


def check(unit: Unit) -> None:
    """Raises ConfigError where a unit cannot be trained or judged as it is."""
    if not unit.eval_seeds or unit.steps < 0:
        raise ConfigError(
            f"{unit.id}: {unit.steps} steps and {len(unit.eval_seeds)} judged episodes; steps of 0 "
            "or more and at least one episode are wanted"
        )
    gated = unit.shaping is not None and unit.shaping.gates
    if gated and (unit.checkpoint or unit.resume is not None):
        raise ConfigError(
            f"{unit.id}: a gate remembers successes, and no checkpoint does; train without rungs "
            "or leave gate out of the shaping"
        )


def reported(
    unit: Unit,
    folder: Path,
    reward: MeteredReward,
    watch: CurveWatch,
    outcome: Trained | Failure | None,
) -> TrainingReport:
    """Returns the report of a training that ended with ``outcome``; judges it if it did not fail.

    None stands for no training at all: the random policy is judged.
    """
    failed = None if outcome is None else settled(unit, folder, reward, watch, outcome)
    if failed is not None:
        return failed
    watch.stage("judging")
    steps = outcome.steps if isinstance(outcome, Trained) else 0
    return judged_report(unit, folder, reward, watch, judged(unit, folder), steps)


def settled(
    unit: Unit, folder: Path, reward: MeteredReward, watch: CurveWatch, outcome: Trained | Failure
) -> TrainingReport | None:
    """Returns the report of a training that failed, its last audit included.

    If it did not, its policy and its checkpoint are left in the folder, and None is returned.
    """
    failure = outcome if isinstance(outcome, Failure) else reward.verdict()
    if isinstance(outcome, Failure) or failure is not None:
        curve = tuple(watch.points)
        return TrainingReport(**_of(unit, watch), steps=watch.steps, failure=failure, curve=curve)
    save_policy(outcome.policy, folder)
    _keep(unit, folder, watch)
    return None


def judged_report(
    unit: Unit,
    folder: Path,
    reward: MeteredReward,
    watch: CurveWatch,
    judgement: Judgement,
    steps: int,
) -> TrainingReport:
    """Returns the report of a policy that was judged, with the reward's returns of its episodes."""
    episodes = with_returns(judgement, load_episodes(folder / files.TRAJECTORIES), reward, unit)
    watch.stage("done")
    return TrainingReport(
        **_of(unit, watch),
        steps=steps,
        curve=tuple(watch.points),
        **(judgement.model_dump() | {"episodes": episodes}),
    )


def _of(unit: Unit, watch: CurveWatch) -> dict[str, Any]:
    return {"unit": unit.id, "seed": unit.seed, "earlier_steps": watch.earlier}


def _train(unit: Unit, folder: Path, reward: RewardSource, watch: CurveWatch) -> Trained | Failure:
    trainer = find_trainer(unit.trainer)
    return trainer.train(order_of(unit, folder, watch), reward, watch)


def order_of(unit: Unit, folder: Path, watch: CurveWatch) -> Order:
    """Returns what the trainer is asked for; ``watch`` goes on with the curve of an earlier rung.

    Raises:
        TrainingError: the checkpoint that the unit goes on from is not there.
        ConfigError: a hyperparameter is unknown or unfit.
    """
    resume = files.checkpoint_of(folder, unit)
    if resume is not None:
        watch.go_on(resume)
    checkpoint = folder / files.CHECKPOINT if unit.checkpoint else None
    if checkpoint is not None:
        checkpoint.mkdir()
    return Order(
        env=unit.task.env,
        hyperparams=hyperparams(unit.trainer, unit.task.env.id, unit.hyperparams),
        seed=unit.seed,
        steps=unit.steps,
        device=unit.device,
        logs=folder / files.TENSORBOARD,
        stop=unit.stop,
        resume=resume,
        checkpoint=checkpoint,
        hidden=unit.shaping is not None and bool(unit.shaping.gates),
    )


def _keep(unit: Unit, folder: Path, watch: CurveWatch) -> None:
    if not unit.checkpoint:
        return
    checkpoint = folder / files.CHECKPOINT
    if not any(checkpoint.iterdir()):
        raise ConfigError(f"{unit.id}: the trainer {unit.trainer!r} leaves no checkpoints")
    watch.keep(checkpoint)


def with_returns(
    judgement: Judgement, stored: tuple[Episode, ...], reward: RewardSource, unit: Unit
) -> tuple[EpisodeSummary, ...]:
    """Adds the trained reward's returns to the judged episodes that are stored in full.

    A reward that fails there leaves them without: the judgement does not depend on it.
    """
    steps = visible(concat(stored), unit.task.env)
    batch = reward.rewards(steps)
    if isinstance(batch, Failure) or not _finite(batch):
        return judgement.episodes
    ends = np.cumsum([episode.length for episode in stored])[:-1]
    totals = [float(part.sum()) for part in np.split(batch.total, ends)]
    parts = {
        name: [float(part.sum()) for part in np.split(values, ends)]
        for name, values in batch.components.items()
    }
    rewarded = tuple(
        summary.model_copy(
            update={
                "reward_return": totals[i],
                "component_returns": {name: values[i] for name, values in parts.items()},
            }
        )
        for i, summary in enumerate(judgement.episodes[: len(stored)])
    )
    return rewarded + judgement.episodes[len(stored) :]


def _finite(batch: RewardBatch) -> bool:
    """Says whether all rewards are numbers; an environment's own need not be."""
    return all(np.isfinite(values).all() for values in (batch.total, *batch.components.values()))


def cpu_seconds() -> float:
    """Returns the processor time of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (0, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _versions() -> dict[str, str]:
    found: dict[str, Any] = {"python": python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def main() -> int:
    """Runs the job in the folder given; returns the exit code."""
    die_with_parent()
    forget_secrets()
    folder = Path(sys.argv[1])
    try:
        run_job(folder)
    except RewardsmithError as error:
        files.write_error(folder, error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
