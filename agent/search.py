"""What to ask for next: strategies are pure functions of the state of a run."""

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
        if state.best is None:
            return (Proposal(kind="fresh"),) * count
        fresh = 1 if count >= 4 else 0
        improve = Proposal(kind="improve", parents=(state.best,))
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


def best_of_generation(state: RunState, number: int) -> Candidate | None:
    """Returns a generation's candidate of highest selection fitness; earlier ids win ties."""
    scored = [
        (fitness, -candidate.index, candidate)
        for candidate in state.candidates
        if candidate.generation == number and (fitness := selection_fitness(candidate)) is not None
    ]
    return max(scored, key=lambda item: item[:2])[2] if scored else None


def elect(state: RunState, contender: Candidate | None, *, recheck: bool) -> str | None:
    """Returns the id of the best so far, once ``contender`` is compared with the present best.

    With ``recheck`` the two are compared on the fresh seeds that both were trained on again, since
    the maximum of a selection over-reports (winner's curse).
    """
    if contender is None:
        return state.best
    score = recheck_fitness if recheck else selection_fitness
    bar = find(state, state.best)
    if bar is None:
        return contender.id if score(contender) is not None else None
    ours, theirs = score(contender), score(bar)
    return contender.id if ours is not None and (theirs is None or ours > theirs) else bar.id


def challenges(state: RunState, contender: Candidate) -> bool:
    """Tells whether ``contender`` did better than the best so far on the selection seeds."""
    bar = find(state, state.best)
    if bar is None or bar.id == contender.id:
        return bar is None
    ours, theirs = selection_fitness(contender), selection_fitness(bar)
    return ours is not None and (theirs is None or ours > theirs)


def find(state: RunState, candidate: str | None) -> Candidate | None:
    """Returns the candidate of that id, or None."""
    return next((item for item in state.candidates if item.id == candidate), None)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
