"""The ``docker`` backend: a container around a worker, the launcher's walls inside.

Any engine that speaks Docker's interface. The container has no network, no capabilities, no
writable file, hard limits on memory and processes, and a user that is nobody. The engine closes its
input when this process is gone, and with that it ends and is removed.
"""

import contextlib
import functools
import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound
from docker.types import LogConfig, Mount, Ulimit
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox import docker_options as options
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.attached import AttachedPipes
from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.docker_image import REPOSITORY, image_tag, image_tar
from rewardsmith.sandbox.docker_options import Settings
from rewardsmith.sandbox.enforcement import Start, prove
from rewardsmith.sandbox.greeting import greeted
from rewardsmith.sandbox.guarantees import Check, Guarantee
from rewardsmith.sandbox.host_files import HostFiles, host_files
from rewardsmith.sandbox.process import LAUNCHER_GUARANTEES
from rewardsmith.sandbox.wire import WireError

REMEDY = (
    "Start an engine and name it in DOCKER_HOST; its memory and process limits must work (rootless "
    "ones need cgroup v2). Engines that cannot mount this machine's files need an image from the "
    "Dockerfile beside rewardsmith/sandbox/docker.py, named in REWARDSMITH_DOCKER_IMAGE."
)
_NO_INSTANCES = (
    "the docker sandbox is given whole GPUs, not MIG instances. Use --sandbox bubblewrap, or a "
    "whole GPU, e.g. cuda:0"
)
GUARANTEES: dict[str, Guarantee] = {**LAUNCHER_GUARANTEES, "cpu": "hard"}
_FAULTS = (DockerException, RequestException, OSError, ValueError)
_PYTHON_IN_IMAGE = "/usr/bin/python3"
_ABANDONED_S = 60.0
_KILLED = -9
# The walls are tried with little memory: filling it takes time and hurts nobody.
_TRIAL = Limits(memory_bytes=2**29, region_bytes=2**24)
_OWNER = uuid.uuid4().hex


class Engine:
    """One connection to an engine; each worker has its own, since they are not shared by threads.

    ``Any`` stands for what the client library returns: it is untyped.
    """

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        where = kwargs_from_env()
        if settings.base_url is not None:
            where = {"base_url": settings.base_url}
        self.api: Any = docker.APIClient(version="auto", timeout=timeout_s, **where)

    def image(self, shown: HostFiles) -> str:
        """Returns the id of the image that mounts this machine's files, made where it is not."""
        content = image_tar(shown)
        name = f"{REPOSITORY}:{image_tag(content)}"
        with contextlib.suppress(ImageNotFound):
            return str(self.api.inspect_image(name)["Id"])
        # The tag with the name: podman drops one that stands apart.
        self.api.import_image_from_data(content, repository=name)
        return str(self.api.inspect_image(name)["Id"])

    def create(self, settings: Settings, limits: Limits, orders: str) -> str:
        """Creates a container and returns its id."""
        shown = None if settings.image else host_files(limits.arrays)
        image = self.image(shown) if shown else str(self.api.inspect_image(settings.image)["Id"])
        confined = options.host_options(
            limits,
            settings,
            cpu_quota=self.facts["cpu quota"] == "True",
            podman=self.facts["podman"] == "True",
        )
        with ExitStack() as held:
            if self.facts["podman"] == "True":
                confined["security_opt"] = held.enter_context(_by_file(confined["security_opt"]))
            wanted = options.container_options(
                image,
                limits,
                orders,
                _OWNER,
                python=shown.python if shown else _PYTHON_IN_IMAGE,
            )
            host = self._host_part(confined, shown, options.ulimits(settings))
            return str(self.api.create_container(**wanted, host_config=host)["Id"])

    def _host_part(
        self, confined: Mapping[str, Any], shown: HostFiles | None, ulimits: Mapping[str, int]
    ) -> Any:
        return self.api.create_host_config(
            **confined,
            mounts=[
                Mount(place, source, type="bind", read_only=True)
                for place, source in (options.mounts(shown) if shown else {}).items()
            ],
            log_config=LogConfig(type="none"),
            ulimits=[Ulimit(name=name, soft=n, hard=n) for name, n in ulimits.items()],
        )

    @functools.cached_property
    def facts(self) -> Mapping[str, str]:
        """What the engine says of itself, for reports."""
        found = self.api.info()
        parts = self.api.version().get("Components") or [{}]
        return {
            "engine": str(found.get("ServerVersion", "")),
            "podman": str("Podman" in str(parts[0].get("Name", ""))),
            "cgroups": str(found.get("CgroupVersion", "1")),
            "cpu quota": str(bool(found.get("CpuCfsQuota"))),
        }

    def remove(self, container: str) -> None:
        """Ends and removes a container; one that is on its way out already is no fault."""
        with contextlib.suppress(*_FAULTS):
            self.api.remove_container(container, force=True, v=True)

    def expired(self, now: float) -> Iterator[str]:
        """Names containers of any run that are past their time, or were never started."""
        for found in self.api.containers(all=True, filters={"label": options.LABEL}):
            deadline = str(found["Labels"].get(options.DEADLINE_LABEL, "0"))
            late = not deadline.isdigit() or int(deadline) < now
            abandoned = found["State"] == "created" and found["Created"] < now - _ABANDONED_S
            if late or abandoned:
                yield str(found["Id"])

    def reap(self) -> None:
        """Removes what a killed process may have left behind between two steps."""
        for container in list(self.expired(time.time())):
            self.remove(container)


@contextlib.contextmanager
def _by_file(security: Sequence[str]) -> Iterator[list[str]]:
    """Names a file in place of the filter's text, as podman wants it: one of this machine's."""
    name, _, text = security[-1].partition("=")
    with tempfile.NamedTemporaryFile("w", prefix="rewardsmith-", suffix=".json") as file:
        file.write(text)
        file.flush()
        yield [*security[:-1], f"{name}={file.name}"]


@dataclass
class ContainerWorker:
    """A running worker's container, and the connection that it lives by."""

    engine: Engine
    container: str
    pipes: AttachedPipes
    shared: None = None
    hello: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = field(default=False, init=False)
    _status: int | None = field(default=None, init=False)

    def stop(self, grace_s: float = 0.0) -> int | None:
        """Removes the container if it is still there after ``grace_s``; closes the connection."""
        if self.stopped:
            return self._status
        self.stopped = True
        try:
            ended = self.pipes.ended(deadline=time.monotonic() + grace_s)
            status = self.pipes.streams.status() if ended else None
            self._status = _KILLED if status is None else status
        finally:
            self.pipes.close()
            self.engine.remove(self.container)
            self.engine.api.close()
        return self._status


class DockerBackend:
    """Starts each worker in a container of its own."""

    name = "docker"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()

    def start(self, limits: Limits, probe: Mapping[str, Any] | None = None) -> ContainerWorker:
        """Starts a worker and waits until it says that it is locked in."""
        if limits.arrays.mig is not None:
            raise SandboxUnavailable(_NO_INSTANCES)
        orders = options.launcher_orders(limits, self.settings, probe)
        try:
            worker = self._started(limits, json.dumps(orders))
        except _FAULTS as error:
            raise SandboxUnavailable(
                f"the engine refused a container: {error}. {REMEDY}"
            ) from error
        return greeted(worker, limits, walls=True, landlock=orders["landlock"])

    def _started(self, limits: Limits, orders: str) -> ContainerWorker:
        engine = Engine(self.settings, limits.start_s)
        container = None
        try:
            _reap_once(self.settings, os.getpid())
            container = engine.create(self.settings, limits, orders)
            attached = engine.api.attach_socket(
                container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
            pipes = AttachedPipes.over(attached)
            engine.api.start(container)
        except BaseException:
            if container is not None:
                engine.remove(container)
            engine.api.close()
            raise
        return ContainerWorker(engine, container, pipes)

    def self_test(self, arrays: Arrays = NUMPY) -> SelfTest:
        """Lets a worker try every door, with and without the launcher's walls; kept."""
        return _self_test(self.settings, arrays)


@functools.cache
def _reap_once(settings: Settings, _process_id: int) -> None:
    engine = Engine(settings, _ABANDONED_S)
    try:
        engine.reap()
    finally:
        engine.api.close()


def _has_cpu_quota(settings: Settings) -> bool:
    with contextlib.suppress(*_FAULTS):
        engine = Engine(settings, _ABANDONED_S)
        try:
            return engine.facts["cpu quota"] == "True"
        finally:
            engine.api.close()
    return False


@functools.cache
def _self_test(settings: Settings, arrays: Arrays) -> SelfTest:
    limits = Limits.for_arrays(arrays)
    # gVisor's own kernel answers the calls that engines filter.
    outer: dict[str, Any] = {"filtered": not settings.gvisor}
    fills = arrays == NUMPY  # a compiler's memory would take long to fill
    if fills:
        limits = _TRIAL
    if arrays.gpu is None:
        outer["forks"] = True
    start = DockerBackend(settings).start
    if settings.gvisor:
        test = prove("docker", start, GUARANTEES, REMEDY, outer=outer, limits=limits)
        return _and_its_end(test, start) if fills and test.passed else test
    if fills:
        outer["fill_bytes"] = _too_much()
    if _has_cpu_quota(settings):  # an engine without one is no fault: then cpu is soft
        outer["cores"] = options.CORES
    return prove("docker", start, GUARANTEES, REMEDY, outer=outer, limits=limits)


def _too_much() -> int:
    return options.memory_limit(_TRIAL) * 3 // 2


def _and_its_end(test: SelfTest, start: Start) -> SelfTest:
    """Adds what a worker under gVisor cannot report: that the engine ends it over its memory.

    Its kernel is what the engine's limits hold for, and goes along. Time on processors is counted
    by that kernel as well, not by the machine's: with no trial, cpu stays soft.
    """
    probe = {"canary": "/none/none", "port": 1, "abstract": "none", "fill_bytes": _too_much()}
    ended = False
    try:
        start(_TRIAL, {"outer": probe}).stop()
    except SandboxUnavailable as error:
        ended = isinstance(error.__cause__, WireError) and error.__cause__.fault == "exited"
    found = ("it could, or there was no telling", "ended by the engine")[ended]
    remedy = "" if ended else f"gVisor must not be told to --ignore-cgroups. {REMEDY}"
    check = Check("docker alone: cannot go over the memory limit", ended, found, remedy)
    return replace(test, checks=(*test.checks, check))
