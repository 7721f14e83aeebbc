"""What is known of a run while it runs, folded from the loop's events; no terminal in sight."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

from rewardsmith.runs.report_words import count, number, one_line


@runtime_checkable
class Plan(Protocol):
    """The estimate that stands before a run starts."""

    @property
    def env_steps(self) -> int:
        """Environment steps of all trainings."""
        ...

    def as_text(self) -> str:
        """Returns one line for a person."""
        ...


@dataclass
class UnitProgress:
    """One training: how far it is, and what came of it."""

    steps: int = 0
    total: int = 0
    fitness: float | None = None
    steps_per_s: float = 0.0
    stage: str = "training"
    ended: bool = False
    failed: bool = False

    @property
    def share(self) -> float:
        """How much of the training is done, in [0, 1]."""
        if self.ended:
            return 1.0
        return min(1.0, self.steps / self.total) if self.total > 0 else 0.0


@dataclass
class Row:
    """One candidate, or one arm of the final comparison."""

    name: str
    state: str = ""
    bad: bool = False
    units: dict[str, UnitProgress] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """Mean progress of its trainings so far; None before the first."""
        return fmean(u.share for u in self.units.values()) if self.units else None

    @property
    def fitness(self) -> float | None:
        """Mean over its trainings of the last fitness that each has shown."""
        known = [u.fitness for u in self.units.values() if u.fitness is not None]
        return fmean(known) if known else None

    @property
    def steps_per_s(self) -> float:
        """Speed of all its trainings together."""
        return sum(u.steps_per_s for u in self.units.values() if not u.ended)


@dataclass
class Progress:
    """A run as its events tell it. Unknown events and missing facts change nothing."""

    text: str = ""
    plan: str = ""
    planned_steps: int = 0
    phase: str = "starting"
    waiting: str = ""
    rows: dict[str, Row] = field(default_factory=dict)
    past_steps: int = 0
    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    best: str = ""
    best_fitness: float | None = None
    path: str = ""

    def apply(self, kind: str, facts: dict[str, Any]) -> None:
        """Takes in one event."""
        step = _STEPS.get(kind)
        if step is not None:
            self.waiting = "" if kind != "waiting" else self.waiting
            step(self, facts)

    def row(self, name: str) -> Row:
        """Returns the row of a candidate or an arm, made when it is first spoken of."""
        return self.rows.setdefault(name, Row(name))

    @property
    def env_steps(self) -> int:
        """Environment steps of trainings since the command started."""
        now = sum(u.steps for row in self.rows.values() for u in row.units.values())
        return self.past_steps + now

    @property
    def steps_per_s(self) -> float:
        """Speed of all trainings that run now."""
        return sum(row.steps_per_s for row in self.rows.values())

    @property
    def eta_s(self) -> float | None:
        """Seconds of training that the plan still holds, at the present speed, if known."""
        speed, left = self.steps_per_s, self.planned_steps - self.env_steps
        return left / speed if speed > 0 and self.planned_steps and left >= 0 else None


def subject(unit: str) -> str:
    """Returns what a unit belongs to: "g0.3" of "g0.3.s1", "human" of "final.human.s0"."""
    name = unit.rsplit(".", 1)[0]
    return name.removeprefix("final.")


def _run_started(run: Progress, facts: dict[str, Any]) -> None:
    task, plan = facts.get("task"), facts.get("estimate")
    run.text = str(getattr(task, "text", task or facts.get("text", "")))
    run.path = str(facts.get("path", ""))
    if isinstance(plan, Plan):
        run.plan, run.planned_steps = plan.as_text(), plan.env_steps
    elif plan:
        run.plan = str(plan)


def _clear(run: Progress) -> None:
    run.past_steps = run.env_steps
    run.rows = {}


def _generation_started(run: Progress, facts: dict[str, Any]) -> None:
    _clear(run)
    last = facts.get("of")
    of = f" of {last}" if last else ""
    run.phase = f"generation {int(facts.get('number', 0)) + 1}{of}"


def _final_started(run: Progress, facts: dict[str, Any]) -> None:
    _clear(run)
    best = facts.get("best")
    run.phase = "final comparison on held-out seeds" + (f", best candidate {best}" if best else "")


_ASKING = {"designer": "asking", "repair": "repairing", "critic": "with the critic"}


def _asking(run: Progress, facts: dict[str, Any]) -> None:
    role = str(facts.get("role", "designer"))
    _say(run, facts, _ASKING.get(role, f"with the {role}"))


def _replied(run: Progress, facts: dict[str, Any]) -> None:
    usage = facts.get("usage")
    known = (getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None))
    run.calls += 1
    run.tokens += sum(n for n in known if n) or int(facts.get("tokens") or 0)
    cost = getattr(usage, "cost_usd", None) if usage is not None else facts.get("cost_usd")
    run.usd = None if cost is None or run.usd is None else run.usd + cost


def _waiting(run: Progress, facts: dict[str, Any]) -> None:
    run.waiting = str(facts.get("text", ""))


def _checked(run: Progress, facts: dict[str, Any]) -> None:
    if facts.get("ok"):
        _say(run, facts, "checked")
    else:
        _say(run, facts, f"refused: {facts.get('text', '')}", bad=True)


def _inspected(run: Progress, facts: dict[str, Any]) -> None:
    refusals = [e for e in facts.get("evidence", ()) if getattr(e, "verdict", "") == "fail"]
    for found in refusals[:1]:
        _say(run, facts, f"refused by {found.probe}: {found.text}", bad=True)


def _critic(run: Progress, facts: dict[str, Any]) -> None:
    accepted = bool(facts.get("accept"))
    _say(run, facts, "accepted by the critic" if accepted else "the critic has remarks")


def _analysed(run: Progress, facts: dict[str, Any]) -> None:
    _say(run, facts, "trained")


def _say(run: Progress, facts: dict[str, Any], state: str, *, bad: bool = False) -> None:
    name = facts.get("candidate")
    if name is not None:
        row = run.row(str(getattr(name, "id", name)))
        row.state, row.bad = state, bad


def _training(run: Progress, facts: dict[str, Any]) -> None:
    unit = _unit(run, facts)
    if unit is None or unit.ended:
        return
    unit.steps = int(facts.get("steps") or unit.steps)
    unit.total = int(facts.get("total_steps") or unit.total)
    unit.stage = str(facts.get("stage") or unit.stage)
    unit.steps_per_s = float(facts.get("steps_per_s") or 0.0)
    if facts.get("fitness") is not None:
        unit.fitness = float(facts["fitness"])
    row = run.row(subject(str(facts["unit"])))
    row.state, row.bad = unit.stage, False


def _trained(run: Progress, facts: dict[str, Any]) -> None:
    unit = _unit(run, facts)
    if unit is None:
        return
    failure = facts.get("failure")
    unit.ended, unit.failed, unit.fitness = True, failure is not None, facts.get("fitness")
    unit.steps = unit.steps if failure is not None else max(unit.steps, unit.total)
    row = run.row(subject(str(facts["unit"])))
    done = [u.ended for u in row.units.values()]
    row.state = "trained" if all(done) else f"training, {sum(done)} of {len(done)} ended"
    if failure is not None:
        row.state, row.bad = f"failed: {getattr(failure, 'text', failure)}", True


def _unit(run: Progress, facts: dict[str, Any]) -> UnitProgress | None:
    name = facts.get("unit")
    if name is None:
        return None
    return run.row(subject(str(name))).units.setdefault(str(name), UnitProgress())


def _generation_done(run: Progress, facts: dict[str, Any]) -> None:
    best = facts.get("best")
    if best is not None:
        run.best = str(getattr(best, "id", best))
        row = run.rows.get(run.best)
        fitness = facts.get("fitness", row.fitness if row else run.best_fitness)
        run.best_fitness = fitness


def _rendering(run: Progress, facts: dict[str, Any]) -> None:
    run.phase = "recording a video of the best policy"


def _finished(run: Progress, facts: dict[str, Any]) -> None:
    run.phase, run.path = "finished", str(facts.get("path", run.path))


def _cell_started(run: Progress, facts: dict[str, Any]) -> None:
    place = f"{facts.get('number', '')} of {facts.get('of', '')}"
    run.phase = f"sweep, run {place}: {facts.get('cell', '')}"


_STEPS: dict[str, Callable[[Progress, dict[str, Any]], None]] = {
    "run_started": _run_started,
    "generation_started": _generation_started,
    "asking": _asking,
    "waiting": _waiting,
    "replied": _replied,
    "checked": _checked,
    "inspected": _inspected,
    "critic": _critic,
    "training": _training,
    "trained": _trained,
    "analysed": _analysed,
    "generation_done": _generation_done,
    "final_started": _final_started,
    "rendering": _rendering,
    "cell_started": _cell_started,
    "finished": _finished,
}


def spent_line(run: Progress) -> str:
    """Returns what has been used since the command started."""
    price = "price unknown" if run.usd is None else f"${run.usd:.2f}"
    steps = f"{count(run.env_steps)} env steps"
    return f"{run.calls} calls, {count(run.tokens)} tokens, {price}, {steps}"


def best_line(run: Progress) -> str:
    """Returns the best candidate so far, or that there is none."""
    if not run.best:
        return "none yet"
    return one_line(f"{run.best}, fitness {number(run.best_fitness)}", 60)
