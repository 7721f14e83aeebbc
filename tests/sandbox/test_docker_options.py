"""What a container is asked to be: nothing in it depends on what this process knows or holds."""

import json
import math
import re

import pytest

from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.docker_options import (
    DEADLINE_LABEL,
    LABEL,
    MOST_PROCESSES,
    RUN_LABEL,
    Settings,
    container_options,
    host_options,
    launcher_orders,
    lifetime,
    memory_limit,
    mounts,
    ulimits,
)
from rewardsmith.sandbox.docker_seccomp import security_option
from rewardsmith.sandbox.host_files import host_files
from rewardsmith.sandbox.inside.launcher import Orders

LIMITS = Limits()


def test_no_variable_of_this_process_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    options = container_options("sha256:0", LIMITS, "{}", "run", python="/usr/bin/python3")
    assert "canary" not in json.dumps(options)
    assert not [n for n in options["environment"] if re.search("KEY|TOKEN|SECRET", n)]


def test_a_container_says_whose_it_is_and_when_it_ends() -> None:
    labels = container_options("i", LIMITS, "{}", "run-1", python="p")["labels"]
    assert labels[LABEL] == "1"
    assert labels[RUN_LABEL] == "run-1"
    assert labels[DEADLINE_LABEL].isdigit()


def test_its_input_ends_with_the_connection() -> None:
    options = container_options("i", LIMITS, "{}", "run", python="p")
    assert options["stdin_open"] is True
    assert options["detach"] is False, "only then does the engine close it after one connection"
    assert options["tty"] is False, "a terminal would not keep the streams apart"


def test_a_lifetime_covers_every_call() -> None:
    assert lifetime(Limits(total_s=100.0, start_s=30.0)) > 130.0
    assert lifetime(LIMITS) > 24 * 3600
    waits = Limits(total_s=100.0, idle_s=math.inf)
    assert lifetime(waits) == lifetime(LIMITS), "time between calls is no time of calls"


def test_a_command_does_not_say_how_much_time_there_is() -> None:
    """A program that finds it in memory cannot tell the check from the training."""
    check, training = Limits(total_s=30.0, call_s=5.0), Limits()
    commands = [
        container_options("i", limits, "{}", "run", python="p")["command"]
        for limits in (check, training)
    ]
    assert commands[0] == commands[1]
    labels = [
        int(container_options("i", limits, "{}", "run", python="p")["labels"][DEADLINE_LABEL])
        for limits in (check, training)
    ]
    assert labels[0] < labels[1]


def test_the_host_part_is_as_closed_as_an_engine_can_make_it() -> None:
    options = host_options(LIMITS, Settings(), cpu_quota=True)
    assert options["network_mode"] == options["ipc_mode"] == "none"
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges", security_option()]
    assert options["mem_limit"] == options["memswap_limit"] == memory_limit(LIMITS)
    assert options["nano_cpus"] == 10**9
    forbidden = {"privileged", "pid_mode", "cap_add", "devices", "binds", "volumes_from", "tmpfs"}
    assert not forbidden & set(options)


def test_a_runtime_is_passed_on_and_a_quota_only_where_it_works() -> None:
    options = host_options(LIMITS, Settings(runtime="runsc"), cpu_quota=False)
    assert options["runtime"] == "runsc"
    assert "nano_cpus" not in options
    assert "runtime" not in host_options(LIMITS, Settings(), cpu_quota=False)


def test_podman_and_gvisor_are_told_to_lay_no_writable_folder_over_anything() -> None:
    podman = host_options(LIMITS, Settings(), cpu_quota=True, podman=True)["tmpfs"]
    assert set(podman) == {"/tmp", "/var/tmp", "/run"}
    gvisor = host_options(LIMITS, Settings(runtime="runsc"), cpu_quota=True)["tmpfs"]
    assert set(gvisor) == {"/tmp"}
    assert all("ro" in how.split(",") for how in (*podman.values(), *gvisor.values()))


def test_gvisors_own_threads_are_not_the_programs_processes() -> None:
    """Engines count its kernel's threads, which hangs at 32; that kernel counts processes."""
    shared, own = Settings(), Settings(runtime="runsc")
    assert host_options(LIMITS, shared, cpu_quota=True)["pids_limit"] == MOST_PROCESSES
    assert host_options(LIMITS, own, cpu_quota=True)["pids_limit"] >= 128
    assert ulimits(own)["nproc"] == MOST_PROCESSES
    assert ulimits(shared)["nproc"] > MOST_PROCESSES, "counted with all others of the machine"


def test_no_message_queue_can_be_made() -> None:
    """Engines lay out a folder for them that all may write to, though nothing else is."""
    for settings in (Settings(), Settings(runtime="runsc")):
        assert ulimits(settings)["msgqueue"] == 0


def test_the_users_proxies_stay_outside() -> None:
    assert container_options("i", LIMITS, "{}", "run", python="p")["use_config_proxy"] is False


def test_landlock_is_wanted_of_every_kernel_that_can_have_it() -> None:
    for runtime, wanted in (("", True), ("runc", True), ("runsc", False), ("runsc-kvm", False)):
        orders = launcher_orders(LIMITS, Settings(runtime=runtime))
        assert orders["landlock"] is wanted
        assert orders["walls"] is True
        assert Orders(**orders).memory_bytes == LIMITS.memory_bytes


def test_settings_come_from_variables() -> None:
    given = {"REWARDSMITH_DOCKER_IMAGE": "built", "REWARDSMITH_DOCKER_RUNTIME": "runsc"}
    assert Settings.from_environment(given) == Settings(image="built", runtime="runsc")
    assert Settings.from_environment({}) == Settings()


def test_mounts_are_libraries() -> None:
    shown = mounts(host_files())
    assert "/usr" in shown
    assert "/app/numpy" in shown
    assert not [place for place in shown if place in ("/", "/root", "/home", "/etc", "/tmp")]
