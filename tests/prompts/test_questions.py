import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.prompts.questions import Condition, condition_in, questions_in
from rewardsmith.prompts.replies import ReplyFormatError

STAT = {"ask": "stat", "of": "height", "statistic": "min", "group": "failed", "steps": [0, 50]}
WINDOW = {"ask": "window", "of": ["height", "reward.alive"], "episode": 2, "steps": [-10, -1]}
COUNT = {"ask": "count", "where": "height < 0.5"}
COMPARE = {"ask": "compare", "of": "height", "group": "failed", "with": "best"}


def problem(**changes: Any) -> str:
    (asked,) = questions_in(json.dumps([STAT | changes]))
    assert asked.question is None
    return asked.problem


def test_all_four_forms_are_read_in_their_order() -> None:
    found = questions_in(f"```json\n{json.dumps([STAT, WINDOW, COUNT, COMPARE])}\n```")
    assert [type(asked.question).__name__ for asked in found] == [
        "Stat", "Window", "Count", "Compare",
    ]  # fmt: skip


def test_a_list_may_stand_under_a_key() -> None:
    assert len(questions_in(json.dumps({"questions": [STAT, COUNT]}))) == 2


def test_a_reply_with_an_analysis_asks_nothing() -> None:
    reply = json.dumps([STAT]) + '{"causes": ["a b c"], "advice": ["d e f"]}'
    assert questions_in(reply) == ()
    assert questions_in("I have no question.") == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ask": "delete"}, "wanted"),
        ({"of": ""}, "of"),
        ({"of": 3}, "of"),
        ({"statistic": "eval"}, "statistic"),
        ({"steps": [1]}, "steps"),
        ({"steps": ["a", "b"]}, "steps"),
        ({"steps": [True, False]}, "steps"),
        ({"fields": "height"}, "fields"),
    ],
)
def test_a_bad_question_is_told_what_is_wanted(changes: dict[str, Any], said: str) -> None:
    assert said in problem(**changes)
    assert '{"ask": "stat"' in problem(**changes)


def test_what_is_no_question_at_all_is_told_every_form() -> None:
    (asked,) = questions_in('{"questions": ["how high?"]}')
    assert all(f'"ask": "{kind}"' in asked.problem for kind in ("stat", "window", "count"))


def test_a_condition_is_a_name_a_comparison_and_a_number() -> None:
    assert condition_in("torso_height <= -0.5e1") == Condition("torso_height", "<=", -5.0)
    assert condition_in(" reward.alive!=.5 ") == Condition("reward.alive", "!=", 0.5)
    assert condition_in("speeds[1]>3") == Condition("speeds[1]", ">", 3.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "height",
        "height < low",
        "0.5 > height",
        "height < 0.5 and x > 1",
        "height = 0.5",
        "__import__('os').system('x') < 1",
        "height < 1; exit()",
        "height < nan",
        "height < 0x10",
    ],
)
def test_nothing_else_is_a_condition(text: str) -> None:
    with pytest.raises(ValueError, match="a name, one of"):
        condition_in(text)
    (asked,) = questions_in(json.dumps([{"ask": "count", "where": text or " "}]))
    assert asked.question is None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_value_of_a_question_breaks_the_reading(value: Any) -> None:
    for key in ("ask", "of", "statistic", "group", "steps"):
        (asked,) = questions_in(json.dumps([STAT | {key: value}]))
        assert asked.question is not None or asked.problem


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(ReplyFormatError, match="twice"):
        questions_in('[{"ask": "stat", "of": "a", "of": "b"}]')
