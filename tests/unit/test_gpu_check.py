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


def test_parts_are_run_one_by_one_and_kept(monkeypatch, tmp_path, capsys):
    """Each writes the report anew, into which the next run of another part goes."""

    def stopped(device, reduced) -> Section:
        raise KeyboardInterrupt

    made = {
        "speed": lambda device, reduced: Section("Speed", ["Fast."]),
        "size": lambda device, reduced: Section("Size", wrong=["too large"]),
        "rest": stopped,
    }
    monkeypatch.setattr(gpu_check, "parts", lambda seconds=0: made)
    here = lambda name, given, limit: gpu_check.guarded(name, lambda: made[name](None, False))  # noqa: E731
    monkeypatch.setattr(gpu_check, "in_a_process", here)
    usual = ["--device", "cpu", "--out", str(tmp_path)]
    assert gpu_check.main([*usual, "--part", "size"]) == 1
    assert gpu_check.main([*usual, "--part", "speed"]) == 0
    titles = [section["title"] for section in json.loads((tmp_path / "report.json").read_text())]
    assert titles == ["Speed", "Size"], "in their order, and what was there stays"
    with pytest.raises(KeyboardInterrupt):
        gpu_check.main(usual)
    report = (tmp_path / "report.md").read_text()
    assert report.index("Fast.") < report.index("too large"), "what is done is written"
    (tmp_path / "report.json").write_text("[{")
    assert gpu_check.main([*usual, "--part", "speed"]) == 0, "a damaged report is made anew"


def test_a_table_is_written_row_by_row(monkeypatch, tmp_path):
    """So a part that is stopped in the middle leaves what it has, and is not taken for a whole one."""

    def half(device, reduced) -> Section:
        section = Section("Half", columns=["mesh"])
        section.add("ball")
        report = (tmp_path / "report.md").read_text()
        assert "| ball |" in report
        assert "Not through yet." in report
        section.target("steps", 3.0, least=2)
        section.add("box")
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(gpu_check, "parts", lambda seconds=0: {"half": half})
    assert gpu_check.main(["--device", "cpu", "--out", str(tmp_path), "--part", "half"]) == 1
    report = (tmp_path / "report.md").read_text()
    assert "| ball |\n| box |" in report
    assert "an illegal memory access" in report
    assert "Not through yet." not in report
    assert (
        "| target | found | wanted | met |\n| --- | --- | --- | --- |\n| steps | 3 | at least 2 | yes |"
        in report
    )


@pytest.mark.parametrize("status", [None, -11, 0])
def test_a_part_that_hangs_or_dies_takes_no_other_down(monkeypatch, tmp_path, status):
    section = Section("Half", rows=[["ball"]], columns=["mesh"], part="half", unfinished=True)

    def run(command, cwd, timeout):
        part = command[command.index("--part") + 1]
        if part == "half":
            gpu_check.write([section], tmp_path, gpu_check.pick_device("cpu"))
            if status is None:
                raise gpu_check.subprocess.TimeoutExpired(command, timeout)
            return gpu_check.subprocess.CompletedProcess(command, status)
        gpu_check.write([Section("Good", part=part)], tmp_path, gpu_check.pick_device("cpu"))
        return gpu_check.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(gpu_check.subprocess, "run", run)
    monkeypatch.setattr(gpu_check, "parts", lambda seconds=0: dict.fromkeys(("half", "good")))
    usual = ["--device", "cpu", "--out", str(tmp_path)]
    assert gpu_check.main([*usual, "--limit", "5"]) == (status != 0)
    found = json.loads((tmp_path / "report.json").read_text())
    assert [each["title"] for each in found] == ["Half", "Good"]
    assert found[0]["rows"] == [["ball"]]
    said = {None: ["not through after 5 s"], -11: ["ended with status -11"], 0: []}
    assert found[0]["wrong"] == said[status]
    ran: list[str] = []
    monkeypatch.setattr(gpu_check, "in_a_process", lambda name, given, limit: ran.append(name))
    monkeypatch.setattr(
        gpu_check, "guarded", lambda name, make, keep: ran.append(name) or Section(name, part=name)
    )
    gpu_check.main([*usual, "--left"])
    assert ran == ["half"], "only what is not through"


def test_minutes_are_shared_and_kept_to(monkeypatch, tmp_path, capsys):
    """Each part gets half of what is left at most, the last one all of it; who comes too late is named."""
    clock, given_to = [0.0], {}
    monkeypatch.setattr(gpu_check.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(
        gpu_check, "parts", lambda seconds=0: dict.fromkeys(("bits", "tests", "steps", "rest"))
    )

    def run(name, given, limit):
        given_to[name] = limit
        clock[0] += limit if name == "tests" else 20.0
        return Section(name, part=name)

    monkeypatch.setattr(gpu_check, "in_a_process", run)
    usual = ["--device", "cpu", "--out", str(tmp_path)]
    assert gpu_check.main([*usual, "--minutes", "4"]) == 0
    assert given_to == {"bits": 120.0, "tests": 110.0, "steps": 55.0, "rest": 90.0}
    given_to.clear()
    (tmp_path / "report.json").unlink()
    gpu_check.main([*usual, "--minutes", "0.65"])
    assert list(given_to) == ["bits", "tests"]
    assert "no time left for steps, rest: --left runs them" in capsys.readouterr().out
    gpu_check.main([*usual, "--left"])
    assert list(given_to) == ["bits", "tests", "steps", "rest"]


def test_all_tests_that_need_a_gpu_are_run():
    names = {path.name for path in (gpu_check.ROOT / "tests" / "gpu").glob("test_*.py")}
    parts = [name.removeprefix("tests-") for name in gpu_check.parts() if name.startswith("tests-")]
    assert names == {f"test_{name}_cuda.py" for name in parts}


def test_tests_that_hang_are_reported(monkeypatch):
    monkeypatch.setattr(gpu_check.subprocess, "Popen", _sleeping(gpu_check.subprocess.Popen))
    section = gpu_check.tests(("tests/gpu",), 0.2)
    assert section.wrong[0] == "not through after 0.2 s"
    assert "begun" in section.markdown()


def _sleeping(popen):
    return lambda command, **how: popen(["sh", "-c", "echo begun; exec sleep 20"], **how)


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
    for part in (
        "Machine",
        "Kernels",
        "agree",
        "OpenGL",
        "Frames",
        "moving view",
        "Primitives",
        "Steps",
        "time goes",
    ):
        assert part in titles
    assert all(section["rows"] for section in sections if section["columns"])
    assert "no CUDA device" in (tmp_path / "report.md").read_text()
