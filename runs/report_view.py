"""What a run came to, in words and rows: the one place where claims are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rewardsmith.runs.records import Arm, Candidate, RunState, TrainingReport
from rewardsmith.runs.report_facts import RunFacts
from rewardsmith.runs.report_ledger import UNUSED, refusal
from rewardsmith.runs.report_words import (
    MISSING,
    count,
    interval_text,
    one_line,
    percent,
    seed_numbers,
    with_interval,
)
from rewardsmith.runs.stats import Interval, paired_difference

ArmName = Literal["best", "human", "random"]
ARM_LABELS: dict[ArmName, str] = {
    "best": "designed reward",
    "human": "human reward",
    "random": "random policy",
}
Verdict = Literal["higher", "lower", "open"]


@dataclass(frozen=True)
class ArmRow:
    """One row of the comparison; ``values`` are the fitness of each held-out seed that has one."""

    name: ArmName
    label: str
    candidate: str
    values: tuple[float, ...]
    fitness: str
    seeds: str
    success: str
    steps: str
    outcomes: str
    missing: str  # why there is no number, or why there are fewer than seeds


@dataclass(frozen=True)
class Status:
    """Where a candidate stands: a short word, and the text of what went wrong, if anything did."""

    word: str
    text: str = ""
    bad: bool = False


def fitnesses(reports: Sequence[TrainingReport]) -> tuple[float, ...]:
    """Returns the fitness of every report that has one, in order of seeds."""
    found = sorted((r.seed, r.fitness) for r in reports if r.fitness is not None)
    return tuple(value for _, value in found)


def selected(candidate: Candidate) -> tuple[float, ...]:
    """Returns the fitness on every selection seed; nothing where one is missing, or if impure."""
    values = fitnesses(candidate.reports)
    whole = len(values) == len(candidate.reports) and candidate.failure is None
    return values if whole else ()


def arm_rows(state: RunState) -> tuple[ArmRow, ...]:
    """Returns the comparison on held-out seeds: best, human, random, as far as they are known."""
    return tuple(_arm_row(arm) for name in ARM_LABELS for arm in state.arms if arm.name == name)


def _arm_row(arm: Arm) -> ArmRow:
    values, failed = fitnesses(arm.reports), [r for r in arm.reports if r.failure]
    rates = [r.success_rate for r in arm.reports if r.success_rate is not None]
    return ArmRow(
        name=arm.name,
        label=ARM_LABELS[arm.name],
        candidate=arm.candidate or "",
        values=values,
        fitness=with_interval(values),
        seeds=str(len(values)) if not failed else f"{len(values)} of {len(arm.reports)}",
        success=percent(sum(rates) / len(rates)) if rates else MISSING,
        steps=_steps_text(arm.reports),
        outcomes=_outcomes(arm.reports),
        missing=_arm_gap(arm),
    )


def _arm_gap(arm: Arm) -> str:
    failed = [r.failure for r in arm.reports if r.failure]
    if failed:
        return f"{len(failed)} failed: {failed[0].kind}: {one_line(failed[0].text, 160)}"
    if not arm.reports:
        return "no seed has finished"
    return "no interval: one seed" if len(arm.reports) == 1 else ""


def _steps_text(reports: Sequence[TrainingReport]) -> str:
    steps = sorted({r.steps for r in reports})
    if not steps:
        return MISSING
    return count(steps[0]) if len(steps) == 1 else f"{count(steps[0])} to {count(steps[-1])}"


def _outcomes(reports: Sequence[TrainingReport]) -> str:
    total: dict[str, int] = {}
    for report in reports:
        for word, times in report.outcomes.items():
            total[word] = total.get(word, 0) + times
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{word} {times}" for word, times in ordered) or MISSING


def difference(state: RunState) -> Interval | None:
    """Returns designed minus human fitness, paired by held-out seed; None where one is missing."""
    found = {arm.name: {r.seed: r.fitness for r in arm.reports} for arm in state.arms}
    best, human = found.get("best", {}), found.get("human", {})
    pairs = [(best[seed], human.get(seed)) for seed in sorted(best)]
    whole = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    if len(whole) < 2 or len(whole) != len(best) or len(whole) != len(human):
        return None
    return paired_difference([ours for ours, _ in whole], [theirs for _, theirs in whole])


def verdict(state: RunState) -> Verdict | None:
    """Says whether the difference's 95 % interval leaves out 0; None where there is no interval."""
    gain = difference(state)
    if gain is None:
        return None
    if gain.low > 0:
        return "higher"
    return "lower" if gain.high < 0 else "open"


def finding(state: RunState, facts: RunFacts) -> str:
    """Returns the result in one or two sentences, with numbers; says so where there is none."""
    rows = {row.name: row for row in arm_rows(state)}
    best = rows.get("best")
    if (impure := _impure_best(state)) is not None:
        return impure
    if best is None or not best.values:
        return _finding_without_arms(state, facts)
    unit = f" {facts.unit}" if facts.unit else ""
    seeds = "seed" if len(best.values) == 1 else "seeds"
    head = (
        f"On {len(best.values)} held-out {seeds}, policies trained with the designed reward "
        f"{best.candidate} reach a fitness of {best.fitness}{unit}"
    )
    others = [_against(rows[name]) for name in ("human", "random") if name in rows]
    tail = "; ".join(part for part in others if part)
    return f"{head}{', against ' + tail if tail else ''}. {_judgement(state, rows, unit)}".strip()


def _impure_best(state: RunState) -> str | None:
    best = next((c for c in state.candidates if c.id == state.best), None)
    if best is None or best.failure is None:
        return None
    return (
        f"The best candidate, {best.id}, was found impure when it was trained on held-out seeds: "
        f"its reward depends on more than its parameters, so its numbers mean nothing, and this "
        f"run claims no result. {one_line(best.failure.text, 300)}"
    )


def _against(row: ArmRow) -> str:
    if not row.values:
        return ""
    owner = "with the human reward" if row.name == "human" else "of the random policy"
    return f"{row.fitness} {owner} (n = {len(row.values)})"


def _judgement(state: RunState, rows: dict[ArmName, ArmRow], unit: str) -> str:
    if "human" not in rows:
        return "There is no human reward to compare with."
    gain, word = difference(state), verdict(state)
    if gain is None or word is None:
        return "Too few common seeds for an interval: the order is not settled."
    ours, theirs = rows["best"].steps, rows["human"].steps
    if ours != theirs:
        return f"The budgets differ ({ours} and {theirs} steps): not comparable."
    size = f"{interval_text(gain)}{unit}, 95\N{NO-BREAK SPACE}% interval, paired by seed"
    claims = {
        "higher": f"The designed reward is better than the human one at equal budget ({size}).",
        "lower": f"The designed reward is worse than the human one at equal budget ({size}).",
        "open": f"At equal budget the order of the two is not settled (difference {size}).",
    }
    return claims[word]


def _finding_without_arms(state: RunState, facts: RunFacts) -> str:
    if not state.candidates:
        return "No candidate has been proposed yet."
    best = next((c for c in state.candidates if c.id == state.best), None)
    if best is not None and selected(best):
        unit = f" {facts.unit}" if facts.unit else ""
        return (
            f"So far the best candidate is {best.id}, with a fitness of "
            f"{with_interval(fitnesses(best.reports))}{unit} on its selection seeds; "
            "the comparison on held-out seeds is still to come."
        )
    failed = sum(status(c).bad for c in state.candidates)
    if failed == len(state.candidates):
        return f"No reward was found: each of the {failed} candidates failed."
    return f"No candidate has a fitness yet; {failed} of {len(state.candidates)} failed."


def status(candidate: Candidate) -> Status:
    """Says how far a candidate came and what stopped it."""
    if candidate.failure:
        line = f" (line {candidate.failure.line})" if candidate.failure.line else ""
        return Status(candidate.failure.kind, candidate.failure.text + line, bad=True)
    broken = [r for r in candidate.reports if r.failure]
    if broken:
        first = broken[0].failure
        text = f"seed {broken[0].seed}: {first.text}" if first else ""
        share = f"{len(broken)} of {len(candidate.reports)} seeds: "
        return Status(share + (first.kind if first else ""), text, bad=True)
    if candidate.reports:
        return Status("trained")
    if candidate.program is None:
        return Status("asked", "no program has come back yet")
    if (found := refusal(candidate)) is not None:
        word = UNUSED.get(found.probe, f"refused: {found.probe}")
        return Status(word, found.text, bad=found.probe not in UNUSED)
    if candidate.critiques and not candidate.critiques[-1].accept:
        return Status("refused", "the critic's last verdict is against it")
    return Status("not trained", "the program passed its checks; no training has ended yet")


def asked(candidate: Candidate) -> str:
    """Says what the designer was asked for."""
    parents = " and ".join(candidate.proposal.parents)
    words = {
        "fresh": "a new reward",
        "improve": f"improve {parents or 'a candidate'}",
        "combine": f"combine {parents or 'candidates'}",
        "human": f"a person's edit of {parents}" if parents else "a person's program",
    }
    return words[candidate.proposal.kind]


def recheck(candidate: Candidate) -> str:
    """Returns the fitness on fresh seeds, where the candidate was judged again."""
    values = fitnesses(candidate.rechecks)
    return f"{with_interval(values)} (n = {len(values)})" if values else MISSING


def seed_values(candidate: Candidate) -> tuple[tuple[int, str], ...]:
    """Returns (seed, fitness or the kind of its failure) of every selection seed."""
    reports = sorted(candidate.reports, key=lambda r: r.seed)
    texts = iter(seed_numbers([r.fitness for r in reports if r.fitness is not None]))
    return tuple((r.seed, r.failure.kind if r.failure else next(texts, MISSING)) for r in reports)
