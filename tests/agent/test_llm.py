from dataclasses import FrozenInstanceError, fields

import pytest

from rewardsmith.agent.llm import LanguageModel, Message, Reply, Request, Usage
from rewardsmith.agent.scripted import ScriptedModel
from rewardsmith.errors import MODEL_ERROR_KINDS, ModelError, RewardsmithError


def test_what_is_not_told_is_unknown_and_never_zero() -> None:
    assert all(getattr(Usage(), field.name) is None for field in fields(Usage))
    assert Reply("x", "m").usage == Usage()


def test_a_reply_is_whole_unless_it_says_otherwise() -> None:
    reply = Reply("x", "m")
    assert (reply.finish, reply.attempts, reply.dropped_parameters) == ("stop", 1, ())


def test_a_question_sets_nothing_that_its_caller_did_not() -> None:
    request = Request("designer", ())
    assert (request.temperature, request.max_tokens, request.parameters) == (None, None, {})
    assert request.sample == 0


def test_questions_do_not_share_their_parameters() -> None:
    one, other = Request("designer", ()), Request("designer", ())
    assert one.parameters is not other.parameters


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (Message("user", "x"), "content"),
        (Request("critic", ()), "sample"),
        (Usage(), "cost_usd"),
        (Reply("x", "m"), "text"),
    ],
)
def test_what_was_said_cannot_be_changed_afterwards(record: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, "other")


def test_a_scripted_model_is_a_language_model() -> None:
    model: LanguageModel = ScriptedModel(["x"])
    assert model.ask(Request("designer", ())).model == model.name


@pytest.mark.parametrize("kind", MODEL_ERROR_KINDS)
def test_every_kind_of_model_error_ends_a_command_alike(kind: str) -> None:
    error = ModelError(kind, "why")  # type: ignore[arg-type]
    assert isinstance(error, RewardsmithError)
    assert (error.kind, str(error), error.exit_code) == (kind, "why", 4)
