"""From the word in ``--sandbox`` to the backend that it stands for."""

from functools import cache

from rewardsmith.sandbox.backend import UNCONFINED, Backend, SelfTest, choose
from rewardsmith.sandbox.process import ProcessBackend


def available() -> dict[str, Backend]:
    """Returns every backend that confines, by name."""
    confining: tuple[Backend, ...] = (ProcessBackend(),)
    return {backend.name: backend for backend in confining}


def self_tests() -> dict[str, SelfTest]:
    """Tries every backend; for ``doctor``."""
    return {name: backend.self_test() for name, backend in available().items()}


def resolve(sandbox: str | Backend) -> Backend:
    """Returns the backend to use.

    Raises:
        SandboxUnavailable: none holds here; the message says what failed and what to do.
        ConfigError: there is no backend of that name.
    """
    return sandbox if not isinstance(sandbox, str) else _chosen(sandbox)


@cache
def _chosen(requested: str) -> Backend:
    if requested == UNCONFINED:
        return ProcessBackend(walls=False)
    backends = available()
    tests = {name: backend.self_test() for name, backend in backends.items()}
    name, _ = choose(requested, tests)
    return backends[name]
