"""How long the processes of a training live, and what of the environment they are shown."""

import ctypes
import os
import re
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PARENT = "REWARDSMITH_PARENT"
_SECRET = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|COOKIE|AUTH(?!OR)"
    r"|^(OPENAI|ANTHROPIC|AZURE|AWS|GOOGLE|GEMINI|MISTRAL|GROQ|DEEPSEEK|OPENROUTER|HF|WANDB)_",
    re.IGNORECASE,
)


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables for a training process: no keys, one thread, and its parent's id."""
    kept = without_secrets(environment)
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return kept | dict.fromkeys(threads, "1") | {_PARENT: str(os.getpid())}


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables whose names promise no key, token or password."""
    return {name: value for name, value in environment.items() if not _SECRET.search(name)}


def forget_secrets() -> None:
    """Removes the keys from this process's own variables, for jobs that were started by hand."""
    for name in [name for name in os.environ if _SECRET.search(name)]:
        del os.environ[name]


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent dies (Linux), and ends it if it has already.

    SIGTERM becomes an orderly exit, so that workers are closed on the way out.
    """
    signal.signal(signal.SIGTERM, _leave)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent = os.environ.pop(_PARENT, None)
    if parent is not None and os.getppid() != int(parent):
        raise SystemExit(128 + signal.SIGKILL)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
