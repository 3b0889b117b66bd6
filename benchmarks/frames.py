"""How long frames take while the window does everything else: the figures that decide whether it feels alive.

    python -m benchmarks.frames [--seconds 5] [--size 1280x800] [--triangles 1000000] [--docs]

Needs an X display (Xvfb with -noreset will do). For each situation: the time one frame keeps the window busy,
median and 99th percentile, the longest, and the time from a movement of the mouse, sent through the X server
by another thread as a person's would be, to the swapped picture that knows of it. The left button is held, so
that every movement orbits.

- idle: nothing moves, nobody touches
- orbiting: the torus of 40,000 triangles
- optimizing: the same, while a fit of it runs
- hovering: over the panels and the picture, while the fit runs
- opening: while a mesh of a million triangles is read, handed to the graphics card and first drawn
- big mesh: orbiting that mesh
- exporting: while it is written as GLB
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks._docs import put
from benchmarks.window import problem

MOVES_PER_SECOND = 60
LIMIT_MS = 100.0
"""A frame longer than this is felt as a hitch."""


class Mouse:
    """Moves the pointer through a connection of its own, as a person's hand does, and knows when.

    Args:
        origin: of the window, pixels of the screen.
    """

    def __init__(self, origin: tuple[int, int]) -> None:
        self._x11 = ctypes.CDLL("libX11.so.6")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._display = ctypes.c_void_p(self._x11.XOpenDisplay(None))
        self._x11.XDefaultRootWindow.restype = ctypes.c_ulong
        self._root = ctypes.c_ulong(self._x11.XDefaultRootWindow(self._display))
        self._origin = origin
        self._path: Callable[[int], tuple[int, int]] | None = None
        self._stop = threading.Event()
        self._sent: dict[tuple[int, int], float] = {}
        self._thread: threading.Thread | None = None

    def start(self, path: Callable[[int], tuple[int, int]]) -> None:
        """Follow `path` (step -> window pixels), MOVES_PER_SECOND times a second."""
        self._path = path
        self._stop.clear()
        self._sent.clear()
        self._thread = threading.Thread(target=self._move, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def when(self, x: float, y: float) -> float | None:
        """The time the pointer was sent there, once."""
        return self._sent.pop((round(x), round(y)), None)

    def _move(self) -> None:
        assert self._path is not None
        step = 0
        while not self._stop.wait(1 / MOVES_PER_SECOND):
            x, y = self._path(step)
            self._sent[x, y] = time.perf_counter()
            self._x11.XWarpPointer(
                *(self._display, ctypes.c_ulong(0), self._root, 0, 0, 0, 0),
                *(x + self._origin[0], y + self._origin[1]),
            )
            self._x11.XFlush(self._display)
            step += 1


class Situations:
    """Leads the window through the situations and times every frame of each."""

    def __init__(self, seconds: float, size: tuple[int, int], triangles: int, folder: Path) -> None:
        from studio.ui.app import App

        self.frames: dict[str, list[float]] = {}
        self.answers: dict[str, list[float]] = {}
        self._seconds, self._triangles, self._folder = seconds, triangles, folder
        self._name = ""
        self._began = 0.0
        self._moved: float | None = None
        self._mouse: Mouse | None = None
        self.app = App([], "cpu", preferences=False, demo=False)
        self.app.params.app_window_params.window_geometry.size = size
        self._script = self._run()
        self.app.on_frame = self._on_frame
        callbacks = self.app.params.callbacks
        before = callbacks.pre_new_frame
        callbacks.pre_new_frame = lambda: self._before(before)
        callbacks.after_swap = self._after

    # Timing

    def _before(self, prepare: Callable[[], None]) -> None:
        self._began = time.perf_counter()
        prepare()

    def _on_frame(self) -> None:
        from imgui_bundle import imgui

        if self._mouse is not None:
            position = imgui.get_io().mouse_pos
            self._moved = self._mouse.when(position.x, position.y)
        next(self._script, None)

    def _after(self) -> None:
        now = time.perf_counter()
        if self._name:
            self.frames.setdefault(self._name, []).append(1000 * (now - self._began))
            if self._moved is not None:
                self.answers.setdefault(self._name, []).append(1000 * (now - self._moved))
        self._moved = None

    # Situations

    def _run(self) -> Iterator[None]:
        yield from self._open_torus()
        yield from self._pause(8.0)  # the picture is finished, the window idles
        self._name = "idle"
        yield from self._pause(self._seconds)
        yield from self._orbit("orbiting", self._for(self._seconds))
        state = self.app.state
        state.act("toggle_run")
        while state.run.status.phase != "running" or state.run.status.step < 5:
            if state.run.status.phase == "failed":
                raise SystemExit(f"frames: the fit failed: {state.run.status.note}")
            yield
        yield from self._orbit("optimizing", self._for(self._seconds))
        yield from self._hover("hovering", self._seconds)
        state.act("stop")
        while state.run.active:
            yield
        yield from self._big_mesh()
        self.app.params.app_shall_exit = True

    def _open_torus(self) -> Iterator[None]:
        from studio.core.scene import Scene
        from studio.ui.commands import Edits, Set

        fit, settings = problem()
        values = {"scene": Scene(meshes=[fit.mesh]), "photos": fit.photos, "settings": settings}
        state = self.app.state
        state.send(Edits(tuple(Set((name,), value, "") for name, value in values.items()), "Benchmark"))
        while not state.ready or state.jobs.running:
            yield
        self.app.viewport.frame()  # type: ignore[union-attr]

    def _big_mesh(self) -> Iterator[None]:
        from studio.core.io.export import export_scene
        from studio.core.scene import Scene
        from studio.core.scene.shapes import torus

        path = self._folder / "big.ply"
        export_scene(Scene(meshes=[torus(sections=round((self._triangles) ** 0.5))]), path)
        state = self.app.state
        state.act("open_files", [path])
        yield
        yield from self._orbit(
            "opening", self._and_a_second_more(lambda: bool(state.jobs.running)), settle=0.0
        )
        yield from self._orbit("big mesh", self._for(self._seconds))
        state.act("export", self._folder / "big.glb")
        yield
        yield from self._orbit("exporting", lambda: bool(state.jobs.running), settle=0.0)

    def _for(self, seconds: float) -> Callable[[], bool]:
        """A condition that holds so long, from its first question on."""
        ends: list[float] = []

        def holds() -> bool:
            ends.append(ends[0] if ends else time.perf_counter() + seconds)
            return time.perf_counter() < ends[0]

        return holds

    def _and_a_second_more(self, holds: Callable[[], bool]) -> Callable[[], bool]:
        """Holds for a second after `holds` has ended: what was made is then handed over and drawn first."""
        ended = self._for(1.0)
        return lambda: holds() or ended()

    def _pause(self, seconds: float) -> Iterator[None]:
        holds = self._for(seconds)
        while holds():
            yield
        self._name = ""

    def _orbit(self, name: str, holds: Callable[[], bool], settle: float = 1.0) -> Iterator[None]:
        """Hold the left button over the picture and move; the first frames do not count."""
        low, high = self.app.viewport.rectangle()  # type: ignore[union-attr]
        x, y = round((low.x + high.x) / 2), round((low.y + high.y) / 2)
        yield from self._drive(name, holds, settle, lambda step: (x + _sway(step), y), pressed=True)

    def _hover(self, name: str, seconds: float) -> Iterator[None]:
        width, height = self.app.params.app_window_params.window_geometry.size
        yield from self._drive(
            name,
            self._for(seconds),
            1.0,
            lambda step: (20 + step * 7 % (width - 40), 60 + step * 3 % (height - 120)),
            pressed=False,
        )

    def _drive(
        self,
        name: str,
        holds: Callable[[], bool],
        settle: float,
        path: Callable[[int], tuple[int, int]],
        pressed: bool,
    ) -> Iterator[None]:
        import glfw
        from imgui_bundle import glfw_utils, imgui

        window = glfw_utils.glfw_window_hello_imgui()
        self._mouse = self._mouse or Mouse(glfw.get_window_pos(window))
        io = imgui.get_io()
        io.add_mouse_pos_event(*path(0))
        yield
        io.add_mouse_button_event(0, pressed)
        self._mouse.start(path)
        yield from self._pause(settle)
        self._name = name
        while holds():
            yield
        self._name = ""
        self._mouse.stop()
        io.add_mouse_button_event(0, False)
        yield


def _sway(step: int) -> int:
    """To and fro over 160 pixels, never twice the same place within a second."""
    phase = step * 4 % 320
    return phase if phase < 160 else 319 - phase


def rows(situations: Situations) -> list[tuple[str, ...]]:
    """(situation, frames, median, p99, longest, answer median, answer p99), milliseconds."""
    out = []
    for name, times in situations.frames.items():
        answers = situations.answers.get(name, [])
        answered = [f"{np.percentile(answers, q):.0f}" for q in (50, 99)] if answers else ["", ""]
        figures = [f"{value:.0f}" for value in (*np.percentile(times, (50, 99)), max(times))]
        out.append((name, str(len(times)), *figures, *answered))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--triangles", type=int, default=1_000_000, help="of the mesh that is opened")
    parser.add_argument("--docs", action="store_true", help="write the table to docs/benchmarks.md")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    if not sys.platform.startswith("linux") or not os.environ.get("DISPLAY"):
        raise SystemExit("frames: needs an X display, e.g. xvfb-run python main.py bench frames")
    with tempfile.TemporaryDirectory() as folder:
        situations = Situations(options.seconds, (width, height), options.triangles, Path(folder))
        situations.app.run()
    head = ("situation", "frames", "median ms", "p99 ms", "longest ms", "answer ms", "answer p99 ms")
    table = [head, *rows(situations)]
    print(f"window {options.size}, {os.cpu_count()} cores, {situations.app.state.renderer}")
    for row in table:
        print("  " + "".join(f"{cell:>14}" for cell in row))
    if options.docs:
        lines = [" | ".join(row) for row in table]
        lines.insert(1, "|".join(["---"] * len(head)))
        put("frames", "\n".join(f"| {line} |" for line in lines))


if __name__ == "__main__":
    main()
