import re
import subprocess
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field, Task
from rewardsmith.runs.training.policy import PolicySpec, action_part, checked, save_policy, shapes
from rewardsmith.runs.video import drawing_environments, explained, record_policy

LANDER = ActionSpec((), (), (), 4, "engine")
HOPPER = ActionSpec((3,), (-1.0,) * 3, (1.0,) * 3, None, "torques")


def task(env_id: str, action: ActionSpec, dt: float) -> Task:
    spec = EnvSpec(env_id, (Field("x", (), "m", "x", "obs[0]"),), (), action, 1000, dt)
    return Task("t", "move", spec, "none:none", "m", "distance")


def job(folder: Path, size: int, action: ActionSpec) -> Path:
    spec = PolicySpec(kind="linear", observation_size=size, **action_part(action))
    rng = np.random.default_rng(0)
    weights = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes(spec).items()}
    folder.mkdir()
    save_policy(checked(spec, weights), folder)
    return folder


def read(video: Path) -> tuple[str, npt.NDArray[np.uint8]]:
    """Returns ffmpeg's description of the video stream, and its pictures one after the other."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-i", str(video), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    (told,) = re.findall(r"Input[\s\S]*?(Video: .*)", done.stderr.decode())
    width, height = (int(n) for n in re.findall(r", (\d+)x(\d+)", told)[0])
    return told, np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width)


def test_a_policy_is_filmed_without_a_screen(tmp_path: Path) -> None:
    out = tmp_path / "best" / "policy.mp4"
    lander = task("LunarLander-v3", LANDER, 0.02)
    made = record_policy(lander, job(tmp_path / "job", 8, LANDER), out, seed=3)
    assert made.path == out, made.reason
    told, frames = read(out)
    assert "h264" in told
    assert "yuv420p" in told
    assert "25 fps" in told  # every second step of 50 per second: time runs as it does
    assert frames.shape[1:] == (400, 600)
    assert len(frames) > 10
    assert frames[-1].std() > 10
    assert not np.array_equal(frames[0], frames[-1])
    assert [p.name for p in out.parent.iterdir()] == ["policy.mp4"]


def test_a_film_is_no_longer_than_asked(tmp_path: Path) -> None:
    out = tmp_path / "policy.mp4"
    lander = task("LunarLander-v3", LANDER, 0.02)
    record_policy(lander, job(tmp_path / "job", 8, LANDER), out, seed=3, max_seconds=0.4)
    assert len(read(out)[1]) == 10


@pytest.mark.slow
def test_a_mujoco_policy_is_filmed_with_the_library_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    out = tmp_path / "policy.mp4"
    hopper = task("Hopper-v5", HOPPER, 0.008)
    made = record_policy(hopper, job(tmp_path / "job", 11, HOPPER), out, seed=3)
    if made.path is None:
        assert "libosmesa6" in made.reason
        pytest.skip(made.reason)
    _, frames = read(out)
    assert frames.shape[1:] == (480, 480)
    assert frames[0].std() > 10


def test_an_environment_that_draws_nothing_gives_the_reason(tmp_path: Path) -> None:
    (point, *_) = toy.tasks()
    size = 3
    folder = job(tmp_path / "job", size, point.env.action)
    made = record_policy(point, folder, tmp_path / "a.mp4", seed=1)
    assert made.path is None
    assert "rewardsmith/Point-v0 draws no pictures" in made.reason
    assert "apt-get" not in made.reason
    assert not (tmp_path / "a.mp4").exists()


def test_a_job_without_policy_gives_the_reason(tmp_path: Path) -> None:
    made = record_policy(task("LunarLander-v3", LANDER, 0.02), tmp_path, tmp_path / "a.mp4", seed=1)
    assert made.path is None
    assert "no readable policy" in made.reason


def test_a_missing_library_names_the_packages_that_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    hopper = task("Hopper-v5", HOPPER, 0.008)
    made = record_policy(hopper, job(tmp_path / "job", 11, HOPPER), tmp_path / "a.mp4", seed=1)
    assert made.path is None
    assert "apt-get install libosmesa6 (or: libegl1 libgl1)" in made.reason
    assert not (tmp_path / "a.mp4").exists()


def test_an_aborted_driver_is_a_reason_and_not_a_crash() -> None:
    reason = explained(["egl: the process ended with -6", "osmesa: no glGetError"])
    assert "egl: the process ended with -6; osmesa: no glGetError" in reason
    assert "libosmesa6" in reason


def test_the_users_choice_of_library_is_the_only_attempt() -> None:
    found = list(drawing_environments({"MUJOCO_GL": "glfw", "HOME": "/h"}))
    assert [e["MUJOCO_GL"] for e in found] == ["glfw"]
    assert found[0]["HOME"] == "/h"
    both = [e["MUJOCO_GL"] for e in drawing_environments({})]
    assert both == ["egl", "osmesa"]


def test_pictures_with_odd_edges_are_cut_to_even_ones(tmp_path: Path) -> None:
    spec = replace(task("Hopper-v5", HOPPER, 0.008).env, kwargs={"width": 121, "height": 91})
    odd = replace(task("Hopper-v5", HOPPER, 0.008), env=spec)
    out = tmp_path / "a.mp4"
    made = record_policy(odd, job(tmp_path / "job", 11, HOPPER), out, seed=1, max_seconds=0.2)
    if made.path is None:
        pytest.skip(made.reason)
    assert read(out)[1].shape[1:] == (90, 120)
