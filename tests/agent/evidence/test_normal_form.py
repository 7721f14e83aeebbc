import pytest

from rewardsmith.agent.evidence.normal_form import normal_form

PROGRAM = '''
SCALE = 2.0

def closeness(gap):
    return np.exp(-gap / SCALE)

def compute_reward(distance, action):
    """Near is good."""
    near = closeness(distance)
    effort = -0.1 * np.sum(action**2, axis=-1)
    return near + effort, {"near": near, "effort": effort}
'''
SAME = {
    "comments": ("    return near", "    # Both.\n    return near"),
    "layout": ("near + effort,", "(near\n        + effort),"),
    "another docstring": ("Near is good.", "Stay near."),
    "no docstring": ('    """Near is good."""\n', ""),
    "numbers spelled otherwise": ("SCALE = 2.0", "SCALE = 2"),
    "exponents": ("0.1 *", "1e-1 *"),
    "type hints": ("def closeness(gap)", "def closeness(gap: np.ndarray) -> np.ndarray"),
    "an annotated variable": ("SCALE = 2.0", "SCALE: float = 2.0"),
    "another name of a helper": ("closeness", "proximity"),
    "another name of a constant": ("SCALE", "WIDTH"),
}
OTHER = {
    "another number": ("0.1 *", "0.2 *"),
    "another field": ("distance", "height"),
    "another component": ('"near"', '"close"'),
    "another operation": ("near + effort,", "near - effort,"),
    "another order": ("near + effort,", "effort + near,"),
    "a truth for a number": ("axis=-1", "axis=-1, keepdims=True"),
}


@pytest.mark.parametrize("name", SAME)
def test_spelling_makes_no_other_program(name: str) -> None:
    assert normal_form(PROGRAM.replace(*SAME[name])) == normal_form(PROGRAM)


@pytest.mark.parametrize("name", OTHER)
def test_what_changes_the_reward_makes_another_program(name: str) -> None:
    changed = PROGRAM.replace(*OTHER[name])
    assert changed != PROGRAM
    assert normal_form(changed) != normal_form(PROGRAM)


def test_names_of_variables_make_no_other_program() -> None:
    program = "def compute_reward(x):\n    {0} = x\n    {1} = {0} + x\n    return {0} - {1}, {{}}\n"
    there, back = program.format("a", "b"), program.format("b", "a")
    assert normal_form(there) == normal_form(back)
    assert normal_form(there) != normal_form(there.replace("a - b", "b - a"))


def test_a_variable_is_not_taken_for_a_field_of_that_name() -> None:
    program = "def compute_reward(x, y):\n    z = x\n    return {}, {{}}\n"
    assert normal_form(program.format("z")) != normal_form(program.format("y"))


def test_one_is_not_true() -> None:
    program = "def compute_reward(x):\n    return np.sum(x, axis=-1, keepdims={}), {{}}\n"
    assert normal_form(program.format("True")) != normal_form(program.format("1"))
