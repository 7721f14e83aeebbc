"""Talks of more than one turn: questions before an analysis, and a second try at a reply."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from rewardsmith.agent.llm import Message, Reply, Request
from rewardsmith.agent.role_settings import RoleSettings
from rewardsmith.prompts.questions import Asked, questions_in
from rewardsmith.prompts.render import render
from rewardsmith.prompts.replies import ReplyFormatError

Ask = Callable[[Request], Reply]
Answer = Callable[[Asked], str]
Parsed = TypeVar("Parsed")
MOST_ROUNDS = 4  # a model that asks one question at a time is not waited for any longer


@dataclass(frozen=True)
class _Told:
    question: str
    answer: str


def interviewed(
    ask: Ask, request: Request, answer: Answer, settings: RoleSettings
) -> tuple[Request, Reply]:
    """Returns the last request of a talk and the reply to it: the first that asks nothing.

    Every turn is a call of its own, on record like any other; a replay is asked the same and told
    the same. After the last question, or four rounds, the reply is returned whatever it is.

    Args:
        ask: puts a request.
        request: the analyzer's.
        answer: answers one question; to a bad one it says what is wanted.
        settings: ``questions`` says how many may be asked.

    Raises:
        ModelError: the model gave no reply.
    """
    left, reply = settings.questions, ask(request)
    for turn in range(1, MOST_ROUNDS + 1):
        asked = _questions(reply)[:left]
        if not asked:
            break
        left = left - len(asked) if turn < MOST_ROUNDS else 0
        request = _told(request, asked, answer, left, settings)
        reply = ask(request)
    return request, reply


def insisted(
    ask: Ask,
    request: Request,
    read: Callable[[Reply], Parsed],
    keys: str,
    settings: RoleSettings,
    *,
    first: Reply | None = None,
) -> Parsed:
    """Returns what ``read`` makes of the reply; one that it refuses is asked for once more.

    Args:
        ask: puts a request.
        request: whose reply is wanted.
        read: raises ReplyFormatError on a reply that cannot be used.
        keys: of the answer, in words for the second request.
        settings: where the templates are.
        first: the reply to ``request`` where it is there already.

    Raises:
        ReplyFormatError: (a ModelError, "unparsable") neither reply can be used.
        ModelError: the model gave no reply.
    """
    try:
        return read(first or ask(request))
    except ReplyFormatError as error:
        again = render("reask", prompts_dir=settings.prompts_dir, problem=str(error), keys=keys)
    *before, last = request.messages
    messages = (*before, Message("user", f"{last.content}\n{again.text}"))
    return read(ask(replace(request, messages=messages)))


def _told(
    request: Request, asked: tuple[Asked, ...], answer: Answer, left: int, settings: RoleSettings
) -> Request:
    told = [_Told(item.text, answer(item)) for item in asked]
    turn = render("answers", prompts_dir=settings.prompts_dir, told=told, left=left)
    # What was asked, in one spelling: whatever else stood in the reply is not kept alive.
    said = "```json\n[" + ",\n".join(item.text for item in asked) + "]\n```"
    talk = (*request.messages, Message("assistant", said), Message("user", turn.text))
    return replace(request, messages=talk)


def _questions(reply: Reply) -> tuple[Asked, ...]:
    try:
        return questions_in(reply.text)
    except ReplyFormatError:
        return ()  # whoever reads the reply says what is wrong with it
