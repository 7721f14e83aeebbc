"""With what rewards are evaluated: what may be asked for, and what a worker is told of it."""

import pytest

from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Limits


def test_numpy_on_the_cpu_is_what_stands_without_asking() -> None:
    assert Limits().arrays == NUMPY == Arrays()
    assert Limits.for_arrays(NUMPY) == Limits()
    assert NUMPY.table == "numpy"
    assert NUMPY.gpu is None


def test_jax_gets_room_and_time_for_its_compiler() -> None:
    limits = Limits.for_arrays(Arrays("jax"))
    assert limits.arrays == Arrays("jax", "cpu")
    assert limits.memory_bytes > Limits().memory_bytes
    assert limits.start_s > Limits().start_s
    assert limits.arrays.orders() == {"library": "jax", "device": "cpu"}
    assert limits.arrays.table == "jax"


def test_a_gpu_has_a_number_and_a_table_of_its_own() -> None:
    arrays = Arrays("jax", "cuda:12")
    assert arrays.gpu == 12
    assert arrays.mig is None
    assert Arrays("jax", "cuda:1/2/0").mig == (2, 0)
    assert Arrays("jax", "cuda:1/2/0").gpu == 1
    assert arrays.table == "cuda"


@pytest.mark.parametrize(
    ("library", "device", "said"),
    [
        ("torch", "cpu", "numpy and jax"),
        ("jax", "gpu", "cuda:N"),
        ("jax", "cuda", "cuda:N"),
        ("jax", "cuda:-1", "cuda:N"),
        ("jax", "cuda:0/1", "cuda:N"),
        ("jax", "cuda:0 ", "cuda:N"),
        ("numpy", "cuda:0", "needs JAX"),
    ],
)
def test_anything_else_is_refused_with_what_there_is(library: str, device: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Arrays(library, device)  # type: ignore[arg-type]
