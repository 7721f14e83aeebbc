"""What to ask for next: strategies are pure functions of the state of a run."""

from collections.abc import Sequence
from typing import Protocol

from rewardsmith.runs.records import Candidate, Proposal, RunState


class Strategy(Protocol):
    """Decides the proposals of a generation; the same state gives the same answer."""

    def propose(self, state: RunState, count: int) -> tuple[Proposal, ...]:
        """Returns ``count`` proposals for the generation after those in ``state``."""
        ...


class Iid:
    """Every candidate is asked for afresh: the baseline that a search has to beat."""

    def propose(self, state: RunState, count: int) -> tuple[Proposal, ...]:
        """Returns ``count`` fresh proposals."""
        return (Proposal(kind="fresh"),) * count


class Greedy:
    """Improve the best so far; one fresh draft per generation keeps the search from narrowing.

    Eureka (Ma et al. 2024) with elitism: the parent is the best of *all* generations, confirmed on
    fresh seeds. With fewer than four candidates all improve.
    """

    def propose(self, state: RunState, count: int) -> tuple[Proposal, ...]:
        """Returns improvements of the best, or fresh drafts while nothing has trained."""
        best = find(state, state.best)
        if best is None or best.failure is not None:
            return (Proposal(kind="fresh"),) * count
        fresh = 1 if count >= 4 else 0
        improve = Proposal(kind="improve", parents=(best.id,))
        return (improve,) * (count - fresh) + (Proposal(kind="fresh"),) * fresh


class Eureka:
    """As published (Ma et al. 2024, algorithm 1): improve the best of the last generation only."""

    def propose(self, state: RunState, count: int) -> tuple[Proposal, ...]:
        """Returns improvements of the last generation's best, or fresh drafts if all failed."""
        parent = best_of_generation(state, len(state.generations) - 1)
        if parent is None:
            return (Proposal(kind="fresh"),) * count
        return (Proposal(kind="improve", parents=(parent.id,)),) * count


STRATEGIES: dict[str, type[Strategy]] = {"greedy": Greedy, "eureka": Eureka, "iid": Iid}


def selection_fitness(candidate: Candidate) -> float | None:
    """Returns the mean fitness over the selection seeds, or None unless every seed has one."""
    return _mean([report.fitness for report in candidate.reports])


def recheck_fitness(candidate: Candidate) -> float | None:
    """Returns the mean fitness over the fresh seeds of its re-evaluation, or None."""
    return _mean([report.fitness for report in candidate.rechecks])


def ranked(state: RunState, number: int) -> tuple[Candidate, ...]:
    """Returns the candidates of a generation with a selection fitness, best first, then by id.

    Those are among them that are found impure only when they are trained again.
    """
    scored = [
        (-fitness, candidate.index, candidate)
        for candidate in state.candidates
        if candidate.generation == number and (fitness := selection_fitness(candidate)) is not None
    ]
    return tuple(item[2] for item in sorted(scored, key=lambda item: item[:2]))


def best_of_generation(state: RunState, number: int) -> Candidate | None:
    """Returns the candidate of a generation with the highest selection fitness, none impure."""
    return next((item for item in ranked(state, number) if item.failure is None), None)


def contenders(state: RunState, number: int, count: int) -> tuple[Candidate, ...]:
    """Returns the candidates of a generation that may become the best so far, ``count`` at most.

    They did better on their selection seeds than the best so far on its fresh ones: its selection
    fitness was a maximum and flatters it, so it would keep honest candidates out.
    """
    bar = find(state, state.best)
    theirs = None if bar is None else _fair(bar)
    return tuple(
        item
        for item in ranked(state, number)[:count]
        if theirs is None or _above(selection_fitness(item), theirs)
    )


def elect(state: RunState, rivals: Sequence[Candidate], *, recheck: bool) -> str | None:
    """Returns the id of the best so far, once ``rivals`` are compared with the present best.

    With ``recheck`` all are compared on the fresh seeds that each was trained on again, since the
    maximum of a selection over-reports (winner's curse).
    """
    score = recheck_fitness if recheck else selection_fitness
    bar = find(state, state.best)
    pure = (item for item in ((bar,) if bar else ()) + tuple(rivals) if item.failure is None)
    known = [(score(item), item) for item in pure]
    scored = [(value, item) for value, item in known if value is not None]
    if not scored:
        return state.best
    return max(scored, key=lambda pair: pair[0])[1].id  # the first of equals: the present best


def find(state: RunState, candidate: str | None) -> Candidate | None:
    """Returns the candidate of that id, or None."""
    return next((item for item in state.candidates if item.id == candidate), None)


def _fair(bar: Candidate) -> float | None:
    fresh = recheck_fitness(bar)
    return selection_fitness(bar) if fresh is None else fresh


def _above(value: float | None, bar: float) -> bool:
    return value is not None and value > bar


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
