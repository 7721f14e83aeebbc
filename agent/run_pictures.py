"""Keeps the numbers behind the pictures of a run's best rewards, while it has its sandbox."""

from collections.abc import Callable
from contextlib import closing

from rewardsmith.agent.choices import recipe_of
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.evidence.gather import gathered
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.picturing import pictures_of
from rewardsmith.agent.probing import reward_of
from rewardsmith.envs.task import Task
from rewardsmith.errors import RewardsmithError
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.pictures import Pictures
from rewardsmith.runs.records import Candidate
from rewardsmith.runs.report_pictures import pictured
from rewardsmith.runs.store import RunStore, write_durably
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardSource

View = Callable[..., None]


def keep_pictures(store: RunStore, config: RunConfig, view: View) -> None:
    """Asks the best rewards for what their pictures need and stores it; what is stored stays.

    To be called between generations, when every training of the last one has ended: it settles the
    bank. A reward whose pictures cannot be made has none: they are no reason for a run to fail.
    """
    missing = [c for c in pictured(store.state()) if not store.pictures_path(c.id).exists()]
    if not missing:
        return
    try:
        task = store.task()
        bank = gathered(Bank(store.bank_path), task, seed=config.seed)
        gamma = recipe_of(task, config).gamma
        for candidate in missing:
            opened = reward_of(candidate, env=task.env, gamma=gamma, sandbox=config.confinement)
            found = _drawn(candidate, opened, bank, task)
            if isinstance(found, Failure):
                view("warning", text=f"no pictures of {candidate.id}: {found.text}")
            else:
                content = found.model_dump_json().encode()
                write_durably(store.pictures_path(candidate.id), content)
    except RewardsmithError as error:
        view("warning", text=f"no pictures of the best rewards: {error}")


def _drawn(
    candidate: Candidate, opened: RewardSource, bank: Stored, task: Task
) -> Pictures | Failure:
    assert candidate.program is not None
    with closing(opened) as source:
        return pictures_of(source, candidate.program, bank, task, shaping=candidate.shaping)
