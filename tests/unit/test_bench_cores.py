"""A case of a benchmark is measured again while the second core is another program's."""

from __future__ import annotations

import pytest

from benchmarks import _cores


def _measured(worth: list[float], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many times a case is measured while a second core is worth so much, one number after the other."""
    numbers, count = iter(worth), 0

    def measure() -> int:
        nonlocal count
        count += 1
        return count

    monkeypatch.setattr(_cores, "band_count", lambda: 2)
    monkeypatch.setattr(_cores, "second_core", lambda: next(numbers))
    assert _cores.on_whole_cores(measure, tries=3) == count
    return count


def test_whole_cores_are_measured_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _measured([1.9, 1.8], monkeypatch) == 1
    assert not capsys.readouterr().out


def test_a_core_lost_on_the_way_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _measured([1.9, 1.1, 1.0, 1.9, 1.9, 1.9], monkeypatch) == 3
    assert not capsys.readouterr().out


def test_a_busy_machine_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _measured([1.0] * 6, monkeypatch) == 3
    assert "second core was worth 1.0" in capsys.readouterr().out


def test_a_single_core_is_never_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cores, "band_count", lambda: 1)
    assert _cores.on_whole_cores(lambda: "measured", tries=3) == "measured"


def test_the_worth_is_a_number() -> None:
    assert _cores.second_core() > 0
