"""Everything that a run remembers. All frozen; a later stage adds a record, none is edited."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rewardsmith.envs.task import Task
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.shaping import Shaping


class Record(BaseModel):
    """Base of the records: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Resume(Record):
    """The checkpoint to go on from: the unit that left it, in the folder beside, by its content."""

    unit: str
    key: str
    steps: int  # its rung


class Unit(Record):
    """One training and judging of one reward: the idempotent unit of work.

    ``program`` is the source text to train with, or None for the environment's own reward;
    ``steps == 0`` judges the untrained, random policy. ``eval_seeds`` are the reset seeds of the
    judged episodes; they are disjoint from every training seed. ``steps`` is the whole training;
    ``stop`` ends it at a rung, and a promoted unit goes on from the checkpoint left there.
    """

    id: str  # "g0.3.s1": candidate and seed; also the name of its folder
    task: Task
    program: str | None
    mode: Literal["batched", "rows"] = "batched"  # how the program is evaluated (sandbox.check)
    trainer: str
    hyperparams: dict[str, Any]
    seed: int
    steps: int
    eval_seeds: tuple[int, ...]
    eval_points: int = 10  # evaluations along the training, for the curve
    eval_episodes_per_point: int = 3
    sandbox: str = "auto"
    device: str = "cpu"
    stop: int | None = None  # env steps of the rung at which to end; None: after ``steps``
    checkpoint: bool = False  # leave one at the end
    resume: Resume | None = None
    shaping: Shaping | None = None  # what is made of the program's answers, references fixed

    @property
    def key(self) -> str:
        """SHA-256 over the content: task and judging, reward, trainer, seed, rung, checkpoints.

        Names and walls are no content: neither ``id`` nor ``sandbox`` changes what comes out.
        """
        names: dict[str, Any] = {"id": True, "sandbox": True, "resume": {"unit", "steps"}}
        if self.shaping is None:
            names["shaping"] = True  # a unit without is the one from before there was any
        return hashlib.sha256(_sorted_json(self.model_dump_json(exclude=names))).hexdigest()

    def promoted(self, unit: str, stop: int | None = None) -> "Unit":
        """Returns the unit named ``unit`` that goes on from this one's checkpoint up to ``stop``.

        Without ``stop`` it goes on to the end of the training, and leaves no checkpoint.
        """
        known = Resume(unit=self.id, key=self.key, steps=self.stop or self.steps)
        changes = {"id": unit, "stop": stop, "checkpoint": stop is not None, "resume": known}
        return self.model_copy(update=changes)


def _sorted_json(text: str) -> bytes:
    """Returns one spelling for all orders of a mapping's keys."""
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")).encode()


class CurvePoint(Record):
    """Statistics at one point of a training."""

    steps: int
    fitness: float | None  # mean over the point's evaluation episodes
    success_rate: float | None
    episode_length: float | None
    total: float | None  # mean reward per step of the rollouts since the point before
    components: dict[str, float]  # mean per step
    policy_std: float | None = None
    steps_per_s: float | None = None


class EpisodeSummary(Record):
    """What one judged episode came to."""

    seed: int
    fitness: float
    success: bool | None
    outcome: str
    length: int
    reward_return: float | None  # sum of the trained reward, where it could be computed
    component_returns: dict[str, float]
    fields: dict[str, tuple[float, ...]]  # scalar card fields at about ten equally spaced steps


class GateSwitch(Record):
    """A gated component began or ceased to count."""

    component: str
    counts: bool
    success_rate: float  # of the last episodes, up to 100
    rows: int  # env steps rewarded until then


class TrainingReport(Record):
    """What one unit came to: a failure, or a fitness with its episodes. Exactly one of the two."""

    unit: str
    seed: int
    steps: int  # behind the policy, those of an earlier rung included
    earlier_steps: int = 0  # of these, what the checkpoint brought
    failure: Failure | None = None
    fitness: float | None = None  # mean over the judged episodes
    fitness_std: float | None = None  # over the judged episodes
    success_rate: float | None = None
    outcomes: dict[str, int] = {}
    curve: tuple[CurvePoint, ...] = ()
    episodes: tuple[EpisodeSummary, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0
    reward_calls: int = 0
    reward_wall_s: float = 0.0
    switches: tuple[GateSwitch, ...] = ()
    versions: dict[str, str] = {}


ProposalKind = Literal["fresh", "improve", "combine", "human"]


class Proposal(Record):
    """What to ask the designer for."""

    kind: ProposalKind
    parents: tuple[str, ...] = ()


class Critique(Record):
    """The critic's verdict on a program before training."""

    accept: bool
    remarks: str
    round: int = 0


class Feedback(Record):
    """A person's judgement; any single field beyond author and time suffices."""

    id: str
    author: str
    time: str  # ISO 8601, UTC
    candidate: str | None = None
    observed: str | None = None
    wanted: str | None = None
    rating: int | None = None  # 1 (bad) to 5 (good)
    preferred_over: str | None = None
    program: str | None = None  # an edited reward, to be trained as a candidate


class Evidence(Record):
    """What one probe found about one candidate."""

    probe: str
    verdict: Literal["pass", "warn", "fail"]
    text: str
    score: float | None = None
    facts: dict[str, Any] = {}


class Inspection(Record):
    """What probing came to: the evidence in order, or what the program did wrong on the bank."""

    evidence: tuple[Evidence, ...] = ()
    failure: Failure | None = None


class Candidate(Record):
    """A program and everything that is known of it, folded from the journal."""

    id: str  # "g0.3"
    generation: int
    index: int
    proposal: Proposal
    told: tuple[str, ...] = ()  # ids of the feedback that its prompts show
    program: str | None = None  # source as trained (after mechanical rewrites)
    program_id: str | None = None
    mode: Literal["batched", "rows"] = "batched"
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what the contract check remarked without refusing
    shaping: Shaping | None = None  # what is made of its answers, references fixed
    failure: Failure | None = None  # why it is not trained, or that a training found it impure
    critiques: tuple[Critique, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    reports: tuple[TrainingReport, ...] = ()  # selection seeds
    rechecks: tuple[TrainingReport, ...] = ()  # elites on fresh seeds
    rungs: tuple[TrainingReport, ...] = ()  # parts of trainings, see agent/halving.py
    analysis: str | None = None


class Generation(Record):
    """One finished round."""

    number: int
    candidates: tuple[str, ...]
    best: str | None  # best so far, after elitism


class Spent(Record):
    """What a run has used."""

    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0  # None once any call had no known price
    env_steps: int = 0
    wall_s: float = 0.0


class Arm(Record):
    """One arm of the final comparison on held-out seeds, trained from scratch at equal budget."""

    name: Literal["best", "human", "random"]
    candidate: str | None
    reports: tuple[TrainingReport, ...]


class RunState(Record):
    """A run as of now, rebuilt from its journal and never stored."""

    run: str
    task: str
    candidates: tuple[Candidate, ...] = ()
    generations: tuple[Generation, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    arms: tuple[Arm, ...] = ()
    spent: Spent = Spent()
    best: str | None = None
    awaiting: bool = False
    finished: bool = False
