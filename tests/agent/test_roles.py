import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from training_rig import summary

from rewardsmith.agent import roles
from rewardsmith.agent.llm import Reply, Request
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field, Task
from rewardsmith.errors import ModelError
from rewardsmith.prompts.replies import ReplyFormatError
from rewardsmith.runs.records import (
    Candidate,
    Critique,
    CurvePoint,
    Feedback,
    Proposal,
    TrainingReport,
)
from rewardsmith.sandbox.failure import Failure

PROGRAM = (
    "def compute_reward(forward_velocity):\n"
    '    """Pay for speed."""\n'
    "    run = np.clip(forward_velocity, 0.0, 4.0)\n"
    '    return run, {"run": run}\n'
)
ANSWER = f"Plan: run.\n```python\n{PROGRAM}```"
FRESH = Proposal(kind="fresh")
ACCEPT = json.dumps(
    {
        "analysis": "The only term run pays for forward velocity, clipped at four.",
        "verdict": "accept",
        "remarks": [],
    }
)
ANALYSIS = json.dumps({"causes": ["run is nearly constant"], "advice": ["raise the clip of run"]})


class Listener:
    """Answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: str, finish: str = "stop") -> None:
        self.answers = list(answers)
        self.finish = finish
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply(self.answers[len(self.asked) - 1], "scripted", finish=self.finish)

    @property
    def last(self) -> str:
        return self.asked[-1].messages[-1].content


@pytest.fixture
def task() -> Task:
    fields = (
        Field("forward_velocity", (), "m/s", "velocity along x", "obs[5]"),
        Field("torso_height", (), "m", "height of the torso", "obs[0]"),
    )
    action = ActionSpec((3,), (-1.0,) * 3, (1.0,) * 3, None, "torques")
    env = EnvSpec("Strider-v1", fields, (), action, 1000, 0.008)
    return Task("t/s", "hop forward fast without falling", env, "m:f", "m", "metres travelled")


def trained(identity: str = "g0.1", fitness: float = 2.0, program: str = PROGRAM) -> Candidate:
    points = tuple(
        CurvePoint(
            steps=i,
            fitness=float(i),
            success_rate=None,
            episode_length=50.0,
            total=0.1 * i,
            components={"run": 0.1 * i},
        )
        for i in range(5)
    )
    report = TrainingReport(
        unit="u", seed=1, steps=5000, fitness=fitness, curve=points, episodes=(summary(fitness),)
    )
    return Candidate(
        id=identity, generation=0, index=1, proposal=FRESH, program=program, reports=(report,)
    )


def improve(*parents: str) -> Proposal:
    return Proposal(kind="improve", parents=parents)


def test_a_design_is_the_program_of_the_reply(task: Task) -> None:
    found = roles.design(Listener(ANSWER), task, FRESH, roles.Context())
    assert (found.source, found.cause, found.failure) == (PROGRAM, None, None)
    assert found.attempt == PROGRAM
    assert found.reply.text == ANSWER


def test_a_design_tells_which_templates_it_used(task: Task) -> None:
    found = roles.design(Listener(ANSWER), task, FRESH, roles.Context())
    names = [item.split(":")[0] for item in found.templates]
    assert names == ["designer_system", "example_task", "example_answer", "designer_fresh"]
    assert all(len(item.split(":")[1]) == 12 for item in found.templates)


def test_a_prompt_holds_rules_examples_card_and_task_in_this_order(task: Task) -> None:
    ask = Listener(ANSWER)
    roles.design(ask, task, FRESH, roles.Context())
    turns = [message.role for message in ask.asked[0].messages]
    assert turns == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "`torso_height` (N,), m: height of the torso" in ask.last
    assert "hop forward fast without falling" in ask.last
    assert "m:f" not in ask.last


def test_samples_of_one_generation_differ_at_the_end_only(task: Task) -> None:
    ask = Listener(*[ANSWER] * 4)
    for sample in range(4):
        roles.design(ask, task, FRESH, roles.Context(), sample=sample)
    assert len({request.messages[:-1] for request in ask.asked}) == 1
    ends = {request.messages[-1].content for request in ask.asked}
    assert len(ends) == 4
    assert len({end.rsplit("Write `compute_reward`", 1)[0] for end in ends}) == 1
    assert [request.sample for request in ask.asked] == [0, 1, 2, 3]
    assert len({request.temperature for request in ask.asked}) == 4


def test_hints_and_temperatures_can_be_switched_off(task: Task) -> None:
    plain = roles.RoleSettings(hints=False, temperatures=())
    ask = Listener(ANSWER, ANSWER)
    for sample in range(2):
        roles.design(ask, task, FRESH, roles.Context(), sample=sample, settings=plain)
    assert ask.asked[0].messages == ask.asked[1].messages
    assert ask.asked[0].temperature is None


def test_an_improvement_shows_the_parent_with_its_numbers(task: Task) -> None:
    ask = Listener(ANSWER)
    parent = trained()
    context = roles.Context(best=parent, parents=(parent,), history=(parent,))
    roles.design(ask, task, improve("g0.1"), context)
    assert PROGRAM in ask.last
    assert "- run: 0 0.1 0.2 0.3 0.4 | min 0, mean 0.2, max 0.4" in ask.last
    assert "The program to improve, g0.1: fitness 2" in ask.last


def test_an_improvement_without_its_parent_improves_the_best(task: Task) -> None:
    ask = Listener(ANSWER)
    roles.design(ask, task, improve("gone"), roles.Context(best=trained("g0.7")))
    assert "The program to improve, g0.7" in ask.last


def test_an_improvement_of_nothing_is_a_fresh_draft(task: Task) -> None:
    ask = Listener(ANSWER)
    found = roles.design(ask, task, improve("gone"), roles.Context())
    assert found.templates[-1].startswith("designer_fresh:")


def test_a_combination_shows_every_parent(task: Task) -> None:
    ask = Listener(ANSWER)
    pair = (trained("g0.1"), trained("g0.2", 3.0))
    proposal = Proposal(kind="combine", parents=("g0.1", "g0.2"))
    roles.design(ask, task, proposal, roles.Context(parents=pair))
    assert "Program g0.1: fitness 2" in ask.last
    assert "Program g0.2: fitness 3" in ask.last


def test_what_was_tried_and_what_came_of_it_is_told(task: Task) -> None:
    ask = Listener(ANSWER)
    failed = Candidate(
        id="g0.0",
        generation=0,
        index=0,
        proposal=FRESH,
        failure=Failure(kind="timeout", text="took longer than 5 s"),
    )
    roles.design(ask, task, FRESH, roles.Context(history=(failed, trained())))
    assert "- g0.0: (no program) -> failed: took longer than 5 s" in ask.last
    assert "- g0.1: Pay for speed. -> fitness 2" in ask.last
    assert "different in its main idea" in ask.last


def test_a_persons_words_change_the_next_prompt(task: Task) -> None:
    before, after = Listener(ANSWER), Listener(ANSWER)
    said = Feedback(id="f", author="a", time="t", observed="it limps", wanted="a steady gait")
    roles.design(before, task, FRESH, roles.Context())
    roles.design(after, task, FRESH, roles.Context(feedback=(said,)))
    assert "it limps" not in before.last
    assert "seen: it limps" in after.last
    assert "wanted: a steady gait" in after.last


def test_an_answer_without_a_program_is_a_failure_to_repair(task: Task) -> None:
    found = roles.design(Listener("I cannot."), task, FRESH, roles.Context())
    assert found.source is None
    assert found.attempt is None
    assert found.failure is not None
    assert found.failure.kind == "no_code"
    assert found.cause == found.failure.text


def test_a_program_that_does_not_parse_is_kept_as_the_attempt(task: Task) -> None:
    found = roles.design(
        Listener(ANSWER.replace("np.clip(", "np.clip((")), task, FRESH, roles.Context()
    )
    assert found.attempt is not None
    assert found.attempt.startswith("def compute_reward")
    assert found.failure is not None
    assert found.failure.line == 3


def test_an_answer_cut_off_by_its_limit_asks_for_a_shorter_one(task: Task) -> None:
    cut = Listener("```python\ndef compute_reward(x):\n    y = (x +\n```", finish="length")
    found = roles.design(cut, task, FRESH, roles.Context())
    assert found.cause == "the answer was cut off; write a shorter program"


def test_a_repair_holds_the_error_and_the_line_and_no_transcript(task: Task) -> None:
    ask = Listener(ANSWER)
    program = PROGRAM.replace("np.clip(forward_velocity, 0.0, 4.0)", "np.sum(forward_velocity)")
    failure = Failure(kind="contract", text="run has shape (), (8,) is wanted", line=3)
    found = roles.repair(ask, task, program, failure, sample=5)
    assert found.source == PROGRAM
    assert "run has shape (), (8,) is wanted" in ask.last
    assert "That is line 3: `run = np.sum(forward_velocity)`" in ask.last
    assert "`np.sum(forward_velocity)` works on all N environments" in ask.last
    assert "I cannot" not in ask.last
    assert ask.asked[0].sample == 5


def test_a_repair_shares_its_beginning_with_the_first_question(task: Task) -> None:
    ask = Listener(ANSWER, ANSWER)
    roles.design(ask, task, FRESH, roles.Context())
    roles.repair(ask, task, PROGRAM, Failure(kind="contract", text="x"))
    first, second = ask.asked
    assert first.messages[:-1] == second.messages[:-1]
    card = first.messages[-1].content.split("Write `compute_reward`", maxsplit=1)[0].rstrip()
    assert second.messages[-1].content.startswith(card)


def test_a_repair_without_a_program_says_that_there_was_none(task: Task) -> None:
    ask = Listener(ANSWER)
    roles.repair(ask, task, None, Failure(kind="no_code", text="the answer is empty"))
    assert "held no usable program" in ask.last


def test_a_known_kind_of_error_comes_with_its_remedy(task: Task) -> None:
    ask = Listener(ANSWER)
    roles.repair(ask, task, PROGRAM, Failure(kind="contract", text="NaN in run"))
    assert "np.clip" in ask.last.rsplit("What is wrong", 1)[1]


def test_a_revision_shows_the_remarks(task: Task) -> None:
    ask = Listener(ANSWER)
    critique = Critique(accept=False, remarks="the sign of run is wrong")
    assert roles.revise(ask, task, PROGRAM, critique, sample=2).source == PROGRAM
    assert "the sign of run is wrong" in ask.last


def test_a_critique_is_read_and_keeps_its_round(task: Task) -> None:
    found = roles.criticise(Listener(ACCEPT), task, PROGRAM, roles.Context(), round=1)
    assert (found.accept, found.round) == (True, 1)


@pytest.mark.parametrize("program", ["", "# nothing", "def compute_reward():\n    pass\n"])
def test_an_empty_program_is_refused_without_asking(task: Task, program: str) -> None:
    ask = Listener()
    assert not roles.criticise(ask, task, program, roles.Context()).accept
    assert ask.asked == []


def test_an_unusable_verdict_is_asked_for_once_more_with_its_fault(task: Task) -> None:
    ask = Listener("Looks good!", ACCEPT)
    assert roles.criticise(ask, task, PROGRAM, roles.Context()).accept
    assert "could not be used" in ask.last
    assert "Looks good!" not in ask.last
    assert len(ask.asked[1].messages) == len(ask.asked[0].messages)


@pytest.mark.parametrize(
    "role",
    [
        lambda ask, task: roles.criticise(ask, task, PROGRAM, roles.Context()),
        lambda ask, task: roles.analyse(ask, task, trained(), roles.Context()),
    ],
)
def test_two_unusable_replies_are_a_typed_error(
    task: Task, role: Callable[[Listener, Task], object]
) -> None:
    ask = Listener("Thought process:", "accept")
    with pytest.raises(ReplyFormatError):
        role(ask, task)
    assert len(ask.asked) == 2


def test_an_analysis_is_lines_of_causes_and_advice(task: Task) -> None:
    ask = Listener(ANALYSIS)
    text = roles.analyse(ask, task, trained(), roles.Context(history=(trained("g0.0", 1.0),)))
    assert text == "cause: run is nearly constant\nadvice: raise the clip of run"
    assert "- run: 0 0.1" in ask.last
    assert "g0.0: Pay for speed. -> fitness 1" in ask.last
    assert ask.asked[0].role == "analyzer"


def test_a_candidate_without_a_curve_can_be_analysed(task: Task) -> None:
    one = trained()
    bare = one.model_copy(update={"reports": (one.reports[0].model_copy(update={"curve": ()}),)})
    text = roles.analyse(Listener(ANALYSIS), task, bare, roles.Context())
    assert text == "cause: run is nearly constant\nadvice: raise the clip of run"


def test_the_local_model_gets_short_prompts_and_limits(task: Task) -> None:
    short, full = Listener(ANSWER), Listener(ANSWER)
    roles.design(short, task, FRESH, roles.Context(), settings=roles.settings_for("local"))
    roles.design(full, task, FRESH, roles.Context(), settings=roles.settings_for("openai:gpt-x"))
    assert sum(len(m.content) for m in short.asked[0].messages) < 6500
    assert short.asked[0].max_tokens is not None
    assert full.asked[0].max_tokens is None
    assert len(short.asked[0].messages[0].content) < len(full.asked[0].messages[0].content)


def test_a_folder_of_templates_replaces_what_is_said(task: Task, tmp_path: Path) -> None:
    (tmp_path / "designer_fresh.jinja").write_text("Do it: {{ task.text }}")
    ask = Listener(ANSWER)
    own = replace(roles.RoleSettings(), prompts_dir=tmp_path)
    roles.design(ask, task, FRESH, roles.Context(), settings=own)
    assert ask.last == "Do it: hop forward fast without falling\n"


def test_a_forgotten_parameter_is_added_and_reported(task: Task) -> None:
    answer = ANSWER.replace("run = ", "run = 0.0 * torso_height + ")
    found = roles.design(Listener(answer), task, FRESH, roles.Context())
    assert found.source is not None
    assert "def compute_reward(forward_velocity, torso_height):" in found.source
    assert found.repairs == ("took `torso_height` as a parameter",)


def test_a_repeated_parameter_is_dropped_and_told_beside_a_forgotten_one(task: Task) -> None:
    twice = ANSWER.replace("(forward_velocity)", "(forward_velocity, forward_velocity)", 1)
    reads_more = twice.replace("return run,", "return run + torso_height,")
    found = roles.design(Listener(reads_more), task, FRESH, roles.Context())
    assert found.failure is None
    assert found.source is not None
    assert found.source.startswith("def compute_reward(forward_velocity, torso_height):")
    assert found.repairs == (
        "dropped the repeated parameter `forward_velocity`",
        "took `torso_height` as a parameter",
    )
    assert found.attempt == found.source


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_an_endless_verdict_is_refused_twice_and_ends_as_unparsable(
    task: Task, finish: str
) -> None:
    ask = Listener("{" * 70_000, '{"verdict":' * 3000, finish=finish)
    with pytest.raises(ReplyFormatError) as caught:
        roles.criticise(ask, task, PROGRAM, roles.Context())
    assert caught.value.kind == "unparsable"
    assert len(ask.asked) == 2
    assert "be much shorter" in ask.last
    assert len(ask.last) < len(ask.asked[0].messages[-1].content) + 500


def test_a_verdict_is_asked_for_coolly_and_bounded_for_small_models(task: Task) -> None:
    small = roles.settings_for("local")
    ask = Listener(ACCEPT, ANALYSIS)
    roles.criticise(ask, task, PROGRAM, roles.Context(), settings=small)
    roles.analyse(ask, task, trained(), roles.Context(), settings=small)
    for request in ask.asked:
        assert request.temperature == small.verdict_temperature
        assert request.max_tokens == small.verdict_tokens
    assert [request.role for request in ask.asked] == ["critic", "analyzer"]


def test_rounds_of_the_critic_are_questions_of_their_own(task: Task) -> None:
    ask = Listener(ACCEPT, ACCEPT)
    for number in range(2):
        roles.criticise(ask, task, PROGRAM, roles.Context(), round=number)
    assert [request.sample for request in ask.asked] == [0, 1]
    assert ask.asked[0].messages == ask.asked[1].messages


def test_an_error_of_the_model_passes_through_every_role(task: Task) -> None:
    def ask(request: Request) -> Reply:
        raise ModelError("quota", f"no credit for the {request.role}")

    failure = Failure(kind="contract", text="x")
    critique = Critique(accept=False, remarks="the sign is wrong")
    for call in (
        lambda: roles.design(ask, task, FRESH, roles.Context()),
        lambda: roles.repair(ask, task, PROGRAM, failure),
        lambda: roles.revise(ask, task, PROGRAM, critique),
        lambda: roles.criticise(ask, task, PROGRAM, roles.Context()),
        lambda: roles.analyse(ask, task, trained(), roles.Context()),
    ):
        with pytest.raises(ModelError, match="no credit") as caught:
            call()
        assert caught.value.kind == "quota"
