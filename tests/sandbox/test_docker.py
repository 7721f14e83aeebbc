"""The ``docker`` backend holds on a real engine, and asks for nothing that would loosen it."""

import pytest

from rewardsmith.sandbox.conformance import BackendConformance
from rewardsmith.sandbox.docker import DockerBackend
from rewardsmith.sandbox.docker_options import Settings


@pytest.mark.docker
@pytest.mark.slow
class TestDockerBackend(BackendConformance):
    """All promises, on an engine of the tests' own."""

    @pytest.fixture(autouse=True)
    def _uses(self, engine: str) -> None:
        self.settings = Settings(base_url=engine)

    def backend(self) -> DockerBackend:
        return DockerBackend(self.settings)
