import ast
import random

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
