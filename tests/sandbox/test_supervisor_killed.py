"""Whoever kills the trusted side, and however: two seconds later no worker is left anywhere."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.sandbox.backend import Backend

_SUPERVISOR = """
import sys, time
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.backends import available
backend = available()[sys.argv[1]]
worker = backend.start(Limits())
if sys.argv[2] == "busy":
    load = {"id": 1, "do": "load", "source": "while True: pass", "function": "f",
            "memory": False, "by_row": False, "parameters": []}
    worker.pipes.send(load, deadline=time.monotonic() + 5)
    time.sleep(0.2)
print(getattr(worker, "container", ""), flush=True)
time.sleep(60)
"""


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child)} | _descendants(int(child))
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _container(url: str, name: str) -> dict[str, Any] | None:
    import docker

    client = docker.APIClient(base_url=url)
    try:
        found: dict[str, Any] = client.inspect_container(name)
        return found
    except docker.errors.NotFound:
        return None
    finally:
        client.close()


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_nothing_outlives_a_killed_supervisor(
    backend: Backend, state: str, request: pytest.FixtureRequest
) -> None:
    url = str(request.getfixturevalue("engine")) if backend.name == "docker" else ""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, backend.name, state],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DOCKER_HOST": url},
    )
    assert supervisor.stdout is not None
    try:
        container = supervisor.stdout.readline().strip()
        workers = _descendants(supervisor.pid)
        if container:
            running = _container(url, container)
            assert running is not None, json.dumps(running)
            workers |= {running["State"]["Pid"], *_descendants(running["State"]["Pid"])}
        assert workers
        assert all(_alive(pid) for pid in workers)
    finally:
        supervisor.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        supervisor.wait()
        supervisor.stdout.close()
    while time.monotonic() < killed + 2.0:
        left = [pid for pid in workers if _alive(pid)]
        if not left and (not container or _container(url, container) is None):
            return
        time.sleep(0.05)
    pytest.fail(f"after 2 s there are {left} and the container {container!r}")
