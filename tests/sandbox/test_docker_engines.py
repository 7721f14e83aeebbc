"""Podman and gVisor hold what Docker's own engine does, where they are installed; CI needs neither.

What differs is told to the engine (``docker_options``); what does not hold is refused.
"""

import pytest

from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.conformance import BackendConformance
from rewardsmith.sandbox.docker import DockerBackend
from rewardsmith.sandbox.docker_options import Settings

pytestmark = [pytest.mark.docker, pytest.mark.slow]


class TestPodman(BackendConformance):
    """All promises, behind podman's interface for Docker's clients."""

    @pytest.fixture(autouse=True)
    def _uses(self, podman: str) -> None:
        self.settings = Settings(base_url=podman)

    def backend(self) -> DockerBackend:
        return DockerBackend(self.settings)

    def test_its_own_walls_hold(self) -> None:
        result = self.backend().self_test()
        assert result.failed == ()
        assert {*result.guarantees.values()} == {"hard"}

    def test_a_stopped_worker_leaves_nothing_behind(self) -> None:
        worker = self.backend().start(Limits())
        assert worker.engine.facts["podman"] == "True"
        assert worker.stop() == -9
        engine = self.backend().start(Limits())
        assert worker.container not in [row["Id"] for row in engine.engine.api.containers(all=True)]
        engine.stop()


class TestGvisor(BackendConformance):
    """All promises, where a kernel of its own stands between a container and this machine's."""

    @pytest.fixture(autouse=True)
    def _uses(self, gvisor: str) -> None:
        self.settings = Settings(base_url=gvisor, runtime="runsc")

    def backend(self) -> DockerBackend:
        return DockerBackend(self.settings)

    def test_its_own_walls_hold_but_time_on_processors_is_not_seen_to(self) -> None:
        result = self.backend().self_test()
        assert result.failed == ()
        assert "docker alone: cannot go over the memory limit" in {c.name for c in result.checks}
        soft = [kind for kind, strength in result.guarantees.items() if strength != "hard"]
        assert soft == ["cpu"]

    def test_one_that_ignores_limits_is_refused(self) -> None:
        unlimited = Settings(base_url=self.settings.base_url, runtime="runsc-unlimited")
        result = DockerBackend(unlimited).self_test()
        assert [check.name for check in result.failed] == [
            "docker alone: cannot go over the memory limit"
        ]
        assert "--ignore-cgroups" in result.failed[0].remedy
