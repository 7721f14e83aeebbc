"""A short video of a policy: drawn without a screen, encoded without a system package.

MuJoCo needs an OpenGL library to draw. Which one works is found by trying, each time in a process
of its own, since a broken driver can abort the process that asks it. Box2D's environments draw in
software and need nothing.
"""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.report_words import one_line
from rewardsmith.runs.training.lifetime import without_secrets

Act = Callable[[Any], Any]
Frame = npt.NDArray[np.uint8]

BACKENDS = ("egl", "osmesa")  # in order of speed; both draw without a screen
FPS = 30  # at most; frames of faster simulations are left out, so that time runs as it does there
PACKAGES = "apt-get install libosmesa6 (or: libegl1 libgl1)"
TRIES_S = 180.0

# PyOpenGL's and MuJoCo's words where a library is missing, and a driver that aborts the process.
_DRAWING = re.compile(
    r"egl|glGet|opengl|osmesa|glx|mujoco_gl|gl context|process ended with -", re.I
)
_TASK: TypeAdapter[Task] = TypeAdapter(Task)


@dataclass(frozen=True)
class Recording:
    """A video file, or the reason why there is none. Exactly one of the two."""

    path: Path | None
    reason: str = ""


def record_policy(
    task: Task, job: Path, out: Path, *, seed: int, max_seconds: float = 20.0
) -> Recording:
    """Records one episode of the policy in a job's folder, in a process of its own.

    Args:
        task: the task that the policy was trained for.
        job: a job's folder with its policy.
        out: the ``.mp4`` file to write; it appears whole or not at all.
        seed: reset seed of the episode.
        max_seconds: length of the video, in the simulation's time.
    """
    request = [str(job.resolve()), str(out.resolve()), str(seed), str(max_seconds)]
    text, reasons = _TASK.dump_json(task).decode(), []
    for environment in drawing_environments(os.environ):
        reason = _attempt(request, text, environment)
        if not reason and out.is_file():
            return Recording(out)
        reasons.append(f"{environment['MUJOCO_GL']}: {reason or 'no file came'}")
        if not _DRAWING.search(reason):
            break  # another OpenGL library would not help
    return Recording(None, explained(reasons))


def drawing_environments(given: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yields the environment variables of each attempt; a choice of the user's is the only one."""
    quiet = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    for backend in (given["MUJOCO_GL"],) if given.get("MUJOCO_GL") else BACKENDS:
        yield {**without_secrets(given), **quiet, "MUJOCO_GL": backend}


def _attempt(request: list[str], task: str, environment: Mapping[str, str]) -> str:
    """Returns why the attempt failed, empty where it did not."""
    command = [sys.executable, "-m", "rewardsmith.runs.video", *request]
    try:
        done = subprocess.run(
            command, input=task, env=environment, capture_output=True, timeout=TRIES_S,
            # A driver's complaint may be in any encoding.
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end after {TRIES_S:.0f} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return one_line(lines[-1], 200) if lines else f"the process ended with {done.returncode}"


def explained(reasons: list[str]) -> str:
    """Returns the reasons, each once, and the packages that help where OpenGL is missing."""
    causes = dict.fromkeys(reason.split(": ", 1)[-1] for reason in reasons)
    drawing = any(
        word in cause.lower() for cause in causes for word in ("gl", "mesa", "opengl_context")
    )
    remedy = f" On Debian and Ubuntu this helps: {PACKAGES}." if drawing else ""
    shown = "; ".join(reasons) if len(causes) > 1 else next(iter(causes), "nothing was tried")
    return f"the environment could not be drawn ({shown}).{remedy}"


def record_video(
    task: Task, act: Act, out: Path, *, seed: int, max_seconds: float = 20.0, fps: int = FPS
) -> Recording:
    """Records one episode in this process; OpenGL must be set up already (``MUJOCO_GL``).

    Args:
        task: what to play.
        act: observation -> action, as ``env.step`` takes it.
        out: the ``.mp4`` file (H.264) to write; it appears whole or not at all.
        seed: reset seed of the episode.
        max_seconds: length of the video, in the simulation's time.
        fps: frames per second at most.

    Raises:
        ConfigError: the environment cannot be made.
    """
    dt = task.env.dt if task.env.dt > 0 else 1.0 / fps  # an environment may know no time
    every = max(1, round(1.0 / (dt * fps)))
    limit = max(1, int(max_seconds / dt))
    frames = episode_frames(task, act, seed=seed, limit=limit, every=every)
    first = next(frames, None)
    if first is None:
        return Recording(None, f"{task.env.id} draws no pictures (render_mode rgb_array)")
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        _encode(part, first, frames, fps=1.0 / (dt * every))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return Recording(out)


def episode_frames(task: Task, act: Act, *, seed: int, limit: int, every: int) -> Iterator[Frame]:
    """Yields each ``every``-th picture (height, width, 3) of one episode, up to ``limit`` steps."""
    from rewardsmith.envs.recorder import make_env

    env = make_env(task.env, render_mode="rgb_array")
    with contextlib.closing(env):
        follow(env)
        observation, _ = env.reset(seed=seed)
        for step in range(limit):
            if step % every == 0:
                picture = _picture(env)
                if picture is None:
                    return
                yield picture
            observation, _, terminated, truncated, _ = env.step(act(observation))
            if terminated or truncated:
                return


def follow(env: Any) -> None:
    """Has a robot drawn by its model's camera that goes with it, where it has one.

    Gymnasium 1.4 draws from where the episode began, and whoever walks is soon out of sight. A
    camera that the task asks for stays.
    """
    renderer: Any = getattr(env.unwrapped, "mujoco_renderer", None)
    if getattr(renderer, "camera_id", None) != -1:
        return
    import mujoco

    modes = (mujoco.mjtCamLight.mjCAMLIGHT_TRACK, mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM)
    going = np.flatnonzero(np.isin(env.unwrapped.model.cam_mode, [int(mode) for mode in modes]))
    if len(going):
        renderer.camera_id = int(going[0])


def _picture(env: Any) -> Frame | None:
    with contextlib.suppress(NotImplementedError):
        drawn = env.render()
        return None if drawn is None else np.ascontiguousarray(drawn, dtype=np.uint8)
    return None


def _encode(path: Path, first: Frame, rest: Iterator[Frame], *, fps: float) -> None:
    import imageio_ffmpeg  # type: ignore[import-untyped]

    # yuv420p, which every browser plays, stores colours in blocks of 2 x 2: odd edges are cut off.
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
    options = ["-crf", "26", "-preset", "veryfast", "-movflags", "+faststart"]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, codec="libx264", pix_fmt_out="yuv420p",
        macro_block_size=1, quality=None, output_params=options,
    )  # fmt: skip
    writer.send(None)
    try:
        for frame in chain((first,), rest):
            writer.send(np.ascontiguousarray(frame[:height, :width]))
    finally:
        writer.close()


def _main(job: str, out: str, seed: str, max_seconds: str) -> str:
    """Records as asked by ``record_policy``; returns why there is no video, else nothing."""
    from rewardsmith.runs.training.judging import flat
    from rewardsmith.runs.training.policy import load_policy

    task = _TASK.validate_json(sys.stdin.read())
    try:
        act = flat(load_policy(Path(job)), task.env)
        made = record_video(task, act, Path(out), seed=int(seed), max_seconds=float(max_seconds))
    except (ConfigError, TrainingError) as error:
        return str(error)
    return made.reason


if __name__ == "__main__":
    # A message ends the process with code 1 and goes to standard error, as its last line.
    sys.exit(_main(*sys.argv[1:5]) or 0)
