import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field, Task
from rewardsmith.runs.training.policy import PolicySpec, action_part, checked, save_policy, shapes
from rewardsmith.runs.video import (
    drawing_environments,
    episode_frames,
    explained,
    follow,
    record_policy,
    record_video,
)

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


@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Hopper-v5", "Ant-v5"])
def test_a_robot_that_walks_stays_in_sight(env_id: str) -> None:
    env: Any = gym.make(env_id, render_mode="rgb_array")
    follow(env)
    assert env.unwrapped.mujoco_renderer.camera_id == env.unwrapped.model.camera("track").id
    env.close()


@pytest.mark.parametrize(
    ("env_id", "kwargs", "camera"),
    [("Reacher-v5", {}, -1), ("Humanoid-v5", {"camera_id": 1}, 1), ("CartPole-v1", {}, None)],
)
def test_other_views_stay(env_id: str, kwargs: dict[str, Any], camera: int | None) -> None:
    env: Any = gym.make(env_id, render_mode="rgb_array", **kwargs)
    follow(env)
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    assert getattr(renderer, "camera_id", None) == camera
    env.close()


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


def test_keys_do_not_reach_the_process_that_films() -> None:
    given = {"OPENAI_API_KEY": "k", "GITHUB_TOKEN": "k", "HOME": "/h", "XAUTHORITY": "/x"}
    for environment in drawing_environments(given):
        assert not {"OPENAI_API_KEY", "GITHUB_TOKEN"} & set(environment)
        assert environment["XAUTHORITY"] == "/x"
        assert environment["SDL_VIDEODRIVER"] == "dummy"


class Painted(gym.Env[Any, Any]):
    """Draws its time as a grey, and ends after a number of steps."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(4)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, steps: int = 30, **_: Any) -> None:
        self.render_mode, self._steps, self._time = render_mode, steps, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self._time += 1
        return np.zeros(1, np.float32), 0.0, self._time >= self._steps, False, {}

    def render(self) -> Any:
        return np.full((32, 48, 3), 8 * self._time, np.uint8)


@pytest.fixture
def painted() -> Iterator[str]:
    gym.register("Painted-v0", Painted, disable_env_checker=True)
    yield "Painted-v0"
    gym.registry.pop("Painted-v0")


def frames_of(painted: str, dt: float, **changes: Any) -> list[int]:
    """Returns the time at which each picture of an episode was drawn."""
    asked = {"seed": 1, "limit": 100, "every": 1} | changes
    frames = episode_frames(task(painted, LANDER, dt), lambda observation: 0, **asked)
    return [int(frame[0, 0, 0]) // 8 for frame in frames]


def test_an_episode_is_drawn_from_its_first_state_to_the_last_before_its_end(painted: str) -> None:
    assert frames_of(painted, 0.02) == list(range(30))
    assert frames_of(painted, 0.02, every=7) == [0, 7, 14, 21, 28]
    assert frames_of(painted, 0.02, limit=5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("dt", "rate", "count"),
    [(0.1, "10 fps", 30), (1 / 30, "30 fps", 30), (0.01, "33.33 fps", 10), (0.002, "29.41 fps", 2),
     (0.0, "30 fps", 30)],
)  # fmt: skip
def test_time_in_a_film_runs_as_in_the_simulation(
    dt: float, rate: str, count: int, painted: str, tmp_path: Path
) -> None:
    made = record_video(task(painted, LANDER, dt), lambda obs: 0, tmp_path / "a.mp4", seed=1)
    assert made.path is not None, made.reason
    told, frames = read(made.path)
    assert rate in told
    assert len(frames) == count


def test_a_policy_that_fails_leaves_no_half_film(painted: str, tmp_path: Path) -> None:
    calls: list[Any] = []

    def act(observation: Any) -> int:
        calls.append(observation)
        if len(calls) > 5:
            raise RuntimeError("the policy broke")
        return 0

    with pytest.raises(RuntimeError, match="the policy broke"):
        record_video(task(painted, LANDER, 0.1), act, tmp_path / "a.mp4", seed=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("reasons", "helped"),
    [
        (["egl: cannot import name 'EGL'", "osmesa: OSMesa not found"], True),
        (["egl: gladLoadGL error", "osmesa: gladLoadGL error"], True),
        (["egl: no readable policy"], False),
        ([], False),
    ],
)
def test_packages_are_named_only_where_they_help(reasons: list[str], helped: bool) -> None:
    text = explained(reasons)
    assert ("libosmesa6" in text) == helped
    assert text.startswith("the environment could not be drawn (")


def test_the_same_reason_is_told_once() -> None:
    assert explained(["egl: no GL", "osmesa: no GL"]).count("no GL") == 1


def test_pictures_with_odd_edges_are_cut_to_even_ones(tmp_path: Path) -> None:
    spec = replace(task("Hopper-v5", HOPPER, 0.008).env, kwargs={"width": 121, "height": 91})
    odd = replace(task("Hopper-v5", HOPPER, 0.008), env=spec)
    out = tmp_path / "a.mp4"
    made = record_policy(odd, job(tmp_path / "job", 11, HOPPER), out, seed=1, max_seconds=0.2)
    if made.path is None:
        pytest.skip(made.reason)
    assert read(out)[1].shape[1:] == (90, 120)
