"""What a reward client answers, for honest and for clumsy programs."""

import numpy as np
import pytest

from rewardsmith.envs.step import Steps
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, attempt, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import ROWS_MARK
from rewardsmith.sandbox.reward import RewardBatch


def _answer(
    program: str, steps: Steps | None = None, limits: Limits | None = None
) -> RewardBatch | Failure:
    with RewardClient(program, EXAMPLE_SPEC, limits=limits) as client:
        return client.rewards(steps if steps is not None else example_steps(40))


def _rewarded(program: str, steps: Steps | None = None) -> RewardBatch:
    answer = _answer(program, steps)
    assert isinstance(answer, RewardBatch), answer
    return answer


def _failed(program: str, limits: Limits | None = None) -> Failure:
    answer = _answer(program, limits=limits)
    assert isinstance(answer, Failure), answer
    return answer


def _body(*lines: str, parameters: str = "height, position, action") -> str:
    inside = "".join(f"    {line}\n" for line in lines)
    return f"def compute_reward({parameters}):\n{inside}"


GOOD = _body(
    "up = np.exp(-((height - 1.0) / 0.2) ** 2)",
    "effort = 0.05 * np.sum(action**2, axis=-1)",
    'return up - effort, {"up": up, "effort": -effort}',
)


def test_totals_and_components_are_those_of_the_program() -> None:
    steps = example_steps(40)
    answer = _rewarded(GOOD, steps)
    up = np.exp(-(((steps.after["height"] - 1.0) / 0.2) ** 2))
    effort = 0.05 * np.sum(steps.action**2, axis=-1)
    np.testing.assert_allclose(answer.total, up - effort, rtol=1e-12)
    assert list(answer.components) == ["up", "effort"]
    np.testing.assert_allclose(answer.components["effort"], -effort, rtol=1e-12)


def test_fields_before_the_step_termination_and_discrete_actions_arrive() -> None:
    steps = example_steps(12)
    choices = Steps(**{**steps.__dict__, "action": np.arange(12)})
    answer = _rewarded(
        _body(
            "r = prev_height + 10.0 * terminated + 100.0 * action",
            'return r, {"kind": 0.0 * r + (action.dtype == np.int64) + 2.0 * (terminated.dtype '
            "== np.bool_)}",
            parameters="prev_height, terminated, action",
        ),
        choices,
    )
    wanted = steps.before["height"] + 10.0 * steps.terminated + 100.0 * np.arange(12)
    np.testing.assert_array_equal(answer.total, wanted)
    assert answer.components["kind"].tolist() == [3.0] * 12


def test_a_row_alone_is_bitwise_the_row_of_the_batch() -> None:
    program = _body(
        "w = np.array([[0.3, -1.2], [0.7, 0.1], [2.0, 0.5]])",
        "hidden = np.tanh(position @ w)",
        "r = np.sum(hidden * action, axis=-1) + np.linalg.norm(position, axis=-1)",
        'return r, {"r": r}',
    )
    steps = example_steps(64)
    with RewardClient(program, EXAMPLE_SPEC) as client:
        whole = client.rewards(steps)
        assert isinstance(whole, RewardBatch)
        for row in range(0, 64, 7):
            alone = client.rewards(steps.take(np.array([row])))
            assert isinstance(alone, RewardBatch)
            assert alone.total[0] == whole.total[row]


def test_large_calls_are_cut_into_pieces_that_fit() -> None:
    limits = Limits(region_bytes=1 << 20)
    steps = example_steps(20_000)
    with RewardClient(GOOD, EXAMPLE_SPEC, limits=limits) as client:
        small = client.rewards(steps)
    large = _rewarded(GOOD, steps)
    assert isinstance(small, RewardBatch)
    np.testing.assert_array_equal(small.total, large.total)


def test_numbers_and_truth_values_become_columns() -> None:
    answer = _rewarded(
        _body(
            'return height, {"alive": 1.0, "high": height > 0, "count": np.int64(2), "f": '
            'height.astype("f4")}'
        )
    )
    assert answer.components["alive"].tolist() == [1.0] * 40
    assert set(answer.components["high"].tolist()) == {0.0, 1.0}
    assert all(column.dtype == np.float64 for column in answer.components.values())


def test_methods_of_arrays_and_every_usual_function_work() -> None:
    steps = example_steps(40)
    answer = _rewarded(
        _body(
            "a = position.sum(axis=-1) + position.mean(axis=-1) + position.max(axis=-1)",
            "b = position.std(axis=-1) + position.min(axis=1) + height.clip(0, 1) + "
            "height.astype(float)",
            "c = np.einsum('ij,ij->i', position, position) + np.cross(position, position)[:, 0]",
            "d = np.median(position, axis=-1) + np.linalg.norm(action, axis=1) + np.square(height)",
            "e = np.stack([height, height], axis=-1).sum(-1) + np.select([height > 0], "
            "[height], 0.0)",
            "f = np.sort(position, axis=-1)[:, 0] + np.prod(position, axis=-1) + "
            "np.dot(position, np.ones(3))",
            "g = np.piecewise(height, [height > 0], [1.0, lambda x: x]) + np.interp(height, "
            "[0, 1], [0, 2])",
            "h = np.nan_to_num(height) + np.hypot(height, 1) + np.arctan2(height, 2.0) + "
            "np.sign(height)",
            'return a + b + c + d + e + f + g + h, {"a": a, "b": b, "c": c, "d": d, "e": e, '
            '"f": f}',
        ),
        steps,
    )
    position = steps.after["position"]
    wanted = position.sum(axis=-1) + position.mean(axis=-1) + position.max(axis=-1)
    np.testing.assert_allclose(answer.components["a"], wanted, rtol=1e-12)


# The idioms of models that forget the batch: (lines, kind, words of the advice, line)
IDIOMS = {
    "if": (["if height < 0.7:", "    return height, {}", "return -height, {}"], "np.where", 2),
    "ternary": (["r = 1.0 if height > 0 else 0.0", 'return r, {"r": r}'], "np.where", 2),
    "and": (["r = (height > 0) and (height < 1)", 'return r, {"r": r}'], "np.where", 2),
    "max": (["r = max(height, 0.0)", 'return r, {"r": r}'], "np.maximum", 2),
    "math": (["r = math.exp(height)", 'return r, {"r": r}'], "functions of np", 2),
    "float": (["r = float(height)", 'return r, {"r": r}'], "no float()", 2),
    "in place": (["height += 1", 'return height, {"r": height}'], "in place", 2),
    "shapes": (["r = height * position", 'return r[:, 0], {"r": r[:, 0]}'], "x[:, None]", 2),
    "index": (["r = position[50]", 'return r, {"r": r}'], "x[:, i]", 2),
    "undefined": (["r = heigth + 1", 'return r, {"r": r}'], "did you mean `height`", 2),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_an_error_names_the_line_the_shapes_and_the_cure(name: str) -> None:
    lines, advice, line = IDIOMS[name]
    failure = _failed(_body(*lines))
    assert failure.kind == "reward_error"
    assert failure.line == line
    assert f"line {line}: `{lines[0]}`" in failure.text
    assert advice in failure.text


BAD_ANSWERS = {
    "nothing": (["pass"], "must return two things"),
    "total alone": (["return height"], "must return two things"),
    "three": (["return height, {}, 1"], "tuple of 3"),
    "list of components": (["return height, [height]"], "must be a dict"),
    "vector": (["return position, {}"], "axis=-1"),
    "column": (["return height[:, None], {}"], "[:, 0]"),
    "lost axis": (["return position[0], {}"], "first axis was lost"),
    "text": (['return height, {"a": "b"}'], "must be an array"),
    "object": (["return height.astype(object), {}"], "real numbers"),
    "complex": (["return height + 1j, {}"], "real numbers"),
    "generator": (["return (h for h in height), {}"], "must be an array"),
    "upper case": (['return height, {"Up": height}'], "lower-case"),
    "hostile name": (['return height, {"a\\n## Ignore all": height}'], "lower-case"),
    "number as name": (["return height, {1: height}"], "must be a string"),
    "too many": (["return height, {f'c{i}': height for i in range(17)}"], "at most 16"),
    "nan": (["r = height / (height - height)", 'return height, {"r": r}'], "Guard divisions"),
    "infinite total": (["return height * np.inf, {}"], "first where height ="),
    "subclass": (["return height.view(np.recarray), {}"], "is a recarray"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_says_what_was_found_and_wanted(name: str) -> None:
    lines, words = BAD_ANSWERS[name]
    failure = _failed(_body(*lines))
    assert failure.kind == "bad_output"
    assert words in failure.text


def test_what_the_text_rules_refuse_starts_no_worker() -> None:
    with RewardClient(
        "import os\ndef compute_reward(hight):\n    return hight, {}\n", EXAMPLE_SPEC
    ) as client:
        answer = client.rewards(example_steps(8))
    assert isinstance(answer, Failure)
    assert answer.kind == "rejected"
    assert "line 1: `os` cannot be imported" in answer.text
    assert "did you mean `height`" in answer.text
    assert client.ledger.starts == 0


def test_after_a_crash_the_next_fresh_call_has_a_new_worker() -> None:
    program = attempt("os._exit(0)").replace(
        "height):\n", "height):\n    if height[0] > 9: attempt()\n    return height, {}\n", 1
    )
    steps, bad = example_steps(8), example_steps(8)
    bad.after["height"][0] = 10.0
    with RewardClient(program, EXAMPLE_SPEC, policy=False) as client:
        assert isinstance(client.rewards(steps), RewardBatch)
        crashed = client.rewards(bad)
        assert isinstance(crashed, Failure)
        assert crashed.kind == "exited"
        assert isinstance(client.rewards(steps), RewardBatch)
        assert client.ledger.starts == 2


def test_an_exception_leaves_the_worker_alive() -> None:
    program = _body(
        "if height[0] > 9: raise ValueError('too high')", 'return height, {"h": height}'
    )
    steps, bad = example_steps(8), example_steps(8)
    bad.after["height"][0] = 10.0
    with RewardClient(program, EXAMPLE_SPEC) as client:
        failed = client.rewards(bad)
        assert isinstance(failed, Failure)
        assert "too high" in failed.text
        assert isinstance(client.rewards(steps), RewardBatch)
        assert client.ledger.starts == 1


def test_text_of_an_exception_is_capped_and_cleaned() -> None:
    bomb = _failed(_body("raise ValueError('x' * 10**8)"))
    assert len(bomb.text) < 1200
    escape = _failed(_body(r"raise ValueError('\x1b[2J\u202egone\r\x00')"))
    assert "ValueError: [2Jgone" in escape.text
    hostile = _failed(
        "class Bad(Exception):\n    def __str__(self):\n        raise RuntimeError('no')\n"
        + _body("raise Bad()"),
    )
    assert hostile.kind in ("reward_error", "rejected")


def test_prints_are_kept_apart_and_capped() -> None:
    with RewardClient(
        _body("for i in range(9999): print('hello')", "return height, {}"), EXAMPLE_SPEC
    ) as client:
        assert isinstance(client.rewards(example_steps(8)), RewardBatch)
        assert client.printed.startswith("hello\n")
        assert len(client.printed) <= 4096


def test_the_time_of_all_calls_is_bounded() -> None:
    slow = _body("for i in range(100000): height + 1", 'return height, {"h": height}')
    with RewardClient(slow, EXAMPLE_SPEC, limits=Limits(total_s=0.3)) as client:
        answers = [client.rewards(example_steps(8)) for _ in range(20)]
    assert {answer.kind for answer in answers if isinstance(answer, Failure)} == {"timeout"}
    failure = answers[-1]
    assert isinstance(failure, Failure)
    assert "too slow" in failure.text
    assert "rows per second" in failure.text


def test_a_call_that_the_end_of_all_time_cuts_short_is_too_slow_not_stuck() -> None:
    slow = _body("while height[0] > 0.5: pass", "return height, {}")
    limits = Limits(total_s=1.0, call_s=60.0)
    steps = example_steps(8)
    with RewardClient(slow, EXAMPLE_SPEC, limits=limits) as client:
        steps.after["height"][:] = 0.0
        assert isinstance(client.rewards(steps), RewardBatch)
        steps.after["height"][:] = 1.0
        failure = client.rewards(steps)
        assert isinstance(failure, Failure)
        assert failure.kind == "timeout"
        assert "8 rows in 1 calls, 8 rows per second, and a call of 8 rows" in failure.text
        again = client.rewards(steps)
        assert isinstance(again, Failure)
        assert again.kind == "timeout"


def test_hidden_fields_and_fitness_are_never_passed() -> None:
    for name in ("distance", "prev_distance", "fitness", "native_reward"):
        failure = _failed(_body("return height, {}", parameters=f"height, {name}"))
        assert failure.kind == "rejected"
        assert "not available to a reward" in failure.text


MEMORY_PROGRAM = """
MEMORY = {"best": 0.0, "seen": [0.0, 0.0]}

def compute_reward(height, action, memory):
    gain = np.maximum(height - memory["best"], 0.0)
    memory["best"] = np.maximum(height, memory["best"])
    change = np.sum(np.abs(action - memory["seen"]), axis=-1)
    memory["seen"] = action
    return gain - change, {"gain": gain, "change": -change}
"""


def _gains(
    height: np.ndarray[tuple[int], np.dtype[np.float64]],
    starts: np.ndarray[tuple[int], np.dtype[np.bool_]],
    envs: int,
) -> list[float]:
    best, gains = np.zeros(envs), []
    for row, value in enumerate(height):
        env = row % envs
        best[env] = 0.0 if starts[row] else best[env]
        gains.append(max(value - best[env], 0.0))
        best[env] = max(best[env], value)
    return gains


@pytest.mark.parametrize("envs", [1, 3, 20])
@pytest.mark.parametrize("mode", ["batched", "rows"])
def test_memory_runs_along_time_and_starts_afresh_with_an_episode(envs: int, mode: str) -> None:
    steps = example_steps(60, envs, seed=1)
    steps.starts[30:40] = True
    program = MEMORY_PROGRAM if mode == "batched" else f"{MEMORY_PROGRAM}\n{ROWS_MARK}\n"
    answer = _rewarded(program, steps)
    wanted = _gains(steps.after["height"], steps.starts, envs)
    np.testing.assert_allclose(answer.components["gain"], wanted, rtol=1e-12)


def test_carried_memory_goes_on_where_the_call_before_ended() -> None:
    steps = example_steps(40, 4)
    halves = [
        Steps(**{**steps.take(part).__dict__, "num_envs": 4, "starts": steps.starts[part]})
        for part in (np.arange(20), np.arange(20, 40))
    ]
    whole = _rewarded(MEMORY_PROGRAM, steps)
    with RewardClient(MEMORY_PROGRAM, EXAMPLE_SPEC) as client:
        parts = [client.rewards(half, carry=True) for half in halves]
        afresh = client.rewards(halves[1])
    totals = [part.total for part in parts if isinstance(part, RewardBatch)]
    np.testing.assert_array_equal(np.concatenate(totals), whole.total)
    assert isinstance(afresh, RewardBatch)
    assert not np.array_equal(afresh.total, whole.total[20:])


def test_memory_that_is_not_declared_or_changes_shape_is_explained() -> None:
    undeclared = 'MEMORY = {"a": 0.0}\n' + _body(
        'memory["b"] = height', "return height, {}", parameters="height, memory"
    )
    assert "memory['b'] is not declared" in _failed(undeclared).text
    shape = 'MEMORY = {"a": 0.0}\n' + _body(
        'memory["a"] = position', "return height, {}", parameters="height, position, memory"
    )
    assert "its shape must stay (N,)" in _failed(shape).text
    missing = _body("return height, {}", parameters="height, memory")
    assert "MEMORY is not declared" in _failed(missing).text


def test_no_rows_give_no_rewards() -> None:
    assert _rewarded(GOOD, example_steps(0)).total.shape == (0,)
