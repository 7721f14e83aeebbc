import pytest

from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.shaping import Gate, Reference, Shaping, parse_shaping


def test_a_spelling_says_how_components_become_one_reward() -> None:
    found = parse_shaping("combine=geomean,squash=clip(-2,0.5)")
    assert found == Shaping(combine="geomean", squash="clip", low=-2, high=0.5)


def test_parts_stand_apart_by_commas_or_blanks() -> None:
    assert parse_shaping("combine=sum  squash=par(2)") == parse_shaping(
        "combine=sum, squash=par(2)"
    )


def test_gates_and_potentials_name_components() -> None:
    found = parse_shaping("combine=sum gate=effort(0.6,0.4)+jerk(0.5, 0.2) potential=near+up")
    assert found.gates == (
        Gate(component="effort", on=0.6, off=0.4),
        Gate(component="jerk", on=0.5, off=0.2),
    )
    assert found.potentials == ("near", "up")
    assert found.components == ("effort", "jerk", "near", "up")


SPELLED = (
    "combine=sum",
    "combine=geomean(signed)",
    "combine=softmin(0.25),squash=clip(-1,1)",
    "combine=logsigmoid,gate=effort(0.6,0.4),potential=near",
    "squash=sign(goal,closer)",
    "squash=par(0.5),subgoals=potential(2)",
    "combine=harmonic,squash=clip(-0.123456789,1)",
)


@pytest.mark.parametrize("text", SPELLED)
def test_a_choice_is_spelled_as_it_was_read(text: str) -> None:
    assert parse_shaping(text).text == text


def test_references_are_no_part_of_the_spelling_and_survive_a_record() -> None:
    known = Shaping(combine="logsigmoid", references={"run": Reference(mean=1.5, scale=0.1)})
    assert known.text == "combine=logsigmoid"
    assert Shaping.model_validate_json(known.model_dump_json()) == known


REFUSED = {
    "": "parts such as combine=sum",
    "geomean": "'geomean' is unknown",
    "combin=sum": "did you mean combine?",
    "combine=geomen": "did you mean geomean?",
    "combine=sum,combine=harmonic": "combine is chosen twice",
    "combine=sum(2)": "sum takes no '2'",
    "combine=softmin(0)": "wants a number above 0",
    "combine=softmin(nan)": "wants 1 number",
    "combine=total": "chooses nothing",
    "squash=clip(1,-1)": "wants the lower bound first",
    "squash=clip(1)": "wants 2 numbers",
    "squash=clip(-inf,1)": "wants 2 numbers",
    "squash=clip(-1,1": "parts such as",
    "squash=sign(goal)": "wants two components",
    "combine=sum,squash=sign": "made of two components",
    "squash=par(-1)": "wants a number above 0",
    "combine=sum,gate=effort": "wants 2 numbers",
    "combine=sum,gate=effort(0.4,0.6)": "the one that opens above",
    "gate=effort(0.6,0.4)": "may be part of the program's own total",
    "combine=sum,potential=near+near": "stands twice",
    "combine=sum,potential=near(2)": "takes no '2'",
    "subgoals=bonus": "one of potential is wanted",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_spelling_that_says_nothing_clear_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_shaping(text)
    assert REFUSED[text] in str(caught.value)
