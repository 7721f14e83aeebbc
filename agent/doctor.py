"""Runs one known-good reward through the whole stack, and names what is missing before it costs."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from rewardsmith.errors import RewardsmithError

Verdict = Literal["ok", "warn", "missing"]
MIN_FREE_BYTES = 3 * 1024**3
PACKAGES = ("gymnasium", "mujoco", "stable-baselines3", "torch", "openai", "litellm", "docker")
BAD_LITELLM = ("1.82.7", "1.82.8", "1.107.")

# Upright and centred: well known to train the double pendulum.
KNOWN_GOOD_ENV = "InvertedDoublePendulum-v5"
KNOWN_GOOD = """\
def compute_reward(action, terminated):
    alive = np.where(terminated, 0.0, 1.0)
    effort = -0.001 * np.sum(action**2, axis=-1)
    return alive + effort, {"alive": alive, "effort": effort}
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``remedy`` says what to do where it is not ok."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    def as_text(self) -> str:
        """Returns one or two lines."""
        mark = {"ok": "ok     ", "warn": "warning", "missing": "MISSING"}[self.verdict]
        tail = f"\n           -> {self.remedy}" if self.remedy else ""
        return f"{mark}  {self.name}: {self.detail}{tail}"


Examination = Callable[[], Iterator[Finding]]


def examine(llm: str | None) -> tuple[dict[str, Any], str, bool]:
    """Returns the findings as a document, as text, and whether nothing needed is missing."""
    parts: tuple[tuple[str, Examination], ...] = (
        ("packages", _packages),
        ("disk", _disk),
        ("sandbox", _sandbox),
        ("stack", _stack),
        ("video", _video),
        ("model", lambda: _model(llm)),
    )
    found = [finding for name, part in parts for finding in _guarded(name, part)]
    good = all(finding.verdict != "missing" for finding in found)
    facts = {"ok": good, "findings": [vars(finding) for finding in found]}
    return facts, "\n".join(finding.as_text() for finding in found), good


def _guarded(name: str, part: Examination) -> list[Finding]:
    try:
        return list(part())
    except RewardsmithError as error:
        return [Finding(name, "missing", str(error))]


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "missing", "not installed", "pip install rewardsmith")
            continue
        if name == "litellm" and found.startswith(BAD_LITELLM):
            remedy = 'pip install "litellm>=1.106.2,!=1.107.*" and change every key on this machine'
            yield Finding(name, "missing", f"{found} was published with malicious code", remedy)
        else:
            yield Finding(name, "ok", found)


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1024**3:.1f} GiB free here"
    if free < MIN_FREE_BYTES:
        yield Finding("disk", "warn", text, "a run with the local model wants about 3 GiB")
    else:
        yield Finding("disk", "ok", text)


def _sandbox() -> Iterator[Finding]:
    from rewardsmith.sandbox.doctor import examine as probes

    for row in probes():
        yield Finding(f"sandbox {row.name}", "ok" if row.ok else "warn", row.detail, row.remedy)


def _stack() -> Iterator[Finding]:
    from rewardsmith.agent.choices import recipe_of
    from rewardsmith.agent.config import RunConfig
    from rewardsmith.agent.single import recorded_steps
    from rewardsmith.envs.registry import find_task
    from rewardsmith.runs.executors.local import Local
    from rewardsmith.sandbox.check import check

    task = find_task(KNOWN_GOOD_ENV)
    report = check(KNOWN_GOOD, task.env, recorded_steps(task))
    if report.failure is not None:
        yield Finding("contract check", "missing", report.failure.text, "please report this")
        return
    yield Finding("contract check", "ok", "a known-good reward holds the contract in its worker")
    config = RunConfig(env=KNOWN_GOOD_ENV, steps=4096, eval_episodes=3)
    units = recipe_of(task, config).units("doctor", report.source, "final", 1)
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        [(_, trained)] = list(Local(workers=1).run([(units[0], Path(folder) / "job")], None))
    if trained.fitness is None:
        text = trained.failure.text if trained.failure else "no fitness"
        yield Finding("training", "missing", text, "please report this")
        return
    speed = trained.steps / trained.wall_s if trained.wall_s else 0.0
    yield Finding(
        "training",
        "ok",
        f"{trained.steps} steps and {len(trained.episodes)} judged episodes in {trained.wall_s:.1f} s "
        f"({speed:.0f} steps/s with start-up), fitness {trained.fitness:.3g} {task.fitness_unit}",
    )


def _video() -> Iterator[Finding]:
    from rewardsmith.runs.video import probe

    found = probe()
    if found.path is None:
        yield Finding("video", "warn", found.reason, "reports will have no video; all else works")
    else:
        yield Finding("video", "ok", "offscreen rendering and encoding work")


def _model(llm: str | None) -> Iterator[Finding]:
    from rewardsmith.agent.models import readiness

    found = readiness(llm)
    yield Finding(f"model {found.name}", "ok" if found.ok else "missing", found.detail, found.remedy)
