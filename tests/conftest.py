"""What holds for every test: no network but loopback, no keys, no screen, few threads."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports a simulator, a plotting library or a linear algebra library.
os.environ.update(
    MPLBACKEND="Agg",
    SDL_VIDEODRIVER="dummy",
    SDL_AUDIODRIVER="dummy",
    OMP_NUM_THREADS="1",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    HF_HUB_OFFLINE="1",
    # Programs that tests compile are nothing to keep in anybody's home.
    JAX_COMPILATION_CACHE_DIR=tempfile.mkdtemp(prefix="programs-"),
)

# A suite started in the background inherits an ignored Ctrl-C, and so would every process it tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

KEYS = ("_API_KEY", "_API_TOKEN", "OPENAI_BASE_URL", "OPENAI_API_BASE", "REWARDSMITH_")


def is_loopback(address: object) -> bool:
    """Whether a socket address stays on this machine (Unix sockets do)."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    return host in {"localhost", "::1"} or host.startswith("127.")


def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps ``socket.connect`` so that an address outside this machine fails loudly."""

    def connect_here(self: socket.socket, address: Any) -> Any:
        if not is_loopback(address):
            raise AssertionError(
                f"a test opens a connection to {address!r}: only loopback is allowed"
            )
        return connect(self, address)

    return connect_here


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Tests that would reach the network fail, here and now, rather than on a machine without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_programs_left() -> Iterator[None]:
    """What JAX compiled for the tests goes with them."""
    yield
    shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no key and no endpoint of the person who runs them."""
    for name in list(os.environ):
        if any(part in name for part in KEYS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the checkout."""
    return Path(__file__).resolve().parents[1]
