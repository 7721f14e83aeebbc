import numpy as np
import pytest

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field
from rewardsmith.prompts.programs import extract_program
from rewardsmith.prompts.worked_examples import WorkedExample, nearest, shown, worked_examples
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.check import check
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.reward import RewardBatch

EXAMPLES = worked_examples()
BUILT_IN = (
    "Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5", "InvertedDoublePendulum-v5",
    "Reacher-v5", "LunarLander-v3", "BipedalWalker-v3", "MountainCarContinuous-v0",
)  # fmt: skip


def spec_of(example: WorkedExample) -> EnvSpec:
    size = int(np.prod(example.action.shape))
    action = ActionSpec(
        example.action.shape, (-1.0,) * size, (1.0,) * size, example.action.count, ""
    )
    if example.action.count is not None:
        action = ActionSpec((), (), (), example.action.count, "")
    fields = tuple(Field(f.name, f.shape, f.unit, f.meaning, "") for f in example.names)
    return EnvSpec(example.environment, fields, (), action, 200, 0.02)


def steps_for(spec: EnvSpec) -> Steps:
    """Two environments over twenty steps, with random states and a terminal step each."""
    random, rows = np.random.default_rng(0), 40
    after = {f.name: random.normal(size=(rows, *f.shape)) for f in spec.fields}
    starts = np.arange(rows) < 2
    return Steps(
        num_envs=2,
        after=after,
        before={name: value + 0.01 for name, value in after.items()},
        action=(
            random.integers(0, spec.action.count, rows)
            if spec.action.count is not None
            else random.uniform(-1.0, 1.0, (rows, *spec.action.shape))
        ),
        terminated=np.arange(rows) >= rows - 2,
        truncated=np.zeros(rows, dtype=np.bool_),
        starts=starts,
        native_reward=np.zeros(rows),
    )


def names_of(instruction: str, env_id: str, k: int = 3) -> list[str]:
    return [e.environment for e in nearest(instruction, env_id, k)]


def test_there_are_several_examples_and_one_uses_memory() -> None:
    assert 4 <= len(EXAMPLES) <= 8
    assert any("MEMORY" in e.code for e in EXAMPLES)


def test_the_nearest_example_shares_the_most_words() -> None:
    assert names_of("swim forward fast", "Hopper-v5", 1) == ["Swimmer-v5"]
    assert names_of("keep the pole upright and balanced", "X-v0", 1) == ["CartPole-v1"]
    assert names_of("fly to the target and hover", "X-v0", 1) == ["Drone2D-v0"]


def test_the_order_of_equally_near_examples_never_changes() -> None:
    assert names_of("zzz", "X-v0", 9) == [e.environment for e in EXAMPLES]


@pytest.mark.parametrize(
    "env_id", ["Swimmer-v4", "Swimmer-v5", "some/Swimmer-v0", "pkg:Swimmer-v5"]
)
def test_no_example_of_the_tasks_own_environment_is_shown(env_id: str) -> None:
    assert "Swimmer-v5" not in names_of("swim forward fast", env_id, 9)


def test_no_example_is_of_a_built_in_environment() -> None:
    assert not {e.environment for e in EXAMPLES} & set(BUILT_IN)


def test_small_models_are_shown_no_example_with_memory() -> None:
    assert all("MEMORY" not in e.code for e in nearest("swing the tip", "X-v0", 9, memory=False))


def test_as_many_examples_come_as_were_asked_for() -> None:
    assert len(nearest("x", "X-v0", 0)) == 0
    assert len(nearest("x", "X-v0", 2)) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.environment)
def test_an_example_is_what_extraction_makes_of_its_own_fence(example: WorkedExample) -> None:
    found = extract_program(f"```python\n{example.code}```")
    assert found.source is not None
    assert "".join(found.source.split()) == "".join(example.code.split())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.environment)
def test_an_example_lists_every_name_that_its_code_may_use(example: WorkedExample) -> None:
    lines = shown(example).names
    assert len(lines) == len(example.names) + 1
    assert lines[0].startswith(f"`{example.names[0].name}` (N")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.environment)
def test_an_example_meets_the_contract_as_it_stands(example: WorkedExample) -> None:
    spec = spec_of(example)
    found = check(example.code, spec, steps_for(spec))
    assert found.failure is None
    assert found.rewrites == ()
    assert found.mode == "batched"
    assert len(found.components) >= 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.environment)
def test_every_example_is_rewarded_by_jax_as_by_numpy(example: WorkedExample) -> None:
    pytest.importorskip("jax", reason="rewards with JAX need it: pip install rewardsmith[fast]")
    spec = spec_of(example)
    totals = []
    for arrays in (NUMPY, Arrays("jax")):
        limits = Limits.for_arrays(arrays)
        with RewardClient(example.code, spec, sandbox="process", limits=limits) as client:
            answer = client.rewards(steps_for(spec))
        assert isinstance(answer, RewardBatch), answer
        totals.append(answer.total)
    np.testing.assert_allclose(totals[1], totals[0], rtol=1e-9, atol=1e-12)
