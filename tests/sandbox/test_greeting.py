"""Only a worker that says that it is locked, and that computes as we do, is spoken to."""

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.arrays import Arrays
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.greeting import greeted
from rewardsmith.sandbox.inside import frames
from rewardsmith.sandbox.wire import Pipes

GOOD = {
    "hello": 1,
    "seccomp": True,
    "table": "numpy",
    "library": "numpy",
    "device": "cpu",
    "landlock": 3,
    "python": sys.version.split()[0],
    "numpy": np.__version__,
}


class _Speaker:
    """Something that has said one thing, or nothing and is gone."""

    def __init__(self, hello: Mapping[str, Any] | None) -> None:
        reader, theirs = os.pipe()
        self._unread, writer = os.pipe()
        if hello is not None:
            frames.write_frame(theirs, dict(hello))
        os.close(theirs)
        os.set_blocking(reader, False)
        self.pipes = Pipes(reader, writer)
        self.hello: Mapping[str, Any] = {}
        self.stops = 0

    def stop(self, grace_s: float = 0.0) -> int | None:
        if not self.stops:
            self.pipes.close()
            os.close(self._unread)
        self.stops += 1
        return -9


def test_a_locked_worker_of_the_same_versions_is_greeted() -> None:
    speaker = _Speaker(GOOD)
    assert greeted(speaker, Limits(), walls=True) is speaker
    assert speaker.hello == GOOD
    assert speaker.stops == 0
    speaker.stop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seccomp": False}, "could not be confined"),
        ({"seccomp": 1}, "could not be confined"),
        ({"landlock": 0}, "could not be confined"),
        ({"landlock": True}, "could not be confined"),
        ({"hello": 2}, "could not be confined"),
        ({"hello": 0, "refused": "no Landlock\x1b[31m"}, "no Landlock"),
        ({"numpy": "1.0"}, "the same versions"),
        ({"python": "2.7"}, "the same versions"),
        ({"library": "jax"}, "evaluates with jax, wanted is numpy"),
        ({"library": None}, "evaluates with None"),
        ({"device": "gpu"}, "computes on gpu, wanted is cpu"),
        ({"table": "jax"}, "stands behind the jax calls, wanted are numpy's"),
        ({"table": None}, "stands behind the None calls"),
    ],
)
def test_any_other_is_ended_and_the_reason_given(change: dict[str, Any], said: str) -> None:
    speaker = _Speaker(GOOD | change)
    with pytest.raises(SandboxUnavailable, match=said) as caught:
        greeted(speaker, Limits(), walls=True)
    assert speaker.stops == 1
    assert "\x1b" not in str(caught.value)


def test_one_that_is_gone_is_named_with_its_status() -> None:
    with pytest.raises(SandboxUnavailable, match="exit status -9"):
        greeted(_Speaker(None), Limits(), walls=True)


def test_without_walls_none_are_asked_for() -> None:
    speaker = _Speaker(GOOD | {"seccomp": False, "landlock": 0, "table": "none"})
    assert greeted(speaker, Limits(), walls=False) is speaker
    speaker.stop()


def test_another_kernels_files_need_no_landlock() -> None:
    speaker = _Speaker(GOOD | {"landlock": 0})
    assert greeted(speaker, Limits(), walls=True, landlock=False) is speaker
    speaker.stop()


ON_GPU = Limits.for_arrays(Arrays("jax", "cuda:0"))
JAX = GOOD | {"library": "jax", "table": "jax", "jax": "0.0"}


def test_cuda_that_fell_back_to_the_cpu_is_an_error_with_a_remedy() -> None:
    speaker = _Speaker(JAX | {"device": "cpu", "table": "cuda"})
    with pytest.raises(
        SandboxUnavailable, match=r"computes on cpu, wanted is cuda:0\. .*nvidia-smi"
    ):
        greeted(speaker, ON_GPU, walls=True)
    assert speaker.stops == 1


def test_the_version_of_jax_is_compared_without_importing_it() -> None:
    pytest.importorskip("jax")
    limits = Limits.for_arrays(Arrays("jax"))
    with pytest.raises(SandboxUnavailable, match=r"has jax 0\.0, this process"):
        greeted(_Speaker(JAX), limits, walls=True)
    speaker = _Speaker(JAX | {"jax": version("jax")})
    assert greeted(speaker, limits, walls=True) is speaker
    speaker.stop()
    on_gpu = _Speaker(JAX | {"jax": version("jax"), "device": "gpu", "table": "cuda"})
    assert greeted(on_gpu, ON_GPU, walls=True) is on_gpu
    on_gpu.stop()
