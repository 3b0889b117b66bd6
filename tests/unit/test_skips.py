"""Skips are counted, and too many of them fail the run."""

from __future__ import annotations

import re

import pytest

from tests import conftest
from tests.needs import ROOT, need


def test_every_skip_goes_through_need() -> None:
    allowed = {ROOT / "tests/needs.py", ROOT / "tests/unit/test_skips.py"}
    pattern = re.compile(r"pytest\.skip|mark\.skip|importorskip|mark\.xfail|pytest\.xfail")
    files = set((ROOT / "tests").rglob("*.py")) - allowed
    assert not [str(path) for path in files if pattern.search(path.read_text("utf-8"))]


def test_too_many_skips_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "_skipped", {"cuda": ["a::b"], "other": ["c::d"]})
    assert len(conftest.excess()) == 1  # one CUDA test may skip, an unexplained skip may not
    assert "c::d" in conftest.excess()[0]


def test_an_unknown_need_is_an_error() -> None:
    with pytest.raises(ValueError, match="sunshine"):
        need("sunshine")


def test_a_display_that_was_not_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(RuntimeError, match="Xvfb"):
        need("display")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(pytest.skip.Exception, match="needs display"):
        need("display")
