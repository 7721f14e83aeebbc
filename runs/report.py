"""The run as one static page that opens offline: no script, nothing outside, all text escaped."""

import base64
import os
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from rewardsmith.errors import StoreError
from rewardsmith.runs.records import RunState
from rewardsmith.runs.report_facts import LedgerRow, RunFacts
from rewardsmith.runs.report_page import page_of
from rewardsmith.runs.report_pictures import report_pictures
from rewardsmith.runs.report_words import visible
from rewardsmith.runs.whole import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["LedgerRow", "RunFacts", "environment", "render_report", "write_report"]

EMBEDDED_BYTES = 3 * 1024 * 1024  # a larger video stays a file beside the page
_VIDEO_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}


def write_report(run_dir: Path, state: RunState, *, facts: RunFacts, stopped: str = "") -> Path:
    """Writes ``report.html`` into the run folder, whole or not at all, and returns its path.

    Args:
        run_dir: the run's folder.
        state: the run as of now, finished or not.
        facts: what is told beside it.
        stopped: why the run ended early, if it did.

    Raises:
        StoreError: the folder cannot be written.
    """
    target = run_dir / "report.html"
    page = render_report(run_dir, state, facts=replace(facts, stopped=stopped or facts.stopped))
    try:
        write_whole(target, page.encode(), lasting=False)  # it is soon replaced
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{target}: the report cannot be written ({reason})") from error
    return target


def render_report(run_dir: Path, state: RunState, *, facts: RunFacts) -> str:
    """Returns the page as text; a run that has barely begun gives a page too."""
    address, note = _video(run_dir, facts)
    found = {**page_of(state, facts), **report_pictures(run_dir, state)}
    page = {**found, "video": address, "video_note": note}
    return environment().get_template("report.html.jinja").render(page=page)


def _video(run_dir: Path, facts: RunFacts) -> tuple[str, str]:
    """Returns the address of the video, embedded where it is small, and the words about it."""
    if facts.video is None:
        return "", facts.video_note or "none was recorded."
    path = run_dir / facts.video
    if not path.is_file():
        return "", facts.video_note or f"{facts.video} is missing."
    if path.stat().st_size < EMBEDDED_BYTES:
        kind = _VIDEO_TYPES.get(path.suffix, "video/mp4")
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        return f"data:{kind};base64,{content}", facts.video_note
    return quote(os.path.relpath(path, run_dir)), facts.video_note


@lru_cache(maxsize=1)
def environment() -> "Environment":
    """Returns the templates of the pages; every expression in them is made visible and escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("rewardsmith.runs") / "templates"
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=False,
    )


def _shown(value: object) -> object:
    """Every expression of the template passes here, then is escaped."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)
