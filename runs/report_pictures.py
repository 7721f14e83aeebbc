"""The pictures of a run's best rewards, as they were stored while the run had its sandbox."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rewardsmith.runs.component_shares import component_shares
from rewardsmith.runs.pictures import Pictures
from rewardsmith.runs.pictures_view import pictures_view
from rewardsmith.runs.records import Candidate, RunState
from rewardsmith.runs.report_curves import component_names
from rewardsmith.runs.report_view import selected
from rewardsmith.runs.scatter_plots import fitness_range, scatter_plot, scatters
from rewardsmith.runs.store import RunStore

MOST = 2  # candidates with pictures: the best, and the fittest other
SLICES = 3
SURFACES = 1


def pictured(state: RunState) -> tuple[Candidate, ...]:
    """Returns the candidates of which there are pictures: the best, then others by mean fitness."""
    means = {
        c.id: sum(v) / len(v)
        for c in state.candidates
        if c.program is not None and (v := selected(c))
    }
    known = [c for c in state.candidates if c.id in means]
    return tuple(sorted(known, key=lambda c: (c.id != state.best, -means[c.id])))[:MOST]


def read_pictures(path: Path) -> Pictures | None:
    """Returns stored pictures, None where there are none or where they cannot be read.

    They are derived from what else is stored: a report without them is a report.
    """
    try:
        return Pictures.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def report_pictures(run_dir: Path, state: RunState) -> Mapping[str, Any]:
    """Returns the template's variables: pictures per candidate, scatters of return and fitness."""
    store = RunStore(run_dir)
    found = ((c, read_pictures(store.pictures_path(c.id))) for c in pictured(state))
    panels, names = scatters(state), component_names(state)
    span = fitness_range(panels)
    return {
        "pictures": [(c.id, _view(c, p, names)) for c, p in found if p is not None],
        "scatters": [(name, scatter_plot(name, points, span)) for name, points in panels],
    }


def _view(candidate: Candidate, found: Pictures, names: Sequence[str]) -> Mapping[str, Any]:
    shares = component_shares(candidate.reports, f"{candidate.id}, selection seeds")
    whole = found.model_copy(update={"shares": (shares,) if shares else ()})
    return pictures_view(whole, slices=SLICES, surfaces=SURFACES, names=names)
