"""What a run's trainings left behind, looked at: evidence of candidates, answers about episodes."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from rewardsmith.agent.evidence.after import Opened, Played, after_training, played
from rewardsmith.agent.evidence.answers import answer
from rewardsmith.agent.evidence.decisive import decided, in_words
from rewardsmith.agent.evidence.subgoals import funnel
from rewardsmith.agent.inspecting import Goals
from rewardsmith.envs.collect import concat
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score, Task
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.prompts.facts import representative
from rewardsmith.prompts.questions import Asked
from rewardsmith.runs.bank import RANDOM, Bank
from rewardsmith.runs.inspections import Inspections
from rewardsmith.runs.records import Candidate, Evidence, Inspection, RunState
from rewardsmith.runs.training.files import TRAJECTORIES
from rewardsmith.runs.training.policy import load_policy
from rewardsmith.runs.training.trajectories import load_episodes

QUESTION = "question"
NOT_ON_RECORD = "not on record"


class Aftermath:
    """Looks at the stored judged episodes of candidates; computes each thing once."""

    def __init__(
        self,
        task: Task,
        bank: Bank,
        jobs: Callable[[str], Path],
        *,
        opened: Opened,
        goals: Goals | None = None,
    ) -> None:
        """Takes what it needs; nothing is read yet.

        Args:
            task: of the run.
            bank: of the run: its random episodes say what an untrained policy comes to.
            jobs: folder of a unit's training, by its id.
            opened: starts the worker of a candidate's program.
            goals: asks for a program's subgoals, where it has any.
        """
        self._task = task
        self._bank = bank
        self._jobs = jobs
        self._opened = opened
        self._goals = goals
        self._random: tuple[Episode, ...] | None = None
        self._last: tuple[str, Played] | None = None  # one candidate at a time is looked at

    def evidence(self, candidate: Candidate, state: RunState) -> tuple[Evidence, ...]:
        """Returns what a candidate's trainings show, given all that the run knows by then.

        Raises:
            SandboxUnavailable: this machine cannot confine the program.
            StoreError: stored episodes are damaged.
        """
        fitness = tuple(score.fitness for score in judge(self._task, self._untrained()))
        seen = self._of(candidate)
        found = after_training(candidate, state, seen, random=fitness)
        return (*self._funnel(candidate, seen), *found)

    def answers(self, candidate: Candidate, records: Inspections) -> Callable[[Asked], str]:
        """Returns what answers questions about a candidate's episodes, each on record once.

        A replay is answered from the record, since it may have no episodes.
        """

        def answered(asked: Asked) -> str:
            def find() -> Inspection:
                judged = self._of(candidate).judged
                text = answer(asked, judged, lambda number: self._decided(candidate, number))
                facts = {"question": asked.text}
                told = Evidence(probe=QUESTION, verdict="pass", text=text, facts=facts)
                return Inspection(evidence=(told,))

            digest = hashlib.sha256(asked.text.encode("utf-8", "backslashreplace")).hexdigest()
            found = records.of(candidate.id, f"{QUESTION} {digest[:16]}", find).evidence
            return found[0].text if found else NOT_ON_RECORD

        return answered

    def _decided(self, candidate: Candidate, number: int) -> str:
        """Returns where a stored episode was decided, in words; or why that cannot be told."""
        report = representative(candidate)
        assert report is not None  # it has stored episodes
        told = report.episodes[number]
        own = Score(told.fitness, told.success, told.outcome)
        try:
            policy = load_policy(self._jobs(report.unit))
            found = decided(self._task, self._of(candidate).episodes[number], own, policy)
        except (ConfigError, TrainingError) as error:
            return f"cannot be answered: {error}"
        return in_words(found, number, own)

    def _funnel(self, candidate: Candidate, seen: Played) -> tuple[Evidence, ...]:
        """Returns at which of its subgoals the judged episodes of a candidate stop."""
        if self._goals is None or candidate.program is None or not seen.episodes:
            return ()
        goals = self._goals(candidate.program, concat(seen.episodes))
        if goals is None:
            return ()
        lengths = [episode.length for episode in seen.episodes]
        told = [item.summary.success for item in seen.judged]
        return (funnel(goals, lengths, told),)

    def _of(self, candidate: Candidate) -> Played:
        if self._last is None or self._last[0] != candidate.id:
            seen = played(
                candidate,
                self._task,
                stored=self._stored,
                opened=self._opened,
                random=self._untrained(),
            )
            self._last = candidate.id, seen
        return self._last[1]

    def _untrained(self) -> tuple[Episode, ...]:
        if self._random is None:
            self._random = untrained(self._bank, self._task)
        return self._random

    def _stored(self, unit: str) -> tuple[Episode, ...]:
        path = self._jobs(unit) / TRAJECTORIES
        return load_episodes(path) if path.exists() else ()


def untrained(bank: Bank, task: Task) -> tuple[Episode, ...]:
    """Returns the bank's random episodes that were played to their end.

    Raises:
        StoreError: the bank is damaged.
    """
    episodes = bank.episodes(policy=RANDOM)
    return tuple(e for e in episodes if e.terminated or e.length >= task.env.max_steps)
