import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "extraction.py"
ANSWERS = (
    "```python\ndef compute_reward(v):\n    return v, {}\n```",
    "def compute_reward(v):\n    return v, {}\n",
    "```\ndef compute_reward(v)\n    return v, {}\n```",
    "I cannot do that.",
    "I will not do that.",
)


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = [{"id": f"a{i}", "env": "X-v0", "path": "p", "answer": a} for i, a in enumerate(ANSWERS)]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return path


def test_the_benchmark_prints_one_json_object_with_every_cause(corpus: Path) -> None:
    done = ran("--corpus", str(corpus), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "usable": 2,
        "total": 5,
        "causes": {"no_code": 2, "syntax": 1},
    }


def test_the_benchmark_names_each_miss_on_request(corpus: Path) -> None:
    done = ran("--corpus", str(corpus), "--misses")
    assert done.stdout.startswith("2 of 5 answers yield a program")
    assert [line.split("\t")[:2] for line in done.stderr.splitlines()] == [
        ["a2", "syntax"],
        ["a3", "no_code"],
        ["a4", "no_code"],
    ]


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": "a"}', '{"answer": 3}'])
def test_a_malformed_line_is_named_by_its_number(corpus: Path, line: str) -> None:
    corpus.write_text(corpus.read_text().rstrip() + "\n" + line + "\n")
    done = ran("--corpus", str(corpus))
    assert done.returncode == 1
    assert f"{corpus}:6:" in done.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = ran("--corpus", str(tmp_path / "none.jsonl"))
    assert done.returncode == 2
    assert "no such file" in done.stderr
