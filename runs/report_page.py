"""The report's content, ready for its template: claims, rows and pictures, no layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from rewardsmith.runs.plots import curves_plot, interval_plot
from rewardsmith.runs.records import Candidate, Feedback, RunState
from rewardsmith.runs.report_curves import (
    arm_dots,
    component_names,
    component_panels,
    episode_panels,
    fitness_curves,
    search_results,
    typical_episode,
)
from rewardsmith.runs.report_facts import RunFacts
from rewardsmith.runs.report_multiples import Panel, generations_plot, panel_plot, series_class
from rewardsmith.runs.report_programs import CandidateView, candidate_views
from rewardsmith.runs.report_view import arm_rows, finding, status
from rewardsmith.runs.report_words import MISSING, count, dollars, duration, number


@dataclass(frozen=True)
class Banner:
    """A warning on top of the page; ``kind`` is "bad" or "note"."""

    kind: str
    head: str
    text: str


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    label: str
    style: str


@dataclass(frozen=True)
class PanelView:
    """One small plot with its legend."""

    title: str
    plot: Markup
    legend: tuple[Key, ...] = ()


def page_of(state: RunState, facts: RunFacts) -> dict[str, Any]:
    """Returns the template's variables, but the video's address."""
    candidates = candidate_views(state)
    return {
        **_header(state, facts, candidates),
        **_comparison(state, facts),
        **_search(state, facts),
        **_episode(state),
        "candidates": candidates,
        "best": next((c for c in candidates if c.best), None),
        "feedback": [_feedback(f) for f in state.feedback],
        **_costs(state, facts),
        **_again(state, facts),
    }


def _header(
    state: RunState, facts: RunFacts, candidates: Sequence[CandidateView]
) -> dict[str, Any]:
    return {
        "run": state.run,
        "title": facts.task.text if facts.task else state.task,
        "subtitle": _subtitle(state, facts),
        "started": facts.started,
        "banners": banners(state, facts),
        "finding": finding(state, facts),
        "tiles": _tiles(state, candidates),
        "unit": facts.unit,
        "fitness_meaning": facts.task.fitness_meaning if facts.task else "as the task defines it",
    }


def _subtitle(state: RunState, facts: RunFacts) -> str:
    if facts.task is None:
        return f"task {state.task}"
    task = facts.task
    solved = MISSING if task.solved_at is None else f"{number(task.solved_at)} {task.fitness_unit}"
    words = f"{task.env.id} · fitness: {task.fitness_meaning} [{task.fitness_unit}]"
    return words + (f" · solved at {solved}" if task.solved_at is not None else "")


def banners(state: RunState, facts: RunFacts) -> tuple[Banner, ...]:
    """Returns what a reader must know before any number: no confinement, unfinished, all failed."""
    found = []
    if facts.sandbox.lower() in ("none", "off"):
        text = (
            "Programs written by a language model ran with this user's rights. "
            "Judge the machine, and the numbers, accordingly."
        )
        found.append(Banner("bad", "Reward code was not confined (sandbox: none)", text))
    if state.candidates and all(status(c).bad for c in state.candidates):
        text = "There is nothing to compare; each failure stands in the table of candidates."
        found.append(Banner("bad", f"All {len(state.candidates)} candidates failed", text))
    if not state.finished:
        found.append(Banner("note", "This run is not finished", _unfinished(state, facts)))
    return tuple(found)


def _unfinished(state: RunState, facts: RunFacts) -> str:
    why = facts.stopped or ("it waits for a person's feedback" if state.awaiting else "")
    head = f"{why[0].upper()}{why[1:].rstrip('.')}. " if why else ""
    go_on = f"Go on with: rewardsmith resume {state.run}"
    return f"{head}What is here is what was known when it was written. {go_on}"


def _tiles(state: RunState, candidates: Sequence[CandidateView]) -> list[Mapping[str, str]]:
    spent, failed = state.spent, sum(c.status.bad for c in candidates)
    pairs = (
        (str(len(candidates)), f"candidates, {failed} refused or failed"),
        (count(len(state.generations)), "finished generations"),
        (count(spent.env_steps), "environment steps"),
        (count(spent.prompt_tokens + spent.completion_tokens), "tokens"),
        (dollars(spent.usd), "spent on models"),
        (duration(spent.wall_s), "wall time"),
    )
    return [{"value": value, "label": label} for value, label in pairs]


def _comparison(state: RunState, facts: RunFacts) -> dict[str, Any]:
    rows = arm_rows(state)
    return {
        "arms": rows,
        "arms_plot": interval_plot(arm_dots(state), x_label=facts.fitness_label),
        "arms_note": _arms_note(state) if rows else "The comparison has not been run.",
    }


def _arms_note(state: RunState) -> str:
    steps = {r.steps for arm in state.arms if arm.name != "random" for r in arm.reports}
    names = {arm.name for arm in state.arms}
    budget = (
        f"The same budget for each trained policy: {count(steps.pop())} steps, from scratch."
        if len(steps) == 1
        else "The budgets differ, see the column of steps: the arms are not comparable."
        if steps
        else "No policy has been trained for the comparison."
    )
    human = "" if "human" in names else " There is no human reward, or it was not trained."
    intervals = "Intervals are Student's t over seeds, 95\N{NO-BREAK SPACE}%."
    return f"{budget}{human} {intervals} “{MISSING}”: not measured."


def _search(state: RunState, facts: RunFacts) -> dict[str, Any]:
    curves, names = fitness_curves(state), component_names(state)
    styles = {c.style for c in curves}
    held_out = ", held-out seeds" if any(arm.name == "best" for arm in state.arms) else ""
    legend = (
        Key(f"best, {state.best}{held_out}", "best"),
        Key("candidates, selection seeds", "thin"),
        Key("human reward, held-out seeds", "human"),
    )
    label = facts.fitness_label
    return {
        "search_plot": generations_plot(search_results(state), y_label=label),
        "curves_plot": curves_plot(curves, x_label="environment steps", y_label=label),
        "curve_legend": [key for key in legend if key.style in styles],
        "panels": [_panel(panel, names) for panel in component_panels(state)],
    }


def _panel(panel: Panel, names: Sequence[str]) -> PanelView:
    legend = tuple(
        Key(name, series_class(names, name)) for name, line in panel.series.items() if line
    )
    return PanelView(panel.title, panel_plot(panel, names), legend)


def _episode(state: RunState) -> dict[str, Any]:
    episode = typical_episode(state)
    if episode is None:
        return {"episode": None, "episode_panels": ()}
    panels = [PanelView(p.title, panel_plot(p, tuple(p.series))) for p in episode_panels(episode)]
    facts = {
        "seed": episode.seed,
        "fitness": number(episode.fitness),
        "length": count(episode.length),
        "outcome": episode.outcome,
    }
    return {"episode": facts, "episode_panels": panels}


def _feedback(feedback: Feedback) -> dict[str, Any]:
    parts = (
        ("observed", feedback.observed),
        ("wanted", feedback.wanted),
        ("rating", None if feedback.rating is None else f"{feedback.rating} of 5"),
        ("preferred over", feedback.preferred_over),
        ("edited program", feedback.program),
    )
    return {
        "author": feedback.author,
        "candidate": feedback.candidate,
        "time": feedback.time,
        "parts": [(name, text) for name, text in parts if text],
    }


def _costs(state: RunState, facts: RunFacts) -> dict[str, Any]:
    spent = state.spent
    rows = [
        _ledger((r.role, r.model), (r.calls, r.prompt_tokens, r.completion_tokens), r.usd, r.wall_s)
        for r in facts.ledger
    ]
    sums = (spent.model_calls, spent.prompt_tokens, spent.completion_tokens)
    rows.append(_ledger(("all", ""), sums, spent.usd, None))
    return {"ledger": rows, "costs": [*_work(state), *_phases(facts)]}


def _ledger(
    who: tuple[str, str], counts: tuple[int, int, int], usd: float | None, wall_s: float | None
) -> dict[str, str]:
    calls, prompt, completion = (count(c) for c in counts)
    price, wall = dollars(usd), duration(wall_s)
    names = {"role": who[0], "model": who[1], "calls": calls}
    return {**names, "prompt": prompt, "completion": completion, "usd": price, "wall": wall}


def _work(state: RunState) -> list[tuple[str, str]]:
    reports = [r for c in state.candidates for r in (*c.reports, *c.rechecks)]
    reports += [r for arm in state.arms for r in arm.reports]
    calls, wall = sum(r.reward_calls for r in reports), sum(r.reward_wall_s for r in reports)
    return [
        ("environment steps", count(state.spent.env_steps)),
        ("units of training", count(len(reports))),
        ("training, wall time of all units", _sum_text([r.wall_s for r in reports])),
        ("training, processor time", _sum_text([r.cpu_s for r in reports])),
        ("reward calls", f"{count(calls)}, {duration(wall)} in all" if calls else MISSING),
        ("wall time of the run", duration(state.spent.wall_s)),
    ]


def _sum_text(seconds: Sequence[float]) -> str:
    return duration(sum(seconds)) if seconds else MISSING


def _phases(facts: RunFacts) -> list[tuple[str, str]]:
    return [(f"phase: {name}", duration(wall)) for name, wall in facts.phases.items()]


def _again(state: RunState, facts: RunFacts) -> dict[str, Any]:
    pairs: list[tuple[str, object]] = [
        ("run", state.run),
        ("task", state.task),
        ("trainer", facts.trainer),
        ("steps per training", count(facts.steps)),
        *((f"model, {role}", model) for role, model in facts.models.items()),
        *((f"seeds, {purpose}", _seeds(seeds)) for purpose, seeds in facts.seeds.items()),
        *((f"hyperparameter {name}", value) for name, value in facts.hyperparams.items()),
        ("sandbox", facts.sandbox),
        *facts.machine.items(),
        *((f"version of {name}", version) for name, version in _versions(state, facts).items()),
    ]
    return {
        "command": facts.command,
        "again": [
            (name, str(value) if value not in ("", None) else MISSING) for name, value in pairs
        ],
        "version": _versions(state, facts).get("rewardsmith", ""),
        "load_policy": facts.load_policy,
    }


def _seeds(seeds: Sequence[int]) -> str:
    whole = len(seeds) > 4 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} to {seeds[-1]}" if whole else ", ".join(str(s) for s in seeds)


def _versions(state: RunState, facts: RunFacts) -> Mapping[str, str]:
    trained: Sequence[Candidate] = [c for c in state.candidates if c.reports]
    found = dict(trained[0].reports[0].versions) if trained else {}
    return {**found, **facts.versions}
