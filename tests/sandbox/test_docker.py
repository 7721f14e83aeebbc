"""The ``docker`` backend holds on a real engine, and asks for nothing that would loosen it."""

import time
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.conformance import BackendConformance
from rewardsmith.sandbox.docker import (
    ContainerWorker,
    DockerBackend,
    Engine,
    _and_its_end,
    _by_file,
)
from rewardsmith.sandbox.docker_options import (
    DEADLINE_LABEL,
    LABEL,
    MOST_PROCESSES,
    Settings,
    memory_limit,
)
from rewardsmith.sandbox.docker_seccomp import security_option
from rewardsmith.sandbox.wire import WireError


@pytest.fixture
def docker_backend(engine: str) -> DockerBackend:
    return DockerBackend(Settings(base_url=engine))


@pytest.mark.docker
@pytest.mark.slow
class TestDockerBackend(BackendConformance):
    """All promises, on an engine of the tests' own."""

    @pytest.fixture(autouse=True)
    def _uses(self, docker_backend: DockerBackend) -> None:
        self.made = docker_backend

    def backend(self) -> DockerBackend:
        return self.made


@pytest.mark.docker
def test_its_own_walls_hold_before_the_launchers_stand(docker_backend: DockerBackend) -> None:
    result = docker_backend.self_test()
    assert result.failed == ()
    names = {check.name for check in result.checks}
    assert "docker alone: cannot start many processes" in names
    assert "docker alone: cannot go over the memory limit" in names
    assert "cannot start a process" in names, "the launcher's walls are inside as well"
    assert result.guarantees["cpu"] == "hard"


@pytest.mark.docker
def test_the_engine_was_asked_for_every_wall(docker_backend: DockerBackend) -> None:
    limits = Limits()
    worker = docker_backend.start(limits)
    try:
        assert worker.hello["uid"] == 65534
        found = worker.engine.api.inspect_container(worker.container)
    finally:
        worker.stop()
    host = found["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges", security_option()]
    assert host["PidsLimit"] == MOST_PROCESSES
    assert host["Memory"] == host["MemorySwap"] == memory_limit(limits)
    assert host["PidMode"] == ""
    assert host["AutoRemove"] is True
    assert host["LogConfig"]["Type"] == "none"
    assert found["Config"]["User"] == "65534:65534"
    assert found["Config"]["StdinOnce"] is True
    assert {mount["RW"] for mount in found["Mounts"]} == {False}
    sources = {mount["Source"] for mount in found["Mounts"]}
    assert not sources & {"/", "/root", "/home", "/etc", "/var/run/docker.sock", str(Path.home())}
    assert not [name for name in sources if name.endswith(".sock")]


@pytest.mark.docker
def test_stopping_removes_the_container_and_says_how_it_ended(
    docker_backend: DockerBackend,
) -> None:
    worker = docker_backend.start(Limits())
    assert worker.stop() == -9
    assert worker.stop() == -9, "a second time changes nothing"
    assert worker.container not in _all(docker_backend.settings)


def _all(settings: Settings) -> list[str]:
    engine = Engine(settings, 10.0)
    try:
        return [found["Id"] for found in engine.api.containers(all=True)]
    finally:
        engine.api.close()


def _left_behind(engine: Engine, image: str, deadline: float) -> str:
    labels = {LABEL: "1", DEADLINE_LABEL: str(int(deadline))}
    made = engine.api.create_container(image=image, command=["/bin/true"], labels=labels)
    return str(made["Id"])


@pytest.mark.docker
def test_containers_past_their_time_are_reaped_and_others_are_not(
    docker_backend: DockerBackend,
) -> None:
    running = docker_backend.start(Limits())
    engine = Engine(docker_backend.settings, 10.0)
    try:
        image = engine.api.inspect_container(running.container)["Image"]
        old = _left_behind(engine, image, time.time() - 1)
        young = _left_behind(engine, image, time.time() + 1000)
        stranger = str(engine.api.create_container(image=image, command=["/bin/true"])["Id"])
        assert set(engine.expired(time.time())) == {old}
        assert {old, young} <= set(engine.expired(time.time() + 61)), "never started"
        engine.reap()
        assert {young, stranger, running.container} <= set(_all(docker_backend.settings))
        assert old not in _all(docker_backend.settings)
        for container in (young, stranger):
            engine.remove(container)
    finally:
        engine.api.close()
        running.stop()


@pytest.mark.docker
def test_a_container_ends_by_itself_at_its_deadline(
    docker_backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if this process forgets it and the engine's connection stays."""
    monkeypatch.setattr("rewardsmith.sandbox.docker_options.LONGEST_S", 1.5)
    worker = docker_backend.start(Limits())
    assert worker.pipes.ended(deadline=time.monotonic() + 10)
    worker.stop()


@pytest.mark.docker
def test_an_image_that_is_not_there_is_the_machines_fault(engine: str) -> None:
    backend = DockerBackend(Settings(base_url=engine, image="rewardsmith-no-such-image"))
    with pytest.raises(SandboxUnavailable, match="rewardsmith-no-such-image"):
        backend.start(Limits())


@pytest.mark.docker
def test_a_runtime_that_is_not_there_leaves_no_container(engine: str) -> None:
    settings = Settings(base_url=engine, runtime="no-such-runtime")
    before = _all(settings)
    with pytest.raises(SandboxUnavailable, match="no-such-runtime"):
        DockerBackend(settings).start(Limits())
    assert set(_all(settings)) <= set(before), "others may be on their way out"


@pytest.mark.docker
def test_a_container_that_is_killed_from_outside_is_a_killed_worker(
    docker_backend: DockerBackend,
) -> None:
    worker = docker_backend.start(Limits())
    assert isinstance(worker, ContainerWorker)
    worker.engine.api.kill(worker.container)
    assert worker.stop(grace_s=5.0) == -9


def test_an_engine_that_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    backend = DockerBackend(Settings(base_url=f"unix://{tmp_path}/no.sock"))
    with pytest.raises(SandboxUnavailable, match="DOCKER_HOST"):
        backend.start(Limits())
    result = backend.self_test()
    assert not result.passed
    told = result.failed[0].found + result.failed[0].remedy
    assert told.count("name it in DOCKER_HOST") == 1


def test_podman_is_named_a_file_that_holds_the_same_filter_and_goes_again() -> None:
    with _by_file(["no-new-privileges", security_option()]) as options:
        assert options[0] == "no-new-privileges"
        path = Path(options[1].removeprefix("seccomp="))
        assert f"seccomp={path.read_text()}" == security_option()
        assert path.stat().st_mode & 0o077 == 0
    assert not path.exists()


class _Lives:
    def stop(self) -> None:
        """Ends, where it has not ended by itself."""


@pytest.mark.parametrize(
    ("cause", "holds"),
    [
        (WireError("exited", "the worker is gone"), True),
        (WireError("stalled", "too late"), False),
        (OSError("no engine"), False),
        (None, False),
    ],
)
def test_under_gvisor_only_the_end_of_a_worker_proves_that_memory_is_limited(
    cause: Exception | None, holds: bool
) -> None:
    def start(limits: Limits, probe: Any = None) -> Any:
        assert limits.memory_bytes == 2**29
        assert probe["outer"]["fill_bytes"] > 2**29
        if cause is None:
            return _Lives()
        raise SandboxUnavailable("it did not start") from cause

    result = _and_its_end(SelfTest("docker", ()), start)
    assert result.passed is holds
    assert ("--ignore-cgroups" in result.checks[0].remedy) is not holds
