"""The five folders are the package: in a checkout, in the sdist, in the wheel, once installed."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

FOLDERS = ("agent", "envs", "prompts", "runs", "sandbox")
SOURCE = {".py", ".jinja", ".yaml", ".toml", ".html", ".css", ".js"}


def sources(root: Path) -> set[str]:
    """Names, below ``rewardsmith/``, of every source file of the five folders."""
    found = (path for folder in FOLDERS for path in (root / folder).rglob("*"))
    return {
        path.relative_to(root).as_posix()
        for path in found
        if path.suffix in SOURCE and "__pycache__" not in path.parts
    }


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what packaging sees: builds leave files beside the source."""
    copy = tmp_path_factory.mktemp("checkout") / "rewardsmith"
    copy.mkdir()
    for name in (*FOLDERS, "src"):
        shutil.copytree(
            root / name,
            copy / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ".", cwd=checkout)
    return next(dist.glob("*.tar.gz")), next(dist.glob("*.whl"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_is_reached_through_a_relative_link(root: Path, folder: str) -> None:
    link = root / "src" / "rewardsmith" / folder
    advice = "a checkout needs symbolic links: git clone -c core.symlinks=true"
    assert link.is_symlink(), f"{link} is no link; {advice}"
    assert os.readlink(link) == f"../../{folder}", advice  # noqa: PTH115  (the text as written)


def test_the_name_plate_holds_nothing_but_links_and_four_files(root: Path) -> None:
    inside = {p.name for p in (root / "src" / "rewardsmith").iterdir()} - {"__pycache__"}
    assert inside == {*FOLDERS, "__init__.py", "__main__.py", "errors.py", "py.typed"}


def test_every_folder_of_python_files_is_a_package(root: Path) -> None:
    folders = {(root / name).parent for name in sources(root) if name.endswith(".py")}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_runs_holds_source_only(root: Path) -> None:
    tracked = [p for p in (root / "runs").rglob("*") if "__pycache__" not in p.parts]
    strays = [str(p) for p in tracked if p.is_file() and p.suffix not in SOURCE]
    assert strays == [], "data of runs goes to results/ or --out; runs/ is code"


def test_the_sdist_holds_every_source_file(root: Path, built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/src/rewardsmith/")[2] for name in sdist.getnames()}
    assert sources(root) - names == set()


def test_the_wheel_built_from_the_sdist_holds_every_source_file(
    root: Path, built: tuple[Path, Path]
) -> None:
    names = set(zipfile.ZipFile(built[1]).namelist())
    assert {f"rewardsmith/{name}" for name in sources(root)} - names == set()


def test_the_wheel_installs_no_other_top_level_name(built: tuple[Path, Path]) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(built[1]).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rewardsmith"}


def test_the_wheel_carries_licence_types_and_command(built: tuple[Path, Path]) -> None:
    wheel = zipfile.ZipFile(built[1])
    names = wheel.namelist()
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert "rewardsmith/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "rewardsmith = rewardsmith.agent.cli:main" in wheel.read(entry).decode()


def test_pip_install_gives_a_package_that_finds_its_data(checkout: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--target", site, ".", cwd=checkout)
    look = (
        "import rewardsmith, importlib.resources as r\n"
        "print(rewardsmith.__file__)\n"
        "print(len(list(r.files('rewardsmith.envs').joinpath('cards').iterdir())))\n"
    )
    where, cards = run(sys.executable, "-c", look, cwd=tmp_path, PYTHONPATH=str(site)).split()
    assert where.startswith(str(site))
    assert int(cards) > 0


def test_pip_install_editable_points_at_the_checkout(checkout: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", "v", cwd=tmp_path)
    python = tmp_path / "v" / "bin" / "python"
    # The new environment borrows the build backend of this one.
    lender = next(p for p in sys.path if (Path(p) / "setuptools").is_dir())
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps")
    run(*pip, "--no-build-isolation", "-e", ".", cwd=checkout, PYTHONPATH=lender)
    look = "import os, rewardsmith.agent as a; print(os.path.realpath(a.__file__))"
    assert run(python, "-I", "-c", look, cwd=tmp_path).startswith(str(checkout / "agent"))


def test_the_scripts_that_the_readme_names_are_executable(root: Path) -> None:
    scripts = [root / "tools" / name for name in ("setup", "demo", "test", "check", "build")]
    assert [p.name for p in scripts if not os.access(p, os.X_OK)] == []


def test_the_scripts_are_valid_bash(root: Path) -> None:
    for script in (*(p for p in (root / "tools").iterdir() if p.is_file()), root / ".ci" / "run"):
        run("bash", "-n", script, cwd=root)
