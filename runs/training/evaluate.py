"""Judges a policy in a fresh process: ``python -m rewardsmith.runs.training.evaluate FOLDER``.

It is given the weights and a `Judging` alone. It has never held a reward program, and nothing that
it writes comes from one: fitness is what trusted code makes of the simulator's state.
"""

import sys
from pathlib import Path

from rewardsmith.errors import RewardsmithError
from rewardsmith.runs.training.files import (
    EVALUATION,
    JUDGING,
    TRAJECTORIES,
    write_error,
    write_whole,
)
from rewardsmith.runs.training.judging import STORED_EPISODES, Judging, flat, judge, play
from rewardsmith.runs.training.lifetime import die_with_parent, forget_secrets
from rewardsmith.runs.training.policy import load_policy
from rewardsmith.runs.training.trajectories import save_episodes


def evaluate(folder: Path) -> None:
    """Plays and scores the episodes of ``judging.json``; writes trajectories, then the judgement.

    Raises:
        TrainingError: the policy cannot be read, or the fitness is not finite.
        ConfigError: the environment cannot be made, or the fitness cannot be loaded.
    """
    judging = Judging.model_validate_json((folder / JUDGING).read_bytes())
    spec = judging.task.env
    trained = judging.random_seed is None
    episodes = play(judging, flat(load_policy(folder), spec) if trained else _none)
    save_episodes(folder / TRAJECTORIES, episodes[:STORED_EPISODES])
    judgement = judge(judging.task, episodes)
    write_whole(folder / EVALUATION, judgement.model_dump_json().encode())


def _none(observation: object) -> object:
    raise AssertionError(f"the random policy takes no observation, got {observation!r}")


def main() -> int:
    """Runs `evaluate` on the folder given; returns the exit code."""
    die_with_parent()
    forget_secrets()
    folder = Path(sys.argv[1])
    try:
        evaluate(folder)
    except RewardsmithError as error:
        write_error(folder, error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
