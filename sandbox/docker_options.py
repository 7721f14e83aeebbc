"""What an engine is asked for: settings of the user's, and every option of a worker's container."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker.types import DeviceRequest

from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.child import FLAGS, environment
from rewardsmith.sandbox.docker_seccomp import security_option
from rewardsmith.sandbox.gpu import paths_left
from rewardsmith.sandbox.host_files import LIBRARY, MAIN, HostFiles
from rewardsmith.sandbox.inside.watchdog import REPLIES, REQUESTS

GVISOR = "runsc"
LABEL = "rewardsmith.worker"
RUN_LABEL = "rewardsmith.run"
DEADLINE_LABEL = "rewardsmith.deadline"
NOBODY = "65534:65534"
MOST_PROCESSES = 32
MOST_PROCESSES_WITH_GPU = 128  # CUDA's threads
CORES = 1
# gVisor's kernel is a process: its threads (55 at rest) count as the container's.
MOST_PROCESSES_WITH_GVISOR = 512
# A number of processes that is given, not left to the engine: podman would ask for its largest.
# Of message queues none: an engine lays out a folder for them, in memory, that all may write to.
_ULIMITS = {"core": 0, "nofile": 256, "nproc": 4096, "msgqueue": 0}
# What podman lays over a read-only file system for all to write to, and gVisor over an empty /tmp,
# unless something else is wanted there.
_PODMAN_FOLDERS, _GVISOR_FOLDERS = ("/tmp", "/var/tmp", "/run"), ("/tmp",)
# The toolkit makes only the assigned device's file, under the number that it has outside.
CUDA_DEVICES = (
    "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools",
    *(f"/dev/nvidia{number}" for number in range(32)),
)  # fmt: skip
CUDA_FOLDERS = ("/usr", "/lib", "/lib64", "/opt", LIBRARY)
# For the interpreter that watches, and for what both interpreters share with nobody else.
_OVERHEAD_BYTES = 64 * 2**20
LONGEST_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Settings:
    """Where the engine is, and what of it to use.

    ``base_url`` is None for the one that Docker's own variables name. ``image`` is one that was
    built from the Dockerfile; "" mounts this machine's files. ``runtime`` is e.g. "runsc" or
    "runsc-kvm", gVisor.
    """

    base_url: str | None = None
    image: str = ""
    runtime: str = ""

    @property
    def gvisor(self) -> bool:
        """Whether the container has a kernel of its own, by the name that its runtime goes by."""
        return self.runtime.startswith(GVISOR)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> "Settings":
        """Reads ``REWARDSMITH_DOCKER_IMAGE`` and ``REWARDSMITH_DOCKER_RUNTIME``."""
        given = os.environ if variables is None else variables
        return cls(
            image=given.get("REWARDSMITH_DOCKER_IMAGE", ""),
            runtime=given.get("REWARDSMITH_DOCKER_RUNTIME", ""),
        )


def memory_limit(limits: Limits) -> int:
    """Returns what a whole container may use in bytes: more than the worker's own limit."""
    return limits.memory_bytes + limits.region_bytes + _OVERHEAD_BYTES


def lifetime(limits: Limits) -> float:
    """Returns after how many seconds a container is out of date, for whoever finds it."""
    if limits.total_s is None:
        return LONGEST_S
    return min(LONGEST_S, limits.total_s + limits.start_s + limits.idle_s)


def launcher_orders(
    limits: Limits, settings: Settings, probe: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns what the launcher is told: arrays go through the attached streams."""
    gpu = limits.arrays.gpu is not None
    return {
        **limits.arrays.orders(),
        # In a container of its own, what CUDA needs is found by its name and nothing else is there.
        "paths": paths_left(CUDA_DEVICES, CUDA_FOLDERS) if gpu else {},
        "requests": REQUESTS,
        "replies": REPLIES,
        "shared": None,
        "region_bytes": limits.region_bytes,
        "memory_bytes": limits.memory_bytes,
        "parent": 1,  # the watchdog
        "walls": True,
        "probe": None if probe is None else dict(probe),
        "landlock": not settings.gvisor,  # whose kernel has none, nor the host's files
    }


def container_options(
    image: str, limits: Limits, orders: str, run: str, *, python: str
) -> dict[str, Any]:
    """Returns the options of the container itself, but for its host part.

    Args:
        image: its id.
        limits: what the worker may use.
        orders: what the launcher is told.
        run: says whose container it is.
        python: the interpreter's path inside.
    """
    main = MAIN.format(module="watchdog")
    return {
        "image": image,
        # The same seconds for all: a program can find its command in memory, and a check has less
        # time than a training. What lasts too long for its own limits is found by its label.
        "command": [python, *FLAGS, "-c", main, LIBRARY, str(LONGEST_S), orders],
        "user": NOBODY,
        "environment": environment(),
        "labels": {
            LABEL: "1",
            RUN_LABEL: run,
            DEADLINE_LABEL: str(int(time.time() + lifetime(limits))),
        },
        "hostname": "sandbox",
        "working_dir": "/",
        "network_disabled": True,
        # The user's proxies, with the passwords in their addresses, are for other containers.
        "use_config_proxy": False,
        # The engine closes the input with the connection that was first attached to it.
        "stdin_open": True,
        "tty": False,
        "detach": False,
    }


def host_options(
    limits: Limits, settings: Settings, *, cpu_quota: bool, podman: bool = False
) -> dict[str, Any]:
    """Returns what confines the container; nothing of it may be loosened by a caller."""
    memory = memory_limit(limits)
    gpu = limits.arrays.gpu is not None
    options: dict[str, Any] = {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", security_option(gpu=gpu)],
        "ipc_mode": "none",  # no /dev/shm to fill
        "pids_limit": _most_processes(limits, settings),
        "mem_limit": memory,
        "memswap_limit": memory,
        "auto_remove": True,
    }
    folders = _PODMAN_FOLDERS if podman else _GVISOR_FOLDERS if settings.gvisor else ()
    if folders:
        options["tmpfs"] = dict.fromkeys(folders, "ro,size=4k")
    if cpu_quota:
        options["nano_cpus"] = CORES * 10**9
    if gpu:
        options["device_requests"] = [
            DeviceRequest(device_ids=[str(limits.arrays.gpu)], capabilities=[["gpu"]])
        ]
    if settings.runtime:
        options["runtime"] = settings.runtime
    return options


def _most_processes(limits: Limits, settings: Settings) -> int:
    if settings.gvisor:
        return MOST_PROCESSES_WITH_GVISOR
    return MOST_PROCESSES if limits.arrays.gpu is None else MOST_PROCESSES_WITH_GPU


def ulimits(settings: Settings) -> dict[str, int]:
    """Returns the limits that each process starts with, by name.

    Users are counted by their kernel: in one's own, the limit on processes is the container's.
    """
    return _ULIMITS | ({"nproc": MOST_PROCESSES} if settings.gvisor else {})


def mounts(shown: HostFiles) -> dict[str, str]:
    """Returns what of this machine is mounted, always read-only: place inside -> path here."""
    places = {**shown.folders, **shown.files}
    return {place: str(source) for place, source in sorted(places.items())}
