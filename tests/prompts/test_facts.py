from dataclasses import replace

import pytest

from rewardsmith.prompts import facts
from rewardsmith.runs.records import Candidate, CurvePoint, Feedback, Proposal, TrainingReport
from rewardsmith.sandbox.failure import Failure


def series(report: TrainingReport, name: str) -> facts.Series:
    found = facts.statistics(report)
    assert found is not None
    return next(s for s in found.series if s.name == name)


def with_curve(report: TrainingReport, **columns: list[float | None]) -> TrainingReport:
    count = len(next(iter(columns.values())))
    parts = {k: v for k, v in columns.items() if k not in {"fitness", "total", "length"}}
    points = tuple(
        CurvePoint(
            steps=i,
            fitness=columns.get("fitness", [None] * count)[i],
            success_rate=None,
            episode_length=columns.get("length", [None] * count)[i],
            total=columns.get("total", [None] * count)[i],
            components={k: x for k, v in parts.items() if (x := v[i]) is not None},
        )
        for i in range(count)
    )
    return report.model_copy(update={"curve": points})


def notes(report: TrainingReport) -> str:
    found = facts.statistics(report)
    assert found is not None
    return " ".join(found.notes)


def test_fitness_is_the_mean_over_seeds(trained: Candidate) -> None:
    assert facts.fitness_of(trained) == 2.5


def test_a_candidate_with_one_failed_seed_has_no_fitness(trained: Candidate) -> None:
    failed = TrainingReport(unit="u", seed=3, steps=1, failure=Failure(kind="oom", text="memory"))
    mixed = trained.model_copy(update={"reports": (*trained.reports, failed)})
    assert facts.fitness_of(mixed) is None
    assert facts.result_of(mixed) == "failed: training: memory"


def test_an_untrained_candidate_has_no_report_to_show(broken: Candidate) -> None:
    assert facts.fitness_of(broken) is None
    assert facts.representative(broken) is None


def test_the_representative_report_is_the_one_of_the_median_seed(trained: Candidate) -> None:
    more = trained.reports[0].model_copy(update={"fitness": 9.0})
    three = trained.model_copy(update={"reports": (*trained.reports, more)})
    found = facts.representative(three)
    assert found is not None
    assert found.fitness == 3.0


def test_a_series_has_ten_points_from_first_to_last(trained: Candidate) -> None:
    run = series(trained.reports[0], "run")
    assert len(run.values) == 10
    assert run.values[0] == 0.0
    assert run.values[-1] == pytest.approx(1.1)
    assert [run.low, run.high, run.mean] == pytest.approx([0.0, 1.1, 0.55])


def test_missing_values_are_left_out_of_a_series(trained: Candidate) -> None:
    assert series(trained.reports[0], "success rate").values == (0.0,) * 10


def test_a_report_without_a_curve_has_no_statistics(trained: Candidate) -> None:
    assert facts.statistics(trained.reports[0].model_copy(update={"curve": ()})) is None


def test_a_constant_component_is_noted(trained: Candidate) -> None:
    assert "nearly constant" in series(trained.reports[0], "alive").note
    assert series(trained.reports[0], "run").note == ""


def test_dominating_small_and_dead_components_are_noted(trained: Candidate) -> None:
    report = with_curve(
        trained.reports[0], big=[1.0, 5.0, 9.0], small=[0.01, 0.02, 0.0], dead=[0.0] * 3
    )
    assert "dominates: 100 % of the reward" in series(report, "big").note
    assert series(report, "small").note == "too small to matter"
    assert series(report, "dead").note == "zero throughout"


def test_a_fitness_that_never_moved_is_noted(trained: Candidate) -> None:
    assert "hardly changed" in notes(with_curve(trained.reports[0], fitness=[1.0] * 5))


def test_a_negative_mean_reward_is_noted(trained: Candidate) -> None:
    report = with_curve(trained.reports[0], total=[-1.0, -0.5], length=[9.0, 5.0])
    assert "ending the episode early may pay" in notes(report)


def test_a_healthy_training_gets_no_note(trained: Candidate) -> None:
    assert notes(trained.reports[0]) == ""


def test_episodes_are_grouped_by_how_they_ended(trained: Candidate) -> None:
    found = facts.trajectories(trained.reports[0])
    assert found is not None
    assert [(g.outcome, g.count) for g in found.groups] == [("fell", 3), ("time limit", 1)]
    assert found.groups[0].length == (100.0, 200.0, 300.0)


def test_a_typical_failure_and_the_best_episode_are_shown(trained: Candidate) -> None:
    found = facts.trajectories(trained.reports[0], program=trained.program)
    assert found is not None
    assert [t.title for t in found.tables] == [
        "a typical failure (fell, 200 steps, fitness 3)",
        "the best episode (time limit, 400 steps, fitness 5)",
    ]
    assert found.tables[0].columns == ("step", "forward_velocity", "torso_height")
    assert found.tables[0].rows[-1] == ("199", "2", "0.7")


def test_without_a_measure_of_success_the_worse_half_counts_as_failed(trained: Candidate) -> None:
    report = trained.reports[0]
    episodes = tuple(e.model_copy(update={"success": None}) for e in report.episodes)
    found = facts.trajectories(report.model_copy(update={"episodes": episodes}))
    assert found is not None
    assert found.tables[0].title.startswith("a typical failure (fell, 100 steps")


def test_where_all_succeed_only_the_best_is_shown(trained: Candidate) -> None:
    report = trained.reports[0]
    episodes = tuple(e.model_copy(update={"success": True}) for e in report.episodes)
    found = facts.trajectories(report.model_copy(update={"episodes": episodes}))
    assert found is not None
    assert len(found.tables) == 1


def test_the_number_of_columns_is_limited_and_used_fields_come_first(trained: Candidate) -> None:
    found = facts.trajectories(trained.reports[0], program=trained.program, columns=1)
    assert found is not None
    assert found.tables[0].columns == ("step", "forward_velocity")


def test_no_episodes_give_no_trajectories(trained: Candidate) -> None:
    assert facts.trajectories(trained.reports[0].model_copy(update={"episodes": ()})) is None


def test_history_ends_with_the_best_and_groups_equal_failures(
    trained: Candidate, broken: Candidate
) -> None:
    twin = broken.model_copy(update={"id": "g0.2"})
    better = trained.model_copy(update={"id": "g1.0", "reports": trained.reports[1:]})
    lines = facts.history([better, broken, trained, twin])
    assert [t.id for t in lines] == ["g0.0, g0.2", "g0.1", "g1.0"]
    assert lines[0].change == "2 candidates"
    assert lines[0].result == "failed: run has shape (), (8,) is wanted"


def test_history_keeps_the_best_when_it_is_cut(trained: Candidate) -> None:
    many = [
        trained.model_copy(
            update={
                "id": f"g0.{i}",
                "reports": (trained.reports[0].model_copy(update={"fitness": float(i)}),),
            }
        )
        for i in range(20)
    ]
    assert [t.id for t in facts.history(many, limit=3)] == ["g0.17", "g0.18", "g0.19"]


def test_the_history_of_nothing_is_empty() -> None:
    assert facts.history([]) == ()


def test_a_change_is_said_in_the_words_of_the_docstring(trained: Candidate) -> None:
    assert facts.change_of(trained, {}) == "Pay for speed, charge a fall."


def test_without_a_docstring_the_terms_tell_the_change(trained: Candidate) -> None:
    program = 'def compute_reward(v):\n    return v, {"run": v, "calm": v}\n'
    proposal = Proposal(kind="improve", parents=("g0.1",))
    child = trained.model_copy(update={"id": "g1.0", "program": program, "proposal": proposal})
    assert facts.change_of(child, {}) == "terms run, calm"
    assert facts.change_of(child, {"g0.1": trained}) == "g0.1 with +calm -alive"
    same = program.replace("calm", "alive")
    other = child.model_copy(update={"program": same})
    assert facts.change_of(other, {"g0.1": trained}) == "g0.1 with other weights"


def test_a_candidate_without_a_program_says_so(broken: Candidate) -> None:
    assert facts.change_of(broken.model_copy(update={"program": None}), {}) == "(no program)"


def test_a_result_shows_the_spread_over_seeds_and_the_success(trained: Candidate) -> None:
    assert facts.result_of(trained) == "fitness 2.5 ± 0.5"
    rated = tuple(r.model_copy(update={"success_rate": 0.25}) for r in trained.reports)
    assert facts.result_of(trained.model_copy(update={"reports": rated})).endswith("success 25 %")


def test_a_candidate_that_was_never_trained_says_so(trained: Candidate) -> None:
    assert facts.result_of(trained.model_copy(update={"reports": ()})) == "not trained"


def test_component_and_parameter_names_come_from_the_text(program: str) -> None:
    assert facts.component_names(program) == ("run", "alive")
    assert facts.parameter_names(program)[:2] == ("forward_velocity", "joint_velocities")
    assert facts.component_names("not python (") == ()
    assert facts.parameter_names("x = 1") == ()


def test_components_stored_one_by_one_are_found_and_memory_is_none() -> None:
    program = (
        "def compute_reward(v, memory):\n    parts = {}\n    parts['run'] = v\n"
        "    memory['best'] = v\n    return v, parts\n"
    )
    assert facts.component_names(program) == ("run",)


def test_wishes_keep_seen_and_wanted_apart(feedback: Feedback) -> None:
    (wish,) = facts.wishes([feedback])
    assert (wish.observed, wish.wanted) == ("it drags its foot", "lift the foot higher")
    assert (wish.about, wish.rating) == ("g0.1", 2)


def test_an_edit_without_words_is_no_wish(feedback: Feedback) -> None:
    silent = feedback.model_copy(update={"observed": None, "wanted": " ", "rating": None})
    assert facts.wishes([silent]) == ()


def test_only_the_last_wishes_are_shown(feedback: Feedback) -> None:
    many = [feedback.model_copy(update={"wanted": f"wish {i}"}) for i in range(9)]
    assert [w.wanted for w in facts.wishes(many, limit=2)] == ["wish 7", "wish 8"]


def test_records_are_never_changed(trained: Candidate) -> None:
    found = facts.statistics(trained.reports[0])
    assert found is not None
    assert replace(found, steps=1).steps == 1
    assert found.steps == 12000


def test_an_episode_that_ended_like_the_best_is_typical_and_no_failure(trained: Candidate) -> None:
    report = trained.reports[0]
    episodes = tuple(
        e.model_copy(update={"success": None, "outcome": "time limit"}) for e in report.episodes
    )
    found = facts.trajectories(report.model_copy(update={"episodes": episodes}))
    assert found is not None
    assert found.tables[0].title.startswith("a typical episode (time limit")


def test_an_impure_candidate_has_no_fitness_and_its_history_says_why(trained: Candidate) -> None:
    failure = Failure(kind="impure", text="Component 'run' is impure: no counters.")
    impure = trained.model_copy(update={"failure": failure})
    assert facts.fitness_of(impure) is None
    assert [t.result for t in facts.history([impure])] == [f"failed: {failure.text}"]
