"""Measures how fast environments are stepped and policies trained, on this machine.

    python benchmarks/throughput.py --quick --json > throughput.json
    REWARDSMITH_ENVPOOL_PYTHON=/path/to/python python benchmarks/throughput.py

The ways of each comparison take turns in short slices; a ratio is the median over rounds, and only
over rounds in which other processes used at most 0.12 of a core, where there are enough of these
(else it says so: ``noisy``). Trust ratios of one run, not absolute figures of two. ``--quick`` ends
within 15 minutes on two cores.
"""

import argparse
import importlib
import importlib.util
import json
import sys
import time
from typing import Any

from training_speed import machine

PARTS = ("stepping", "training")  # each a module throughput_PART.py with `measure`


def main() -> None:
    """Measures the parts asked for; the report goes to standard output, progress to the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="15 minutes at most, on two cores")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    asked = parser.parse_args()
    begin = time.perf_counter()
    report: dict[str, Any] = {"machine": machine(), "quick": asked.quick, "ratios": {}}
    for part in asked.parts:
        if importlib.util.find_spec(f"throughput_{part}") is None:
            continue
        module = importlib.import_module(f"throughput_{part}")
        found = module.measure(quick=asked.quick, tell=_tell)
        report["ratios"] |= found.pop("ratios")
        report |= found
    report["wall_s"] = round(time.perf_counter() - begin, 1)
    print(json.dumps(report, indent=2) if asked.json else _text(report))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _text(report: dict[str, Any]) -> str:
    lines = [f"{key}: {value}" for key, value in report["machine"].items()]
    for name, by_env in report["ratios"].items():
        lines += [f"{name}[{env}] = {found}" for env, found in by_env.items()]
    return "\n".join([*lines, f"wall_s: {report['wall_s']}"])


if __name__ == "__main__":
    main()
