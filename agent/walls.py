"""Says what confines reward code before any of it runs, and refuses where that is too little."""

import sys
from collections.abc import Callable

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.backend import UNCONFINED, UNCONFINED_BANNER
from rewardsmith.sandbox.backends import resolve, step_down

View = Callable[..., None]


def announce(sandbox: str, view: View, *, yes: bool = False, terminal: bool | None = None) -> None:
    """Tells ``view`` where reward code is confined less than was asked for.

    Called before a model is asked: a machine that cannot confine costs nothing.

    Args:
        sandbox: the text of ``guarantees.asked``.
        view: is told warnings.
        yes: ``--yes-run-unsandboxed`` was given.
        terminal: whether somebody can read a banner; None looks at standard input.

    Raises:
        SandboxUnavailable: rewards cannot be confined as asked, or nobody there confirmed "none".
    """
    if resolve(sandbox).name != UNCONFINED:
        if weaker := step_down(sandbox):
            view("warning", text=weaker)
        return
    seen = sys.stdin.isatty() if terminal is None else terminal
    if not (seen or yes):
        raise SandboxUnavailable(
            "--sandbox none runs what a language model wrote with your rights, and no terminal is "
            "there to warn on, so nothing was run. Use --sandbox auto, or add "
            "--yes-run-unsandboxed for programs that you wrote yourself"
        )
    view("warning", text=UNCONFINED_BANNER)
