"""What became of every attack: compared with what is on record, and shown as a table.

``bash tools/attack_table`` runs the suite with REWARDSMITH_ATTACK_RECORD=1, which keeps what it
sees in ``outcomes.json``, and writes the page from that. Otherwise every outcome must be as
recorded, so neither the record nor the page can say what is not so.
"""

import json
import os
from pathlib import Path
from typing import Any

from attack_list import ATTACKS, Attack

BACKENDS = ("docker", "bubblewrap", "process")
CONTROL = "unconfined"
OUTCOMES = Path(__file__).with_name("outcomes.json")
RECORDING = os.environ.get("REWARDSMITH_ATTACK_RECORD", "") not in ("", "0")
# What the trusted side ends by itself; everything else is said by the worker, or by its end.
_ENDED_BY_US = ("stalled", "protocol_error")

# Attacks without a positive control of their own, and why.
NO_CONTROL = {
    27: "text alone; it is read, not run",
    28: "text alone; it is not even read",
    48: "text alone; it is read, not run",
    59: "needs a training; see the audit",
    79: "filling this machine's memory would harm it",
    80: "nothing is attacked: the machine fails",
    82: "nothing is attacked: it is a reward",
    83: "named calls above; all of them would do harm",
}
# What a test elsewhere proves: the outcome, and where. Asserted to exist.
_AUDIT = "tests/sandbox/test_audit.py::test_an_audit_finds_them_out_behind_every_backend"
ELSEWHERE: dict[int, tuple[str, str]] = dict.fromkeys((57, 58, 59, 60), ("D impure", _AUDIT))

_HEAD = """# Attacks

What a hostile reward program tries, and what becomes of it behind each backend of the
[sandbox](sandbox.md). `tools/attack_table` makes this page of what the tests in
`tests/sandbox/attacks` saw as root; every run of the tests, as root and as an ordinary user,
compares what it sees with it.

| code | means |
|---|---|
| B | refused by the kernel, or not there |
| K | ended from outside: `stalled`, `protocol_error`, or the worker was killed |
| R | reported to the author, with the kind of failure |
| D | found out by asking again, in the check or in the audit (its own tests): never ranked |
| N | does nothing to this machine or to fitness |

*Unconfined* is the positive control: the same attempt where nothing confines it, in namespaces
that are thrown away. *open*: it succeeded. *open to root*: it succeeded as root; any kernel
refuses it to an ordinary user. *missing*: this kernel has nothing of the kind, which the test
proved by its error. *n of m* counts the probes of one attack.

Nothing here proves that there is no other way out; it is what was tried.
"""


def letter(kind: str) -> str:
    """The outcome of a failure's kind."""
    if kind == "rejected":
        return "R rejected"
    return f"{'K' if kind in _ENDED_BY_US else 'R'} {kind}"


class Record:
    """The outcomes on record: probe -> its attack, and its outcome in every column."""

    def __init__(self, path: Path = OUTCOMES) -> None:
        self._path = path
        self.rows: dict[str, dict[str, Any]] = json.loads(path.read_text())

    def settle(self, attack: int, probe: str, column: str, outcome: str) -> None:
        """Keeps an outcome while recording; else it must be the recorded one."""
        name = f"{attack}: {probe}"
        if RECORDING:
            self.rows.setdefault(name, {"attack": attack})[column] = outcome
            return
        found = self.recorded(attack, probe, column)
        assert found == outcome, f"{name}, {column}: {outcome!r}; on record is {found!r}"

    def recorded(self, attack: int, probe: str, column: str) -> str:
        """The outcome on record; "" where there is none."""
        return str(self.rows.get(f"{attack}: {probe}", {}).get(column, ""))

    def save(self) -> None:
        """Writes the record in a fixed order."""
        rows = dict(sorted(self.rows.items(), key=lambda item: (item[1]["attack"], item[0])))
        self._path.write_text(json.dumps(rows, indent=1) + "\n")


def outcomes_of(rows: dict[str, dict[str, Any]], attack: int, column: str) -> list[str]:
    """Every outcome of an attack in a column, one for each probe."""
    found = (row.get(column) for row in rows.values() if row["attack"] == attack)
    return [outcome for outcome in found if outcome]


def _cell(outcomes: list[str]) -> str:
    if not outcomes:
        return ""
    unique = sorted(set(outcomes))
    if len(unique) == 1:
        return unique[0]
    counted = [f"{one} ({outcomes.count(one)} of {len(outcomes)})" for one in unique]
    return "; ".join(counted)


def _shown(rows: dict[str, dict[str, Any]], attack: int, column: str) -> str:
    if column == CONTROL:
        return _cell(outcomes_of(rows, attack, column)) or f"none: {NO_CONTROL[attack]}"
    found = outcomes_of(rows, attack, column)
    return _cell([*found, ELSEWHERE[attack][0]] if attack in ELSEWHERE else found)


def _row(rows: dict[str, dict[str, Any]], attack: Attack) -> str:
    cells = [_shown(rows, attack.number, column) for column in (*BACKENDS, CONTROL)]
    code = "/".join(attack.codes)
    return " | ".join([f"| {attack.number}", attack.name, attack.does, *cells, f"{code} |"])


def page(rows: dict[str, dict[str, Any]]) -> str:
    """Renders the whole page."""
    parts, group = [_HEAD], ""
    for attack in ATTACKS.values():
        if attack.group != group:
            group = attack.group
            parts.append(
                f"\n## {group}\n\n| # | name | what it does | docker | bubblewrap | process "
                "| unconfined | code |\n|---|---|---|---|---|---|---|---|\n"
            )
        parts.append(_row(rows, attack) + "\n")
    return "".join(parts)


def main() -> None:
    """Writes docs/attacks.md."""
    place = Path(__file__).resolve().parents[3] / "docs" / "attacks.md"
    place.write_text(page(Record().rows))


if __name__ == "__main__":
    main()
