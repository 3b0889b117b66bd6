"""The effects' pages follow their descriptions, and keep what was written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.cli import _run
from studio.core.effects import registry
from studio.pages import BEGIN, END, FOLDER, page, pages, write_pages


def test_the_pages_are_up_to_date() -> None:
    stale = [p.name for p, text in pages().items() if not p.exists() or p.read_text("utf-8") != text]
    assert not stale, f"{', '.join(stale)}: run `python main.py effects --docs`"
    assert {p.name for p in FOLDER.glob("*.md")} == {p.name for p in pages()}


@pytest.mark.parametrize("name", list(registry()))
def test_a_page_says_everything(name: str) -> None:
    effect, text = registry()[name], page(registry()[name])
    for param in effect.params:
        assert f"`--{name}-{param.name}`".replace("_", "-") in text
        assert param.help in text
    for word in (*effect.reads, *effect.writes, *effect.takes, *effect.offers, *effect.citations):
        assert word in text
    assert text.count(BEGIN) == text.count(END) == 1


def test_what_is_written_by_hand_stays(tmp_path: Path) -> None:
    assert len(write_pages(tmp_path)) == len(registry()) + 1
    assert write_pages(tmp_path) == []
    path = tmp_path / "pbr.md"
    text = path.read_text("utf-8")
    path.write_text(text.replace(BEGIN, f"{BEGIN}\nMeasured: 3.").replace("## Channels", "## Wrong"), "utf-8")
    assert write_pages(tmp_path) == [path]
    assert "Measured: 3." in path.read_text("utf-8")
    assert "## Channels" in path.read_text("utf-8")


def test_the_command_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["effects", "tonemap"]) == 0
    assert capsys.readouterr().out == page(registry()["tonemap"])
    assert _run(["effects", "sparkle"]) == 2
    assert "no effect 'sparkle'; there are" in capsys.readouterr().err
