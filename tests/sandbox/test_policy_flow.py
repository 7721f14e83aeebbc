"""Loops without end, state between calls and changed inputs: found where they are, only there."""

import ast
from dataclasses import replace

import pytest

from rewardsmith.envs.task import ActionSpec
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.policy_flow import flow_problems, in_place_problems, yield_problems
from rewardsmith.sandbox.program import Mode


def function(*lines: str, parameters: str = "height, speed, position, action") -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"def compute_reward({parameters}):\n{body}"


def flow(source: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.text) for problem in flow_problems(ast.parse(source))]


def changed(source: str) -> list[int | None]:
    [reward] = ast.parse(source).body
    assert isinstance(reward, ast.FunctionDef)
    return [problem.line for problem in in_place_problems(reward, EXAMPLE_SPEC)]


@pytest.mark.parametrize("test", ["True", "1", "(True)", "'always'"])
def test_a_loop_without_a_way_out_is_named_with_what_to_write(test: str) -> None:
    [(line, text)] = flow(function("x = 1", f"while {test}:", "    x = x + 1"))
    assert line == 3
    assert "for i in range" in text


@pytest.mark.parametrize(
    "lines",
    [
        ["while True:", "    break"],
        ["while True:", "    if x: return 1"],
        ["while True:", "    raise ValueError"],
        ["while True:", "    assert x"],
        ["while x:", "    x = x + 1"],
        ["while False:", "    x = 1"],
        ["try:", "    while True: next(x)", "except StopIteration: pass"],
        ["return x", "while True: pass"],
    ],
)
def test_a_loop_that_may_end_is_left_alone(lines: list[str]) -> None:
    assert flow(function(*lines)) == []


def test_a_way_out_of_an_inner_function_is_none_of_the_loop() -> None:
    assert len(flow(function("while True:", "    f = lambda: (yield)"))) == 1


@pytest.mark.parametrize("change", ["n = n + 1", "n += 1", "del n", "for n in (1, 2): pass"])
def test_a_global_that_is_changed_is_state_and_one_that_is_read_is_none(change: str) -> None:
    [(line, text)] = flow("n = 0\n" + function("global n", change))
    assert line == 3
    assert "declare MEMORY" in text
    assert flow("n = 0\n" + function("global n", "return n, {}")) == []


def test_a_closure_is_state_only_where_it_outlives_the_call() -> None:
    maker = (
        "def make():\n    n = 0\n    def count():\n        nonlocal n\n        n = n + 1\n"
        "        return n\n    return count\n"
    )
    assert flow(maker + function("return make()() + height, {}")) == []
    assert [line for line, _ in flow(maker + "count = make()\n" + function("pass"))] == [4]


def test_only_the_reward_itself_must_not_be_a_generator() -> None:
    def lines(source: str) -> list[int | None]:
        [reward] = ast.parse(source).body
        assert isinstance(reward, ast.FunctionDef)
        return [problem.line for problem in yield_problems(reward)]

    assert lines(function("yield height")) == [2]
    assert lines(function("yield from height")) == [2]
    assert lines(function("def parts():", "    yield height", "return sum(parts()), {}")) == []


IN_PLACE = (
    "height[height < 0] = 0.0",
    "height[0] += 1.0",
    "height[:] = 1.0",
    "del height[0]",
    "height.sort()",
    "height.partition(2)",
)


@pytest.mark.parametrize("line", IN_PLACE)
def test_an_input_of_one_number_each_is_not_changed_in_place(line: str) -> None:
    assert changed(function("x = 1", line)) == [3]


@pytest.mark.parametrize("mode", ["batched", "rows"])
@pytest.mark.parametrize("line", IN_PLACE)
def test_what_is_refused_would_fail_in_a_worker_however_it_is_called(line: str, mode: Mode) -> None:
    source = function(line, "return height, {}")
    with RewardClient(source, EXAMPLE_SPEC, mode=mode, policy=False) as client:
        answer = client.rewards(example_steps(9))
    assert isinstance(answer, Failure)
    assert answer.kind == "reward_error"


@pytest.mark.parametrize(
    "lines",
    [
        ["height = height.copy()", "height[0] = 1.0"],
        ["x = np.zeros(3)", "x[0] = height"],
        ["position[2] = 0.0"],  # right in a program that is called row by row
        ["action[0] = 0.0"],
        ["x = height[0]"],
        ["x = np.sort(height)"],
        ["def inner(height):", "    height[0] = 1.0"],
        ["memory['best'] = height"],
    ],
)
def test_what_may_be_right_is_left_to_the_worker(lines: list[str]) -> None:
    assert changed(function(*lines, parameters="height, position, action, memory")) == []


def test_a_discrete_action_is_one_number_each() -> None:
    spec = replace(EXAMPLE_SPEC, action=ActionSpec((), (), (), 4, "engines"))
    [reward] = ast.parse(function("action[action == 2] = 0")).body
    assert isinstance(reward, ast.FunctionDef)
    assert len(list(in_place_problems(reward, spec))) == 1
