"""The ``bubblewrap`` backend holds, for root as for an ordinary user."""

import pytest

from rewardsmith.sandbox.bubblewrap import BubblewrapBackend
from rewardsmith.sandbox.conformance import BackendConformance


class TestBubblewrapBackend(BackendConformance):
    """All promises, on this machine, as this user."""

    @pytest.fixture(autouse=True)
    def _uses(self, bubblewrap: BubblewrapBackend) -> None:
        self.made = bubblewrap

    def backend(self) -> BubblewrapBackend:
        return self.made
