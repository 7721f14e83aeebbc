"""Seeds of a run: what selection saw is never what the report judges."""

from typing import Literal

Group = Literal["select", "recheck", "final"]
_GROUPS: tuple[Group, ...] = ("select", "recheck", "final")
_TRAINING_SPAN = 1_000
_EVAL_BASE = 1_000_000_000  # far above every training seed
_EVAL_SPAN = 100_000


def training_seed(run_seed: int, group: Group, index: int) -> int:
    """Returns the seed of training number ``index`` of a group; groups and runs share none."""
    return run_seed * 10_000 + _GROUPS.index(group) * _TRAINING_SPAN + index + 1


def eval_seeds(run_seed: int, group: Group, count: int) -> tuple[int, ...]:
    """Returns the reset seeds of the judged episodes of a group, the same for all its units."""
    first = _EVAL_BASE + (run_seed * len(_GROUPS) + _GROUPS.index(group)) * _EVAL_SPAN
    return tuple(range(first, first + count))
