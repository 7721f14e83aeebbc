"""From a run's events to its state. Independent of the order in which parallel work ended."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from rewardsmith.errors import StoreError
from rewardsmith.runs.journal import Event
from rewardsmith.runs.records import (
    Arm,
    Candidate,
    Critique,
    Evidence,
    Feedback,
    Generation,
    Inspection,
    Proposal,
    RunState,
    Spent,
    TrainingReport,
)
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.shaping import Shaping

ARM_NAMES = ("best", "human", "random")
# What was inspected, where it was not one program alone, by its id.
BESIDE, TRAINING = "beside", "training"


@dataclass
class _Draft:
    """A state in the making; only ``fold`` sees it."""

    candidates: dict[str, dict[str, Any]] = field(default_factory=dict)
    inspections: dict[tuple[str, str], Inspection] = field(default_factory=dict)
    reports: dict[str, dict[str, TrainingReport]] = field(default_factory=dict)
    arm_candidates: dict[str, str | None] = field(default_factory=dict)
    generations: dict[int, Generation] = field(default_factory=dict)
    feedback: dict[str, Feedback] = field(default_factory=dict)
    calls: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    wall_s: float = 0.0
    awaiting: bool = False
    finished: bool = False


def fold(run: str, task: str, events: Iterable[Event]) -> RunState:
    """Returns the state that ``events`` lead to; kinds that this version does not know are skipped.

    Raises:
        StoreError: an event of a known kind lacks what it must hold.
    """
    draft = _Draft()
    for number, event in enumerate(events, 1):
        step = _STEPS.get(event.kind)
        if step is None:
            continue
        try:
            step(draft, event.data)
        except (KeyError, TypeError, ValidationError) as error:
            message = f"journal line {number}: bad {event.kind!r} event ({error})"
            raise StoreError(message) from error
    return _state(run, task, draft)


def _proposed(draft: _Draft, data: Mapping[str, Any]) -> None:
    for index, item in enumerate(data["proposals"]):
        draft.candidates[item["candidate"]] = {
            "id": item["candidate"],
            "generation": data["generation"],
            "index": index,
            "proposal": Proposal.model_validate(item["proposal"]),
            "told": tuple(data.get("feedback", ())),
            "critiques": (),
            "evidence": (),
        }


def _designed(draft: _Draft, data: Mapping[str, Any]) -> None:
    failure, shaping = data.get("failure"), data.get("shaping")
    draft.candidates[data["candidate"]] |= {
        "program": data.get("program"),
        "program_id": data.get("program_id"),
        "mode": data.get("mode", "batched"),
        "rewrites": tuple(data.get("rewrites", ())),
        "notes": tuple(data.get("notes", ())),
        "failure": Failure.model_validate(failure) if failure else None,
        "shaping": Shaping.model_validate(shaping) if shaping else None,
        "critiques": tuple(Critique.model_validate(item) for item in data.get("critiques", ())),
    }


def _evidence(draft: _Draft, data: Mapping[str, Any]) -> None:
    candidate = draft.candidates[data["candidate"]]
    candidate["evidence"] = (*candidate["evidence"], Evidence.model_validate(data["evidence"]))


def _inspected(draft: _Draft, data: Mapping[str, Any]) -> None:
    found = Inspection.model_validate(data["inspection"])
    draft.inspections[data["candidate"], data["subject"]] = found


def _trained(draft: _Draft, data: Mapping[str, Any]) -> None:
    report = TrainingReport.model_validate(data["report"])
    draft.reports.setdefault(data["group"], {})[report.unit] = report
    if "arm_candidate" in data:
        draft.arm_candidates[data["group"]] = data["arm_candidate"]


def _analysed(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.candidates[data["candidate"]]["analysis"] = data["text"]


def _generation_done(draft: _Draft, data: Mapping[str, Any]) -> None:
    generation = Generation.model_validate(data["generation"])
    draft.generations[generation.number] = generation


def _feedback(draft: _Draft, data: Mapping[str, Any]) -> None:
    feedback = Feedback.model_validate(data["feedback"])
    draft.feedback[feedback.id] = feedback


def _asked(draft: _Draft, data: Mapping[str, Any]) -> None:
    if data["usage"] is not None:  # a call that failed brought none
        draft.calls[data["hash"]] = data["usage"]


def _paused(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.awaiting = True


def _resumed(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.awaiting = False


def _worked(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.wall_s += data["wall_s"]


def _finished(draft: _Draft, data: Mapping[str, Any]) -> None:
    draft.finished = True


_STEPS: dict[str, Callable[[_Draft, Mapping[str, Any]], None]] = {
    "proposed": _proposed,
    "designed": _designed,
    "evidence": _evidence,
    "inspected": _inspected,
    "trained": _trained,
    "analysed": _analysed,
    "generation_done": _generation_done,
    "feedback": _feedback,
    "asked": _asked,
    "paused": _paused,
    "resumed": _resumed,
    "worked": _worked,
    "finished": _finished,
}


def _state(run: str, task: str, draft: _Draft) -> RunState:
    generations = tuple(draft.generations[number] for number in sorted(draft.generations))
    return RunState(
        run=run,
        task=task,
        candidates=tuple(
            _candidate(draft, value) for value in sorted(draft.candidates.values(), key=_position)
        ),
        generations=generations,
        feedback=tuple(draft.feedback.values()),
        arms=tuple(
            Arm(
                name=name,
                candidate=draft.arm_candidates.get(f"final.{name}"),
                reports=_reports(draft, f"final.{name}"),
            )
            for name in ARM_NAMES
            if f"final.{name}" in draft.reports
        ),
        spent=_spent(draft),
        best=generations[-1].best if generations else None,
        awaiting=draft.awaiting,
        finished=draft.finished,
    )


def _position(value: Mapping[str, Any]) -> tuple[int, int]:
    return value["generation"], value["index"]


def _candidate(draft: _Draft, value: Mapping[str, Any]) -> Candidate:
    reports = _reports(draft, f"select.{value['id']}")
    rechecks = _reports(draft, f"recheck.{value['id']}")
    compared = draft.arm_candidates.get("final.best") == value["id"]
    final = _reports(draft, "final.best") if compared else ()
    rungs = _reports(draft, f"rung.{value['id']}")
    value = {**value, "evidence": _all_evidence(draft, value)}
    found = _impurity((*rungs, *reports, *rechecks, *final))
    if found is not None:
        value = {**value, "failure": found}
    return Candidate(**value, reports=reports, rechecks=rechecks, rungs=rungs)


def _all_evidence(draft: _Draft, value: Mapping[str, Any]) -> tuple[Evidence, ...]:
    """What was found of the program as designed, beside others, in the loop, and after training.

    Drafts that were mended before are on record as well; theirs is no evidence about this one.
    """
    alone, beside, after = (
        draft.inspections.get((value["id"], subject), Inspection()).evidence
        for subject in (value.get("program_id") or "", BESIDE, TRAINING)
    )
    return (*alone, *beside, *value["evidence"], *after)


def _impurity(reports: Iterable[TrainingReport]) -> Failure | None:
    """What is impure in one training is so in all: it is a failure of the program itself."""
    failures = [report.failure for report in reports if report.failure is not None]
    return next((failure for failure in failures if failure.kind == "impure"), None)


def _reports(draft: _Draft, group: str) -> tuple[TrainingReport, ...]:
    return tuple(sorted(draft.reports.get(group, {}).values(), key=lambda report: report.seed))


def _spent(draft: _Draft) -> Spent:
    calls = draft.calls.values()
    costs = [usage.get("cost_usd") for usage in calls]
    trained = [report for group in draft.reports.values() for report in group.values()]
    return Spent(
        model_calls=len(draft.calls),
        prompt_tokens=sum(usage.get("prompt_tokens") or 0 for usage in calls),
        completion_tokens=sum(usage.get("completion_tokens") or 0 for usage in calls),
        usd=None if any(cost is None for cost in costs) else sum(c for c in costs if c),
        env_steps=sum(report.steps - report.earlier_steps for report in trained),
        wall_s=draft.wall_s,
    )
