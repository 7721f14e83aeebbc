"""The loop: generations of candidates, each designed, checked, trained and explained.

There is no resume mode. Every step asks the state which records exist and does only the rest, so a
run that was killed anywhere goes on when it is started again.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from rewardsmith.agent import roles
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.developing import Draft, Workbench, adopt, develop
from rewardsmith.agent.evidence.normal_form import normal_form
from rewardsmith.agent.halving import judged, marked
from rewardsmith.agent.inspecting import Inspector
from rewardsmith.agent.interview import Answer
from rewardsmith.agent.proving import Prover, Recipe
from rewardsmith.agent.screening import AUDIT, DUPLICATE, audit, nearest, sound, trainable
from rewardsmith.agent.search import STRATEGIES, best_of_generation, contenders, elect, find
from rewardsmith.errors import AwaitingFeedback, ModelError
from rewardsmith.runs.records import Candidate, Evidence, Generation, Proposal, RunState
from rewardsmith.runs.store import RunStore, write_durably

Watch = Callable[..., None]


@dataclass(frozen=True)
class Agent:
    """One run at work. Collaborators are given; nothing is remembered here."""

    store: RunStore
    config: RunConfig
    bench: Workbench
    recipe: Recipe
    prover: Prover
    watch: Watch
    inspector: Inspector | None = None
    answering: Callable[[Candidate], Answer] | None = None
    parallel_asks: int = 1

    def run(self) -> RunState:
        """Does whatever is left of the run and returns its final state.

        Raises:
            AwaitingFeedback: a generation ended and ``pause_after`` is set.
            BudgetExhausted: a hard limit was reached; what exists is kept.
            ModelError, TrainingError, SandboxUnavailable: see ``errors.py``; resume later.
        """
        if self.store.state().awaiting:
            self.store.append("resumed", {})
        for number in range(self.config.generations):
            if number >= len(self.store.state().generations):
                self._timed(partial(self._generation, number))
                self._pause(number)
        self._timed(self._final)
        if not self.store.state().finished:
            self.store.append("finished", {})
        return self.store.state()

    def _timed(self, work: Callable[[], None]) -> None:
        started = time.monotonic()
        try:
            work()
        finally:
            self.store.append("worked", {"wall_s": round(time.monotonic() - started, 3)})

    def _pause(self, number: int) -> None:
        if self.config.pause_after and number + 1 < self.config.generations:
            self.store.append("paused", {"generation": number})
            raise AwaitingFeedback(
                f"generation {number} is done and waits for you: "
                f'`rewardsmith feedback {self.store.path} --text "..."`, then '
                f"`rewardsmith resume {self.store.path}`"
            )

    def _generation(self, number: int) -> None:
        self.watch("generation_started", number=number, of=self.config.generations)
        self._propose(number)
        self._design(number)
        self._mark_duplicates(number)
        self._compare(number)
        self._audit(number)
        self._train(number)
        self._examine(number)
        names = self._recheck(number)
        self._analyse(best_of_generation(self.store.state(), number))
        state = self.store.state()
        rivals = [item for item in _of(state, number) if item.id in names]
        best = elect(state, rivals, recheck=self.config.recheck_seeds > 0)
        done = Generation(
            number=number, candidates=tuple(item.id for item in _of(state, number)), best=best
        )
        self.store.append("generation_done", {"generation": done.model_dump(mode="json")})
        self.watch("generation_done", number=number, best=best)

    def _propose(self, number: int) -> None:
        state = self.store.state()
        if _of(state, number):
            return
        used = {item.proposal.parents for item in state.candidates if item.proposal.kind == "human"}
        proposals = STRATEGIES[self.config.strategy]().propose(state, self.config.candidates)
        edits = [
            Proposal(kind="human", parents=(item.id,))
            for item in state.feedback
            if item.program is not None and (item.id,) not in used
        ]
        rows = [
            {"candidate": f"g{number}.{index}", "proposal": proposal.model_dump(mode="json")}
            for index, proposal in enumerate((*proposals, *edits))
        ]
        seen = [item.id for item in state.feedback]
        self.store.append("proposed", {"generation": number, "proposals": rows, "feedback": seen})

    def _design(self, number: int) -> None:
        state = self.store.state()
        todo = [
            item for item in _of(state, number) if item.program is None and item.failure is None
        ]
        pool = ThreadPoolExecutor(max_workers=self.parallel_asks)
        try:
            work = [pool.submit(self._develop, state, item) for item in todo]
            errors = [error for future in work if (error := future.exception()) is not None]
        finally:
            # Ctrl-C must not wait for answers that are on their way; nothing of them is lost.
            pool.shutdown(wait=False, cancel_futures=True)
        if errors:
            raise errors[0]

    def _develop(self, state: RunState, candidate: Candidate) -> None:
        if candidate.proposal.kind == "human":
            draft = self._adopted(state, candidate)
        else:
            draft = develop(self.bench, candidate, context_of(state, candidate))
        if draft.source is not None:
            path = self.store.program_path(candidate.id)
            write_durably(path, draft.source.encode("utf-8", "backslashreplace"))
        self.store.append("designed", draft.record(candidate.id))

    def _adopted(self, state: RunState, candidate: Candidate) -> Draft:
        wanted = candidate.proposal.parents[0]
        program = next(item.program for item in state.feedback if item.id == wanted)
        assert program is not None
        return adopt(self.bench, candidate, program)

    def _mark_duplicates(self, number: int) -> None:
        seen: dict[str, str] = {}
        for item in self.store.state().candidates:
            if item.generation > number or item.program is None or not sound(item):
                continue
            twin = seen.setdefault(_normal_form(item), item.id)
            if twin != item.id and item.generation == number and not _noted(item, DUPLICATE):
                evidence = Evidence(
                    probe=DUPLICATE,
                    verdict="fail",
                    text=f"the same program as {twin}; not trained again",
                    facts={"of": twin},
                )
                self._note(item, evidence)

    def _note(self, item: Candidate, evidence: Evidence) -> None:
        told = {"candidate": item.id, "evidence": evidence.model_dump(mode="json")}
        self.store.append("evidence", told)

    def _compare(self, number: int) -> None:
        """Compares those about to be trained with all that were, and with those before them."""
        if self.inspector is None:
            return
        for item in _of(self.store.state(), number):
            known = self.store.state().candidates  # with what was just found of those before
            earlier = known[: [other.id for other in known].index(item.id)]
            if trainable(item):
                self.inspector.beside(item, [other for other in earlier if _trained(other)])

    def _audit(self, number: int) -> None:
        """Has some of the refused trained all the same, if asked for."""
        for item in _of(self.store.state(), number):
            note = audit(item, seed=self.config.seed, share=self.config.audit_rejected)
            if note is not None and not _noted(item, AUDIT):
                self._note(item, note)

    def _train(self, number: int) -> None:
        for rung in range(len(self.config.rungs) + 1):
            ready = [item for item in _of(self.store.state(), number) if trainable(item)]
            rungs, seeds = self.config.rungs, self.config.seeds
            self.prover.prove(self.recipe.rung_units(ready, seeds, rungs, rung))
            self._halve(number, rung)

    def _halve(self, number: int, rung: int) -> None:
        """Ends the trainings of those that were not good enough up to a rung."""
        for item, evidence in judged(_of(self.store.state(), number), rung):
            if not marked(item):
                self._note(item, evidence)

    def _examine(self, number: int) -> None:
        """Asks the probes about what each training of a generation shows."""
        if self.inspector is not None:
            state = self.store.state()
            for item in _of(state, number):
                if item.reports:
                    self.inspector.after(item, state)

    def _recheck(self, number: int) -> set[str]:
        """Trains those that may become the best again, on fresh seeds; returns their ids."""
        rivals = contenders(self.store.state(), number, self.config.recheck_candidates)
        count = self.config.recheck_seeds
        self.prover.prove(self.recipe.candidate_units(rivals, "recheck", count))
        return {item.id for item in rivals}

    def _analyse(self, contender: Candidate | None) -> None:
        if contender is None or contender.analysis is not None:
            return
        state = self.store.state()
        subject = find(state, contender.id)
        assert subject is not None
        self.watch("asking", candidate=subject.id, role="analyzer")
        try:
            text = roles.analyse(
                self.bench.ask,
                self.bench.task,
                subject,
                context_of(state, subject),
                answer=self.answering(subject) if self.answering else None,
                settings=self.bench.settings("analyzer"),
            )
        except ModelError as error:
            if error.kind != "unparsable":
                raise
            return
        if isinstance(text, roles.Unexplained):
            return
        self.store.append("analysed", {"candidate": subject.id, "text": text})
        self.watch("analysed", candidate=subject.id)

    def _final(self) -> None:
        state = self.store.state()
        best = find(state, state.best)
        self.watch("final_started", best=state.best)
        rows = self.recipe.arm_units(best, self.config.final_seeds)
        self.prover.prove(rows, arm_candidate=state.best)


def context_of(state: RunState, candidate: Candidate) -> roles.Context:
    """Returns what the models are told of the generations before that of ``candidate``."""
    before = tuple(item for item in state.candidates if item.generation < candidate.generation)
    generations = [item for item in state.generations if item.number < candidate.generation]
    best = find(state, generations[-1].best) if generations else None
    best = best if best is None or best.failure is None else None
    parents = tuple(item for item in before if item.id in candidate.proposal.parents)
    told = tuple(item for item in state.feedback if item.id in candidate.told)
    return roles.Context(
        best=best,
        parents=parents,
        history=before,
        feedback=told,
        nearest=None if generations and generations[-1].best else nearest(before),
    )


def _noted(item: Candidate, probe: str) -> bool:
    return any(evidence.probe == probe for evidence in item.evidence)


def _trained(item: Candidate) -> bool:
    """Tells whether a candidate has been trained, or will be."""
    return bool(item.reports) or trainable(item)


def _of(state: RunState, number: int) -> tuple[Candidate, ...]:
    return tuple(item for item in state.candidates if item.generation == number)


def _normal_form(candidate: Candidate) -> str:
    """Returns the program's normal form, with what is made of it."""
    shaping = candidate.shaping.text if candidate.shaping else ""
    return normal_form(candidate.program or "") + shaping
