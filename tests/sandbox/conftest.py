"""The engine and the programs that the backends under test need: real ones, once per run."""

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from attack_bait import Bait, laid_out
from attack_control import can_throw_away
from attack_record import RECORDING, Record

from rewardsmith.sandbox.backend import Backend
from rewardsmith.sandbox.bubblewrap import BubblewrapBackend, find_bubblewrap
from rewardsmith.sandbox.process import ProcessBackend

# Read here, before the tests' own environment is cleaned.
REQUIRED = os.environ.get("REWARDSMITH_REQUIRE_BACKENDS", "") not in ("", "0")
GIVEN_ENGINE = os.environ.get("REWARDSMITH_TEST_ENGINE", "")

_RUNSC = ["--platform=ptrace", "--network=none"]


def missing(reason: str) -> NoReturn:
    """Skips a test that cannot be run here; where all backends are promised, it fails."""
    if REQUIRED:
        pytest.fail(f"REWARDSMITH_REQUIRE_BACKENDS is set, but {reason}")
    pytest.skip(reason)


def answers(url: str) -> bool:
    """Whether an engine listens there."""
    import docker

    try:
        client = docker.DockerClient(base_url=url, timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


def start_engine(folder: Path, *options: str) -> "tuple[subprocess.Popen[bytes], str]":
    """Starts a Docker engine that leaves this machine's network and firewall alone.

    ``options`` are further ones of dockerd.
    """
    url = f"unix://{folder}/docker.sock"
    arguments = ["--host", url, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    arguments += ["--pidfile", f"{folder}/docker.pid", "--bridge=none"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["dockerd", *arguments, "--iptables=false", "--ip6tables=false", *options],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and not answers(url):
        time.sleep(0.1)
    return process, url


@pytest.fixture(scope="session")
def engine() -> Iterator[str]:
    """The address of a Docker engine: one that was given, or one that is started for the tests."""
    if GIVEN_ENGINE:
        if not answers(GIVEN_ENGINE):
            missing(f"no engine answers at {GIVEN_ENGINE}")
        yield GIVEN_ENGINE
        return
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        missing("a Docker engine needs root and dockerd (apt-get install docker.io)")
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))  # sockets want short paths
    process, url = start_engine(folder)
    try:
        if not answers(url):
            missing(f"dockerd did not start: {(folder / 'log').read_text()[-500:]}")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def engine_folder() -> Iterator[Path]:
    """A place for an engine's files; the paths of sockets have to be short."""
    made = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _needs_optional(*programs: str) -> None:
    lacking = [name for name in programs if shutil.which(name) is None]
    if lacking or os.getuid() != 0:
        pytest.skip(f"optional: needs root and {', '.join(programs)}")


@pytest.fixture(scope="session")
def podman(engine_folder: Path) -> Iterator[str]:
    """The address of podman's service, with a store of its own."""
    _needs_optional("podman", "runc")
    url = f"unix://{engine_folder}/podman.sock"
    places = [
        f"--root={engine_folder}/root",
        f"--runroot={engine_folder}/run",
        f"--tmpdir={engine_folder}/tmp",
    ]
    how = ["podman", "--runtime=runc", "--cgroup-manager=cgroupfs", *places]
    # Its monitors leave files where they are started.
    service = subprocess.Popen([*how, "system", "service", "--time=0", url], cwd=engine_folder)
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end and service.poll() is None and not answers(url):
            time.sleep(0.1)
        if not answers(url):
            pytest.skip("optional: podman is installed and does not answer")
        yield url
    finally:
        # What is on its way out would outlive the service, and hold its store.
        subprocess.run([*how, "rm", "--all", "--force", "--time=0"], check=False, timeout=60)
        service.terminate()
        service.wait(timeout=30)
        # It mounts its store onto itself, and leaves that.
        subprocess.run(["umount", "--quiet", f"{engine_folder}/root/overlay"], check=False)


@pytest.fixture(scope="session")
def gvisor(engine_folder: Path) -> Iterator[str]:
    """The address of a Docker engine with gVisor's runtime, as it should be and as it should not.

    It emulates by ptrace, which goes inside a virtual machine as well.
    """
    _needs_optional("dockerd", "runsc")
    path = shutil.which("runsc")
    runtimes = {
        "runsc": {"path": path, "runtimeArgs": _RUNSC},
        "runsc-unlimited": {"path": path, "runtimeArgs": [*_RUNSC, "--ignore-cgroups"]},
    }
    configured = engine_folder / "daemon.json"
    configured.write_text(json.dumps({"runtimes": runtimes}))
    process, url = start_engine(engine_folder, "--config-file", str(configured))
    try:
        if not answers(url):
            pytest.skip("optional: dockerd with gVisor does not answer")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def number_of() -> Callable[[str, str], int]:
    """From a call's name and a machine to its number, by the library that engines use.

    The number is -1 for a name that is unknown, and less for one that only other machines have.
    """
    try:
        resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name_arch
    except OSError:
        missing("libseccomp, which every engine on Linux brings, is not installed")
    resolve.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    tokens = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
    return lambda name, machine: int(resolve(tokens[machine], name.encode()))


@pytest.fixture
def bubblewrap() -> BubblewrapBackend:
    """The bubblewrap backend, where there is one."""
    if find_bubblewrap() is None:
        missing("bwrap is not installed (apt-get install bubblewrap)")
    return BubblewrapBackend()


@pytest.fixture(params=["process", "bubblewrap", "docker"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend that confines, one after the other."""
    if request.param == "docker":
        from rewardsmith.sandbox.docker import DockerBackend
        from rewardsmith.sandbox.docker_options import Settings

        return DockerBackend(Settings(base_url=request.getfixturevalue("engine")))
    if request.param == "bubblewrap":
        made: BubblewrapBackend = request.getfixturevalue("bubblewrap")
        return made
    return ProcessBackend()


@pytest.fixture
def bait() -> Iterator[Bait]:
    """What attacks look for."""
    with laid_out() as made:
        yield made


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Namespaces for positive controls, where this user may make them."""
    if not can_throw_away():
        missing("this user may not make namespaces (user.max_user_namespaces, AppArmor)")


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    """What is on record of attacks; kept at the end where this run is one that records."""
    made = Record()
    yield made
    if RECORDING:
        made.save()
