"""From a proposal to a program that meets the contract: ask, check, repair, criticise."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rewardsmith.agent import roles
from rewardsmith.agent.llm import Reply, Request, Role
from rewardsmith.envs.task import Task
from rewardsmith.errors import ModelError
from rewardsmith.prompts.constants import card_constants, spelled_out
from rewardsmith.runs.records import Candidate, Critique
from rewardsmith.sandbox.check import CheckReport
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import RewardProgram

Ask = Callable[[Request], Reply]
Check = Callable[[str], CheckReport]
Watch = Callable[..., None]


@dataclass(frozen=True)
class Workbench:
    """What developing needs: the task, a way to ask and to check, and how often to insist."""

    task: Task
    ask: Ask
    check: Check
    watch: Watch
    settings: Callable[[Role], roles.RoleSettings]
    repair_turns: int
    critic_rounds: int


@dataclass(frozen=True)
class Draft:
    """A program under development; ``failure`` says why it cannot be trained as it stands."""

    written: str | None  # as the model wrote it
    source: str | None  # as it runs, after mechanical rewrites
    failure: Failure | None
    mode: str = "batched"
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    critiques: tuple[Critique, ...] = ()
    templates: tuple[str, ...] = ()

    def record(self, candidate: str) -> dict[str, object]:
        """Returns the facts of the journal's ``designed`` event."""
        return {
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
    settings, sample = bench.settings("designer"), candidate.index
    bench.watch("asking", candidate=candidate.id, role="designer")
    answer = roles.design(
        bench.ask, bench.task, candidate.proposal, context, sample=sample, settings=settings
    )
    draft = _checked(bench, candidate.id, answer)
    for turn in range(bench.repair_turns):
        if draft.failure is None:
            break
        bench.watch("asking", candidate=candidate.id, role="repair")
        answer = roles.repair(
            bench.ask,
            bench.task,
            draft.written,
            draft.failure,
            sample=sample + 1000 * turn,  # never the same question twice
            settings=settings,
        )
        mended = _checked(bench, candidate.id, answer)
        draft = mended if mended.source or not draft.source else draft
    return _criticised(bench, candidate, draft, context)


def adopt(bench: Workbench, candidate: Candidate, program: str) -> Draft:
    """Returns a person's own program, checked like any other and never rewritten by a model."""
    return _judged(bench, candidate.id, program, ())


def _criticised(
    bench: Workbench, candidate: Candidate, draft: Draft, context: roles.Context
) -> Draft:
    critiques: list[Critique] = []
    for number in range(bench.critic_rounds):
        if draft.failure is not None or draft.source is None:
            break
        critique = _criticise(bench, candidate, draft.source, context, number)
        if critique is None:
            break
        critiques.append(critique)
        if critique.accept:
            break
        draft = _revised(bench, candidate, draft, critique)
    return replace(draft, critiques=tuple(critiques))


def _criticise(
    bench: Workbench, candidate: Candidate, source: str, context: roles.Context, number: int
) -> Critique | None:
    """Returns the critic's verdict, or None where two replies held none: then nobody accepted."""
    bench.watch("asking", candidate=candidate.id, role="critic")
    settings = bench.settings("critic")
    try:
        critique = roles.criticise(
            bench.ask, bench.task, source, context, round=number, settings=settings
        )
    except ModelError as error:
        if error.kind != "unparsable":
            raise
        return None
    bench.watch("critic", candidate=candidate.id, accept=critique.accept)
    return critique


def _revised(bench: Workbench, candidate: Candidate, draft: Draft, critique: Critique) -> Draft:
    """Returns the program after the critic's remarks, or the one before if that is broken."""
    bench.watch("asking", candidate=candidate.id, role="designer")
    answer = roles.revise(
        bench.ask,
        bench.task,
        draft.source or "",
        critique,
        sample=candidate.index,
        settings=bench.settings("designer"),
    )
    revised = _checked(bench, candidate.id, answer)
    return revised if revised.failure is None else draft


def _checked(bench: Workbench, candidate: str, answer: roles.DesignResult) -> Draft:
    if answer.source is None:
        failure = answer.failure or Failure(kind="no_code", text="the reply held no program")
        bench.watch("checked", candidate=candidate, ok=False, text=failure.text)
        return Draft(answer.attempt, None, failure, templates=answer.templates)
    source, named = spelled_out(answer.source, card_constants(bench.task.env))
    spelled = tuple(f"`{name}` is no field; its number was written instead" for name in named)
    draft = _judged(bench, candidate, source, answer.templates)
    return replace(draft, rewrites=(*answer.repairs, *spelled, *draft.rewrites))


def _judged(bench: Workbench, candidate: str, written: str, templates: tuple[str, ...]) -> Draft:
    report = bench.check(written)
    failure = report.failure
    ok = failure is None
    bench.watch("checked", candidate=candidate, ok=ok, text=failure.text if failure else "")
    return Draft(
        written=written,
        source=report.source if ok else written,
        failure=failure,
        mode=report.mode,
        rewrites=report.rewrites,
        notes=report.notes,
        templates=templates,
    )
