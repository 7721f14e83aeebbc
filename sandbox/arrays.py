"""With which array library a worker evaluates, and on which device."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from rewardsmith.errors import ConfigError

Library = Literal["numpy", "jax"]
CPU = "cpu"
# A GPU, or one MIG instance of it: GPU instance and compute instance within that.
_GPU = re.compile(r"cuda:(\d{1,3})(?:/(\d{1,3})/(\d{1,3}))?")


@dataclass(frozen=True)
class Arrays:
    """What ``np`` stands for in a program: NumPy, or JAX on the CPU or on one CUDA device.

    ``device`` is "cpu", "cuda:N", N as ``nvidia-smi`` counts, or "cuda:N/G/C", compute instance C
    of GPU instance G (MIG). Raises ConfigError for others, and for NumPy on a GPU.
    """

    library: Library = "numpy"
    device: str = CPU

    def __post_init__(self) -> None:
        if self.library not in get_args(Library):
            known = " and ".join(get_args(Library))
            raise ConfigError(f"there are no rewards with {self.library!r}; there are {known}")
        if self.device != CPU and not _GPU.fullmatch(self.device):
            raise ConfigError(
                f"the device is {self.device!r}; wanted is cpu or cuda:N, e.g. cuda:0"
            )
        if self.device != CPU and self.library == "numpy":
            raise ConfigError("NumPy computes on the CPU; a reward on a GPU needs JAX")

    @property
    def gpu(self) -> int | None:
        """The number of the GPU, None without."""
        found = _GPU.fullmatch(self.device)
        return None if found is None else int(found[1])

    @property
    def mig(self) -> tuple[int, int] | None:
        """The GPU instance and its compute instance, None for a whole GPU or none."""
        found = _GPU.fullmatch(self.device)
        return (int(found[2]), int(found[3])) if found and found[2] else None

    @property
    def table(self) -> str:
        """Which system call table has to stand (``inside/seccomp.py``)."""
        if self.library == "numpy":
            return "numpy"
        return "jax" if self.gpu is None else "cuda"

    def orders(self) -> dict[str, str]:
        """Returns what the launcher is told."""
        return {"library": self.library, "device": self.device}


NUMPY = Arrays()
