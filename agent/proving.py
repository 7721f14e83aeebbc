"""Training as evidence: units of work for candidates, for the bar and for the final comparison."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardsmith.agent.budget import Ledger
from rewardsmith.agent.evidence.starc import GAMMA
from rewardsmith.agent.halving import ladder
from rewardsmith.agent.seeds import Group, eval_seeds, training_seed
from rewardsmith.envs.task import Task
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.executors import Executor
from rewardsmith.runs.records import Candidate, RunState, TrainingReport, Unit
from rewardsmith.runs.store import RunStore
from rewardsmith.runs.training.files import TRAJECTORIES
from rewardsmith.runs.training.trajectories import load_episodes

Watch = Callable[..., None]
_LETTER: dict[Group, str] = {"select": "s", "recheck": "r", "final": "s"}


@dataclass(frozen=True)
class Recipe:
    """What is equal for every training of a run, baselines included."""

    task: Task
    trainer: str
    hyperparams: Mapping[str, Any]
    steps: int
    run_seed: int
    eval_episodes: int
    sandbox: str
    device: str

    @property
    def gamma(self) -> float:
        """The discount per step that its trainings learn with."""
        return float(self.hyperparams.get("gamma", GAMMA))

    def units(
        self, name: str, program: str | None, group: Group, count: int, **changes: Any
    ) -> tuple[Unit, ...]:
        """Returns one unit per seed of ``group`` for a program (None: the environment's reward)."""
        return tuple(
            Unit(
                id=f"{name}.{_LETTER[group]}{index}",
                task=self.task,
                program=program,
                trainer=self.trainer,
                hyperparams=dict(self.hyperparams),
                seed=training_seed(self.run_seed, group, index),
                eval_seeds=eval_seeds(self.run_seed, group, self.eval_episodes),
                sandbox=self.sandbox,
                device=self.device,
                **({"steps": self.steps} | changes),
            )
            for index in range(count)
        )

    def candidate_units(
        self, candidates: Iterable[Candidate], group: Group, count: int
    ) -> list[tuple[str, Unit]]:
        """Returns (journal group, unit) for each candidate and seed, seeds outermost."""
        rows = [
            (f"{group}.{item.id}", unit)
            for item in candidates
            for unit in self.units(item.id, item.program, group, count, **evaluated(item))
        ]
        return sorted(rows, key=lambda row: row[1].seed)

    def rung_units(
        self, candidates: Iterable[Candidate], count: int, rungs: Sequence[float], number: int
    ) -> list[tuple[str, Unit]]:
        """Returns (journal group, unit) up to a rung; with ``number`` after the last to the end."""
        group = "rung" if number < len(rungs) else "select"
        whole = self.candidate_units(candidates, "select", count)
        return [
            (name.replace("select", group, 1), ladder(unit, rungs)[number]) for name, unit in whole
        ]

    def arm_units(self, best: Candidate | None, count: int) -> list[tuple[str, Unit]]:
        """Returns the units of the final comparison: best, human, random, paired by seed."""
        arms: list[tuple[str, Unit]] = []
        if best is not None:
            units = self.units("final.best", best.program, "final", count, **evaluated(best))
            arms += [("final.best", unit) for unit in units]
        if self.task.human_reward:
            units = self.units("final.human", None, "final", count)
            arms += [("final.human", unit) for unit in units]
        units = self.units("final.random", None, "final", count, steps=0)
        return arms + [("final.random", unit) for unit in units]


def evaluated(candidate: Candidate) -> dict[str, Any]:
    """Returns what a unit says of how its program is evaluated, beside the program itself."""
    return {"mode": candidate.mode, "shaping": candidate.shaping}


@dataclass(frozen=True)
class Prover:
    """Runs the units that no record answers yet, and records each as it ends."""

    store: RunStore
    bank: Bank
    executor: Executor
    ledger: Ledger
    watch: Watch

    def prove(self, rows: Sequence[tuple[str, Unit]], *, arm_candidate: str | None = None) -> None:
        """Trains and judges every unit of ``rows`` (journal group, unit) that has no report.

        Raises:
            BudgetExhausted: the steps or the time left do not suffice; finished units are kept.
            TrainingError: a unit broke twice for a reason that is not its reward's.
        """
        known = _reported(self.store.state())
        missing = {unit.id: (group, unit) for group, unit in rows if unit.id not in known}
        if not missing:
            return
        self.ledger.reserve_steps(sum(whole_steps(unit) for _, unit in missing.values()))
        jobs = [(unit, self.store.job_path(unit.id)) for _, unit in missing.values()]
        for unit, report in self.executor.run(jobs, self._progress):
            group = missing[unit.id][0]
            self._keep(report)
            taken = report.steps - report.earlier_steps
            self.ledger.return_steps(whole_steps(unit) - taken)
            data: dict[str, Any] = {"group": group, "report": report.model_dump(mode="json")}
            if group.startswith("final."):
                data["arm_candidate"] = arm_candidate if group == "final.best" else None
            self.store.append("trained", data)
            self.watch(
                "trained", unit=unit.id, group=group, fitness=report.fitness, failure=report.failure
            )

    def _keep(self, report: TrainingReport) -> None:
        """Adds the judged episodes to the bank, once."""
        path = self.store.job_path(report.unit) / TRAJECTORIES
        if path.exists():
            episodes = load_episodes(path)
            told = report.episodes[: len(episodes)]
            self.bank.append(
                episodes,
                policy=report.unit,
                outcomes=[item.outcome for item in told],
                fitness=[item.fitness for item in told],
                success=[item.success for item in told],
            )

    def _progress(self, unit: str, facts: Mapping[str, Any]) -> None:
        self.ledger.check_time()
        self.watch("training", unit=unit, **facts)


def whole_steps(unit: Unit) -> int:
    """Returns the env steps that a unit takes at most: trainers end with whole rollouts."""
    rollout = int(unit.hyperparams.get("n_envs", 1)) * int(unit.hyperparams.get("n_steps", 1))
    earlier = unit.resume.steps if unit.resume is not None else 0
    return -(-(unit.stop or unit.steps) // rollout) * rollout - -(-earlier // rollout) * rollout


def _reported(state: RunState) -> set[str]:
    groups = [(*c.reports, *c.rechecks, *c.rungs) for c in state.candidates]
    groups += [arm.reports for arm in state.arms]
    return {report.unit for group in groups for report in group}
