"""What a user takes away from a run: the best reward, its policy, a video and the report."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rewardsmith.agent.accounts import ledger_lines, model_names
from rewardsmith.agent.choices import recipe_of
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.search import find
from rewardsmith.agent.seeds import Group, eval_seeds, training_seed
from rewardsmith.errors import SandboxUnavailable
from rewardsmith.runs.records import RunState
from rewardsmith.runs.report_facts import LedgerRow, RunFacts
from rewardsmith.runs.store import RunStore

View = Callable[..., None]


def finish(store: RunStore, config: RunConfig, view: View, *, stopped: str = "") -> Path:
    """Exports the best candidate, records its video once, writes the report; returns its path."""
    from rewardsmith.runs.report import write_report

    state = store.state()
    load_lines = _export(store, state)
    video, note = _video(store, config, state, view)
    facts = facts_of(store, config, state, video=video, video_note=note, load_policy=load_lines)
    return write_report(store.path, state, facts=facts, stopped=stopped)


def best_job(store: RunStore, state: RunState) -> Path | None:
    """Returns the job folder whose policy is handed out: the held-out training with median fitness.

    The median rather than the maximum, so that the policy is as good as the report says.
    """
    arms = [arm.reports for arm in state.arms if arm.name == "best"]
    best = find(state, state.best)
    reports = [*(arms[0] if arms else ()), *((best.rechecks + best.reports) if best else ())]
    judged = sorted((r for r in reports if r.fitness is not None), key=lambda r: r.fitness or 0.0)
    if arms and judged:
        units = {report.unit for report in arms[0]}
        judged = [report for report in judged if report.unit in units] or judged
    return store.job_path(judged[len(judged) // 2].unit) if judged else None


def facts_of(
    store: RunStore,
    config: RunConfig,
    state: RunState,
    **more: Any,
) -> RunFacts:
    """Returns what the report tells beside the state."""
    head, events = store.head(), store.journal.read()
    recipe = recipe_of(store.task(), config)
    return RunFacts(
        task=store.task(),
        command=" ".join(_quoted(head.get("command", []))),
        started=events[0].at if events else "",
        models={"all": ", ".join(model_names(store))} if model_names(store) else {},
        trainer=recipe.trainer,
        hyperparams=recipe.hyperparams,
        steps=recipe.steps,
        seeds=_seeds(config),
        versions=head.get("versions", {}),
        machine={key: str(value) for key, value in head.get("machine", {}).items()},
        sandbox=sandbox_used(config),
        phases=_phases(state),
        ledger=tuple(
            LedgerRow(
                role=line.role,
                model=line.model,
                calls=line.calls,
                prompt_tokens=line.prompt_tokens,
                completion_tokens=line.completion_tokens,
                usd=line.cost_usd,
                wall_s=line.wall_s,
            )
            for line in ledger_lines(store)
        ),
        **more,
    )


def _seeds(config: RunConfig) -> dict[str, tuple[int, ...]]:
    counts: dict[Group, int] = {
        "select": config.seeds,
        "recheck": config.recheck_seeds,
        "final": config.final_seeds,
    }
    seeds: dict[str, tuple[int, ...]] = {}
    for group, count in counts.items():
        training = tuple(training_seed(config.seed, group, index) for index in range(count))
        seeds[f"training ({group})"] = training
        seeds[f"judging ({group})"] = eval_seeds(config.seed, group, config.eval_episodes)
    return seeds


def sandbox_used(config: RunConfig) -> str:
    """Returns the name of the backend that ``--sandbox`` stands for on this machine."""
    from rewardsmith.sandbox.backends import resolve

    try:
        return resolve(config.confinement).name
    except SandboxUnavailable:  # a run that is only looked at, on another machine
        return config.sandbox


def _phases(state: RunState) -> Mapping[str, float]:
    reports = [r for item in state.candidates for r in (*item.reports, *item.rechecks)]
    final = [r for arm in state.arms for r in arm.reports]
    return {
        "whole run": state.spent.wall_s,
        "search trainings (sum over cores)": sum(report.wall_s for report in reports),
        "final comparison (sum over cores)": sum(report.wall_s for report in final),
    }


def _export(store: RunStore, state: RunState) -> str:
    best, job = find(state, state.best), best_job(store, state)
    if best is None or best.failure is not None or job is None or not job.exists():
        return ""
    from rewardsmith.runs.export import export_best

    return export_best(store.path, state, best, store.task(), job).load_lines


def _video(
    store: RunStore, config: RunConfig, state: RunState, view: View
) -> tuple[Path | None, str]:
    if not state.finished:  # what is best now may not be in the end
        return None, "one is recorded when the run has finished."
    target, job = store.best_path / "policy.mp4", best_job(store, state)
    if target.exists():
        return target.relative_to(store.path), ""
    if not config.video or job is None or not job.exists():
        return None, "none was asked for." if not config.video else "no policy was trained."
    from rewardsmith.runs.video import record_policy

    view("rendering", path=target)
    seed = eval_seeds(config.seed, "final", 1)[0]
    made = record_policy(store.task(), job, target, seed=seed)
    return (target.relative_to(store.path), "") if made.path else (None, made.reason)


def _quoted(words: list[str]) -> list[str]:
    import shlex

    shown = ["rewardsmith", *words[1:]] if words else []
    return [shlex.quote(word) for word in shown]
