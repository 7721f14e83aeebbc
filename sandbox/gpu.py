"""Which of this machine's device files belong to one NVIDIA GPU, and what its driver reads.

None of this could be tried on a GPU; what is asked for is what NVIDIA's own container toolkit
gives. Only the assigned device is shown: a program that shares a GPU's driver with others is
behind the weakest of all walls.
"""

import re
from pathlib import Path

from rewardsmith.errors import SandboxUnavailable

DEVICES = Path("/dev")
# Says which device file gives the right to use a MIG instance (NVIDIA's MIG user guide).
CAPABILITIES = Path("/proc/driver/nvidia/capabilities")
# Of a driver: its control device and its memory manager.
_SHARED = ("nvidiactl", "nvidia-uvm")
_SHARED_IF_THERE = ("nvidia-uvm-tools",)
_REMEDY = (
    "Check that nvidia-smi names the GPU here; `nvidia-modprobe -u -c=0` as root makes missing "
    "device files. Or evaluate rewards on the CPU"
)
# Read by the driver's library inside: which devices there are, and on which bus.
SYSTEM_FOLDER = "/sys"
_READ = (
    SYSTEM_FOLDER, "/proc/driver/nvidia", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
    "/proc/devices", "/proc/modules", "/etc/ld.so.cache",
)  # fmt: skip


def device_files(gpu: int, devices: Path = DEVICES) -> tuple[str, ...]:
    """Returns the device files that a worker on GPU number ``gpu`` needs, and no other GPU's.

    Raises:
        SandboxUnavailable: there is no such GPU, or its driver is not loaded.
    """
    wanted = [f"nvidia{gpu}", *_SHARED]
    missing = [str(devices / name) for name in wanted if not (devices / name).exists()]
    if missing:
        raise SandboxUnavailable(f"there is no {', '.join(missing)}. {_REMEDY}")
    optional = [name for name in _SHARED_IF_THERE if (devices / name).exists()]
    return tuple(str(devices / name) for name in (*wanted, *optional))


def instance_files(
    gpu: int, instance: tuple[int, int], capabilities: Path = CAPABILITIES, devices: Path = DEVICES
) -> tuple[str, ...]:
    """Returns the device files of one MIG instance: the rights to use it, and nothing beside it.

    Args:
        gpu: number of the GPU.
        instance: of the GPU instance and of the compute instance within it.
        capabilities: where the driver describes them.
        devices: where device files lie.

    Raises:
        SandboxUnavailable: there is no such instance.
    """
    place = capabilities / f"gpu{gpu}" / "mig" / f"gi{instance[0]}"
    found = []
    for access in (place / "access", place / f"ci{instance[1]}" / "access"):
        try:
            minor = re.search(r"DeviceFileMinor:\s*(\d+)", access.read_text())
        except OSError:
            minor = None
        if minor is None:
            raise SandboxUnavailable(
                f"GPU {gpu} has no MIG instance {instance[0]}/{instance[1]}: {access} does not "
                f"name its device file. `nvidia-smi mig -lci` lists what there is"
            )
        found.append(str(devices / "nvidia-caps" / f"nvidia-cap{minor[1]}"))
    return tuple(found)


def paths_left(files: tuple[str, ...], folders: tuple[str, ...]) -> dict[str, bool]:
    """Returns what Landlock leaves a worker with CUDA: the devices, and libraries to be read.

    CUDA opens its devices again and again, and its compiler reads a library at every compilation;
    so here, unlike on a CPU, Landlock cannot take everything away.
    """
    return dict.fromkeys(files, True) | dict.fromkeys((*folders, *_READ), False)
