from pathlib import Path

import pytest

from rewardsmith.agent.config import make_config, read_config, seconds
from rewardsmith.agent.flags import given
from rewardsmith.errors import ConfigError


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'candidate'; did you mean candidates"):
        make_config({"env": "Hopper-v5", "candidate": 3})


def test_every_error_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        make_config({"candidates": 0, "stepz": 3})
    for word in ("env is missing", "stepz", "candidates"):
        assert word in str(caught.value)


def test_the_source_stands_in_the_message() -> None:
    with pytest.raises(ConfigError, match=r"^my\.yaml: "):
        make_config({}, source="my.yaml")


def test_limits_and_places_do_not_make_another_run() -> None:
    one = make_config({"env": "Hopper-v5"})
    other = make_config(
        {
            "env": "Hopper-v5",
            "max_usd": 3.0,
            "out": "/tmp/x",
            "workers": 2,
            "pause_after": True,
            "executor": "serial",
            "executor_args": {"wall_s": 9},
        }
    )
    assert one.identity == other.identity


@pytest.mark.parametrize("change", [{"seed": 1}, {"candidates": 5}, {"text": "hop"}])
def test_what_decides_the_outcome_makes_another_run(change: dict[str, object]) -> None:
    assert make_config({"env": "X"} | change).identity != make_config({"env": "X"}).identity


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("30m", 1800.0),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
        (7, 7),
        (None, None),
    ],
)
def test_durations_are_read_as_people_write_them(text: str | None, wanted: float | None) -> None:
    assert seconds(text) == wanted


def test_a_bad_duration_says_how_to_write_one() -> None:
    with pytest.raises(ConfigError, match="write 90s, 30m, 2h"):
        seconds("soon")


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "just text"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        read_config(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        read_config(tmp_path / "gone.yaml")


def test_the_sandbox_and_what_it_must_hold_are_one_text_for_every_job() -> None:
    assert make_config({"env": "X"}).confinement == "auto"
    config = make_config({"env": "X", "sandbox": "docker", "sandbox_require": "cpu=hard"})
    assert config.confinement == "docker:cpu=hard"
    with pytest.raises(ConfigError, match=r"sandbox_require.*is not understood"):
        make_config({"env": "X", "sandbox_require": "cpu"})


def test_probes_are_all_none_or_some_and_part_of_what_a_run_is() -> None:
    every, none, some = (
        make_config({"env": "X"} | given({"probes": said}))
        for said in ("on", "off", "health, starc")
    )
    assert (every.probes, none.probes, some.probes) == (True, False, ("health", "starc"))
    assert [c.probing("starc") for c in (every, none, some)] == [True, False, True]
    assert not some.probing("farming")
    assert len({config.identity for config in (every, none, some)}) == 3


def test_a_probe_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="healt"):
        make_config({"env": "X"} | given({"probes": "healt"}))


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="audit_rejected"):
        make_config({"env": "X", "audit_rejected": share})
