"""Measures how many real answers of a model yield a program, and names the cause of every miss.

    python benchmarks/extraction.py --corpus FILE.jsonl --json

The file holds one JSON object per line with at least ``id`` and ``answer``. With ``--misses`` the
ids and causes of the misses go to standard error.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rewardsmith.prompts.replies import extract_program


def answers(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the corpus row by row.

    Raises:
        SystemExit: a line is not a JSON object with ``id`` and ``answer``.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = _decoded(line)
            if row is None or not isinstance(row.get("answer"), str):
                raise SystemExit(f"{path}:{number}: a JSON object with 'id' and 'answer' is wanted")
            yield row


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def measure(rows: Iterable[dict[str, Any]], *, misses: bool = False) -> dict[str, Any]:
    """Counts usable answers and the causes of the others: ``usable``, ``total``, ``causes``."""
    causes: Counter[str] = Counter()
    total = 0
    for row in rows:
        total += 1
        found = extract_program(row["answer"])
        if found.cause is None:
            continue
        causes[found.cause] += 1
        if misses:
            sys.stderr.write(f"{row.get('id')}\t{found.cause}\t{found.detail}\n")
    return {"usable": total - causes.total(), "total": total, "causes": dict(causes.most_common())}


def main(arguments: list[str] | None = None) -> int:
    """Prints the counts of one corpus and returns 0."""
    parser = argparse.ArgumentParser(description="How many answers yield a reward program.")
    parser.add_argument("--corpus", type=Path, required=True, metavar="FILE.jsonl")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--misses", action="store_true", help="name each miss on standard error")
    options = parser.parse_args(arguments)
    if not options.corpus.is_file():
        parser.error(f"--corpus {options.corpus}: no such file")
    counts = measure(answers(options.corpus), misses=options.misses)
    if options.json:
        sys.stdout.write(json.dumps(counts) + "\n")
    else:
        sys.stdout.write(f"{counts['usable']} of {counts['total']} answers yield a program\n")
        sys.stdout.writelines(f"  {n:4d}  {cause}\n" for cause, n in counts["causes"].items())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
