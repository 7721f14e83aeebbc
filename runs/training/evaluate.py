"""Judges policies in a fresh process: ``python -m rewardsmith.runs.training.evaluate FOLDER ...``.

Each folder holds weights and a `Judging`, and that is all it is given. It has never held a reward
program, and nothing that it writes comes from one: fitness is what trusted code makes of the
simulator's state.
"""

import sys
from pathlib import Path

from pydantic import ValidationError

from rewardsmith.envs.collect import Act
from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import RewardsmithError, TrainingError
from rewardsmith.runs.training.files import (
    EVALUATION,
    JUDGING,
    TRAJECTORIES,
    write_error,
)
from rewardsmith.runs.training.judging import STORED_EPISODES, Judging, flat, judge, play
from rewardsmith.runs.training.lifetime import die_with_parent, forget_secrets
from rewardsmith.runs.training.policy import load_policy
from rewardsmith.runs.training.trajectories import save_episodes
from rewardsmith.runs.whole import write_whole


def evaluate(folder: Path) -> None:
    """Plays and scores the episodes of ``judging.json``; writes trajectories, then the judgement.

    Raises:
        TrainingError: the policy cannot be read, or the fitness is not finite.
        ConfigError: the environment cannot be made, or the fitness cannot be loaded.
    """
    judging = _asked(folder / JUDGING)
    episodes = play(
        judging, _none if judging.random_seed is not None else _trained(folder, judging)
    )
    save_episodes(folder / TRAJECTORIES, episodes[:STORED_EPISODES])
    judgement = judge(judging.task, episodes)
    write_whole(folder / EVALUATION, judgement.model_dump_json().encode())


def _asked(path: Path) -> Judging:
    try:
        return Judging.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise TrainingError(f"{path}: no readable order to judge: {error}") from error


def _trained(folder: Path, judging: Judging) -> Act:
    """Returns the stored policy, once it is sure to fit the environment that it is to act in."""
    policy, env = load_policy(folder), judging.task.env
    act = flat(policy, env)
    size, wanted = policy.spec.observation_size, _observation_size(env)
    action = (policy.spec.action_shape, policy.spec.count)
    if size != wanted or action != (env.action.shape, env.action.count):
        raise TrainingError(
            f"{folder}: the policy does not fit {env.id}: it takes {size} values and answers "
            f"{action}; {wanted} and {(env.action.shape, env.action.count)} are wanted"
        )
    return act


def _observation_size(spec: EnvSpec) -> int:
    from gymnasium.spaces import flatdim

    from rewardsmith.envs.recorder import make_env

    env = make_env(spec)
    try:
        return flatdim(env.observation_space)
    finally:
        env.close()


def _none(observation: object) -> object:
    raise AssertionError(f"the random policy takes no observation, got {observation!r}")


def main() -> int:
    """Runs `evaluate` on the folders given; returns the exit code of the last that failed, or 0."""
    die_with_parent()
    forget_secrets()
    code = 0
    for folder in map(Path, sys.argv[1:]):
        try:
            evaluate(folder)
        except RewardsmithError as error:
            write_error(folder, error)
            code = error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
