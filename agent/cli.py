"""The command line. Everything heavy is imported inside the command that needs it."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any, NoReturn

import typer

from rewardsmith.agent.flags import (
    SANDBOXES,
    SHAPING,
    UNSANDBOXED,
    given,
    limit_flags,
    shared_flags,
)
from rewardsmith.agent.stopping import stoppable
from rewardsmith.errors import Interrupted, RewardsmithError, StoreError

app = typer.Typer(
    name="rewardsmith",
    help="Words in, a proven reward function out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="folder of a run")]
EnvId = Annotated[str, typer.Option("--env", help="environment id")]
CardPath = Annotated[Path | None, typer.Option("--card", help="YAML card of the environment")]


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    """Words in, a proven reward function out."""
    if version:
        from rewardsmith import __version__

        print(__version__)
        raise typer.Exit


@app.command()
@shared_flags
def design(
    text: Annotated[str | None, typer.Argument(help="the behaviour, in words")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with any of these flags")] = None,
    pause_after: Annotated[
        bool, typer.Option("--pause-after", help="stop after each generation for your feedback")
    ] = False,
    no_video: Annotated[bool, typer.Option("--no-video", help="record no video")] = False,
    as_json: AsJson = False,
    **flags: Any,
) -> None:
    """Turn a sentence into reward code that really trained a policy."""
    from rewardsmith.agent.config import make_config, read_config
    from rewardsmith.agent.session import design as run

    values = (read_config(config) if config else {}) | given(flags)
    values |= {"text": text} if text else {}
    values |= {"pause_after": True} if pause_after else {}
    values |= {"video": False} if no_video else {}
    made = make_config(values, source=str(config or ""))
    _finish(run(made, view=_view()), as_json)


@app.command()
@limit_flags
def resume(run: RunPath, as_json: AsJson = False, **flags: Any) -> None:
    """Go on with a run that was stopped, killed or paused."""
    from rewardsmith.agent.session import resume as go_on

    _finish(go_on(run, view=_view(), limits=given(flags)), as_json)


@app.command()
def replay(
    run: RunPath,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="train again, and compare the weights")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="folder of the replayed run")] = None,
    as_json: AsJson = False,
) -> None:
    """Drive a recorded run again without a model, and compare every decision."""
    from rewardsmith.agent.replaying import replay as again

    result = again(run, out=out, retrain=retrain, view=_view())
    lines = result["differences"] or ["every decision is the same"]
    _print(result, "\n".join(lines), as_json)
    if result["differences"]:
        raise typer.Exit(1)


@app.command()
def feedback(  # noqa: PLR0913  (one for each flag)
    run: RunPath,
    text: Annotated[str | None, typer.Option(help="what should change")] = None,
    observed: Annotated[str | None, typer.Option(help="what the policy does")] = None,
    candidate: Annotated[str | None, typer.Option(help="the candidate that it is about")] = None,
    edit: Annotated[Path | None, typer.Option(help="a reward.py of yours, to be trained")] = None,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="1 bad to 5 good")] = None,
    preferred_over: Annotated[str | None, typer.Option(help="a candidate that is worse")] = None,
    author: Annotated[str | None, typer.Option(help="who says so")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say what you saw and what you want; the next generation's prompts show it."""
    from rewardsmith.agent.feedback import give

    said = {
        "wanted": text,
        "observed": observed,
        "candidate": candidate,
        "rating": rating,
        "preferred_over": preferred_over,
    }
    record = give(run, said, edit=edit, author=author)
    _print(record.model_dump(mode="json"), f"noted as {record.id}", as_json)


@app.command()
@shared_flags
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML: tasks, models, seeds")],
    as_json: AsJson = False,
    **flags: Any,
) -> None:
    """Run tasks x models x seeds as a matrix that can be stopped and gone on with."""
    from rewardsmith.agent.sweep import sweep as run

    board = run(file, given(flags), view=_view())
    _print(board.as_dict(), board.as_text(), as_json)
    if board.failed:
        raise typer.Exit(1)


@app.command()
def show(run: RunPath, as_json: AsJson = False) -> None:
    """Show what a run has found so far."""
    from rewardsmith.agent.session import show as look

    facts, text = look(run)
    _print(facts, text, as_json)


@app.command()
def check(  # noqa: PLR0913  (one for each flag)
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a reward program")],
    env: EnvId,
    card: CardPath = None,
    sandbox: Annotated[str, typer.Option(help=SANDBOXES)] = "auto",
    shaping: Annotated[str | None, typer.Option(help=SHAPING)] = None,
    yes: Annotated[bool, typer.Option("--yes-run-unsandboxed", help=UNSANDBOXED)] = False,
    as_json: AsJson = False,
) -> None:
    """Check a reward program against the contract, and probe what it pays on stored steps.

    Ends with 1 where a run would not train with it: it breaks the contract, or a probe says fail.
    """
    from rewardsmith.agent.checking import check_file

    facts, text = check_file(
        file, env, card=card, sandbox=sandbox, shaping=shaping, yes=yes, view=_view()
    )
    _print(facts, text, as_json)
    if facts["refused"]:
        raise typer.Exit(1)


@app.command()
def plot(  # noqa: PLR0913  (one for each flag)
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a reward program")],
    env: EnvId,
    card: CardPath = None,
    fields: Annotated[
        str, typer.Option(help="what to vary: distance,joint_angles[1] (default: what moves it)")
    ] = "",
    shaping: Annotated[str | None, typer.Option(help=SHAPING)] = None,
    run: Annotated[
        Path | None, typer.Option(help="a run, or the folder of train --out, that trained it")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the page, FILE.html (default: FILE_plots.html here)")
    ] = None,
    sandbox: Annotated[str, typer.Option(help=SANDBOXES)] = "auto",
    yes: Annotated[bool, typer.Option("--yes-run-unsandboxed", help=UNSANDBOXED)] = False,
    as_json: AsJson = False,
) -> None:
    """Draw a reward: slices over fields, components by outcome, shares over training."""
    from rewardsmith.agent.plotting import PlotRequest, plot_file

    request = PlotRequest(file, env, card, fields, out, run, sandbox, yes, shaping)
    facts, text = plot_file(request, view=_view())
    _print(facts, text, as_json)
    if facts["failure"] is not None:
        raise typer.Exit(1)


@app.command()
def compare(  # noqa: PLR0913  (one for each flag)
    first: Annotated[str, typer.Argument(metavar="A", help='a reward program, or "human"')],
    second: Annotated[str, typer.Argument(metavar="B", help='another, or "human"')],
    env: EnvId,
    card: CardPath = None,
    rows: Annotated[int, typer.Option(min=1, help="transitions to compare on, about")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="of these transitions")] = 0,
    gamma: Annotated[
        float, typer.Option(min=0.0, max=0.9999, help="discount of the shaping that is left out")
    ] = 0.99,
    sandbox: Annotated[str, typer.Option(help=SANDBOXES)] = "auto",
    yes: Annotated[bool, typer.Option("--yes-run-unsandboxed", help=UNSANDBOXED)] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what two rewards prefer, scale, offset and potential shaping aside."""
    from rewardsmith.agent.comparing import Settings, compare_files

    settings = Settings(env, card, sandbox, yes=yes, rows=rows, seed=seed, gamma=gamma)
    facts, text = compare_files(first, second, settings, view=_view())
    _print(facts, text, as_json)
    if facts["failures"]:
        raise typer.Exit(1)


@app.command()
@shared_flags
def train(
    reward: Annotated[
        Path | None, typer.Option(help="a reward program; without it the environment's own")
    ] = None,
    as_json: AsJson = False,
    **flags: Any,
) -> None:
    """Train policies with one reward and judge them on held-out seeds."""
    from rewardsmith.agent.single import train_file

    facts, text = train_file(reward, given(flags), view=_view())
    _print(facts, text, as_json)
    if facts["failures"]:
        raise typer.Exit(1)


@app.command()
def tasks(
    env: Annotated[str | None, typer.Argument(help="show this environment's card")] = None,
    card: CardPath = None,
    as_json: AsJson = False,
) -> None:
    """List the built-in tasks, or print the card of one environment (a start for your own)."""
    from rewardsmith.agent.single import list_tasks, show_card

    facts, text = list_tasks() if env is None else show_card(env, card)
    _print(facts, text, as_json)


@app.command()
def doctor(
    llm: Annotated[str | None, typer.Option(help="PROVIDER[:MODEL] that you mean to use")] = None,
    as_json: AsJson = False,
) -> None:
    """Run one known-good reward through the whole stack and name what is missing."""
    from rewardsmith.agent.doctor import examine

    facts, text, ok = examine(llm, width=get_terminal_size().columns, colour=sys.stdout.isatty())
    _print(facts, text, as_json)
    if not ok:
        raise typer.Exit(1)


def main() -> NoReturn:
    """Runs the command line; a failure ends with the exit code of its class (errors.py)."""
    with stoppable(lambda: _leave(_say(_stopped()))):
        code = run()
        # A model call or a training that nobody waits for must not hold the process: leave at once.
        _leave(code)


def run() -> int:
    """Runs the command of ``sys.argv`` and returns its exit code, with errors told."""
    try:
        code = app(standalone_mode=False)
    except RewardsmithError as error:
        return _say(error)
    except (KeyboardInterrupt, typer.Abort):
        return _say(_stopped())
    except typer.Exit as error:
        return error.exit_code
    except BrokenPipeError:  # `| head`: whoever read has seen enough
        return 0
    except OSError as error:
        return _say(StoreError(f"{error.filename or 'a file'}: {error.strerror or error}"))
    except Exception as error:  # noqa: BLE001  (the outermost boundary: a bug, or the command line's)
        return _say_unexpected(error)
    return code if isinstance(code, int) else 0


def _stopped() -> Interrupted:
    return Interrupted("stopped; nothing finished is lost: the same command goes on")


def _say_unexpected(error: Exception) -> int:
    """Returns the exit code of a command-line mistake, or of a bug, after showing it."""
    show = getattr(error, "show", None)  # click's own errors, also in the copy that typer carries
    if show is not None:
        _document(error, 2)
        show()
        return 2
    import traceback

    traceback.print_exception(error)
    _document(error, 1)
    print("rewardsmith: this is a bug; please report the lines above", file=sys.stderr)
    return 1


def _say(error: RewardsmithError) -> int:
    from rewardsmith.runs.report_words import visible  # an endpoint or a worker may have said it

    _document(error, error.exit_code)
    print(f"rewardsmith: {visible(str(error))}", file=sys.stderr)
    return error.exit_code


def _document(error: Exception, code: int) -> None:
    if "--json" in sys.argv:
        name, text = type(error).__name__, getattr(error, "message", None) or str(error)
        print(json.dumps({"error": name, "message": text, "exit_code": code}))


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _view() -> Any:
    from rewardsmith.runs.live import make_view

    return make_view()


def _finish(result: Any, as_json: bool) -> None:
    _print(result.as_dict(), result.as_text(), as_json)


def _print(facts: Any, text: str, as_json: bool) -> None:
    print(json.dumps(facts, indent=2, allow_nan=False) if as_json else text)
