"""Runs one known-good reward through the whole stack, and names what is missing before it costs."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from rewardsmith.agent.local_model import DEFAULT_NAME
from rewardsmith.envs.task import Task
from rewardsmith.errors import ModelError, RewardsmithError
from rewardsmith.sandbox.backend import SelfTest

Verdict = Literal["ok", "warn", "missing"]
MIN_FREE_BYTES = 3 * 1024**3
PACKAGES = ("gymnasium", "mujoco", "stable-baselines3", "torch", "openai", "litellm", "docker")
# Executors that come with an extra of their own: extra -> package.
EXECUTOR_PACKAGES = {"ray": "ray", "slurm": "submitit"}
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


def examine(
    llm: str | None, *, width: int = 80, colour: bool = False
) -> tuple[dict[str, Any], str, bool]:
    """Returns the findings as a document, as text, and whether nothing needed is missing.

    The text ends with tables of what was tried against the sandboxes, ``width`` columns wide.
    """
    from rewardsmith.agent.doctor_table import as_tables
    from rewardsmith.sandbox.backends import self_tests

    tests: dict[str, SelfTest] = {}

    def sandbox() -> Iterator[Finding]:
        tests.update(self_tests())
        yield from _sandbox(tests)

    parts: tuple[tuple[str, Examination], ...] = (
        ("packages", _packages),
        ("trainers", _trainers),
        ("executors", _executors),
        ("disk", _disk),
        ("sandbox", sandbox),
        ("stack", _stack),
        ("model", lambda: examine_model(llm)),
    )
    found = [finding for name, part in parts for finding in _guarded(name, part)]
    good = all(finding.verdict != "missing" for finding in found)
    facts = {"ok": good, "findings": [vars(finding) for finding in found]}
    text = "\n".join(finding.as_text() for finding in found)
    return facts, f"{text}\n\n{as_tables(tests, width=width, colour=colour)}", good


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


def _trainers() -> Iterator[Finding]:
    """Says whether the trainer that needs an extra package can be used."""
    try:
        text = f"JAX {version('jax')}, for --algo fast"
    except PackageNotFoundError:
        text = 'JAX is not installed; --algo fast needs pip install "rewardsmith[fast]"'
    yield Finding("trainer fast", "ok", text)


def _executors() -> Iterator[Finding]:
    """Says which executors beside those of this machine can be used."""
    for extra, package in EXECUTOR_PACKAGES.items():
        try:
            text = f"{package} {version(package)}, for --executor {extra}"
        except PackageNotFoundError:
            text = f'not installed; --executor {extra} needs pip install "rewardsmith[{extra}]"'
        if extra == "slurm" and shutil.which("sbatch") is None:
            text += "; there is no sbatch on this machine"
        yield Finding(f"executor {extra}", "ok", text)


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1024**3:.1f} GiB free here"
    if free < MIN_FREE_BYTES:
        yield Finding("disk", "warn", text, "a run with the local model wants about 3 GiB")
    else:
        yield Finding("disk", "ok", text)


def _sandbox(tests: Mapping[str, SelfTest]) -> Iterator[Finding]:
    usable = any(test.passed for test in tests.values())
    for name, test in tests.items():
        if test.passed:
            started = f", starts in {test.start_ms:.0f} ms" if test.start_ms is not None else ""
            held = f"{len(test.checks)} walls hold{started}; {_strengths(test.guarantees)}"
            yield Finding(f"sandbox {name}", "ok", held)
        for check in test.failed:
            verdict: Verdict = "warn" if usable else "missing"
            yield Finding(f"sandbox {name}", verdict, f"{check.name}: {check.found}", check.remedy)


def _strengths(guarantees: Mapping[str, str]) -> str:
    """Says what is held how: "hard: files, memory; soft: cpu"."""
    kinds = {
        strength: [kind for kind, held in guarantees.items() if held == strength]
        for strength in ("hard", "soft", "none")
    }
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in kinds.items() if names)


def _stack() -> Iterator[Finding]:
    """Checks, trains and judges with a known-good reward, then films its policy."""
    from rewardsmith.agent.single import recorded_steps
    from rewardsmith.envs.registry import find_task
    from rewardsmith.sandbox.check import check

    task = find_task(KNOWN_GOOD_ENV)
    report = check(KNOWN_GOOD, task.env, recorded_steps(task))
    if report.failure is not None:
        yield Finding("contract check", "missing", report.failure.text, "please report this")
        return
    yield Finding("contract check", "ok", "a known-good reward holds the contract in its worker")
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        job = Path(folder) / "job"
        finding = _training(task, report.source, job)
        yield finding
        if finding.verdict == "ok":
            yield _video(task, job)


def _training(task: Task, source: str, job: Path) -> Finding:
    from rewardsmith.agent.choices import recipe_of
    from rewardsmith.agent.config import RunConfig
    from rewardsmith.runs.executors.local import Local

    config = RunConfig(env=KNOWN_GOOD_ENV, steps=4096, eval_episodes=3)
    [unit] = recipe_of(task, config).units("doctor", source, "final", 1)
    [(_, trained)] = list(Local(workers=1).run([(unit, job)], None))
    if trained.fitness is None:
        text = trained.failure.text if trained.failure else "no fitness"
        return Finding("training", "missing", text, "please report this")
    return Finding(
        "training",
        "ok",
        f"{trained.steps} steps and {len(trained.episodes)} judged episodes in "
        f"{trained.wall_s:.1f} s, fitness {trained.fitness:.3g} {task.fitness_unit}",
    )


def _video(task: Task, job: Path) -> Finding:
    from rewardsmith.runs.video import record_policy

    found = record_policy(task, job, job / "probe.mp4", seed=0, max_seconds=0.5)
    if found.path is None:
        return Finding("video", "warn", found.reason, "reports will have no video; all else works")
    return Finding("video", "ok", "drawing without a screen and encoding work")


def examine_model(llm: str | None) -> Iterator[Finding]:
    """Yields what is known of the model that would be asked; asks it nothing, so it is free."""
    from rewardsmith.agent.models import default_spec, make_model

    spec = llm or default_spec()
    try:
        model = make_model(spec)
    except RewardsmithError as error:
        yield Finding(f"model {spec}", "missing", str(error))
        return
    if spec.partition(":")[0] == "local" and model.name == f"local:{DEFAULT_NAME}":
        yield _local()
    elif spec.partition(":")[0] == "openai":
        yield _endpoint(model.name)
    else:
        yield Finding(f"model {model.name}", "ok", "can be asked")


def _local() -> Finding:
    from rewardsmith.agent.local_download import QWEN, is_present

    if is_present():
        return Finding("model local", "ok", "the embedded model is on disk")
    size = f"{QWEN.bytes / 1e9:.1f} GB"
    return Finding("model local", "warn", f"not here yet; the first run downloads {size} once")


def _endpoint(name: str) -> Finding:
    from rewardsmith.agent.chat_format import masked
    from rewardsmith.agent.openai_model import endpoint, model_names

    url, key = endpoint()
    try:
        known = model_names(url, key)
    except ModelError as error:
        remedy = "check OPENAI_BASE_URL, OPENAI_API_KEY and the network"
        return Finding(f"model {name}", "missing", str(error), remedy)
    if name.partition(":")[2] not in known:
        listed = ", ".join(sorted(known)[:8])
        return Finding(f"model {name}", "missing", f"{masked(url)} does not list it", listed)
    return Finding(f"model {name}", "ok", f"{masked(url)} lists it")
