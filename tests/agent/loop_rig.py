"""A run without simulators: a scripted model, a check by syntax, trainings by arithmetic."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from evidence_rig import Played, bank_of
from training_rig import summary

from rewardsmith.agent.budget import Ledger
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.developing import Workbench, uninspected
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.inspecting import Inspector, Probes
from rewardsmith.agent.llm import Request
from rewardsmith.agent.loop import Agent
from rewardsmith.agent.proving import Prover, Recipe
from rewardsmith.agent.recorded import RecordedModel
from rewardsmith.agent.role_settings import RoleSettings
from rewardsmith.agent.scripted import ScriptedModel
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Steps
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.inspections import Inspections
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.store import CallRecords, RunStore
from rewardsmith.sandbox.check import CheckReport
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

ANALYSIS = '```json\n{"causes": ["it stands still"], "advice": ["pay for speed"]}\n```'
ACCEPT = '```json\n{"analysis": "`distance` falls", "verdict": "accept", "remarks": []}\n```'


class Killed(BaseException):
    """What a test raises to cut a run short."""


def answer(weight: float | str) -> str:
    """Returns a designer's answer whose program is worth ``weight``."""
    return (
        f"I weigh distance by {weight}.\n```python\n"
        "def compute_reward(distance):\n"
        f"    near = -{weight} * distance\n"
        '    return near, {"near": near}\n```'
    )


def weight_of(program: str) -> float:
    """Returns the weight that `answer` gave to a program."""
    return float(program.split("-")[1].split()[0])


def worth(unit: Unit) -> float:
    """Returns the fitness that the arithmetic trainer finds: the weight, a little noise."""
    if unit.program is None:
        return 0.5 if unit.steps else 0.0
    weight = weight_of(unit.program)
    noise = int(hashlib.sha256(str(unit.seed).encode()).hexdigest()[:4], 16) / 0xFFFF
    return weight + 0.01 * noise


@dataclass
class Arithmetic:
    """An executor that needs no time; ``cut_after`` reports it is killed."""

    fitness: Callable[[Unit], float | Failure] = worth
    cut_after: int | None = None
    failed_steps: int | None = None  # steps of a training that failed; all of them if None
    trained: list[str] = field(default_factory=list)

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: Any = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        for unit, _ in units:
            if self.cut_after is not None and len(self.trained) >= self.cut_after:
                raise Killed
            self.trained.append(unit.id)
            found = self.fitness(unit)
            facts: dict[str, Any] = (
                {"failure": found}
                if isinstance(found, Failure)
                else {"fitness": found, "episodes": (summary(found),)}
            )
            failed = isinstance(found, Failure) and self.failed_steps is not None
            steps = self.failed_steps if failed and self.failed_steps is not None else unit.steps
            yield unit, TrainingReport(unit=unit.id, seed=unit.seed, steps=steps, **facts)


def syntax_check(program: str) -> CheckReport:
    """Refuses programs with the word ``broken``, accepts all others as they are."""
    failure = (
        Failure(kind="contract", text="line 2: broken is no array", line=2)
        if "broken" in program
        else None
    )
    return CheckReport(failure=failure, source=program)


@dataclass
class Weighed:
    """The worker of an `answer`: rewards by arithmetic; counts in ``asked`` what it was asked."""

    program: str
    asked: list[str]

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.asked.append(self.program)
        near = -weight_of(self.program) * np.asarray(steps.after["distance"])
        return RewardBatch(total=near, components={"near": near})

    def close(self) -> None:
        """Nothing to end."""


def small_bank() -> Stored:
    """Returns one episode that comes nearer."""
    return bank_of([Played({"distance": np.linspace(1.0, 0.0, 5)})])


@dataclass
class Rig:
    """A run in a folder, started as often as a test wants; without ``probes`` none is asked."""

    path: Path
    answers: Any
    executor: Arithmetic = field(default_factory=Arithmetic)
    options: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    limits: Any = None
    probes: Probes | None = None
    recorded: RunStore | None = None
    worker: type[Weighed] = Weighed
    evaluated: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.task = find_task("rewardsmith/Point-v0")
        self.config = RunConfig(
            env="rewardsmith/Point-v0", **({"candidates": 2, "generations": 2} | self.options)
        )
        if not (self.path / "run.json").exists():
            RunStore.create(self.path, {"config": {}}, self.task)
        self.store = RunStore.open(self.path)
        self.model = ScriptedModel(self.answers)

    def agent(self) -> Agent:
        model = RecordedModel(self.model, CallRecords(self.store))
        ledger = Ledger(self.limits) if self.limits else Ledger()
        inspector = self._inspector()
        bench = Workbench(
            task=self.task,
            ask=model.ask,
            check=syntax_check,
            watch=self.watch,
            settings=lambda role: RoleSettings(),
            repair_turns=self.config.repair_turns,
            critic_rounds=self.config.critic_rounds or 0,
            inspect=inspector.alone if inspector else uninspected,
        )
        bank = Bank(self.store.bank_path)
        prover = Prover(self.store, bank, self.executor, ledger, self.watch)
        recipe = Recipe(
            task=self.task,
            trainer="toy",
            hyperparams={},
            steps=100,
            run_seed=self.config.seed,
            eval_episodes=2,
            sandbox="auto",
            device="cpu",
        )
        return Agent(self.store, self.config, bench, recipe, prover, self.watch, inspector)

    def _inspector(self) -> Inspector | None:
        if self.probes is None:
            return None
        return Inspector(
            self.task,
            self.probes,
            Inspections(self.store, recorded=self.recorded),
            gather=small_bank,
            opened=lambda item: self.worker(item.program or "", self.evaluated),
        )

    def watch(self, kind: str, **facts: Any) -> None:
        self.events.append((kind, facts))


def by_sample(*weights: float, improve: float = 1.0) -> Callable[[Request], str]:
    """Returns a model: sample i gets weight i; an improvement is worth ``improve`` more."""

    def reply(request: Request) -> str:
        if request.role == "analyzer":
            return ANALYSIS
        if request.role == "critic":
            return ACCEPT
        text = request.messages[-1].content
        gain = improve if "compute_reward" in text.partition("memory")[2] else 0.0
        return answer(weights[request.sample % len(weights)] + gain)

    return reply
