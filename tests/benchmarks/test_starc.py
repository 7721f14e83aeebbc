"""The benchmark of distances whose true value is known, on a small bank of the real environment."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def starc(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    sys.modules.pop("starc", None)
    import starc as module  # type: ignore[import-not-found]

    assert isinstance(module, ModuleType)
    return module


def test_the_copies_are_at_0_and_the_negative_at_2(
    starc: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert starc.main(["--rows", "200", "2000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    few, enough = told["samples"]
    assert "too few transitions" in few["refused"]
    assert few["candidates"] == []
    apart = {row["candidate"]: row["distance"] for row in enough["candidates"]}
    assert apart["5 reference + 3"] < 1e-3
    assert apart["reference + affine potential"] < 1e-2
    assert apart["-reference"] == pytest.approx(2.0)
    assert apart["pure shaping d(s) - gamma d(s')"] is None
    assert told["machine"]["versions"]["numpy"]
    assert "refused: too few" in starc.text_of(told["samples"])
