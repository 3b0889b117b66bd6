"""Everything that only a machine with a CUDA GPU can show, in one run and one report.

    make gpu-check            or  python -m benchmarks.gpu_check [--out DIR] [--part NAME ...]
    make gpu-check MINUTES=10     the same within ten minutes
    python -m benchmarks.gpu_check --device cpu --reduced     the same code in a small form, on any machine

Runs the tests on CUDA; compares CPU and CUDA; shares buffers and textures with OpenGL bit by bit and
times frames with and without that; times the primitives with CUDA graphs and without, and whole steps
of fits; notes GPU memory and what a step's time goes into. Writes report.md and report.json anew after
each part and each row of a table, so that a run that is cut short leaves what it has; parts of earlier runs
into the same folder stay in the report until they are run again. Several parts are run in a process of
their own each, with a limit: one that hangs, or leaves the card unusable, takes no other down. What is worth
most comes first: bits and times that are shared with OpenGL, then tests. Where time is short, `--minutes`
gives each part at most half of what is left, and `--left` runs those that are not in the report yet, or not
through; kernels are compiled before whatever needs them, so that no other part's time has that in it.

Exit status: 0 if all that was run is right, or if there is no GPU (which one line then says); 1 if not.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from benchmarks._gpu_report import Section, on_row, table
from studio.core.device import configure_threads, cuda_available, describe_device, pick_device
from studio.core.errors import describe

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "gpu-check"
MOST_SECONDS = 540
"""Of the tests: a machine that is lent by the ten minutes still gets their report."""
LEAST_SECONDS = 10
"""Left for a part to begin."""


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


def tests(folders: tuple[str, ...], seconds: float) -> Section:
    """The tests that need CUDA; what they have said after so many seconds, if they are not through."""
    section = Section("Tests on the GPU")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", *folders]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **both) as running:  # type: ignore[call-overload]
        try:
            found, _ = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            running.kill()
            found, _ = running.communicate()
            section.wrong.append(f"not through after {seconds:g} s")
            section.unfinished = True
    last = [line for line in found.splitlines() if line.strip()][-8:]
    section.lines = ["`" + " ".join(command[1:]) + "`", "```\n" + "\n".join(last) + "\n```"]
    if running.returncode != 0:
        section.wrong.append(f"pytest ended with status {running.returncode}")
        section.lines.append("```\n" + found[-6000:] + "\n```")
    return section


def kernels(device: torch.device, reduced: bool) -> Section:
    """Compile and load every module; the cache on disk keeps them for the other parts."""
    from studio.core.kernels import launcher, warp_modules

    section = Section("Kernels")
    modules = warp_modules()[:2] if reduced else warp_modules()
    began = time.perf_counter()
    launcher.preload(modules, lambda done, total, name: None, device)
    section.values = {"modules": len(modules), "seconds": time.perf_counter() - began}
    section.lines = [f"{len(modules)} modules in {section.values['seconds']:.0f} s."]
    return section


def _tested(name: str, seconds: float, device: torch.device, reduced: bool) -> Section:
    section = tests((f"tests/gpu/test_{name}_cuda.py",), seconds)
    section.title += f": {name}"
    return section


Part = Callable[[torch.device, bool], Section]


def parts(seconds: float = MOST_SECONDS) -> dict[str, Part]:
    """What can be run by itself, in the order of a whole run: of worth, and kernels before who needs them.

    Args:
        seconds: that tests have.
    """
    from benchmarks import _gpu_interop, _gpu_speed

    return {
        "machine": lambda device, reduced: environment(),
        "exactness": _gpu_interop.exactness,
        "frames": _gpu_interop.frames,
        "kernels": kernels,
        **{f"tests-{name}": partial(_tested, name, seconds=seconds) for name in ("ops", "effects", "fit")},
        "agreement": _gpu_speed.agreement,
        "primitives": _gpu_speed.primitives,
        "steps": _gpu_speed.fits,
        "profile": _gpu_speed.profile,
        "live": _gpu_interop.live,
    }


def in_a_process(name: str, given: argparse.Namespace, limit: float) -> Section:
    """A part by itself, of `limit` seconds at most; what it has left if it does not get through."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--part", name, "--out", str(given.out)]
    command += [
        "--device",
        given.device,
        "--limit",
        f"{limit:.0f}",
        *(["--reduced"] if given.reduced else []),
    ]
    began, trouble = time.perf_counter(), ""
    try:
        status = subprocess.run(command, cwd=ROOT, timeout=limit).returncode
        trouble = "" if status in (0, 1) else f"ended with status {status}"
    except subprocess.TimeoutExpired:
        trouble = f"not through after {limit:.0f} s"
    section = earlier(given.out, [name]).get(name) or Section(name, wrong=[] if trouble else ["no report"])
    if trouble:
        section.wrong.append(trouble)
        section.unfinished |= trouble.startswith("not through")
        section.seconds = time.perf_counter() - began
        print(f"  {trouble}", flush=True)
    return section


def guarded(name: str, make: Callable[[], Section], keep: Callable[[Section], None] | None = None) -> Section:
    """A part that fails takes no other down, nor the rows that it has: `keep` is called with each."""
    print(name, flush=True)
    began = time.perf_counter()
    so_far: list[Section] = []

    def told(section: Section) -> None:
        so_far[:] = [section]
        section.part, section.seconds = name, time.perf_counter() - began
        if keep is not None:
            section.unfinished = True
            keep(section)
            section.unfinished = False

    on_row.append(told)
    try:
        section = make()
    except Exception as error:
        section = so_far[0] if so_far else Section(name)
        section.wrong.append(describe(error))
    finally:
        on_row.pop()
    section.part, section.seconds = name, time.perf_counter() - began
    for line in (*section.wrong, *section.missed):
        print("  " + line, flush=True)
    print(f"  {section.seconds:.0f} s", flush=True)
    return section


def earlier(out: Path, order: Iterable[str]) -> dict[str, Section]:
    """Sections of the report that is there, by their part; none of a report that cannot be read."""
    try:
        data = json.loads((out / "report.json").read_text("utf-8"))
        found = [Section(**section) for section in data]
    except (OSError, ValueError, TypeError):
        return {}
    return {section.part: section for section in found if section.part in order}


def write(sections: list[Section], out: Path, device: torch.device) -> None:
    """report.md and report.json."""
    out.mkdir(parents=True, exist_ok=True)
    text = [f"# Check on {describe_device(device)}"]
    if targets := [row for section in sections for row in section.targets]:
        text.append(table(["target", "found", "wanted", "met"], targets))
    text += [section.markdown() for section in sections]
    (out / "report.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    data = json.dumps([asdict(section) for section in sections], indent=1, default=str)
    (out / "report.json").write_text(data + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Exit status, as above."""
    known = parts()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--reduced", action="store_true", help="small sizes: for finding mistakes, not times")
    parser.add_argument("--part", action="append", choices=tuple(known), help="only this; may be repeated")
    parser.add_argument("--left", action="store_true", help="only parts that the report does not have yet")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    parser.add_argument("--limit", type=float, default=MOST_SECONDS + 10, help="seconds of a part, at most")
    parser.add_argument("--minutes", type=float, default=math.inf, help="of all parts together, at most")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    known = parts(max(5.0, given.limit - 10))  # so that what tests said is still written
    if given.device == "cuda" and not cuda_available():
        print("gpu-check: torch finds no CUDA GPU here, so there is nothing to check")
        return 0
    configure_threads()
    device, end = pick_device(given.device), time.perf_counter() + 60 * given.minutes
    sections = earlier(given.out, known) if given.part or given.left else {}
    chosen = given.part or [name for name in known if not (given.no_tests and name.startswith("tests"))]
    if given.left:
        chosen = [name for name in chosen if name not in sections or sections[name].unfinished]

    def keep(name: str, section: Section) -> None:
        sections[name] = section
        write([sections[part] for part in known if part in sections], given.out, device)

    for name in chosen:
        if time.perf_counter() > end - LEAST_SECONDS:
            print(f"no time left for {', '.join(chosen[chosen.index(name) :])}: --left runs them")
            chosen = chosen[: chosen.index(name)]
            break
        if len(chosen) == 1:
            section = guarded(name, lambda name=name: known[name](device, given.reduced), partial(keep, name))
        else:
            write([sections[part] for part in known if part in sections], given.out, device)
            left = end - time.perf_counter()
            section = in_a_process(name, given, min(given.limit, left / 2 if name != chosen[-1] else left))
        keep(name, section)
    wrong = [line for name in chosen for line in sections[name].wrong]
    missed = [line for name in chosen for line in sections[name].missed]
    print(f"{len(wrong)} wrong, {len(missed)} targets missed: {given.out / 'report.md'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
