"""The budgets of the house style that no linter counts."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("agent", "envs", "prompts", "runs", "sandbox", "src")
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common", "misc"}


def files(root: Path, *folders: str) -> list[Path]:
    """The Python files below the folders; links are not followed, so each file counts once."""
    found = (path for folder in folders for path in (root / folder).rglob("*.py"))
    return sorted(path for path in found if "__pycache__" not in path.parts)


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor comment nor docstring."""
    text = path.read_text()
    told = {line for node in ast.walk(ast.parse(text)) for line in docstring_lines(node)}
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return sum(1 for n, line in lines if line and not line.startswith("#") and n not in told)


def docstring_lines(node: ast.AST) -> range:
    """Numbers of the lines that a module's, class's or function's docstring takes."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) or not node.body:
        return range(0)
    match node.body[0]:
        case ast.Expr(value=ast.Constant(value=str()), lineno=first, end_lineno=last) if last:
            return range(first, last + 1)
    return range(0)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file with its number of lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path.name}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


@pytest.fixture(scope="module")
def source(root: Path) -> list[Path]:
    """Every file of the package."""
    return files(root, *FOLDERS)


def test_no_file_is_longer_than_400_lines(source: list[Path]) -> None:
    sizes = {path.name: len(path.read_text().splitlines()) for path in source}
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_half_of_the_files_have_at_most_150_lines(source: list[Path]) -> None:
    sizes = [len(path.read_text().splitlines()) for path in source if path.name != "__init__.py"]
    assert statistics.median(sizes) <= 150


def test_no_function_is_longer_than_60_lines(source: list[Path]) -> None:
    long = {name: size for path in source for name, size in functions(path) if size > 60}
    assert long == {}


def test_half_of_the_functions_have_at_most_10_lines(source: list[Path]) -> None:
    sizes = sorted(size for path in source for _, size in functions(path))
    assert statistics.median(sizes) <= 10


def test_nine_of_ten_functions_have_at_most_25_lines(source: list[Path]) -> None:
    sizes = sorted(size for path in source for _, size in functions(path))
    assert statistics.quantiles(sizes, n=10)[-1] <= 25


def test_no_module_has_a_name_that_says_nothing(source: list[Path]) -> None:
    assert [path.name for path in source if path.stem in VAGUE] == []


def test_there_is_a_line_of_test_for_every_line_of_code(root: Path, source: list[Path]) -> None:
    missing = {
        folder: sum(map(code_lines, files(root, folder)))
        - sum(map(code_lines, files(root / "tests", folder)))
        for folder in FOLDERS
    }
    tested, tests = sum(map(code_lines, source)), sum(map(code_lines, files(root, "tests")))
    assert tests >= tested, f"{tests} lines of test for {tested} of code; by folder {missing}"


def test_the_repository_speaks_of_the_project_alone(root: Path) -> None:
    places = [
        *files(root, *FOLDERS, "tests", "examples", "benchmarks"),
        *(root / "docs").rglob("*.md"),
    ]
    places += [root / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    words = ("/work/" + "main", "/tmp/" + "dev", "shared/" + "reference")
    assert [str(p) for p in places if any(word in p.read_text() for word in words)] == []
