from rewardsmith.agent.search import (
    STRATEGIES,
    Eureka,
    Greedy,
    Iid,
    best_of_generation,
    contenders,
    elect,
    selection_fitness,
)
from rewardsmith.runs.records import Candidate, Generation, Proposal, RunState, TrainingReport
from rewardsmith.sandbox.failure import Failure


def report(fitness: float | None, seed: int = 1) -> TrainingReport:
    failure = None if fitness is not None else Failure(kind="timeout", text="too slow")
    return TrainingReport(unit=f"u{seed}", seed=seed, steps=1, fitness=fitness, failure=failure)


def candidate(name: str, fitness: float | None = None, recheck: float | None = None) -> Candidate:
    generation, index = name[1:].split(".")
    return Candidate(
        id=name,
        generation=int(generation),
        index=int(index),
        proposal=Proposal(kind="fresh"),
        reports=(report(fitness),),
        rechecks=(report(recheck),) if recheck is not None else (),
    )


def state(*candidates: Candidate, best: str | None = None, done: int = 1) -> RunState:
    generations = tuple(Generation(number=n, candidates=(), best=best) for n in range(done))
    return RunState(run="r", task="t", candidates=candidates, generations=generations, best=best)


def test_every_strategy_gives_as_many_proposals_as_asked() -> None:
    for strategy in STRATEGIES.values():
        for count in (1, 3, 8):
            assert len(strategy().propose(state(candidate("g0.0", 1.0)), count)) == count


def test_the_same_state_gives_the_same_proposals() -> None:
    now = state(candidate("g0.0", 1.0), best="g0.0")
    for strategy in STRATEGIES.values():
        assert strategy().propose(now, 5) == strategy().propose(now, 5)


def test_iid_never_looks_back() -> None:
    now = state(candidate("g0.0", 1.0), best="g0.0")
    assert {p.kind for p in Iid().propose(now, 4)} == {"fresh"}


def test_greedy_improves_the_best_of_all_generations() -> None:
    now = state(candidate("g0.0", 5.0), candidate("g1.0", 1.0), best="g0.0", done=2)
    proposals = Greedy().propose(now, 4)
    assert [p.kind for p in proposals] == ["improve", "improve", "improve", "fresh"]
    assert proposals[0].parents == ("g0.0",)


def test_eureka_improves_the_best_of_the_last_generation() -> None:
    now = state(candidate("g0.0", 5.0), candidate("g1.0", 1.0), best="g0.0", done=2)
    assert Eureka().propose(now, 2)[0].parents == ("g1.0",)


def test_all_start_afresh_when_nothing_trained() -> None:
    now = state(candidate("g0.0"))
    for strategy in (Greedy(), Eureka()):
        assert {p.kind for p in strategy.propose(now, 3)} == {"fresh"}


def test_a_failed_seed_leaves_a_candidate_without_fitness() -> None:
    mixed = candidate("g0.0").model_copy(update={"reports": (report(3.0, 1), report(None, 2))})
    assert selection_fitness(mixed) is None


def test_a_failure_never_outranks_a_negative_fitness() -> None:
    now = state(candidate("g0.0", None), candidate("g0.1", -100.0))
    best = best_of_generation(now, 0)
    assert best is not None
    assert best.id == "g0.1"


def test_a_lucky_selection_that_fails_on_fresh_seeds_does_not_become_the_best() -> None:
    bar = candidate("g0.0", 5.0, recheck=5.0)
    lucky = candidate("g1.0", 9.0, recheck=2.0)
    now = state(bar, lucky, best="g0.0")
    assert contenders(now, 1, 2) == (lucky,)
    assert elect(now, [lucky], recheck=True) == "g0.0"
    assert elect(now, [lucky], recheck=False) == "g1.0"


def test_the_second_of_a_generation_wins_where_the_first_was_luck() -> None:
    lucky = candidate("g0.0", 17.0, recheck=3.0)
    steady = candidate("g0.1", 16.0, recheck=15.0)
    now = state(lucky, steady, done=0)
    assert contenders(now, 0, 2) == (lucky, steady)
    assert elect(now, [lucky, steady], recheck=True) == "g0.1"


def test_a_best_that_was_luck_does_not_keep_honest_candidates_out() -> None:
    bar = candidate("g0.0", 17.0, recheck=3.0)
    honest = candidate("g1.0", 15.0)
    assert contenders(state(bar, honest, best="g0.0"), 1, 2) == (honest,)


def test_a_contender_below_the_bar_is_not_trained_again() -> None:
    weak = candidate("g1.0", 1.0)
    assert contenders(state(candidate("g0.0", 5.0), weak, best="g0.0"), 1, 2) == ()


def test_no_more_contenders_are_trained_again_than_asked() -> None:
    many = [candidate(f"g0.{index}", float(index)) for index in range(5)]
    assert [c.id for c in contenders(state(*many, done=0), 0, 3)] == ["g0.4", "g0.3", "g0.2"]


def test_the_first_that_works_becomes_the_best() -> None:
    first = candidate("g0.0", -3.0, recheck=-4.0)
    assert elect(state(first, done=0), [first], recheck=True) == "g0.0"


def test_a_tie_leaves_the_best_where_it_is() -> None:
    bar, rival = candidate("g0.0", 5.0, recheck=5.0), candidate("g1.0", 6.0, recheck=5.0)
    assert elect(state(bar, rival, best="g0.0"), [rival], recheck=True) == "g0.0"


def test_without_a_contender_the_best_stays() -> None:
    now = state(candidate("g0.0", 5.0), best="g0.0")
    assert elect(now, [], recheck=True) == "g0.0"
