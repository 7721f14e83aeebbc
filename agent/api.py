"""``design`` for programs: the same run as the command, in a few lines of Python.

import rewardsmith

result = rewardsmith.design("hop forward as fast as possible", env="Hopper-v5", llm="local")
print(result.program)
print(result.report)
"""

from collections.abc import Callable
from typing import Any

from rewardsmith.agent.config import make_config
from rewardsmith.agent.session import DesignResult
from rewardsmith.agent.session import design as run


def design(
    text: str | None = None, *, watch: Callable[..., None] | None = None, **options: Any
) -> DesignResult:
    """Designs a reward and returns what the run came to.

    Args:
        text: the behaviour in words; the task's own text if None.
        watch: called with the kind and the facts of every event, as
            ``watch("trained", unit=...)``.
        options: as the command's flags with underscores: ``env``, ``llm``, ``candidates``,
            ``steps``, ``out`` ...; see ``rewardsmith.agent.config.RunConfig``.

    Raises:
        RewardsmithError: see ``rewardsmith.errors``; the same call goes on where it stopped.
    """
    values = options | ({"text": text} if text else {})
    return run(make_config(values), view=watch or _unwatched)


def _unwatched(kind: str, **facts: Any) -> None:
    """Ignores an event."""
