import ast
import keyword
import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.synthetic import SyntheticModel, draw_terms, fields_in, program

CARD = """Names that a reward may use:
- `forward_velocity` (N,), m/s: forward
- `joint_angles` (N, 3), rad: joints
- `action` (N, 3), [-1, 1]: torques
- `terminated` (N,) bool: ended
"""


def ask(sample: int = 0, seed: int = 0, card: str = CARD) -> str:
    request = Request("designer", (Message("user", card),), sample=sample)
    return SyntheticModel(seed).ask(request).text


def source(answer: str) -> str:
    return answer.split("```python\n")[1].split("```")[0]


def test_the_names_of_a_card_are_read_with_their_dimensions() -> None:
    assert fields_in(CARD) == {"forward_velocity": 0, "joint_angles": 1}


def test_the_same_question_gets_the_same_reward_and_another_sample_another() -> None:
    assert ask() == ask()
    assert len({ask(sample) for sample in range(10)}) > 5
    assert ask(seed=1) != ask(seed=0)


def test_every_drawn_program_gives_a_total_and_components_per_environment() -> None:
    import numpy as np

    arrays = {
        "forward_velocity": np.linspace(-1.0, 4.0, 8),
        "joint_angles": np.ones((8, 3)),
        "action": np.ones((8, 3)),
    }
    for sample in range(60):
        text = source(ask(sample))
        names = [a.arg for a in ast.parse(text).body[0].args.args]  # type: ignore[attr-defined]
        space: dict[str, object] = {"np": np}
        exec(text, space)  # noqa: S102  (our own grammar)
        total, components = space["compute_reward"](*(arrays[n] for n in names))  # type: ignore[operator]
        assert total.shape == (8,)
        assert all(part.shape == (8,) for part in components.values())
        assert np.isfinite(total).all()


def test_the_names_in_a_worked_example_are_not_those_of_the_card() -> None:
    example = Message("user", "- `fingertip` (N,), m: of another environment")
    told = (example, Message("assistant", "..."), Message("user", CARD))
    drawn = [SyntheticModel().ask(Request("designer", told, sample=n)).text for n in range(40)]
    assert not any("fingertip" in text for text in drawn)


def test_without_a_card_it_still_draws_a_reward() -> None:
    assert "effort" in ask(card="no names here")


def test_what_is_paid_for_is_a_name_of_the_card() -> None:
    terms = draw_terms({"speed": 0}, random.Random(0))
    assert {name for term in terms for name in term.fields} <= {"speed", "action"}
    assert program(terms).startswith("```python\ndef compute_reward(")


def test_it_never_pretends_to_be_a_language_model() -> None:
    assert "made by no language model" in ask()
    critic = SyntheticModel().ask(Request("critic", ()))
    assert '"verdict": "accept"' in critic.text
    assert "synthetic" in SyntheticModel().ask(Request("analyzer", ())).text
    assert (critic.model, critic.usage.cost_usd) == ("scripted", 0.0)


# No card has a keyword of Python as a field.
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,40}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name)
)
SHAPES = st.dictionaries(NAMES, st.integers(0, 3), max_size=8)


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.integers(0, 10**6))
def test_any_card_gives_terms_with_lawful_names_of_its_own_fields(
    fields: dict[str, int], seed: int
) -> None:
    terms = draw_terms(fields, random.Random(seed))
    assert 1 <= len(terms) <= 3
    assert len({term.name for term in terms}) == len(terms)
    for term in terms:
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,31}", term.name)
        assert set(term.fields) <= {*fields, "action"}
    tree = ast.parse(program(terms).split("```python\n")[1].split("```")[0])
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert {a.arg for a in function.args.args} == {n for t in terms for n in t.fields}


def test_higher_dimensions_and_odd_spacing_of_a_card_are_read() -> None:
    card = "- `a` (N,): x\n- `b` (N, 4,4), m: x\n- `c`(N): x\n- `D` (N,): x\ntext `e` (N,)\n"
    assert fields_in(card) == {"a": 0, "b": 2}


def test_names_in_a_worked_answer_are_no_names_of_the_card() -> None:
    turns = (
        Message("user", "- `mine` (N,), m: x\n"),
        Message("assistant", "- `other_speed` (N,), m: x\n"),
    )
    for sample in range(20):
        text = SyntheticModel().ask(Request("designer", turns, sample=sample)).text
        assert "other_speed" not in text


def test_speed_is_paid_for_more_often_than_anything_else() -> None:
    fields = {"forward_speed": 0, "height": 0, "angle": 0, "load": 0}
    drawn = [draw_terms(fields, random.Random(seed)) for seed in range(300)]
    paid = [term.fields[0] for terms in drawn for term in terms if term.name.startswith("pay_")]
    assert len(paid) == 300
    assert paid.count("forward_speed") > 150
    assert set(paid) == set(fields)
