"""`make gpu-check`: what it says without a GPU, and that none of its parts has a slip."""

from __future__ import annotations

import json

import pytest

from benchmarks import gpu_check
from benchmarks._gpu_report import Section


def test_without_a_gpu_it_says_so_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(gpu_check, "cuda_available", lambda: False)
    assert gpu_check.main(["--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "gpu-check: torch finds no CUDA GPU here, so there is nothing to check"
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_section_in_markdown():
    section = Section("Speed", ["Fast."], ["mesh", "ms"], [["ball", "0.7"]], ["a picture differs"])
    section.target("draw, ms", 0.7, most=0.5)
    section.target("steps", 300.0, least=200)
    assert section.missed == ["draw, ms: 0.7, target at most 0.5"]
    text = section.markdown()
    assert "| mesh | ms |\n| --- | --- |\n| ball | 0.7 |" in text
    assert "**Wrong:** a picture differs" in text


def test_a_part_that_fails_takes_no_other_down(capsys):
    def fails() -> Section:
        raise ValueError("no such kernel")

    assert gpu_check.guarded("Speed", fails).wrong == ["no such kernel"]


@pytest.mark.slow
def test_every_part_runs_on_the_cpu(tmp_path):
    """In a small form: what it would say on a GPU cannot be known here, that it runs can."""
    assert gpu_check.main(["--device", "cpu", "--reduced", "--no-tests", "--out", str(tmp_path)]) == 0
    sections = json.loads((tmp_path / "report.json").read_text())
    assert [section["wrong"] for section in sections] == [[]] * len(sections)
    titles = " ".join(section["title"] for section in sections)
    for part in ("Machine", "agree", "OpenGL", "Frames", "Primitives", "Steps", "time goes"):
        assert part in titles
    assert all(section["rows"] for section in sections if section["columns"])
    assert "no CUDA device" in (tmp_path / "report.md").read_text()
