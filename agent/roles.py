"""Designer, critic and analyzer: each renders a prompt, asks, and reads the reply. No state."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from rewardsmith.agent.interview import Answer, insisted, interviewed
from rewardsmith.agent.llm import Message, Reply, Request, Role
from rewardsmith.agent.role_settings import DEFAULT, RoleSettings, settings_for
from rewardsmith.envs.task import Task
from rewardsmith.prompts import facts
from rewardsmith.prompts.cards import card_of
from rewardsmith.prompts.dissection import dissected
from rewardsmith.prompts.faults import fault
from rewardsmith.prompts.ledger import Ledger, ledger
from rewardsmith.prompts.questions import interview_about
from rewardsmith.prompts.render import Rendered, render
from rewardsmith.prompts.replies import (
    Analysis,
    extract_program,
    has_substance,
    parse_analysis,
    parse_critique,
)
from rewardsmith.prompts.signature import card_names, completed
from rewardsmith.prompts.worked_examples import nearest, shown
from rewardsmith.runs.records import Candidate, Critique, Evidence, Feedback, Proposal
from rewardsmith.sandbox.failure import Failure

__all__ = [
    "Ask",
    "Context",
    "DesignResult",
    "RoleSettings",
    "Unexplained",
    "analyse",
    "criticise",
    "design",
    "repair",
    "revise",
    "settings_for",
]

Ask = Callable[[Request], Reply]
_Turn = tuple[Literal["user", "assistant"], Rendered]


@dataclass(frozen=True)
class Context:
    """What the models are told of the run so far.

    ``nearest`` is the candidate that came farthest, where none has trained; ``evidence`` is about
    the program to be judged.
    """

    best: Candidate | None = None
    parents: tuple[Candidate, ...] = ()
    history: tuple[Candidate, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    nearest: Candidate | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class DesignResult:
    """One answer of the designer: a program, or the ``failure`` to repair; with what was said.

    ``attempt`` is the code that did not parse, or the program. ``templates`` are
    ``name:hash`` of the templates used. ``repairs`` says what extraction put to rights.
    """

    source: str | None
    cause: str | None
    failure: Failure | None
    attempt: str | None
    messages: tuple[Message, ...]
    templates: tuple[str, ...]
    reply: Reply
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unexplained:
    """Why there is no analysis: nobody was asked to explain what nobody saw."""

    why: str


@dataclass(frozen=True)
class _Prompt:
    messages: tuple[Message, ...]
    templates: tuple[str, ...]
    names: frozenset[str]  # that a program may take


def design(
    ask: Ask,
    task: Task,
    proposal: Proposal,
    context: Context,
    *,
    sample: int = 0,
    settings: RoleSettings = DEFAULT,
) -> DesignResult:
    """Asks for a program: fresh, an improvement of one candidate, or a combination of several.

    Equal proposals of a generation differ by ``sample`` alone: its temperature and one line at the
    prompt's end. An improvement without a parent in ``context`` improves the best so far, or is a
    fresh draft while there is none.

    Raises:
        ModelError: the model gave no reply.
    """
    parents = tuple(c for c in context.parents if c.program)
    if not parents and proposal.kind != "fresh" and context.best and context.best.program:
        parents = (context.best,)
    nearest = None if parents else context.nearest
    known = {c.id for c in (*parents, nearest) if c}
    others = [c for c in context.history if c.id not in known]
    values: dict[str, object] = {
        "history": facts.history(others, limit=settings.history),
        "wishes": facts.wishes(context.feedback),
        "hint": settings.hint(sample, improving=bool(parents)),
    }
    if proposal.kind == "fresh" or not parents:
        name = "designer_fresh"
        values["nearest"] = _shown(nearest) if nearest else None
        values["ledger"] = ledger(nearest.evidence) if nearest else None
    elif len(parents) > 1:
        name = "designer_combine"
        values["parents"] = [_shown(c) for c in parents]
    else:
        name = "designer_improve"
        values |= _evidence(parents[0], tables=2)
    prompt = _prompt(task, "designer", name, values, settings)
    temperature = settings.temperature(sample)
    return _designed(ask, prompt, sample=sample, temperature=temperature, settings=settings)


def repair(
    ask: Ask,
    task: Task,
    program: str | None,
    wrong: Failure | tuple[Evidence, ...],
    *,
    sample: int = 0,
    settings: RoleSettings = DEFAULT,
) -> DesignResult:
    """Asks for a corrected program, given the broken one and its true error; no transcript.

    Args:
        ask: puts the question.
        task: what the program is for.
        program: as its author wrote it, or None where the answer held none.
        wrong: its error, whose ``line`` counts in ``program``, or a ledger with a refusal.
        sample: tells apart equal questions.
        settings: how to ask.

    Raises:
        ModelError: the model gave no reply.
    """
    told = () if isinstance(wrong, Failure) else wrong
    values: dict[str, object] = {"program": program, "failure": fault(program, wrong)}
    values["ledger"] = ledger(item for item in told if item.verdict != "fail")
    prompt = _prompt(task, "designer", "designer_repair", values, settings)
    temperature = settings.repair_temperature
    return _designed(ask, prompt, sample=sample, temperature=temperature, settings=settings)


def revise(
    ask: Ask,
    task: Task,
    program: str,
    critique: Critique,
    *,
    sample: int = 0,
    settings: RoleSettings = DEFAULT,
) -> DesignResult:
    """Asks for a program that heeds the critic's remarks.

    Raises:
        ModelError: the model gave no reply.
    """
    values: dict[str, object] = {"program": program, "remarks": critique.remarks}
    prompt = _prompt(task, "designer", "designer_revise", values, settings)
    temperature = settings.repair_temperature
    return _designed(ask, prompt, sample=sample, temperature=temperature, settings=settings)


def criticise(
    ask: Ask,
    task: Task,
    program: str,
    context: Context,
    *,
    round: int = 0,
    settings: RoleSettings = DEFAULT,
) -> Critique:
    """Asks for the critic's verdict on a program that passed its checks; asks twice at most.

    A program that computes nothing is refused without asking.

    Raises:
        ReplyFormatError: (a ModelError, "unparsable") two replies without a usable verdict.
        ModelError: the model gave no reply.
    """
    if not has_substance(program):
        return Critique(accept=False, remarks="The program computes nothing.", round=round)
    values: dict[str, object] = {
        "program": program,
        "ledger": _measured(context.evidence, settings),
    }
    values["wishes"] = facts.wishes(context.feedback)
    prompt = _prompt(task, "critic", "critic", values, settings)

    def read(reply: Reply) -> Critique:
        return parse_critique(reply.text, program=program, finish=reply.finish, round=round)

    request = _request("critic", prompt, settings, sample=round)
    return insisted(ask, request, read, '"analysis", "verdict", "remarks"', settings)


def analyse(
    ask: Ask,
    task: Task,
    candidate: Candidate,
    context: Context,
    *,
    answer: Answer | None = None,
    settings: RoleSettings = DEFAULT,
) -> str | Unexplained:
    """Asks why training under a candidate went as it did; lines of causes and advice.

    Without a single judged episode no model is asked: it would make something up. With ``answer``,
    which looks at the stored episodes, the analyzer may ask before it explains.

    Raises:
        ReplyFormatError: (a ModelError, "unparsable") two replies without a usable analysis.
        ModelError: the model gave no reply.
    """
    report = facts.representative(candidate)
    if report is None or not any(episode.length for episode in report.episodes):
        return Unexplained(f"{candidate.id} has no judged episode that could be explained")
    others = [c for c in context.history if c.id != candidate.id]
    about = interview_about(candidate.evidence, settings.questions) if answer else None
    values = _evidence(candidate, tables=settings.tables) | {
        "ledger": _measured(candidate.evidence, settings),
        "history": facts.history(others, limit=settings.history),
        "wishes": facts.wishes(context.feedback),
        "interview": about,
    }
    prompt = _prompt(task, "analyzer", "analyzer", values, settings)

    def read(reply: Reply) -> Analysis:
        return parse_analysis(reply.text, finish=reply.finish)

    request, first = _request("analyzer", prompt, settings), None
    if answer is not None and about is not None:
        request, first = interviewed(ask, request, answer, settings)
    return insisted(ask, request, read, '"causes", "advice"', settings, first=first).text


@dataclass(frozen=True)
class _Parent:
    id: str
    program: str
    result: str
    analysis: str | None


def _prompt(
    task: Task, who: Role, name: str, values: dict[str, object], settings: RoleSettings
) -> _Prompt:
    """System and user message, what is equal throughout a run first, for prompt caches."""
    folder = settings.prompts_dir
    system = render(f"{who}_system", prompts_dir=folder, **settings.told)
    turns = _worked(task, settings) if who == "designer" else ()
    user = render(name, prompts_dir=folder, card=card_of(task.env), task=task, **values)
    told = (Message("system", system.text), *(Message(role, item.text) for role, item in turns))
    return _Prompt(
        (*told, Message("user", user.text)),
        _names((system, *(item for _, item in turns[:2]), user)),
        card_names(task.env),
    )


def _worked(task: Task, settings: RoleSettings) -> tuple[_Turn, ...]:
    """Worked examples as turns of the conversation, the nearest last: weak models follow the form.

    Text2Reward (Xie et al. 2024) shows the nearest instruction and code pairs in the prompt.
    """
    turns: list[_Turn] = []
    for example in reversed(
        nearest(task.text, task.env.id, settings.examples, memory=not settings.compact)
    ):
        given, folder = shown(example), settings.prompts_dir
        turns.append(("user", render("example_task", prompts_dir=folder, example=given)))
        turns.append(("assistant", render("example_answer", prompts_dir=folder, example=given)))
    return tuple(turns)


def _names(rendered: Iterable[Rendered]) -> tuple[str, ...]:
    return tuple(f"{item.template}:{item.template_hash}" for item in rendered)


def _request(
    role: Literal["critic", "analyzer"], prompt: _Prompt, settings: RoleSettings, *, sample: int = 0
) -> Request:
    return Request(
        role,
        prompt.messages,
        sample=sample,
        temperature=settings.verdict_temperature,
        max_tokens=settings.verdict_tokens,
    )


def _designed(
    ask: Ask, prompt: _Prompt, *, sample: int, temperature: float | None, settings: RoleSettings
) -> DesignResult:
    request = Request(
        "designer",
        prompt.messages,
        sample=sample,
        temperature=temperature,
        max_tokens=settings.designer_tokens,
    )
    reply = ask(request)
    found = extract_program(reply.text)
    source, added = completed(found.source, prompt.names) if found.source else (None, ())
    cause, failure = None, None
    if found.cause is not None:
        cut = reply.finish == "length" and found.cause in {"syntax", "no_code"}
        cause = "the answer was cut off; write a shorter program" if cut else found.detail
        failure = Failure(kind="no_code", text=cause, line=found.line)
    return DesignResult(
        source=source,
        cause=cause,
        failure=failure,
        attempt=source or (found.attempt if found.cause in {"syntax", "truncated"} else None),
        messages=prompt.messages,
        templates=prompt.templates,
        reply=reply,
        repairs=(*found.repairs, *(f"took `{name}` as a parameter" for name in added)),
    )


def _evidence(candidate: Candidate, tables: int) -> dict[str, object]:
    """What a prompt shows of a trained candidate, with so many tables of episodes at most."""
    report = facts.representative(candidate)
    return {
        "parent": _shown(candidate),
        "ledger": ledger(candidate.evidence),
        "statistics": facts.statistics(report) if report else None,
        "trajectories": dissected(candidate, tables=tables),
    }


def _measured(evidence: tuple[Evidence, ...], settings: RoleSettings) -> Ledger | None:
    """The ledger for those who judge: in all its words, but for a small model."""
    return ledger(evidence, whole=not settings.compact)


def _shown(candidate: Candidate) -> _Parent:
    result = facts.result_of(candidate)
    return _Parent(candidate.id, candidate.program or "", result, candidate.analysis)
