"""The benchmark of known objects: one fit from photos to table, and parts that add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import _history, _truth_kept, truth
from benchmarks._truth_compare import Figures
from benchmarks._truth_kept import Kept, newest, row
from studio.core.errors import InputError
from studio.core.optim.known import Distances
from tests.needs import data

SMALL = ["--objects", "spot", "--photos", "own", "--size", "32", "--views", "18"]
SHORT = ("steps=6", "texture_steps=3", "texture_size=32", "hull_resolution=16", "stages=1", "edge_coarse=.1",
         "edge_fine=.1")  # fmt: skip


def figures(base: float = 30.0) -> Figures:
    return Figures(Distances(0.04, 0.3, 0.05, 0.4, 2.0), 3.0, base, 0.05, 0.01, 33.0, 37.0, 60.0)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_history, "HISTORY", tmp_path / "history.jsonl")
    return tmp_path


def test_results_are_those_of_the_same_settings_and_commit(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {"size": 32, "set": [], "commit": "a"})
    assert kept.load("spot", "own") is None
    kept.save("spot", "own", figures(), [np.zeros((2, 3)), np.ones((1, 2))])
    found = kept.load("spot", "own")
    assert found is not None
    assert found[0]["base_color_psnr"] == 30
    assert [t.shape for t in found[1]] == [(2, 3), (1, 2)]
    assert Kept(tmp_path, {"size": 32, "set": [], "commit": "b"}).load("spot", "own") is None
    assert kept.load("spot", "mitsuba") is None


def test_the_table_takes_the_newest_of_each_pair(history: Path) -> None:
    how = {"size": 32, "set": []}
    for name, more in (("spot mitsuba", how), ("spot own", how), ("bob own", how | {"size": 64})):
        _history.record(f"{_truth_kept.CASE} {name}", [1.0], 0, **more, **figures(20.0).as_dict())
    _history.record("truth spot own", [1.0], 0, **how, **figures(31.0).as_dict())
    found = newest(how | {"commit": "of today"})
    assert list(found) == [("spot", "mitsuba"), ("spot", "own")]
    line = row("spot", "own", found["spot", "own"])
    assert line == ("| spot | own | 0.040 | 0.30 | 0.050 | 0.40 | 2.0 | 3.0 | 31.0 | 0.050 | 0.010 | 33.0 "
                    "| 37.0 | 60 |")  # fmt: skip


@pytest.mark.slow
def test_a_fit_from_photos_to_figures_once(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data("meshes/spot/spot.obj")
    arguments = [*SMALL, "--keep", str(history), "--resume"]
    for change in SHORT:
        arguments += ["--set", change]
    truth.main([*arguments, "--sheet", str(history / "sheet.png")])
    first = capsys.readouterr().out.splitlines()
    assert first[-1].startswith("| spot | own | ")
    assert 0 < float(first[-1].split("|")[3]) < 10
    assert (history / "sheet.png").stat().st_size > 5_000
    (history / "spot_own_32_18.npz").unlink()  # without photos nothing can be fitted again
    truth.main(arguments)
    assert capsys.readouterr().out.splitlines() == first
    assert not (history / "spot_own_32_18.npz").exists()


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="no 'cow'; there are spot, bob, helmet"):
        truth.main(["--objects", "cow"])
