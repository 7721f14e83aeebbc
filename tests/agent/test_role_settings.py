from pathlib import Path

import pytest

from rewardsmith.agent.role_settings import (
    DEFAULT,
    FRESH_HINTS,
    IMPROVE_HINTS,
    RoleSettings,
    settings_for,
)


@pytest.mark.parametrize("hints", [FRESH_HINTS, IMPROVE_HINTS])
def test_the_first_sample_gets_the_plain_prompt_and_no_two_hints_are_equal(
    hints: tuple[str, ...],
) -> None:
    assert hints[0] == ""
    assert len(set(hints)) == len(hints)
    assert all(hint.endswith(".") for hint in hints[1:])


def test_hints_come_round_again_and_differ_by_what_is_asked() -> None:
    fresh = [DEFAULT.hint(sample, improving=False) for sample in range(12)]
    better = [DEFAULT.hint(sample, improving=True) for sample in range(12)]
    assert fresh[:6] == fresh[6:] == list(FRESH_HINTS)
    assert better[:6] == list(IMPROVE_HINTS)
    assert not set(fresh[1:6]) & set(better[1:6])


def test_without_hints_every_sample_gets_the_plain_prompt() -> None:
    plain = RoleSettings(hints=False)
    assert {plain.hint(s, improving=i) for s in range(9) for i in (True, False)} == {""}


def test_temperatures_come_round_by_sample() -> None:
    given = RoleSettings(temperatures=(0.1, 0.2, 0.3))
    assert [given.temperature(n) for n in range(5)] == [0.1, 0.2, 0.3, 0.1, 0.2]
    assert RoleSettings(temperatures=()).temperature(3) is None


@pytest.mark.parametrize("name", ["local", "local:qwen2.5-coder-1.5b", "local:own.gguf"])
def test_the_local_model_gets_less_to_read_and_to_write(name: str, tmp_path: Path) -> None:
    local = settings_for(name, prompts_dir=tmp_path)
    assert local.compact
    assert local.prompts_dir == tmp_path
    assert local.designer_tokens is not None
    assert local.verdict_tokens is not None
    assert local.verdict_tokens < local.designer_tokens
    assert local.history < DEFAULT.history


@pytest.mark.parametrize(
    "name", ["openai:local", "litellm:ollama/local", "manual", "scripted", "localhost:x"]
)
def test_every_other_model_gets_the_whole_prompt_without_limits(name: str) -> None:
    assert settings_for(name) == DEFAULT
    assert settings_for(name, prompts_dir=Path("p")) == RoleSettings(Path("p"))
