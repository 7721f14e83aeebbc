"""What a designer is shown of a program that is not to be trained: the fault and its place."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rewardsmith.prompts.mistakes import Mistake, mistakes
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.failure import Failure

_ADVICE = (
    (r"truth value|ambiguous", "Use np.where(condition, a, b), `&`, `|`, `~` on arrays."),
    (
        r"shape|broadcast|dimension",
        "Every component has shape (N,): reduce with axis=-1, or pick a column with x[:, 0].",
    ),
    (
        r"NaN|finite|overflow|divi",
        "Bound what can grow (np.clip); add a small number to what divides.",
    ),
    (r"batch|row|permut", "Leave out every sum, mean, max or norm that has no axis=-1."),
)


@dataclass(frozen=True)
class Fault:
    """What is wrong, the line that it is about, and likely mistakes or else a word of advice."""

    text: str
    line: int | None = None
    source_line: str | None = None
    advice: str | None = None
    mistakes: tuple[Mistake, ...] = ()


def fault(program: str | None, wrong: Failure | Iterable[Evidence]) -> Fault:
    """The failure with the line that it names, likely mistakes, or a word on the remedy.

    Of a ledger it is the refusal. What a probe refuses is sound code: there is no line to look at.
    """
    if not isinstance(wrong, Failure):
        refusals = (f"{item.probe}: {item.text}" for item in wrong if item.verdict == "fail")
        return Fault(next(refusals, "a check refused it"))
    lines = program.split("\n") if program else []
    at = wrong.line
    line = lines[at - 1].strip() if at is not None and 0 < at <= len(lines) else None
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, wrong.text, re.IGNORECASE))
    seen = mistakes(program) if program else ()
    return Fault(wrong.text, at, line or None, None if seen else next(found, None), seen)
