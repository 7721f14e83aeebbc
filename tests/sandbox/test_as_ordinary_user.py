"""The same walls for an ordinary user: the process tests again, under another user id."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_UID = "23456"


def _closed_ancestor(path: Path) -> Path | None:
    """The outermost folder above ``path`` that other users may not enter."""
    closed = [folder for folder in [path, *path.parents] if not folder.stat().st_mode & 0o001]
    return closed[-1] if closed else None


def _opened(path: Path) -> str:
    """Shell lines that make ``path`` reachable in a mount namespace of its own."""
    closed = _closed_ancestor(path)
    if closed is None:
        return ""
    return (
        'held=$(mktemp -d) && chmod 755 "$held" && '
        f'mount --bind "{path}" "$held" && mount -t tmpfs -o mode=755 none "{closed}" && '
        f'mkdir -p "{path}" && mount --bind "$held" "{path}" && '
    )


@pytest.mark.slow
@pytest.mark.skipif(
    os.getuid() != 0, reason="this user is an ordinary one: test_process.py says it all"
)
@pytest.mark.parametrize(
    "tests",
    [
        "test_process.py",
        "test_bubblewrap.py",
        "attacks -k (refuses_every or attempt_succeeds) and not docker",
        "test_jax_worker.py -k (tried_with_jax or attempt_to_leave_is_denied) and not docker",
    ],
)
def test_a_backend_holds_for_an_ordinary_user(tests: str) -> None:
    # Not under pytest's own folder, which another run beside this one closes to other users.
    with tempfile.TemporaryDirectory(prefix="ordinary-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        place, *chosen = tests.split(" ", 2)
        _run_as_ordinary_user(Path(folder), [str(Path(__file__).with_name(place)), *chosen])


def _run_as_ordinary_user(tmp_path: Path, tests: list[str]) -> None:
    script = (
        "set -e; mount --make-rprivate /; "
        + _opened(Path(sys.base_prefix).resolve())
        + f"exec setpriv --reuid {_UID} --regid {_UID} --clear-groups --bounding-set=-all "
        f'--inh-caps=-all "{sys.executable}" -m pytest -q -p no:cacheprovider '
        f'--basetemp="$TMPDIR/base" {shlex.join(tests)}'
    )
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    environment = {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "passed" in done.stdout
