"""Every error that rewardsmith raises on purpose, and the exit code that it ends a command with.

RewardsmithError                 1   (never raised itself)
├── ConfigError                  2   what was asked for is wrong: environment, file, key, flag
├── SandboxUnavailable           3   this machine cannot confine reward code; the message says why
├── ModelError                   4   a language model could not be asked, or did not answer usefully
├── BudgetExhausted              5   a hard limit (money, tokens, steps, time) was reached
├── StoreError                   6   a run folder is damaged, locked, full or not a run
├── DownloadError                7   something to be fetched did not come, or its hash is wrong
├── TrainingError                8   training or judging broke, and the reward is not to blame
├── AwaitingFeedback            75   the run paused, as asked, for a person (EX_TEMPFAIL)
└── Interrupted                130   Ctrl-C; the run goes on with `rewardsmith resume`

What a *reward program* did wrong is no exception but a value:
``rewardsmith.sandbox.failure.Failure``.
"""

from typing import Literal, get_args

ModelErrorKind = Literal[
    "auth",
    "not_found",
    "bad_request",
    "rate_limit",
    "quota",
    "timeout",
    "stall",
    "server",
    "connection",
    "content_filter",
    "truncated",
    "empty",
    "unparsable",
    "budget",
    "replay_miss",
]
MODEL_ERROR_KINDS: tuple[ModelErrorKind, ...] = get_args(ModelErrorKind)


class RewardsmithError(Exception):
    """A failure whose message says what was found, what was wanted and what to do."""

    exit_code = 1


class ConfigError(RewardsmithError):
    """What the caller asked for cannot be done as asked."""

    exit_code = 2


class SandboxUnavailable(RewardsmithError):
    """No backend on this machine confines reward code; nothing was run."""

    exit_code = 3


class ModelError(RewardsmithError):
    """A language model gave no usable answer; ``kind`` says which way, for the retry rule."""

    exit_code = 4

    def __init__(self, kind: ModelErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class BudgetExhausted(RewardsmithError):
    """A hard limit was reached; what was paid for and trained is kept."""

    exit_code = 5


class StoreError(RewardsmithError):
    """A run folder cannot be read or written."""

    exit_code = 6


class DownloadError(RewardsmithError):
    """A file could not be fetched whole, or is not the file that was wanted."""

    exit_code = 7


class TrainingError(RewardsmithError):
    """Training or evaluation broke for a reason that is not the reward program's fault."""

    exit_code = 8


class AwaitingFeedback(RewardsmithError):
    """The run paused after a generation, as asked, and waits for a person."""

    exit_code = 75


class Interrupted(RewardsmithError):
    """The user stopped the command; every finished unit is on disk."""

    exit_code = 130
