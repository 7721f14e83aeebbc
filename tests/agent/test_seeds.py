from itertools import combinations

from rewardsmith.agent.seeds import Group, eval_seeds, training_seed

GROUPS: tuple[Group, ...] = ("select", "recheck", "final")


def test_no_two_groups_of_any_runs_share_a_training_seed() -> None:
    seeds = [training_seed(run, g, i) for run in range(5) for g in GROUPS for i in range(100)]
    assert len(set(seeds)) == len(seeds)


def test_no_two_groups_of_any_runs_share_an_evaluation_seed() -> None:
    sets = [set(eval_seeds(run, g, 500)) for run in range(5) for g in GROUPS]
    assert all(not (a & b) for a, b in combinations(sets, 2))


def test_training_and_evaluation_seeds_are_apart() -> None:
    highest = training_seed(50_000, "final", 999)
    assert highest < min(eval_seeds(0, "select", 1))


def test_every_unit_of_a_group_is_judged_on_the_same_episodes() -> None:
    assert eval_seeds(3, "final", 10) == eval_seeds(3, "final", 10)
    assert eval_seeds(3, "final", 20)[:10] == eval_seeds(3, "final", 10)
