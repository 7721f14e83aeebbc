"""The ``bubblewrap`` backend: namespaces of their own around a worker, the launcher's walls inside.

The worker sees no host file but libraries, read-only; no other process; no network but a loopback
of its own; and nothing that it could write. An ordinary user gets a user namespace. Root does not:
there the worker would stay root to the kernel (``core_pattern`` opens for writing), so it becomes
a real other user inside instead.
"""

import functools
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.child import FLAGS, ChildWorker, start_child
from rewardsmith.sandbox.enforcement import prove
from rewardsmith.sandbox.gpu import SYSTEM_FOLDER, device_files, instance_files, paths_left
from rewardsmith.sandbox.greeting import greeted
from rewardsmith.sandbox.host_files import (
    INSIDE,
    LIBRARY,
    MAIN,
    HostFiles,
    host_files,
    inside_folder,
)
from rewardsmith.sandbox.process import LAUNCHER_GUARANTEES

NOBODY = "65534"
# The system's own first: distributions attach the right to user namespaces to its path.
_SYSTEM_PLACES = "/usr/bin:/usr/local/bin:/bin"
_INSTALL = "Install it, e.g. apt-get install bubblewrap (dnf, pacman, zypper: the same name)."
REMEDY = (
    "Bubblewrap needs user namespaces (`sysctl user.max_user_namespaces` above 0; on Ubuntu the "
    "AppArmor profile bwrap-userns-restrict, package apparmor-profiles), or real root. Inside a "
    "container neither may be allowed: there --sandbox process works."
)
_AS_ROOT = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts")
_AS_USER = (
    "--unshare-user",
    "--unshare-all",
    "--uid",
    NOBODY,
    "--gid",
    NOBODY,
    "--cap-drop",
    "ALL",
)
_BECOME_NOBODY = (
    "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set=-all",
    "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs",
)  # fmt: skip


def find_bubblewrap() -> str | None:
    """Returns the path of bwrap: the system's before any other on the search path."""
    return shutil.which("bwrap", path=_SYSTEM_PLACES) or shutil.which("bwrap")


@functools.cache
def _options(program: str) -> str:
    """What this version of bwrap can do, in its own words."""
    done = subprocess.run(
        [program, "--help"], env={}, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout + done.stderr


def _parents(places: Mapping[str, object]) -> list[str]:
    """Folders that lead to the places, outer before inner; bwrap's own would be closed."""
    found = {
        str(parent)
        for place in places
        for parent in PurePosixPath(place).parents
        if str(parent) not in ("/", *places)
        and not any(parent.is_relative_to(shown) for shown in places)
    }
    return sorted(found)


def _file_system(shown: HostFiles, devices: Sequence[str]) -> list[str]:
    folders = {**shown.folders, INSIDE: inside_folder()}
    arguments: list[str] = []
    for parent in _parents({**folders, **shown.files}):
        arguments += ["--perms", "0755", "--dir", parent]
    for place, source in sorted({**folders, **shown.files}.items()):
        arguments += ["--ro-bind", str(source), place]
    for place, target in shown.links.items():
        arguments += ["--symlink", target, place]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for device in devices:  # after --dev, which would hide them; --bind would not let them open
        arguments += ["--dev-bind", device, device]
    if devices:
        arguments += ["--ro-bind", SYSTEM_FOLDER, SYSTEM_FOLDER]
    # Without these two, memory could be filled by files in them.
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/"]


@dataclass(frozen=True)
class Shown:
    """What of this machine a worker sees: files read-only, and the files of devices."""

    files: HostFiles
    devices: tuple[str, ...] = ()

    @classmethod
    def to(cls, arrays: Arrays) -> "Shown":
        """Returns what a worker that evaluates with ``arrays`` needs to see.

        Raises:
            SandboxUnavailable: the library or the device is not there.
        """
        devices = () if arrays.gpu is None else device_files(arrays.gpu)
        if arrays.gpu is not None and arrays.mig is not None:
            devices += instance_files(arrays.gpu, arrays.mig)
        return cls(host_files(arrays), devices)

    def paths_left(self) -> dict[str, bool]:
        """Returns what Landlock has to leave; nothing without a device."""
        return paths_left(self.devices, tuple(self.files.folders)) if self.devices else {}


def command(
    program: str, orders: str, *, root: bool, options: str, shown: Shown | None = None
) -> list[str]:
    """Returns the whole command.

    Args:
        program: the path of bwrap.
        orders: what the launcher is told.
        root: whether bwrap runs as real root.
        options: the help text of this bwrap.
        shown: what the worker sees; None for what NumPy needs.
    """
    shown = shown or Shown.to(NUMPY)
    arguments = [program, *(_AS_ROOT if root else _AS_USER)]
    if not root and "--disable-userns" in options:
        arguments.append("--disable-userns")
    if root:
        arguments.append("--unshare-cgroup-try")
    # No --new-session: the launcher makes one itself, and can do so once only.
    arguments += ["--die-with-parent", "--hostname", "sandbox"]
    arguments += _file_system(shown.files, shown.devices)
    arguments += ["--chdir", "/", "--"]
    if root:
        arguments += ["/usr/bin/setpriv", *_BECOME_NOBODY]
    return [
        *arguments,
        shown.files.python,
        *FLAGS,
        "-c",
        MAIN.format(module="outer"),
        LIBRARY,
        orders,
    ]


class BubblewrapBackend:
    """Starts workers in namespaces of their own."""

    name = "bubblewrap"

    def start(self, limits: Limits, probe: Mapping[str, Any] | None = None) -> ChildWorker:
        """Starts a worker and waits until it says that it is locked in."""
        program = find_bubblewrap()
        if program is None:
            where = "Linux" if platform.system() == "Linux" else f"Linux, not {platform.system()}"
            raise SandboxUnavailable(f"bwrap was not found; bubblewrap is a program for {where}")
        shown = Shown.to(limits.arrays)
        orders = {
            **limits.arrays.orders(),
            "paths": shown.paths_left(),
            "parent": 1,  # in its process namespace
            "walls": True,
            "probe": None if probe is None else dict(probe),
        }

        def whole(text: str) -> list[str]:
            root, known = os.geteuid() == 0, _options(program)
            return command(program, text, root=root, options=known, shown=shown)

        with ExitStack() as ours:
            try:
                worker = start_child(whole, limits, orders, ours)
            except (OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
                raise SandboxUnavailable(f"bubblewrap could not be started: {error}") from error
            ours.pop_all()
        worker.signals_at = 128
        return greeted(worker, limits, walls=True)

    def self_test(self, arrays: Arrays = NUMPY) -> SelfTest:
        """Lets a worker try every door, with and without the launcher's walls; kept."""
        return _self_test(arrays)


@functools.cache
def _self_test(arrays: Arrays) -> SelfTest:
    remedy = REMEDY if find_bubblewrap() else _INSTALL
    start = BubblewrapBackend().start
    outer = {"by_root": os.geteuid() == 0}
    limits = Limits.for_arrays(arrays)
    return prove("bubblewrap", start, LAUNCHER_GUARANTEES, remedy, outer, limits)
