"""Looks for false alarms: every refusal of the text rules is checked by other means.

    python benchmarks/false_alarms.py --json [--corpus FILE.jsonl]

Programs come from this repository (tests, examples, documents, results of runs) and, where given,
from a corpus of models' answers. A program is refused for a true reason or not at all: what each
reason claims is looked for by ``refusal_oracle.py``. Of a model's program the reasons are counted
against its environment's card and once more against a card that has whatever it asks for, so that a
wrong name hides no other reason.
"""

import argparse
import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from extraction import answers
from refusal_oracle import is_true, kind_of

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec, Field
from rewardsmith.errors import ConfigError
from rewardsmith.prompts.replies import extract_program
from rewardsmith.prompts.worked_examples import worked_examples
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import parse, problems
from rewardsmith.sandbox.rewrite import rewrite

ROOT = Path(__file__).resolve().parents[1]
_WANTED = "def compute_reward("
_CODE = ("agent", "benchmarks", "sandbox", "tests")
_FENCE = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A program with the card that it was written for; the place is for people.
Case = tuple[str, str, EnvSpec]


def willing(source: str) -> EnvSpec:
    """Returns a card that has whatever a program asks for; what it has itself keeps its shape."""
    parsed = parse(source)
    asked = () if isinstance(parsed, Failure) else parsed.parameters
    known = {field.name for field in EXAMPLE_SPEC.fields}
    names = dict.fromkeys(name.removeprefix("prev_") for name in asked)
    more = [Field(n, (3,), "", "", "") for n in names if n not in known | {"memory", "terminated"}]
    return replace(EXAMPLE_SPEC, hidden=(), fields=(*EXAMPLE_SPEC.fields, *more))


def honest() -> Iterator[Case]:
    """Yields the rewards that the project shows, uses or got out of runs: all have to pass."""
    for example in worked_examples():
        fields = tuple(Field(n.name, n.shape, n.unit, n.meaning, "") for n in example.names)
        yield example.environment, example.code, replace(EXAMPLE_SPEC, fields=fields, hidden=())
    for path in sorted((ROOT / "benchmarks" / "results").glob("*/best/reward.py")):
        env = json.loads((path.parents[1] / "run.json").read_text())["config"]["env"]
        yield str(path.relative_to(ROOT)), path.read_text(), find_task(env).env
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for text in _FENCE.findall(page.read_text()):
            if _WANTED in text:
                yield str(page.relative_to(ROOT)), text, willing(text)


def written() -> Iterator[Case]:
    """Yields every program in the code and in the runs that were kept, honest or not."""
    for folder in _CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for text in _texts(path):
                yield str(path.relative_to(ROOT)), text, willing(text)
    for path in sorted((ROOT / "benchmarks" / "results").glob("*/journal.jsonl")):
        env = json.loads((path.parent / "run.json").read_text())["config"]["env"]
        for line in path.read_text().splitlines():
            text = json.loads(line)["data"].get("program")
            if isinstance(text, str):
                yield str(path.relative_to(ROOT)), text, find_task(env).env


def _texts(path: Path) -> Iterator[str]:
    """Yields the texts of a file that are whole programs; others are put together when it runs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _WANTED in node.value:
            with suppress(SyntaxError, ValueError):
                ast.parse(node.value)
                yield node.value


def answered(corpus: Path) -> Iterator[Case]:
    """Yields the programs in a corpus of answers, each with its card and with a willing one."""
    for row in answers(corpus):
        source = extract_program(row["answer"]).source
        if source is None:
            continue
        with suppress(ConfigError):  # an environment that is not known here
            yield str(row["id"]), source, find_task(row["env"]).env
        yield f"{row['id']}, names granted", source, willing(source)


@cache
def rewritten(text: str) -> str:
    """Returns a program as the contract check would see it."""
    return rewrite(text).source


def measure(cases: Iterable[Case]) -> dict[str, Any]:
    """Counts what passes and why the rest is refused; names each reason that is not true."""
    reasons: Counter[str] = Counter()
    wrong: list[str] = []
    programs = passed = 0
    for place, text, spec in cases:
        programs += 1
        source = rewritten(text)
        found = problems(source, spec)
        passed += not found
        for problem in found:
            reasons[kind_of(problem)] += 1
            if not is_true(problem, source, spec):
                wrong.append(f"{place}: line {problem.line}: {problem.text}")
    return {
        "programs": programs,
        "passed": passed,
        "reasons": dict(reasons.most_common()),
        "false": wrong,
    }


def main(arguments: list[str] | None = None) -> int:
    """Prints the counts; returns 1 where an honest reward was refused or a reason is not true."""
    parser = argparse.ArgumentParser(description="Are rewards refused for true reasons only?")
    parser.add_argument("--corpus", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.corpus and not options.corpus.is_file():
        parser.error(f"--corpus {options.corpus}: no such file")
    found = {"honest": measure(honest()), "written": measure(written())}
    if options.corpus:
        found["corpus"] = measure(answered(options.corpus))
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.writelines(_table(found))
    good = found["honest"]["programs"] == found["honest"]["passed"]
    return 0 if good and not any(part["false"] for part in found.values()) else 1


def _table(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, part in found.items():
        yield f"{name}: {part['passed']} of {part['programs']} programs pass\n"
        for kind, count in part["reasons"].items():
            yield f"  {count:5d}  {kind}\n"
        for text in part["false"]:
            yield f"  FALSE  {text}\n"


if __name__ == "__main__":
    raise SystemExit(main())
