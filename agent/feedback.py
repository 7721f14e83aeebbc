"""A person's judgement as an event of the run."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewardsmith.agent.search import find
from rewardsmith.errors import ConfigError
from rewardsmith.runs.journal import utc_now
from rewardsmith.runs.records import Feedback, RunState
from rewardsmith.runs.store import RunStore

SAID = ("wanted", "observed", "rating", "preferred_over")


def give(
    run: Path, said: Mapping[str, Any], *, edit: Path | None = None, author: str | None = None
) -> Feedback:
    """Appends what a person said to a run's journal and returns it; the next generation reads it.

    Args:
        run: the run's folder; it may be at work.
        said: any of ``wanted``, ``observed``, ``candidate``, ``rating``, ``preferred_over``.
        edit: a reward program that becomes a candidate of the next generation.
        author: who says so; the login name if None.

    Raises:
        ConfigError: nothing was said, or it is about a candidate that the run does not have.
    """
    store = RunStore.open(run)
    state = store.state()
    if edit is None and not any(said.get(key) for key in SAID):
        raise ConfigError("nothing was said; give --text, --observed, --rating or --edit FILE")
    for key in ("candidate", "preferred_over"):
        _known(state, said.get(key))
    record = Feedback(
        id=f"f{len(state.feedback)}",
        author=author or _login(),
        time=utc_now(),
        program=_program(edit) if edit else None,
        **{key: value for key, value in said.items() if value is not None},
    )
    store.append("feedback", {"feedback": record.model_dump(mode="json")})
    return record


def _known(state: RunState, candidate: str | None) -> None:
    if candidate is not None and find(state, candidate) is None:
        ids = ", ".join(item.id for item in state.candidates) or "none yet"
        raise ConfigError(f"no candidate {candidate!r} in this run; there are: {ids}")


def _program(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        return "user"
