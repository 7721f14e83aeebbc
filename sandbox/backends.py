"""From the word in ``--sandbox`` to the backend that it stands for."""

import os
from collections.abc import Mapping
from functools import cache

from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import STRENGTH, UNCONFINED, Backend, SelfTest, choose
from rewardsmith.sandbox.bubblewrap import BubblewrapBackend
from rewardsmith.sandbox.guarantees import Check, Guarantee, lacking, required
from rewardsmith.sandbox.process import ProcessBackend

AUTO = "auto"
# Any of these says that an engine is meant to be used; without, `auto` looks for none.
_ENGINE_VARIABLES = ("DOCKER_HOST", "REWARDSMITH_DOCKER_IMAGE", "REWARDSMITH_DOCKER_RUNTIME")
_NO_ENGINE = Check(
    "is configured",
    False,
    "no engine was named, and none was looked for",
    "To use one, set DOCKER_HOST, e.g. DOCKER_HOST=unix:///var/run/docker.sock",
)


def _docker() -> Backend:
    # Its client library takes longer to import than a worker to start.
    from rewardsmith.sandbox.docker import DockerBackend

    return DockerBackend()


def available() -> dict[str, Backend]:
    """Returns every backend that confines, by name, strongest first."""
    return {name: _make(name) for name in STRENGTH}


def _make(name: str) -> Backend:
    if name == "docker":
        return _docker()
    return BubblewrapBackend() if name == "bubblewrap" else ProcessBackend()


def engine_is_configured() -> bool:
    """Whether the user named a Docker engine, or how to use one."""
    return any(os.environ.get(name) for name in _ENGINE_VARIABLES)


def self_tests() -> dict[str, SelfTest]:
    """Tries every backend; for ``doctor``."""
    return {name: _tested(name) for name in STRENGTH}


def _tested(name: str) -> SelfTest:
    if name == "docker" and not engine_is_configured():
        return SelfTest(name, (_NO_ENGINE,))
    return _make(name).self_test()


def resolve(sandbox: str | Backend, arrays: Arrays = NUMPY) -> Backend:
    """Returns the backend to use.

    Args:
        sandbox: a backend, or the text of ``guarantees.asked``.
        arrays: with what it is to evaluate; its walls are tried with that as well.

    Raises:
        SandboxUnavailable: none holds here; the message says what failed and what to do.
        ConfigError: there is no backend of that name.
    """
    if not isinstance(sandbox, str):
        return sandbox
    backend = _chosen(sandbox)[0]
    if arrays != NUMPY and backend.name != UNCONFINED:
        choose(backend.name, {backend.name: backend.self_test(arrays)})
    return backend


def fresh_choice() -> None:
    """Forgets which backend was chosen: what is configured may have changed."""
    _chosen.cache_clear()


def step_down(requested: str) -> str:
    """Says why ``auto`` does not use the engine that the user configured; "" where it does.

    Raises:
        SandboxUnavailable: no backend holds here.
    """
    if requested.partition(":")[0] != AUTO or not engine_is_configured():
        return ""
    backend, reasons = _chosen(requested)
    if backend.name == STRENGTH[0]:
        return ""
    return f"--sandbox auto uses {backend.name}, not the configured engine:\n" + "\n".join(reasons)


@cache
def _chosen(sandbox: str) -> tuple[Backend, tuple[str, ...]]:
    requested, _, require = sandbox.partition(":")
    wanted = required(require)
    tests = {name: SelfTest(name, ()) for name in STRENGTH}
    if requested == AUTO:
        tests = _until_one_holds(wanted)
    elif requested in tests:
        tests[requested] = _make(requested).self_test()
    name, reasons = choose(requested, tests, wanted)
    return ProcessBackend(walls=False) if name == UNCONFINED else _make(name), reasons


def _until_one_holds(wanted: Mapping[str, Guarantee]) -> dict[str, SelfTest]:
    """Tries the backends that ``auto`` may use, strongest first, no further than needed."""
    tests: dict[str, SelfTest] = {}
    for name in STRENGTH:
        if name == "docker" and not engine_is_configured():
            continue
        tests[name] = _make(name).self_test()
        if tests[name].passed and not lacking(tests[name].guarantees, wanted):
            break
    return tests
