"""What confines reward code is settled before anything is asked or run."""

from typing import Any

import pytest

from rewardsmith.agent.walls import announce
from rewardsmith.errors import ConfigError, SandboxUnavailable


def told_by(sandbox: str, **options: Any) -> list[str]:
    """The warnings that an announcement gives."""
    told: list[str] = []
    announce(sandbox, lambda kind, text: told.append(f"{kind}: {text}"), **options)
    return told


def test_where_rewards_are_confined_as_asked_nothing_is_said() -> None:
    assert told_by("process", terminal=False) == []
    assert told_by("process:memory=hard,disk=hard,output=hard", terminal=False) == []


def test_no_walls_need_somebody_who_reads_the_warning() -> None:
    assert told_by("none", terminal=True)[0].startswith("warning: WARNING: --sandbox none")
    assert told_by("none", terminal=False, yes=True) == told_by("none", terminal=True)
    with pytest.raises(SandboxUnavailable, match="--yes-run-unsandboxed"):
        told_by("none", terminal=False)


def test_saying_yes_to_no_walls_is_no_answer_to_a_requirement() -> None:
    with pytest.raises(SandboxUnavailable, match="none: memory is none, hard is required"):
        told_by("none:memory=hard", terminal=True, yes=True)


def test_what_cannot_be_required_is_the_callers_mistake() -> None:
    with pytest.raises(ConfigError, match="--sandbox-require"):
        told_by("auto:memory=firm")
