"""What may be imported where, and what importing costs."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

FOLDERS = ("agent", "envs", "prompts", "runs", "sandbox", "src")
HEAVY = {
    "Box2D", "docker", "gymnasium", "imageio", "jinja2", "litellm", "matplotlib", "mujoco",
    "numpy", "openai", "pydantic", "pygame", "stable_baselines3", "tensorboard", "torch",
    "xllamacpp", "yaml",
}  # fmt: skip


def modules(root: Path, *folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Every source file below the folders: its path, and its tree. Links are not followed."""
    for folder in folders or FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), ast.parse(path.read_text())


def imports(tree: ast.AST) -> set[str]:
    """Dotted names of everything that a tree imports, wherever it does so."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_by(*arguments: str) -> set[str]:
    """Top-level names of all modules that a fresh Python with these arguments imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a tree with the text of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import rewardsmith, rewardsmith.errors"), ("-m", "rewardsmith", "--help")],
    ids=["import", "--help"],
)
def test_nothing_heavy_is_imported(arguments: tuple[str, ...]) -> None:
    assert imported_by(*arguments) & HEAVY == set()


@pytest.mark.parametrize("arguments", [("--version",), ("design", "--help")], ids=" ".join)
def test_parsing_a_command_line_imports_nothing_heavy_either(arguments: tuple[str, ...]) -> None:
    # Typer itself imports pydantic once there is something to parse.
    assert imported_by("-m", "rewardsmith", *arguments) & (HEAVY - {"pydantic"}) == set()


def test_help_comes_within_half_a_second() -> None:
    # The best of three: another process may hold the cores for a moment.
    took = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "rewardsmith", "--help"], capture_output=True, check=True
        )
        took.append(time.perf_counter() - began)
    # Half a second on an idle machine; the margin is for two tests on one core.
    assert min(took) < 1.0, f"`rewardsmith --help` took {took} s"


@pytest.mark.parametrize(
    ("library", "home"),
    [("openai", "agent/openai_model.py"), ("litellm", "agent/litellm_model.py")],
)
def test_a_client_library_is_imported_in_one_module_only(
    root: Path, library: str, home: str
) -> None:
    users = [
        path
        for path, tree in modules(root)
        if any(name.split(".")[0] == library for name in imports(tree))
    ]
    assert users == [home]


def test_docker_is_imported_in_one_module_at_most(root: Path) -> None:
    users = [path for path, tree in modules(root) if "docker" in imports(tree)]
    assert len(users) <= 1


def test_the_reward_worker_imports_only_the_standard_library_and_numpy(root: Path) -> None:
    """And JAX, in the one module that is loaded where it is asked for."""
    allowed = sys.stdlib_module_names | {"numpy"}
    strangers = {
        f"{path}: {name}"
        for path, tree in modules(root, "sandbox/inside")
        for name in imports(tree)
        if name.split(".")[0]
        not in allowed | ({"jax"} if path.endswith("jax_arrays.py") else set())
        and not f"{name}.".startswith("rewardsmith.sandbox.inside.")
    }
    assert strangers == set()


def test_the_errors_import_nothing_of_the_package(root: Path) -> None:
    tree = ast.parse((root / "src/rewardsmith/errors.py").read_text())
    assert not [name for name in imports(tree) if name.startswith("rewardsmith")]


def test_only_the_worker_and_the_cards_compiler_execute_text_as_code(root: Path) -> None:
    runners = {
        path
        for path, tree in modules(root)
        for called, _ in calls(tree)
        if called in {"exec", "eval"}
    }
    # Cards are the user's own files, and their expressions are checked before they compile.
    outside = {path for path in runners if not path.startswith("sandbox/inside/")}
    assert outside <= {"envs/columns.py"}


def test_litellm_is_no_version_with_a_known_compromise() -> None:
    version = Version(metadata.version("litellm"))
    assert version >= Version("1.83.7"), (
        "older versions have CVE-2026-42208 or a credential stealer"
    )
    assert (version.major, version.minor) != (1, 107), "1.107.0 was published with malicious code"
    assert not version.is_prerelease


def test_the_lock_pins_what_is_installed(root: Path) -> None:
    lock = (root / "tools/lock/core.txt").read_text()
    for name in ("openai", "litellm", "gymnasium", "mujoco", "stable-baselines3"):
        assert f"\n{name}=={metadata.version(name)} " in lock, f"{name}: run tools/lock_versions"
