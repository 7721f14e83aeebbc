"""A reward's pictures as one static page that opens offline, and its numbers beside it."""

from pathlib import Path

from rewardsmith.errors import StoreError
from rewardsmith.runs.pictures import Pictures
from rewardsmith.runs.pictures_view import pictures_view
from rewardsmith.runs.report import environment
from rewardsmith.runs.report_code import code_lines
from rewardsmith.runs.report_words import number


def render_pictures(found: Pictures, program: str, *, title: str, numbers: str = "") -> str:
    """Returns the page as text: no script, nothing from outside, all foreign text escaped.

    Args:
        found: what to draw.
        program: its source text.
        title: what the page is headed, e.g. the file's name.
        numbers: the name of the file that holds ``found``.
    """
    from rewardsmith import __version__

    page = {
        **pictures_view(found),
        "title": title,
        "subtitle": _subtitle(found),
        "code": code_lines(program),
        "numbers": numbers,
        "version": __version__,
    }
    return environment().get_template("pictures.html.jinja").render(page=page)


def _subtitle(found: Pictures) -> str:
    return (
        f"{found.env} · program {found.program_id} · over {found.rows:,} stored steps of "
        f"{found.episodes} episodes: mean {number(found.total_mean)} per step, "
        f"std {number(found.total_std)}"
    )


def write_pictures(target: Path, found: Pictures, program: str, *, title: str) -> Path:
    """Writes the page and, beside it with the ending .json, its numbers; returns their path.

    Raises:
        StoreError: a file cannot be written.
    """
    numbers = target.with_suffix(".json")
    page = render_pictures(found, program, title=title, numbers=numbers.name)
    try:
        numbers.write_text(found.model_dump_json(indent=1), encoding="utf-8")
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{error.filename or target}: cannot be written ({reason})") from error
    return numbers
