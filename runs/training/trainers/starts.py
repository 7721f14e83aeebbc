"""Where trainings begin: reset seeds apart from those of every judged episode."""

import numpy as np


def first_seed(seed: int) -> int:
    """Returns the reset seed of a training's first environment; the others count on from it."""
    first = np.random.SeedSequence([seed, 0x7261696E]).generate_state(1)[0]
    return 2**31 + int(first) % 2**30
