import io
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from rich.console import Console

from rewardsmith.runs.live import LineView, LiveView, ScreenView, clock_text, make_view
from rewardsmith.runs.live_progress import Progress, subject
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.failure import Failure


@dataclass(frozen=True)
class Plan:
    env_steps: int = 4000

    def as_text(self) -> str:
        return "at most 4 trainings"


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int | None = 100
    completion_tokens: int | None = 20
    cost_usd: float | None = 0.25


def feed(view: LiveView) -> None:
    view("run_started", path="results/r", task="hop", estimate=Plan())
    view("generation_started", number=0, of=2)
    view("asking", candidate="g0.0", role="designer")
    view("replied", role="designer", usage=Usage(), wall_s=3.0)
    view("checked", candidate="g0.0", ok=True, text="")
    view("checked", candidate="g0.1", ok=False, text="line 2: bad \x1b[31mcolour")
    view("critic", candidate="g0.0", accept=True)
    view("training", unit="g0.0.s0", stage="training", steps=500, total_steps=1000,
         fitness=2.0, steps_per_s=100.0)  # fmt: skip
    view("training", unit="g0.0.s1", stage="training", steps=0, total_steps=1000, steps_per_s=0.0)


def screen_text(view: ScreenView, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(view.screen())
    return captured.get()


def screen(width: int = 100) -> ScreenView:
    ticks = iter([0.0])
    return ScreenView(Console(file=io.StringIO(), width=width), lambda: next(ticks, 65.0))


def test_a_unit_belongs_to_its_candidate_or_arm() -> None:
    assert subject("g0.3.s1") == "g0.3"
    assert subject("final.human.s0") == "human"


def test_progress_fitness_speed_and_time_left_come_from_the_units() -> None:
    view = LiveView()
    feed(view)
    row = view.run.rows["g0.0"]
    assert row.share == 0.25
    assert row.fitness == 2.0
    assert row.steps_per_s == 100.0
    assert view.run.env_steps == 500
    assert view.run.eta_s == 35.0


def test_an_ended_training_counts_whole_and_its_speed_no_more() -> None:
    view = LiveView()
    feed(view)
    view("trained", unit="g0.0.s0", group="g0.0", fitness=3.5, failure=None)
    row = view.run.rows["g0.0"]
    assert row.state == "training, 1 of 2 ended"
    assert row.steps_per_s == 0.0
    view("training", unit="g0.0.s0", steps=1, total_steps=1000)
    assert row.units["g0.0.s0"].ended
    assert row.fitness == 3.5
    assert view.run.env_steps == 1000


def test_a_failed_training_says_why_and_has_no_fitness() -> None:
    view = LiveView()
    feed(view)
    failure = Failure(kind="diverged", text="loss is nan")
    view("trained", unit="g0.0.s0", group="g0.0", fitness=None, failure=failure)
    assert view.run.rows["g0.0"].state == "failed: loss is nan"
    assert view.run.rows["g0.0"].fitness is None


def test_steps_of_past_generations_are_not_forgotten() -> None:
    view = LiveView()
    feed(view)
    view("generation_started", number=1, of=2)
    assert view.run.rows == {}
    assert view.run.env_steps == 500
    assert view.run.phase == "generation 2 of 2"


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    run = Progress()
    run.apply("replied", {"usage": Usage()})
    assert run.usd == 0.25
    run.apply("replied", {"usage": Usage(cost_usd=None)})
    run.apply("replied", {"usage": Usage()})
    assert run.usd is None
    assert run.tokens == 360


def test_unknown_events_and_missing_facts_change_nothing() -> None:
    view = LiveView()
    view("from a later version", anything=1)
    for kind in ("training", "trained", "checked", "asking", "generation_done", "run_started"):
        view.event(kind)
    assert view.run.rows == {}


def test_the_screen_shows_phase_candidates_costs_and_the_best_so_far() -> None:
    view = screen()
    feed(view)
    view("generation_done", number=0, best="g0.0")
    text = screen_text(view)
    assert "generation 1 of 2" in text
    assert "planned: at most 4 trainings" in text
    assert "g0.0, fitness 2" in text
    assert "1 calls, 120 tokens, $0.25, 500 env steps" in text
    assert "refused: line 2" in text
    assert "0:01:05, about 35.0 s of training left" in text


def test_a_candidate_that_a_probe_refused_says_so_and_one_that_passed_goes_on() -> None:
    stream = io.StringIO()
    view = LineView(stream)
    passed = Evidence(probe="health", verdict="pass", text="varied")
    refused = Evidence(probe="farming", verdict="fail", text="pays for standing still")
    for name, evidence in (("g0.0", (passed, refused)), ("g0.1", (passed,))):
        view("checked", candidate=name, ok=True, text="")
        view("inspected", candidate=name, evidence=evidence)
    assert "g0.0: refused by farming: pays for standing still" in stream.getvalue()
    assert stream.getvalue().count("g0.1") == 1
    assert (view.run.rows["g0.0"].bad, view.run.rows["g0.1"].bad) == (True, False)
    assert view.run.rows["g0.1"].state == "checked"


def test_no_escape_sequence_of_a_model_reaches_the_terminal() -> None:
    view, stream = screen(), io.StringIO()
    feed(view)
    assert "\x1b" not in screen_text(view)
    lines = LineView(stream)
    feed(lines)
    assert "\x1b" not in stream.getvalue()
    assert "⟦U+001B⟧[31mcolour" in stream.getvalue()


def test_no_warning_rewrites_the_terminal() -> None:
    stream = Terminal()
    with make_view(stream=stream).showing() as view:
        view("warning", text="\x1b]0;owned\x07\x1b[2Jgone\u202e")
    assert "\x1b]0" not in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
    assert "⟦U+001B⟧[2Jgone⟦U+202E⟧" in stream.getvalue()


def in_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(who,)) for who in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.timeout(60)
def test_a_screen_can_be_drawn_while_events_arrive_from_many_threads() -> None:
    view, done = ScreenView(Console(file=io.StringIO(), width=80)), threading.Event()

    def draws() -> None:
        while not done.is_set():  # an exception in a thread fails the test, as pytest is set up
            screen_text(view, 80)

    def tells(who: int) -> None:
        for n in range(300):
            view("training", unit=f"g{who}.{n}.s0", steps=1, total_steps=9, steps_per_s=1.0)
            if n % 100 == 0:
                view("generation_started", number=n, of=3)

    drawing = [threading.Thread(target=draws) for _ in range(2)]
    for thread in drawing:
        thread.start()
    in_threads(tells, 3)
    done.set()
    for thread in drawing:
        thread.join()
    assert view.run.env_steps == 900


@pytest.mark.timeout(60)
def test_a_live_screen_and_warnings_do_not_wait_for_one_another() -> None:
    stream = Terminal()
    with make_view(stream=stream).showing() as view:
        for n in range(60):
            view("training", unit=f"g0.{n}.s0", steps=1, total_steps=9)
            view("warning", text=f"warning {n}")
            time.sleep(0.01)
    assert "warning 59" in stream.getvalue()


def test_lines_of_several_threads_stay_whole() -> None:
    stream = io.StringIO()
    view = LineView(stream, lambda: 0.0)

    def tells(who: int) -> None:
        for n in range(100):
            view("warning", text=f"{who}:{n}:" + "x" * 50)

    in_threads(tells, 4)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 400
    assert all(line.startswith("[0:00:00] ") and line.endswith(":" + "x" * 50) for line in lines)


@pytest.mark.parametrize("width", [40, 72, 200])
def test_the_screen_keeps_to_the_terminals_width(width: int) -> None:
    view = screen(width)
    feed(view)
    view("waiting", text="x" * 300)
    assert max(len(line) for line in screen_text(view, width).splitlines()) <= width


def test_markup_in_texts_is_shown_and_not_obeyed() -> None:
    view = screen()
    view("checked", candidate="g0.0", ok=False, text="[bold]a[/bold] [/] [link=x]")
    assert "[bold]a[/bold] [/] [link=x]" in screen_text(view)


def test_a_pipe_gets_one_line_per_event_and_one_per_quarter_of_a_training() -> None:
    stream = io.StringIO()
    view = LineView(stream, lambda: 0.0)
    feed(view)
    for steps in range(0, 1001, 10):
        view("training", unit="g0.0.s1", steps=steps, total_steps=1000, steps_per_s=5.0)
    view("trained", unit="g0.0.s1", fitness=1.5, failure=None)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[0:00:00] results/r: hop; at most 4 trainings"
    assert sum("g0.0.s1 training" in line for line in lines) == 4
    assert lines[-1] == "[0:00:00] g0.0.s1 trained, fitness 1.500"


def test_a_view_for_programs_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    view = make_view(silent=True)
    with view.showing():
        feed(view)
    assert capfd.readouterr() == ("", "")


def test_progress_goes_to_standard_error_so_that_output_stays_a_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with make_view(stream=sys.stderr).showing() as view:
        feed(view)
    sys.stdout.write(json.dumps({}))
    out, err = capsys.readouterr()
    assert out == "{}"
    assert "generation 1 of 2" in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def interrupted(view: LiveView) -> None:
    with view.showing():
        feed(view)
        raise KeyboardInterrupt


def test_a_terminal_gets_a_screen_that_is_given_back_after_an_error() -> None:
    stream = Terminal()
    view = make_view(stream=stream)
    assert isinstance(view, ScreenView)
    with pytest.raises(KeyboardInterrupt):
        interrupted(view)
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_elapsed_time_reads_as_a_clock() -> None:
    assert clock_text(3725.9) == "1:02:05"
