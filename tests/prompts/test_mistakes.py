import pytest

from rewardsmith.prompts.mistakes import mistakes


def program(line: str) -> str:
    return f"def compute_reward(v, joints, memory):\n    x = {line}\n    return x, {{}}\n"


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("np.sum(v)", "axis=-1"),
        ("np.linalg.norm(joints)", "axis=-1"),
        ("v.mean()", "axis=-1"),
        ("v[0]", "x[:, 0]"),
        ("v[-1]", "x[:, 0]"),
        ("1.0 if v > 0 else 0.0", "np.where"),
        ("v > 0 and v < 1", "np.where"),
        ("not v", "np.where"),
        ("max(v, 0)", "function of np"),
        ("v * torso_height", "not among the parameters"),
        ("v - MEMORY['best']", "parameter `memory`"),
    ],
)
def test_a_usual_mistake_is_named_with_its_line(line: str, advice: str) -> None:
    (found,) = mistakes(program(line))
    assert found.line == 2
    assert advice in found.advice
    assert found.code in program(line)


@pytest.mark.parametrize(
    "line",
    [
        "np.sum(joints, axis=-1)",
        "np.sum(joints, 1)",
        "joints.sum(axis=-1)",
        "joints[:, 0]",
        "memory['best']",
        "np.where(v > 0, 1.0, 0.0) + abs(v)",
        "np.maximum(v, 0)",
    ],
)
def test_sound_batch_code_raises_no_suspicion(line: str) -> None:
    assert mistakes(program(line)) == ()


def test_an_if_statement_is_named_by_its_condition() -> None:
    text = "def compute_reward(v):\n    if v > 1:\n        return v, {}\n    return -v, {}\n"
    assert [m.code for m in mistakes(text)] == ["v > 1"]


def test_only_the_first_few_lines_are_named() -> None:
    text = "def compute_reward(v):\n" + "    x = np.sum(v)\n" * 9 + "    return x, {}\n"
    assert [m.line for m in mistakes(text)] == [2, 3, 4, 5]


def test_what_does_not_parse_has_no_named_mistakes() -> None:
    assert mistakes("def f(:") == ()
