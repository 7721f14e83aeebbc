from pathlib import Path

import pytest
import typer.main
from command_rig import call

from rewardsmith.agent.cli import app
from rewardsmith.agent.config import NOT_IDENTITY, RunConfig
from rewardsmith.agent.flags import FLAGS, LIMITS, given
from rewardsmith.errors import ConfigError

ASKED = (
    *("--env", "--llm", "--candidates", "--generations", "--algo", "--hyperparams", "--steps"),
    *("--seeds", "--out", "--sandbox", "--device", "--max-usd", "--max-time", "--max-tokens"),
)


def options(command: str) -> set[str]:
    group = typer.main.get_command(app)
    found = group.commands[command].params  # type: ignore[attr-defined]
    return {flag for parameter in found for flag in parameter.opts}


def test_design_and_sweep_share_every_flag() -> None:
    shared = {flag for flag, *_ in FLAGS}
    assert set(ASKED) <= shared
    assert shared <= options("design") & options("sweep") & options("train")


def test_every_flag_is_a_key_of_the_configuration() -> None:
    assert {key for _, key, *_ in FLAGS} <= set(RunConfig.model_fields)


def test_resume_takes_what_is_no_part_of_what_a_run_is() -> None:
    assert LIMITS <= NOT_IDENTITY
    wanted = {flag for flag, key, *_ in FLAGS if key in LIMITS}
    assert wanted <= options("resume")
    assert "--candidates" not in options("resume")


def test_only_what_was_given_is_kept() -> None:
    assert given({"env": "A", "card": None, "wrappers": [], "candidates": 0}) == {
        "env": "A",
        "candidates": 0,
    }


def test_values_are_read_as_what_they_mean() -> None:
    said = {"max_time_s": "2h", "llm_timeout_s": "90", "env_kwargs": '{"gravity": -9.8}'}
    assert given(said) == {
        "max_time_s": 7200.0,
        "llm_timeout_s": 90.0,
        "env_kwargs": {"gravity": -9.8},
    }


def test_arguments_of_an_executor_are_numbers_and_switches_where_they_look_like_it() -> None:
    said = ["partition=gpu", "mem_gb=4", "wall_s=1.5", "pin=false", "time=2h", "a=b=c", "s=[1]"]
    assert given({"executor_args": said}) == {
        "executor_args": {
            "partition": "gpu",
            "mem_gb": 4,
            "wall_s": 1.5,
            "pin": False,
            "time": "2h",
            "a": "b=c",
            "s": "[1]",
        }
    }


@pytest.mark.parametrize("text", ["partition", "=gpu", "two words=1", ""])
def test_an_argument_of_an_executor_without_key_or_value_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE is wanted"):
        given({"executor_args": [text]})


def test_paths_are_kept_whole_whatever_folder_a_run_is_resumed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert given({"out": Path("run")}) == {"out": tmp_path / "run"}


@pytest.mark.parametrize("said", [{"env_kwargs": "{"}, {"max_time_s": "soon"}])
def test_what_cannot_be_read_is_an_error(said: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        given(said)


def test_every_flag_has_a_line_of_help() -> None:
    shown = call("design", "--help").out
    assert all(flag in shown for flag, *_ in FLAGS)
    assert all(text for *_, text in FLAGS)


def test_the_trainer_may_be_called_by_either_name() -> None:
    for command in ("design", "sweep", "train"):
        assert {"--algo", "--trainer"} <= options(command)
