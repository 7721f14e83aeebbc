"""What a worker on a GPU is shown: its own device, its driver's files, and no other GPU.

Tried on fake device files: no GPU was there to try it on.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="rewards on a GPU need JAX: pip install rewardsmith[fast]")

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox import bubblewrap
from rewardsmith.sandbox.arrays import Arrays
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.bubblewrap import Shown, command
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.docker import DockerBackend
from rewardsmith.sandbox.docker_options import (
    MOST_PROCESSES,
    Settings,
    host_options,
    launcher_orders,
)
from rewardsmith.sandbox.docker_seccomp import profile
from rewardsmith.sandbox.enforcement import OPEN_ON_GPU
from rewardsmith.sandbox.gpu import device_files, instance_files, paths_left
from rewardsmith.sandbox.host_files import host_files
from rewardsmith.sandbox.inside import probe
from rewardsmith.sandbox.inside.launcher import Orders
from rewardsmith.sandbox.process import ProcessBackend
from rewardsmith.sandbox.reward import RewardBatch

GPU = Arrays("jax", "cuda:1")
LIMITS = Limits.for_arrays(GPU)


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    for name in (
        "nvidia0",
        "nvidia1",
        "nvidiactl",
        "nvidia-uvm",
        "nvidia-uvm-tools",
        "nvidia-modeset",
    ):
        (tmp_path / name).touch()
    return tmp_path


def test_the_assigned_device_is_shown_and_no_other(devices: Path) -> None:
    names = [Path(path).name for path in device_files(1, devices)]
    assert names == ["nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]


def test_a_gpu_that_is_not_there_is_named_with_the_remedy(devices: Path) -> None:
    with pytest.raises(SandboxUnavailable, match=r"nvidia7.*nvidia-smi"):
        device_files(7, devices)
    (devices / "nvidia-uvm").unlink()
    with pytest.raises(SandboxUnavailable, match=r"nvidia-uvm.*nvidia-modprobe"):
        device_files(0, devices)


@pytest.fixture
def capabilities(tmp_path: Path) -> Path:
    """As the driver describes GPU instance 1 with its compute instance 0, and a stranger."""
    for place, minor in (("gi1", 12), ("gi1/ci0", 13), ("gi2", 21), ("gi2/ci0", 22)):
        folder = tmp_path / "gpu1" / "mig" / place
        folder.mkdir(parents=True)
        (folder / "access").write_text(f"DeviceFileMinor: {minor}\nDeviceFileMode: 292\n")
    return tmp_path


def test_a_mig_instance_gets_its_own_two_rights(capabilities: Path) -> None:
    assert instance_files(1, (1, 0), capabilities) == (
        "/dev/nvidia-caps/nvidia-cap12",
        "/dev/nvidia-caps/nvidia-cap13",
    )


@pytest.mark.parametrize("instance", [(3, 0), (1, 1)])
def test_a_mig_instance_that_is_not_there_is_named(
    capabilities: Path, instance: tuple[int, int]
) -> None:
    with pytest.raises(SandboxUnavailable, match=f"{instance[0]}/{instance[1]}.*nvidia-smi mig"):
        instance_files(1, instance, capabilities)


def test_the_docker_sandbox_is_given_whole_gpus_alone() -> None:
    limits = Limits.for_arrays(Arrays("jax", "cuda:0/1/0"))
    with pytest.raises(SandboxUnavailable, match="whole GPU"):
        DockerBackend(Settings()).start(limits)


HAS_GPU = Path("/dev/nvidiactl").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU is here")
def test_on_a_gpu_rewards_are_those_of_numpy_behind_its_walls(backend: Backend) -> None:
    if backend.name == "process":
        pytest.skip("the process sandbox refuses a GPU")
    arrays = Arrays("jax", "cuda:0")
    result = backend.self_test(arrays)
    assert result.failed == ()
    program = (
        "def compute_reward(speed):\n    run = np.exp(-speed**2)\n    return run, {'run': run}\n"
    )
    totals = []
    for limits in (Limits(), Limits.for_arrays(arrays)):
        with RewardClient(program, EXAMPLE_SPEC, sandbox=backend, limits=limits) as client:
            answer = client.rewards(example_steps(64))
        assert isinstance(answer, RewardBatch), answer
        totals.append(answer.total)
    np.testing.assert_allclose(totals[1], totals[0], rtol=1e-9)


def test_landlock_leaves_devices_to_speak_to_and_libraries_to_read() -> None:
    left = paths_left(("/dev/nvidia1", "/dev/nvidiactl"), ("/usr", "/app/jax"))
    assert [path for path, device in left.items() if device] == ["/dev/nvidia1", "/dev/nvidiactl"]
    assert left["/usr"] is False
    assert left["/sys"] is False
    assert not set(left) & {"/", "/proc", "/dev", "/tmp", "/etc", "/home", "/root"}


def _shown(devices: Path) -> Shown:
    return Shown(host_files(Arrays("jax")), device_files(1, devices))


@pytest.mark.parametrize("root", [True, False])
def test_bubblewrap_binds_the_device_files_after_its_own(devices: Path, root: bool) -> None:
    arguments = command("bwrap", "{}", root=root, options="", shown=_shown(devices))
    bound = [at for at, argument in enumerate(arguments) if argument == "--dev-bind"]
    assert len(bound) == 4
    assert all(arguments[at + 1] == arguments[at + 2] for at in bound)
    assert not [argument for argument in arguments if argument.endswith("nvidia0")]
    own, frozen = arguments.index("--dev"), arguments.index("--remount-ro")
    assert own < min(bound)
    assert max(bound) < frozen
    system = arguments.index("/sys")
    assert arguments[system - 1] == "--ro-bind"


def test_without_a_gpu_no_device_is_bound() -> None:
    arguments = command("bwrap", "{}", root=True, options="", shown=Shown.to(Arrays("jax")))
    assert "--dev-bind" not in arguments
    assert "/sys" not in arguments
    assert Shown.to(Arrays("jax")).paths_left() == {}


def test_bubblewrap_does_not_start_where_the_gpu_is_missing(
    bubblewrap: "bubblewrap.BubblewrapBackend", monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_of_them(gpu: int) -> Any:
        raise SandboxUnavailable(f"there is no /dev/nvidia{gpu}")

    monkeypatch.setattr("rewardsmith.sandbox.bubblewrap.device_files", none_of_them)
    with pytest.raises(SandboxUnavailable, match="/dev/nvidia1"):
        bubblewrap.start(LIMITS)


def test_an_engine_is_asked_for_the_assigned_device_alone() -> None:
    options = host_options(LIMITS, Settings(), cpu_quota=True)
    [request] = options["device_requests"]
    assert request["DeviceIDs"] == ["1"]
    assert request["Capabilities"] == [["gpu"]]
    assert request["Count"] == 0, "never all of them"
    assert options["pids_limit"] > MOST_PROCESSES
    assert options["network_mode"] == "none"
    assert options["read_only"] is True
    assert "device_requests" not in host_options(Limits(), Settings(), cpu_quota=True)


def test_a_container_on_a_gpu_gets_few_calls_more() -> None:
    plain, more = (set(profile(gpu=gpu)["syscalls"][0]["names"]) for gpu in (False, True))
    assert more - plain == {"get_mempolicy", "mincore", "mlock", "munlock"}


def test_the_launcher_is_told_of_the_device_and_sets_no_limit_that_cuda_breaks() -> None:
    orders = Orders(**launcher_orders(LIMITS, Settings()))
    assert orders.on_gpu
    assert orders.table == "cuda"
    assert orders.left()["/dev/nvidiactl"] is True
    assert orders.left()["/app"] is False
    plain = Orders(**launcher_orders(Limits.for_arrays(Arrays("jax")), Settings()))
    assert plain.table == "jax"
    assert plain.left() == {"/dev/urandom": False}
    assert Orders(**launcher_orders(Limits(), Settings())).left() == {}


def test_the_process_sandbox_refuses_a_gpu() -> None:
    with pytest.raises(SandboxUnavailable, match="--sandbox bubblewrap"):
        ProcessBackend().start(LIMITS)


def test_doors_that_cuda_opens_are_not_counted_as_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = dict.fromkeys((*OPEN_ON_GPU, "read a file"), lambda: None)
    monkeypatch.setattr(probe, "_attempts", lambda orders: tried)
    found = probe.findings({"left_out": OPEN_ON_GPU}, {})
    assert found["tried"] == ["read a file"]
    assert found["opened"] == ["read a file"]
