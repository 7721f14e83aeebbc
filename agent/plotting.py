"""``rewardsmith plot``: the pictures of one reward that somebody wrote, as a page and numbers."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith.agent.evidence.gather import fresh_bank
from rewardsmith.agent.picturing import pictures_of
from rewardsmith.agent.shaping import Wish, preset_gamma, reward_source
from rewardsmith.agent.single import contract_check, read_text
from rewardsmith.agent.trained import Trained, trained_with, with_trained
from rewardsmith.agent.walls import announce
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.component_shares import component_shares
from rewardsmith.runs.pictures import Finding, Pictures
from rewardsmith.sandbox.check import CheckReport
from rewardsmith.sandbox.failure import Failure

View = Callable[..., None]
Facts = dict[str, Any]
ROWS = 10_000  # of the bank, about


@dataclass(frozen=True)
class PlotRequest:
    """What to draw: ``fields`` as "a,b[1]" (empty: what moves the total most), ``out`` the page."""

    file: Path
    env: str
    card: Path | None = None
    fields: str = ""
    out: Path | None = None
    run: Path | None = None
    sandbox: str = "auto"
    yes: bool = False
    shaping: str | None = None  # None: as the program's own mark says

    @property
    def page(self) -> Path:
        """Where the page goes: beside nothing of the user's, in the present folder by default."""
        return self.out or Path(f"{self.file.stem}_plots.html")


def plot_file(request: PlotRequest, *, view: View) -> tuple[Facts, str]:
    """Writes the page and its numbers; returns them as a document and the findings as text.

    A program that breaks the contract is no error: ``failure`` says what is wrong with it, and
    nothing is written.

    Raises:
        ConfigError: a file cannot be read, an environment, a field or a run is not what it should.
        SandboxUnavailable: this machine cannot confine reward code.
        StoreError: the page cannot be written.
    """
    if request.page.suffix != ".html":
        raise ConfigError(f"--out {request.page}: a file that ends in .html is wanted")
    task = find_task(request.env, card=request.card)
    source = read_text(request.file)
    announce(request.sandbox, view, yes=request.yes)
    report = contract_check(source, task, Wish(request.shaping, sandbox=request.sandbox))
    if report.failure is not None:
        return _failed(request, report.failure)
    trained = Trained()
    if request.run is not None:
        trained = trained_with(request.run, task.env.id, source, report.source)
    found = _drawn(request, task, report, trained)
    if isinstance(found, Failure):
        return _failed(request, found)
    return _written(request, found, source)


def _drawn(
    request: PlotRequest, task: Task, report: CheckReport, trained: Trained
) -> Pictures | Failure:
    bank, shaping = with_trained(fresh_bank(task, rows=ROWS), trained), report.shaping
    gamma = preset_gamma(task.env.id)
    opened = reward_source(
        report.source, shaping, env=task.env, gamma=gamma, sandbox=request.sandbox
    )
    with closing(opened) as source:
        found = pictures_of(
            source, report.source, bank, task, fields=request.fields, shaping=shaping
        )
    if isinstance(found, Failure):
        return found
    shares = (component_shares(reports, label) for label, reports in trained.groups)
    return found.model_copy(update={"shares": tuple(s for s in shares if s is not None)})


def _failed(request: PlotRequest, failure: Failure) -> tuple[Facts, str]:
    facts = {
        "file": str(request.file),
        "env": request.env,
        "failure": failure.model_dump(mode="json"),
        "page": None,
        "numbers": None,
        "pictures": None,
    }
    return facts, f"{failure.kind}: {failure.text}"


def _written(request: PlotRequest, found: Pictures, program: str) -> tuple[Facts, str]:
    from rewardsmith.runs.pictures_page import write_pictures

    page = request.page
    numbers = write_pictures(page, found, program, title=request.file.name)
    facts = {
        "file": str(request.file),
        "env": request.env,
        "failure": None,
        "page": str(page),
        "numbers": str(numbers),
        "pictures": found.model_dump(mode="json"),
    }
    return facts, "\n".join([*_lines(found), f"page: {page}", f"numbers: {numbers}"])


def _lines(found: Pictures) -> Iterator[str]:
    """Yields what the pictures show, a heading with its findings indented below it."""
    yield (
        f"{found.env}: {found.rows} stored steps of {found.episodes} episodes, "
        f"total {found.total_mean:.4g} per step on average, std {found.total_std:.4g}"
    )
    yield from (f"  {item.text}" for item in found.findings)
    named: list[tuple[str, tuple[Finding, ...]]] = [
        *((item.axis.label, item.findings) for item in found.slices),
        *((f"{item.x.name}, {item.y.name}", item.findings) for item in found.surfaces),
        *((f"{item.column} by outcome", item.findings) for item in found.histograms),
        *((f"shares over training, {item.label}", item.findings) for item in found.shares),
    ]
    for heading, findings in named:
        if findings:
            yield heading
            yield from (f"  {item.text}" for item in findings)
