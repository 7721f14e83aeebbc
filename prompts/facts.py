"""From what a run remembers to the few numbers and words that a prompt shows. Pure functions."""

import ast
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rewardsmith.prompts.render import number, quoted
from rewardsmith.runs.records import Candidate, EpisodeSummary, Feedback, TrainingReport
from rewardsmith.sandbox.answers import NAME_RULE
from rewardsmith.sandbox.columns import MOST_COMPONENTS

_POINTS = 10
_COLUMNS = 7
CONSTANT = 0.03  # a spread below this share of the largest value counts as constant
DOMINATES = 0.85  # a component with more than this share of the reward's size
NEGLIGIBLE = 0.01  # one with less


@dataclass(frozen=True)
class Series:
    """One quantity over a training, at about ten equally spaced points."""

    name: str
    values: tuple[float, ...]
    low: float
    mean: float
    high: float
    note: str


@dataclass(frozen=True)
class Statistics:
    """What training under a reward looked like: one series per component and per measure."""

    steps: int
    series: tuple[Series, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class OutcomeGroup:
    """Episodes that ended alike: how many, and quantiles (10 %, 50 %, 90 %)."""

    outcome: str
    count: int
    length: tuple[float, float, float]
    fitness: tuple[float, float, float]


@dataclass(frozen=True)
class EpisodeTable:
    """One episode as a table: a header, and one row per moment."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Trajectories:
    """What the judged episodes of a trained policy looked like; ``notes`` say what stands out."""

    episodes: int
    groups: tuple[OutcomeGroup, ...]
    tables: tuple[EpisodeTable, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One earlier candidate in a line: what it was and what came of it."""

    id: str
    change: str
    result: str


@dataclass(frozen=True)
class Wish:
    """What a person saw in a candidate's behaviour, and what they want instead."""

    about: str | None
    observed: str | None
    wanted: str | None
    rating: int | None
    preferred_over: str | None


def fitness_of(candidate: Candidate) -> float | None:
    """Mean fitness over the selection seeds, or None unless every one of them has a fitness.

    A candidate that any training found impure has none.
    """
    if candidate.failure is not None:
        return None
    known = [r.fitness for r in candidate.reports if r.failure is None and r.fitness is not None]
    return fmean(known) if known and len(known) == len(candidate.reports) else None


def representative(candidate: Candidate) -> TrainingReport | None:
    """The report of the median seed, or None if no seed has a fitness."""
    known = [(r.fitness, r) for r in candidate.reports if r.fitness is not None]
    ordered = sorted(known, key=lambda pair: pair[0])
    return ordered[(len(ordered) - 1) // 2][1] if ordered else None


def statistics(report: TrainingReport) -> Statistics | None:
    """The series of a training, or None without a curve (Eureka, Ma et al. 2024, section 3.3).

    About ten equally spaced points, with minimum, mean and maximum over the whole curve. Missing
    and non-finite values are left out.
    """
    if not report.curve:
        return None
    names = sorted({name for point in report.curve for name in point.components})
    parts = {name: [p.components.get(name) for p in report.curve] for name in names}
    total = [p.total for p in report.curve]
    fitness = [p.fitness for p in report.curve]
    size = {
        name: fmean([abs(v) for v in _known(values)] or [0.0]) for name, values in parts.items()
    }
    notes = {name: _component_note(name, _known(values), size) for name, values in parts.items()}
    found = [
        *(_series(name, values, notes[name]) for name, values in parts.items()),
        _series("total reward", total, ""),
        _series("fitness", fitness, ""),
        _series("success rate", [p.success_rate for p in report.curve], ""),
        _series("episode length", [p.episode_length for p in report.curve], ""),
    ]
    ended = report.curve[-1].episode_length
    return Statistics(
        steps=report.steps,
        series=tuple(series for series in found if series is not None),
        notes=tuple(_training_notes(_known(total), _known(fitness), ended)),
    )


def trajectories(
    report: TrainingReport, *, program: str | None = None, columns: int = _COLUMNS
) -> Trajectories | None:
    """What the judged episodes looked like, or None if there are none.

    Auto MC-Reward (Li et al. 2024) shows its analyzer how failures ended; here: quantiles by
    outcome, then a median failure and the best episode with the fields that the program reads
    first and the most changing ones after.
    """
    if not report.episodes:
        return None
    outcomes = sorted({e.outcome for e in report.episodes})
    groups = [_group(name, [e for e in report.episodes if e.outcome == name]) for name in outcomes]
    groups.sort(key=lambda group: -group.count)
    best = max(report.episodes, key=lambda e: e.fitness)
    failure = _median_failure(report.episodes)
    names = _column_names(report.episodes, program, columns)
    ended_alike = failure is not None and failure.outcome == best.outcome
    typical = "a typical episode" if ended_alike else "a typical failure"
    chosen = [(failure, typical), (best, "the best episode")]
    tables = [
        _table(episode, title, names)
        for episode, title in chosen
        if episode is not None and (episode is not best or title == "the best episode")
    ]
    return Trajectories(len(report.episodes), tuple(groups), tuple(t for t in tables if t.rows))


def history(candidates: Iterable[Candidate], *, limit: int = 8) -> tuple[Trial, ...]:
    """What was tried: failures of one kind in one line, then trained ones by rising fitness.

    At most ``limit`` lines; the best and the most frequent failures stay.
    """
    known = tuple(candidates)
    by_id = {c.id: c for c in known}
    trained = sorted(
        ((f, c) for c in known if (f := fitness_of(c)) is not None), key=lambda pair: pair[0]
    )
    lines = [Trial(c.id, change_of(c, by_id), result_of(c)) for _, c in trained]
    broken: dict[str, list[Candidate]] = {}
    for candidate in known:
        if (text := failure_text(candidate)) is not None:
            broken.setdefault(_first_line(text), []).append(candidate)
    grouped = sorted(broken.items(), key=lambda item: len(item[1]))
    room = min(len(grouped), max(limit - len(lines), limit // 3))
    failures = [_failed(text, group, by_id) for text, group in grouped[len(grouped) - room :]]
    return tuple(failures + lines[max(0, len(lines) - (limit - len(failures))) :])


def change_of(candidate: Candidate, others: dict[str, Candidate]) -> str:
    """One line on what a candidate is: its own words, or its terms against its parent's."""
    if candidate.program is None:
        return "(no program)"
    if idea := idea_of(candidate.program):
        return idea
    terms = component_names(candidate.program)
    parents = [others[p] for p in candidate.proposal.parents if p in others]
    if not parents or parents[0].program is None or not terms:
        return "terms " + ", ".join(terms) if terms else "(unnamed terms)"
    before = component_names(parents[0].program)
    new = [f"+{t}" for t in terms if t not in before] + [f"-{t}" for t in before if t not in terms]
    return f"{parents[0].id} with {' '.join(new)}" if new else f"{parents[0].id} with other weights"


def result_of(candidate: Candidate) -> str:
    """What came of a candidate: its fitness over seeds, or its failure."""
    fitness = fitness_of(candidate)
    if fitness is None:
        text = failure_text(candidate)
        return f"failed: {_first_line(text)}" if text else "not trained"
    values = [r.fitness for r in candidate.reports if r.fitness is not None]
    spread = f" ± {number((max(values) - min(values)) / 2)}" if len(values) > 1 else ""
    rates = [r.success_rate for r in candidate.reports if r.success_rate is not None]
    success = f", success {round(100 * fmean(rates))} %" if rates else ""
    return f"fitness {number(fitness)}{spread}{success}"


def failure_text(candidate: Candidate) -> str | None:
    """Why a candidate has no fitness, in the words of whatever refused it, or None."""
    if candidate.failure is not None:
        return candidate.failure.text
    for report in candidate.reports:
        if report.failure is not None:
            return f"training: {report.failure.text}"
    for evidence in candidate.evidence:
        if evidence.verdict == "fail":
            return evidence.text
    return None


def wishes(feedback: Iterable[Feedback], *, limit: int = 5) -> tuple[Wish, ...]:
    """The last ``limit`` judgements of people, oldest first, what was seen and wanted apart."""
    said = [
        Wish(f.candidate, _said(f.observed), _said(f.wanted), f.rating, f.preferred_over)
        for f in feedback
    ]
    heard = [w for w in said if w.observed or w.wanted or w.rating is not None or w.preferred_over]
    return tuple(heard[-limit:])


def idea_of(program: str) -> str | None:
    """The first line of the reward function's docstring, or None."""
    function = _reward_function(program)
    text = ast.get_docstring(function) if function else None
    return quoted(_first_line(text), 160) if text and text.strip() else None


def component_names(program: str) -> tuple[str, ...]:
    """The names of the components that a program returns, as far as its text shows them.

    Only names that a component may have, and no more than it may have: a program that was never
    run, or was refused, could write anything into such a place of a prompt.
    """
    function = _reward_function(program)
    names: dict[str, None] = {}
    for node in ast.walk(function) if function else ():
        if isinstance(node, ast.Dict):
            keys = [k.value for k in node.keys if isinstance(k, ast.Constant)]
            names.update(dict.fromkeys(str(key) for key in keys))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            item = node.targets[0]
            owner = item.value.id if isinstance(item.value, ast.Name) else ""
            if isinstance(item.slice, ast.Constant) and owner != "memory":
                names[str(item.slice.value)] = None
    return tuple(name for name in names if NAME_RULE.fullmatch(name))[:MOST_COMPONENTS]


def parameter_names(program: str) -> tuple[str, ...]:
    """The names of the card's fields that a program reads, ``prev_`` dropped."""
    function = _reward_function(program)
    if function is None:
        return ()
    plain = [a.arg.removeprefix("prev_") for a in (*function.args.args, *function.args.kwonlyargs)]
    return tuple(dict.fromkeys(plain))


def _reward_function(program: str) -> ast.FunctionDef | None:
    try:
        body = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == "compute_reward"]
    return found[-1] if found else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def _series(name: str, values: Sequence[float | None], note: str) -> Series | None:
    known = _known(values)
    if not known:
        return None
    last = len(known) - 1
    count = min(_POINTS, len(known))
    picked = [known[round(i * last / max(count - 1, 1))] for i in range(count)]
    return Series(name, tuple(picked), min(known), fmean(known), max(known), note)


def _component_note(name: str, values: list[float], size: dict[str, float]) -> str:
    """What is odd about a component: constant, dominating or negligible."""
    whole = sum(size.values())
    biggest = max((abs(v) for v in values), default=0.0)
    if biggest == 0.0:
        return "zero throughout"
    if len(size) > 1 and size[name] < NEGLIGIBLE * whole:
        return "too small to matter"
    notes = []
    if len(values) > 2 and max(values) - min(values) < CONSTANT * biggest:
        notes.append("nearly constant: the policy did not change it")
    if len(size) > 1 and size[name] > DOMINATES * whole:
        notes.append(f"dominates: {round(100 * size[name] / whole)} % of the reward")
    return "; ".join(notes)


def _training_notes(total: list[float], fitness: list[float], ended: float | None) -> list[str]:
    notes = []
    if len(fitness) > 3:
        spread = max(fitness) - min(fitness)
        if spread <= CONSTANT * max(map(abs, fitness)):
            notes.append(
                "fitness hardly changed in training: this reward does not lead to the task"
            )
    if len(total) > 1 and fmean(total) < 0 and ended is not None:
        notes.append("the mean reward per step is negative: ending the episode early may pay")
    return notes


def _group(outcome: str, episodes: list[EpisodeSummary]) -> OutcomeGroup:
    lengths = _quantiles([float(e.length) for e in episodes])
    return OutcomeGroup(outcome, len(episodes), lengths, _quantiles([e.fitness for e in episodes]))


def _quantiles(values: list[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    low, middle, high = (ordered[round(q * (len(ordered) - 1))] for q in (0.1, 0.5, 0.9))
    return low, middle, high


def _median_failure(episodes: Sequence[EpisodeSummary]) -> EpisodeSummary | None:
    """The middle one of the failed episodes; where success is not defined, of the worse half."""
    ordered = sorted(episodes, key=lambda e: e.fitness)
    failed = [e for e in ordered if e.success is False]
    if not failed and any(e.success is None for e in episodes):
        failed = ordered[: len(ordered) // 2]
    return failed[(len(failed) - 1) // 2] if failed else None


def _column_names(
    episodes: Sequence[EpisodeSummary], program: str | None, limit: int
) -> tuple[str, ...]:
    """The fields to show: those that the program reads, then those that change most."""
    names = [n for n in episodes[0].fields if all(n in e.fields for e in episodes)]
    used = parameter_names(program) if program else ()
    spread = {n: _relative_spread([v for e in episodes for v in e.fields[n]]) for n in names}
    return tuple(sorted(names, key=lambda n: (n not in used, -spread[n], n))[:limit])


def _relative_spread(values: list[float]) -> float:
    known = _known(values)
    biggest = max((abs(v) for v in known), default=0.0)
    return (max(known) - min(known)) / biggest if biggest else 0.0


def _table(episode: EpisodeSummary, title: str, names: tuple[str, ...]) -> EpisodeTable:
    count = min((len(episode.fields[n]) for n in names), default=0)
    last = max(episode.length - 1, 0)
    rows = tuple(
        (str(round(i * last / max(count - 1, 1))), *(number(episode.fields[n][i]) for n in names))
        for i in range(count)
    )
    head = f"{title} ({episode.outcome}, {episode.length} steps, fitness {number(episode.fitness)})"
    return EpisodeTable(head, ("step", *names), rows)


def _failed(text: str, group: list[Candidate], others: dict[str, Candidate]) -> Trial:
    ids = ", ".join(c.id for c in group[:3]) + (", ..." if len(group) > 3 else "")
    change = change_of(group[0], others) if len(group) == 1 else f"{len(group)} candidates"
    return Trial(ids, change, f"failed: {text}")


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return quoted(lines[0], 200) if lines else ""


def _said(text: str | None) -> str | None:
    return quoted(text, 1000) if text and text.strip() else None
