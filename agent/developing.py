"""From a proposal to a program worth training: ask, check, probe, repair, criticise."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rewardsmith.agent import roles
from rewardsmith.agent.evidence.probes import refused
from rewardsmith.agent.llm import Reply, Request, Role
from rewardsmith.envs.task import Task
from rewardsmith.errors import ModelError
from rewardsmith.prompts.constants import card_constants, spelled_out
from rewardsmith.runs.records import Candidate, Critique, Evidence, Inspection
from rewardsmith.sandbox.check import CheckReport
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import RewardProgram
from rewardsmith.sandbox.shaping import Shaping

Ask = Callable[[Request], Reply]
Check = Callable[[str], CheckReport]
Inspect = Callable[[Candidate], Inspection]
Watch = Callable[..., None]


def uninspected(candidate: Candidate) -> Inspection:
    """Returns an empty ledger: no probe is asked."""
    return Inspection()


@dataclass(frozen=True)
class Workbench:
    """What developing needs: the task, ways to ask, check and probe, and how often to insist."""

    task: Task
    ask: Ask
    check: Check
    watch: Watch
    settings: Callable[[Role], roles.RoleSettings]
    repair_turns: int
    critic_rounds: int
    inspect: Inspect = uninspected


@dataclass(frozen=True)
class Draft:
    """A program under development; ``failure`` says why it cannot be trained as it stands.

    A sound one has ``evidence`` where it was probed; its record of the run is kept elsewhere.
    """

    written: str | None  # as the model wrote it
    source: str | None  # as it runs, after mechanical rewrites
    failure: Failure | None
    mode: str = "batched"
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    critiques: tuple[Critique, ...] = ()
    templates: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    shaping: Shaping | None = None

    @property
    def worth(self) -> int:
        """How far it came: 0 no program, 1 a broken one, 2 one that a probe refused, 3 a good one.

        What is refused is worth a repair turn like what is broken.
        """
        if self.failure is not None or self.source is None:
            return int(self.source is not None)
        return 2 if refused(self.evidence) else 3

    def record(self, candidate: str) -> dict[str, object]:
        """Returns the facts of the journal's ``designed`` event."""
        shaped = {} if self.shaping is None else {"shaping": self.shaping.model_dump(mode="json")}
        return shaped | {
            "candidate": candidate,
            "program": self.source,
            "written": self.written if self.written != self.source else None,
            "program_id": RewardProgram(self.source).id if self.source else None,
            "mode": self.mode,
            "rewrites": list(self.rewrites),
            "notes": list(self.notes),
            "failure": self.failure.model_dump(mode="json") if self.failure else None,
            "critiques": [item.model_dump(mode="json") for item in self.critiques],
            "templates": list(self.templates),
        }


def develop(bench: Workbench, candidate: Candidate, context: roles.Context) -> Draft:
    """Returns the program for one proposal, or the failure that repair turns could not mend.

    Raises:
        ModelError: the model could not be asked (no answer is not an answer).
    """
    bench.watch("asking", candidate=candidate.id, role="designer")
    answer = roles.design(
        bench.ask,
        bench.task,
        candidate.proposal,
        context,
        sample=candidate.index,
        settings=bench.settings("designer"),
    )
    draft = _checked(bench, candidate, answer)
    for turn in range(bench.repair_turns):
        if draft.worth == 3:
            break
        mended = _repaired(bench, candidate, draft, turn)
        draft = mended if mended.worth >= draft.worth else draft
    return _criticised(bench, candidate, draft, context)


def _repaired(bench: Workbench, candidate: Candidate, draft: Draft, turn: int) -> Draft:
    """Returns what comes back when the designer is shown what is wrong with a draft."""
    bench.watch("asking", candidate=candidate.id, role="repair")
    answer = roles.repair(
        bench.ask,
        bench.task,
        draft.written,
        draft.failure or draft.evidence,
        sample=candidate.index + 1000 * turn,  # never the same question twice
        settings=bench.settings("designer"),
    )
    return _checked(bench, candidate, answer)


def adopt(bench: Workbench, candidate: Candidate, program: str) -> Draft:
    """Returns a person's own program, checked like any other and never rewritten by a model."""
    return _judged(bench, candidate, program, ())


def _criticised(
    bench: Workbench, candidate: Candidate, draft: Draft, context: roles.Context
) -> Draft:
    critiques: list[Critique] = []
    for number in range(bench.critic_rounds):
        if draft.worth < 3:
            break
        critique = _criticise(bench, candidate, draft, context, number)
        if critique is None:
            break
        critiques.append(critique)
        if critique.accept:
            break
        draft = _revised(bench, candidate, draft, critique)
    return replace(draft, critiques=tuple(critiques))


def _criticise(
    bench: Workbench, candidate: Candidate, draft: Draft, context: roles.Context, number: int
) -> Critique | None:
    """Returns the critic's verdict, or None where two replies held none: then nobody accepted."""
    bench.watch("asking", candidate=candidate.id, role="critic")
    try:
        critique = roles.criticise(
            bench.ask,
            bench.task,
            draft.source or "",
            replace(context, evidence=draft.evidence),
            round=number,
            settings=bench.settings("critic"),
        )
    except ModelError as error:
        if error.kind != "unparsable":
            raise
        return None
    bench.watch("critic", candidate=candidate.id, accept=critique.accept)
    return critique


def _revised(bench: Workbench, candidate: Candidate, draft: Draft, critique: Critique) -> Draft:
    """Returns the program after the critic's remarks, or the one before if it is no longer good."""
    bench.watch("asking", candidate=candidate.id, role="designer")
    answer = roles.revise(
        bench.ask,
        bench.task,
        draft.source or "",
        critique,
        sample=candidate.index,
        settings=bench.settings("designer"),
    )
    revised = _checked(bench, candidate, answer)
    return revised if revised.worth == 3 else draft


def _checked(bench: Workbench, candidate: Candidate, answer: roles.DesignResult) -> Draft:
    if answer.source is None:
        failure = answer.failure or Failure(kind="no_code", text="the reply held no program")
        bench.watch("checked", candidate=candidate.id, ok=False, text=failure.text)
        return Draft(answer.attempt, None, failure, templates=answer.templates)
    source, named = spelled_out(answer.source, card_constants(bench.task.env))
    spelled = tuple(f"`{name}` is no field; its number was written instead" for name in named)
    draft = _judged(bench, candidate, source, answer.templates)
    return replace(draft, rewrites=(*answer.repairs, *spelled, *draft.rewrites))


def _judged(
    bench: Workbench, candidate: Candidate, written: str, templates: tuple[str, ...]
) -> Draft:
    report = bench.check(written)
    sound = report.failure is None
    drafted = {"program": report.source, "mode": report.mode, "shaping": report.shaping}
    found = bench.inspect(candidate.model_copy(update=drafted)) if sound else Inspection()
    failure = report.failure or found.failure
    text = failure.text if failure else ""
    bench.watch("checked", candidate=candidate.id, ok=failure is None, text=text)
    if found.evidence:
        bench.watch("inspected", candidate=candidate.id, evidence=found.evidence)
    return Draft(
        written=written,
        source=report.source if sound else written,
        failure=failure,
        mode=report.mode,
        rewrites=report.rewrites,
        notes=report.notes,
        templates=templates,
        evidence=found.evidence,
        shaping=report.shaping,
    )
