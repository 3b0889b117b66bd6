"""The window's figures: time to the first frame, frames a second, and what the fit keeps of its rate.

    python -m benchmarks.window [--seconds 8] [--size 1280x800]

Needs a display (Xvfb with -noreset will do). The scene is a torus of 40,000 triangles, fitted to
the built-in photos. "Orbiting" holds the left button and moves the mouse in every frame;
"touched" does the same while a fit runs, "untouched" leaves the window alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_START = """
import os, sys, time
sys.path.insert(0, {root!r})
from studio.ui.app import App
began = float(os.environ["STUDIO_BEGAN"])
app = App([], "cpu", preferences=False)
seen = [0.0]
def frame():
    if not seen[0]:
        seen[0] = time.time() - began
    if app.state.ready and app.state.photos is not None and not app.state.jobs.running:
        print("FIGURES", seen[0], time.time() - began)
        app.params.app_shall_exit = True
app.on_frame = frame
app.run()
"""


def startup(cold: bool) -> tuple[float, float]:
    """Seconds from process start to (first frame, ready to fit).

    Cold means an empty kernel cache and no byte code; the system's file cache stays.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, STUDIO_BEGAN=str(time.time()))
        if cold:
            environment |= {"WARP_CACHE_PATH": folder, "PYTHONPYCACHEPREFIX": folder}
        command = [sys.executable, "-c", _START.format(root=str(ROOT))]
        environment["STUDIO_BEGAN"] = str(time.time())
        out = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=True
        )
    line = next(line for line in out.stdout.splitlines() if line.startswith("FIGURES"))
    _, first, ready = line.split()
    return float(first), float(ready)


def problem() -> tuple:
    """(FitProblem, FitSettings) of the 40,000-triangle torus on the built-in photos."""
    from studio.core.demo import demo_photos
    from studio.core.optim.fit import FitProblem
    from studio.core.optim.settings import load_preset
    from studio.core.scene.shapes import torus

    settings = load_preset("quick")
    wanted = {"steps": 1_000_000, "start": "mesh", "remesh": False, "stages": 1, "resolution": 256}
    for name, value in wanted.items():
        settings.set(name, value)
    return FitProblem(demo_photos(), mesh=torus(sections=200)), settings


def headless_rate(seconds: float) -> float:
    """Steps a second of the worker without a window."""
    from studio.core.optim.worker import Worker

    worker = Worker()
    worker.start(*problem(), "cpu")
    while worker.status.phase != "running" or worker.status.step < 5:
        if worker.status.phase == "failed":
            raise RuntimeError(worker.status.note)
        time.sleep(0.05)
    rate = _count(lambda: worker.status.step, seconds)
    worker.close()
    return rate


def _count(counter: Callable[[], int], seconds: float) -> float:
    begin, first = time.perf_counter(), counter()
    time.sleep(seconds)
    return (counter() - first) / (time.perf_counter() - begin)


class Driver:
    """Leads the window through its phases, one generator step a frame."""

    def __init__(self, seconds: float, size: tuple[int, int]) -> None:
        from studio.ui.app import App
        from studio.ui.commands import Edits, Set

        self.figures: dict[str, float] = {}
        self._seconds = seconds
        self.app = App([], "cpu", preferences=False, demo=False)
        self.app.params.app_window_params.window_geometry.size = size
        fit, settings = problem()
        scene = self._scene(fit.mesh)
        sets = (
            Set(("scene",), scene, ""),
            Set(("photos",), fit.photos, ""),
            Set(("settings",), settings, ""),
        )
        self.app.state.send(Edits(sets, "Benchmark"))
        self._script = self._run()
        self.app.on_frame = lambda: next(self._script, None)

    def _scene(self, mesh: object) -> object:
        from studio.core.scene import Scene

        return Scene(meshes=[mesh])  # type: ignore[list-item]

    def _run(self) -> Iterator[None]:
        state = self.app.state
        idling = self.app.params.fps_idling
        while not state.ready or state.jobs.running:
            yield
        self.app.viewport.frame()  # type: ignore[union-attr]
        for _ in range(60):
            yield
        idling.enable_idling = False
        yield from self._frames("still")
        yield from self._frames("orbiting", moving=True)
        state.act("toggle_run")
        while state.run.status.phase != "running" or state.run.status.step < 5:
            yield
        yield from self._frames("touched", moving=True)
        idling.enable_idling = True
        for _ in range(10):
            yield
        yield from self._frames("untouched")
        self.app.params.app_shall_exit = True

    def _frames(self, name: str, moving: bool = False) -> Iterator[None]:
        from imgui_bundle import imgui

        low, high = self.app.viewport.rectangle()  # type: ignore[union-attr]
        x, y = (low.x + high.x) / 2, (low.y + high.y) / 2
        io = imgui.get_io()
        io.add_mouse_pos_event(x, y) if moving else io.add_mouse_pos_event(-1.0, -1.0)
        for _ in range(8):  # settle: the last picture, or the first of the drag
            yield
        if moving:
            io.add_mouse_button_event(0, True)
        begin, frames = time.perf_counter(), 0
        first = self.app.state.run.status.step
        while time.perf_counter() - begin < self._seconds:
            if moving:
                io.add_mouse_pos_event(x + 60 * ((frames // 20) % 2) + frames % 20 * 3, y)
            frames += 1
            yield
        elapsed = time.perf_counter() - begin
        self.figures[f"{name}, fps"] = frames / elapsed
        self.figures[f"{name}, it/s"] = (self.app.state.run.status.step - first) / elapsed
        io.add_mouse_button_event(0, False)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--skip-startup", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    rows: list[tuple[str, str]] = []
    if not options.skip_startup:
        for name, cold in (("cold", True), ("warm", False)):
            first, ready = startup(cold)
            rows.append((f"first frame, {name}", f"{first:.2f} s"))
            rows.append((f"ready to fit, {name}", f"{ready:.2f} s"))
    before = headless_rate(options.seconds)
    driver = Driver(options.seconds, (width, height))
    driver.app.run()
    headless = (before + headless_rate(options.seconds)) / 2
    figures = driver.figures
    rows.append(("still", f"{figures['still, fps']:.0f} fps"))
    rows.append(("orbiting", f"{figures['orbiting, fps']:.0f} fps"))
    rows.append(("worker without a window", f"{headless:.1f} it/s"))
    for name in ("touched", "untouched"):
        rate = figures[f"{name}, it/s"]
        shown = (
            f"{figures[f'{name}, fps']:.0f} fps, {rate:.1f} it/s, {100 * rate / headless:.0f} % of headless"
        )
        rows.append((f"optimizing, {name}", shown))
    print(f"window {options.size}, 40,000 triangles, {os.cpu_count()} cores, {driver.app.state.renderer}")
    for name, shown in rows:
        print(f"  {name:26} {shown}")


if __name__ == "__main__":
    main()
