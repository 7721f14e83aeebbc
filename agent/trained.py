"""What trainings of one reward have left: their reports, and their judged episodes for the bank."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rewardsmith.agent.evidence.histograms import played
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode
from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Episode
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import TrainingReport
from rewardsmith.runs.store import RunStore
from rewardsmith.runs.training.files import TRAJECTORIES, UNIT, finished, read_unit
from rewardsmith.runs.training.trajectories import load_episodes


@dataclass(frozen=True)
class Trained:
    """The finished trainings of one reward: (label, reports) per budget, and their job folders."""

    groups: tuple[tuple[str, tuple[TrainingReport, ...]], ...] = ()
    jobs: tuple[tuple[Path, TrainingReport], ...] = ()


def trained_with(run: Path, env: str, *programs: str) -> Trained:
    """Returns the trainings of a program that a run, or the folder of ``train --out``, holds.

    Args:
        run: the folder.
        env: the environment id that they must be of.
        programs: texts of the program, as written and as trained.

    Raises:
        ConfigError: no such folder, another environment, or no training of this program in it.
        StoreError: the run is damaged.
    """
    if (run / "run.json").is_file():
        return _of_run(RunStore.open(run), env, programs)
    if not run.is_dir():
        raise ConfigError(f"--run {run}: no such folder; a run or the folder of train --out")
    return _of_folder(run, env, programs)


def _of_run(store: RunStore, env: str, programs: Sequence[str]) -> Trained:
    state = store.state()
    _same_env(store.path, store.task().env.id, env)
    found = [c for c in state.candidates if c.program in programs]
    if not found:
        known = ", ".join(c.id for c in state.candidates if c.program) or "none"
        raise ConfigError(
            f"--run {store.path}: none of its candidates ({known}) is this program; plot one of "
            f"{store.path}/candidates/ID/reward.py"
        )
    groups = [(f"{c.id}, selection seeds", c.reports) for c in found]
    arms = [a.reports for a in state.arms if a.candidate in {c.id for c in found}]
    groups += [("held-out seeds", reports) for reports in arms]
    return _trained(groups, store)


def _trained(groups: Sequence[tuple[str, tuple[TrainingReport, ...]]], store: RunStore) -> Trained:
    jobs = ((store.job_path(r.unit), r) for _, reports in groups for r in reports)
    return Trained(tuple(g for g in groups if g[1]), tuple(jobs))


def _of_folder(folder: Path, env: str, programs: Sequence[str]) -> Trained:
    units = [(path.parent, read_unit(path.parent)) for path in sorted(folder.glob(f"*/{UNIT}"))]
    if not units:
        raise ConfigError(f"--run {folder}: neither a run nor the folder of train --out")
    for _, unit in units:
        _same_env(folder, unit.task.env.id, env)
    ours = [(path, unit) for path, unit in units if unit.program in programs]
    if not ours:
        raise ConfigError(f"--run {folder}: its trainings are of another program than this file")
    done = [(path, finished(path, unit)) for path, unit in ours]
    jobs = tuple((path, report) for path, report in done if report is not None)
    if not jobs:
        raise ConfigError(f"--run {folder}: none of its {len(ours)} trainings has finished")
    return Trained((("train", tuple(report for _, report in jobs)),), jobs)


def _same_env(folder: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise ConfigError(f"--run {folder} trained on {found}, --env is {wanted}")


def with_trained(bank: Stored, trained: Trained) -> Stored:
    """Returns the played episodes of a bank and, after them, those that the trainings judged."""
    fresh = [part for path, report in trained.jobs for part in _judged(path, report)]
    kept = played(bank)
    rows = bank.rows_of(kept)
    old = replace(bank.steps.take(rows), num_envs=1, starts=bank.steps.starts[rows])
    steps = concat([Episode(0, 0.0, old, {}), *(e for e, _ in fresh)])
    return Stored(steps, tuple(_renumbered([*kept, *(told for _, told in fresh)])))


def _judged(path: Path, report: TrainingReport) -> Iterator[tuple[Episode, StoredEpisode]]:
    """Yields the judged episodes of a job and what is known of each; none of a broken one."""
    if report.failure is not None or not (path / TRAJECTORIES).exists():
        return
    for number, (episode, told) in enumerate(
        zip(load_episodes(path / TRAJECTORIES), report.episodes, strict=False)
    ):
        yield (
            episode,
            StoredEpisode(
                name=f"{report.unit}/{number}",
                kind="policy",
                policy=report.unit,
                first=0,
                stop=episode.length,
                fitness=told.fitness,
                success=told.success,
                outcome=told.outcome,
            ),
        )


def _renumbered(episodes: Sequence[StoredEpisode]) -> Iterator[StoredEpisode]:
    """Yields the episodes with the rows that they have one after the other."""
    first = 0
    for episode in episodes:
        yield replace(episode, first=first, stop=first + episode.length)
        first += episode.length
