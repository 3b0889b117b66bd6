"""Everything that only a machine with a CUDA GPU can show, in one run and one report.

    make gpu-check            or  python -m benchmarks.gpu_check [--out DIR] [--no-tests]
    python -m benchmarks.gpu_check --device cpu --reduced     the same code in a small form, on any machine

Runs the tests on CUDA; compares CPU and CUDA; shares buffers and textures with OpenGL bit by bit and
times frames with and without that; times the primitives with CUDA graphs and without, and whole steps
of fits; notes GPU memory and what a step's time goes into. Writes report.md and report.json.

Exit status: 0 if all that was run is right, or if there is no GPU (which one line then says); 1 if not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks._gpu_report import Section
from studio.core.device import configure_threads, cuda_available, describe_device, pick_device
from studio.core.errors import describe

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "gpu-check"
TESTS = ("tests/gpu",)


def environment() -> Section:
    """What `doctor` says, and the card."""
    from studio.doctor import examine

    section = Section("Machine")
    found = examine()
    section.lines = ["\n".join(f"- {f.name}: {f.text}" for f in found)]
    section.wrong = [f"{f.name}: {f.text}" for f in found if f.mark == "bad"]
    if cuda_available():
        card = torch.cuda.get_device_properties(0)
        section.values = {"name": card.name, "memory": card.total_memory, "cuda": torch.version.cuda}
    return section


def tests(folders: tuple[str, ...]) -> Section:
    """The tests that need CUDA."""
    section = Section("Tests on the GPU")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    last = [line for line in done.stdout.splitlines() if line.strip()][-8:]
    section.lines = ["`" + " ".join(command[1:]) + "`", "```\n" + "\n".join(last) + "\n```"]
    if done.returncode != 0:
        section.wrong.append(f"pytest ended with status {done.returncode}")
        section.lines.append("```\n" + done.stdout[-4000:] + done.stderr[-2000:] + "\n```")
    return section


def guarded(title: str, make: Callable[[], Section]) -> Section:
    """A part that fails takes no other down."""
    print(title, flush=True)
    try:
        section = make()
    except Exception as error:
        section = Section(title, wrong=[describe(error)])
    for line in (*section.wrong, *section.missed):
        print("  " + line, flush=True)
    return section


def run(device: torch.device, reduced: bool, with_tests: bool) -> list[Section]:
    """All parts, in order."""
    from benchmarks import _gpu_interop, _gpu_speed

    sections = [guarded("Machine", environment)]
    if with_tests:
        sections.append(guarded("Tests on the GPU", lambda: tests(TESTS)))
    parts: tuple[tuple[str, Callable[[torch.device, bool], Section]], ...] = (
        ("CPU and GPU agree", _gpu_speed.agreement),
        ("Shared with OpenGL, bit by bit", _gpu_interop.exactness),
        ("Frames with interop and without", _gpu_interop.frames),
        ("Primitives", _gpu_speed.primitives),
        ("Steps of fits", _gpu_speed.fits),
        ("What a step's time goes into", _gpu_speed.profile),
    )
    return sections + [guarded(title, lambda part=part: part(device, reduced)) for title, part in parts]


def write(sections: list[Section], out: Path, device: torch.device) -> None:
    """report.md and report.json."""
    out.mkdir(parents=True, exist_ok=True)
    text = [f"# Check on {describe_device(device)}", *(section.markdown() for section in sections)]
    (out / "report.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    data = json.dumps([asdict(section) for section in sections], indent=1, default=str)
    (out / "report.json").write_text(data + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Exit status, as above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--reduced", action="store_true", help="small sizes: for finding mistakes, not times")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not cuda_available():
        print("gpu-check: torch finds no CUDA GPU here, so there is nothing to check")
        return 0
    configure_threads()
    device = pick_device(given.device)
    sections = run(device, given.reduced, not given.no_tests)
    write(sections, given.out, device)
    wrong = [line for section in sections for line in section.wrong]
    missed = [line for section in sections for line in section.missed]
    print(f"{len(wrong)} wrong, {len(missed)} targets missed: {given.out / 'report.md'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
