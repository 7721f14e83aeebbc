import numpy as np
from training_rig import episode, summary

from rewardsmith.agent.evidence.anatomy import anatomy
from rewardsmith.agent.evidence.events import first_unusual, jumps, spreads_of, usual_ranges
from rewardsmith.agent.evidence.judged import Judged, best, failed, judged
from rewardsmith.agent.evidence.tables import FEWEST, MOST, columns_for, rows_around, table
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

ACTION = ActionSpec((1,), (-1.0,), (1.0,), None, "torque")
FIELDS = (
    Field("height", (), "m", "height", "obs[0]"),
    Field("speeds", (2,), "m/s", "speeds", "obs[1:3]"),
)
ENV = EnvSpec("Strider-v1", FIELDS, (Field("secret", (), "m", "way", "x"),), ACTION, 100, 0.05)
STEADY = 1.0 + 0.01 * np.sin(np.arange(100.0))


def played(seed: int, *, falls_at: int | None = None) -> tuple[Judged, ...]:
    """One episode that stays at height 1, or sinks from a step on and ends ten steps later."""
    length = 100 if falls_at is None else falls_at + 10
    height = STEADY[:length].copy()
    if falls_at is not None:
        height[falls_at:] -= 0.1 * np.arange(1, 11)
    columns = {"height": height, "speeds": np.zeros((length, 2)), "secret": np.arange(length)}
    fell = falls_at is not None
    pay = np.where(np.arange(length) < length - 1, 0.5, -5.0 if fell else 0.5)
    told = summary(
        float(length), seed=seed, success=not fell, length=length,
        outcome="fell" if fell else "time limit",
    )  # fmt: skip
    values = RewardBatch(total=pay, components={"alive": pay})
    return judged(ENV, [episode(length, columns, seed=seed, fell=fell)], [told], values)


def run(*falls: int | None) -> list[Judged]:
    return [one for seed, at in enumerate(falls) for one in played(seed, falls_at=at)]


def test_columns_are_the_cards_numbers_and_the_reward_and_nothing_hidden() -> None:
    (one,) = played(0)
    assert list(one.columns) == [
        "height", "speeds[0]", "speeds[1]", "action[0]", "reward.alive", "reward.total",
    ]  # fmt: skip
    assert one.fields == ("height", "speeds[0]", "speeds[1]")
    assert one.components == ("reward.alive",)


def test_each_episode_gets_the_rewards_of_its_own_steps() -> None:
    episodes = [episode(2, {"height": [0, 0], "speeds": np.zeros((2, 2))}) for _ in range(2)]
    pay = np.arange(4.0)
    found = judged(
        ENV, episodes, [summary(0.0, length=2)] * 3, RewardBatch(total=pay, components={})
    )
    assert [one.columns["reward.total"].tolist() for one in found] == [[0.0, 1.0], [2.0, 3.0]]


def test_without_a_measure_of_success_the_worse_half_is_looked_at() -> None:
    some = [Judged(summary(float(at)), {}) for at in range(5)]
    assert [one.summary.fitness for one in failed(some)] == [0.0, 1.0]
    assert best(some).summary.fitness == 4.0


def test_where_all_succeed_nothing_failed() -> None:
    assert failed([Judged(summary(1.0, success=True), {})] * 3) == ()


def test_the_first_field_out_of_its_usual_range_is_found_with_its_step() -> None:
    some = run(None, None, 40)
    ranges = usual_ranges(some, some[2:])
    event = first_unusual(some[2], ranges)
    assert event is not None
    assert (event.column, event.step) == ("height", 40)
    assert first_unusual(some[0], ranges) is None


def test_where_all_fail_their_first_halves_say_what_is_usual() -> None:
    some = run(40, 50)
    event = first_unusual(some[0], usual_ranges(some, some))
    assert event is not None
    assert event.step == 40


def test_what_begins_out_of_range_has_not_left_it() -> None:
    column = np.array([9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 9.0])
    one = Judged(summary(0.0), {"height": column})
    event = first_unusual(one, {"height": (0.0, 2.0)})
    assert event is not None
    assert event.step == 8
    assert (
        first_unusual(Judged(summary(0.0), {"height": column[:8]}), {"height": (0.0, 2.0)}) is None
    )


def test_a_change_that_is_small_beside_the_largest_is_no_jump() -> None:
    columns = {"reward.big": np.eye(1, 9, 4)[0], "reward.small": 0.01 * np.eye(1, 9, 4)[0]}
    assert [event.column for event in jumps(Judged(summary(0.0), columns))] == ["reward.big"]


def test_a_component_that_rises_at_one_pace_never_jumps() -> None:
    assert jumps(Judged(summary(0.0), {"reward.speed": np.linspace(0.0, 1.0, 20)})) == ()


def test_the_largest_change_of_a_component_is_found_with_its_step() -> None:
    some = run(None, 40)
    (event,) = jumps(some[1])
    assert (event.step, event.column, event.text) == (49, "reward.alive", "changes by -5.5")
    assert jumps(some[0]) == ()


def test_a_table_has_12_to_20_rows_and_ends_with_the_last_step() -> None:
    some = run(40)
    (event,) = jumps(some[0])
    for length in (12, 13, 50, 1000):
        rows = rows_around(length, [event])
        assert FEWEST <= len(rows) <= MOST
        assert (rows[0], rows[-1]) == (0, length - 1)
        assert list(rows) == sorted(set(rows))


def test_a_table_has_more_rows_in_the_last_tenth_and_around_events() -> None:
    some = run(40)
    (event,) = jumps(some[0])
    rows = rows_around(1000, [event])
    assert {48, 49, 50} <= set(rows)
    assert sum(row >= 899 for row in rows) >= 4


def test_a_short_episode_is_shown_whole() -> None:
    assert rows_around(3, []) == (0, 1, 2)
    assert rows_around(1, []) == (0,)


def test_fields_that_the_program_reads_come_first_and_constant_ones_never() -> None:
    some = run(None, 40)
    spreads = spreads_of(some)
    assert columns_for(some, ["speeds"], spreads) == ("height", "reward.alive")
    moving = {name: 1.0 for name in spreads}
    assert columns_for(some, ["speeds"], moving)[:3] == ("speeds[0]", "speeds[1]", "height")


def test_what_is_nothing_beside_the_largest_value_is_shown_as_nothing() -> None:
    one = Judged(summary(0.0, length=2), {"height": np.array([1.0, 1e-9])})
    assert table(one, "t", ["height"], (0, 1)).rows == (("0", "1"), ("1", "0"))


def test_clusters_events_and_tables_are_told() -> None:
    found = anatomy(run(None, 40, 42, 44), program="def compute_reward(height):\n    pass\n")
    (cluster,) = found.facts["clusters"]
    assert cluster["seeds"] == [1, 2, 3]
    assert cluster["outcomes"] == {"fell": 3}
    assert [item["title"].split(" (")[0] for item in found.facts["tables"]] == [
        "a typical failure, one of 3 alike",
        "the best episode",
    ]
    (note,) = found.facts["notes"]
    assert note.startswith("3 of 4 episodes went alike (fell 3; 52 steps long); ")
    assert "`height` leaves its usual range" in note
    assert found.text == "of 4 episodes 3 went badly, alike"
    assert found.facts["tables"][0]["columns"] == ["step", "height", "reward.alive"]


def test_a_later_generation_is_compared_with_the_one_before() -> None:
    before = anatomy(run(40, 42, 44))
    after = anatomy(run(None, None, 40), previous=before, of="g0.1")
    note = after.facts["notes"][-1]
    assert note.startswith("against g0.1: length 52 to 100")
    assert "ended by 'fell' 100% to 33%" in note


def test_what_is_stored_is_what_was_found() -> None:
    found = anatomy(run(None, 40))
    assert Evidence.model_validate_json(found.model_dump_json()) == found
    assert found.verdict == "pass"


def test_without_episodes_nothing_is_told() -> None:
    assert anatomy(()).facts == {}
