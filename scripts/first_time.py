"""A newcomer's way through the window, timed and photographed: start, open photos, optimize, compare, export.

    xvfb-run -a -s "-screen 0 1600x1000x24 -noreset" python scripts/first_time.py PHOTOS --out first_time

Everything is clicked where a person would click; only the file dialogs, which may be the system's, get
their answer from here. Prints a table of what was done, the clicks and the seconds it took until the
window showed the result.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from imgui_bundle import glfw_utils  # noqa: E402  # before glfw

import glfw  # noqa: E402  # isort: skip
from PIL import ImageGrab  # noqa: E402

from tests.ui.driving import drive, make_app, wait  # noqa: E402

PATIENCE = 900.0


class Newcomer:
    """Clicks through the window and keeps the times.

    Attributes:
        rows: (what, clicks, seconds).
    """

    def __init__(self, photos: Path, out: Path) -> None:
        self._photos, self._out = photos, out
        self.app = make_app(document=False)
        self.rows: list[tuple[str, int, float]] = []
        self._since = BEGAN

    def go(self, ctx: Any) -> None:
        state, dialogs = self.app.state, self.app.control.dialogs
        self._done(ctx, "start: the welcome page", 0, lambda: state.ready)
        ctx.item_click("//Welcome/###open_photos")
        self._done(ctx, "press Open photos: the dialog", 1, lambda: dialogs.open)
        dialogs.answer(self._photos)
        self._done(ctx, "choose the folder: the photos", 2, lambda: self._free() and state.photos is not None)
        ctx.item_click("//Optimize/###start")
        self._done(ctx, "press Start: it runs", 1, lambda: state.run.status.phase == "running")
        self._done(ctx, "the first shape", 0, lambda: state.run.snapshot is not None)
        total = state.document.settings["steps"]
        self._done(ctx, "half of the steps", 0, lambda: state.run.status.step >= total / 2)
        self._done(ctx, "the fit's end", 0, lambda: state.run.status.phase == "done")
        ctx.item_click("//Photos/photo2")
        self._done(ctx, "press a photo: its view", 1, lambda: not self.app.viewport.camera.moving)
        ctx.item_click("//Viewport/###mode_wipe")
        self._done(ctx, "press Wipe: photo beside render", 1, lambda: _measured(state))
        ctx.menu_click("//##MainMenuBar/File/###Export mesh…")
        self._done(ctx, "File, Export mesh: the dialog", 2, lambda: True)
        ctx.item_click("//$FOCUSED/###main")
        self._done(ctx, "press Export: where to", 1, lambda: dialogs.open)
        mesh = self._out / "mesh.glb"
        dialogs.answer(mesh)
        self._done(ctx, "name the file: the mesh", 2, lambda: self._free() and mesh.exists())

    def _free(self) -> bool:
        return not self.app.state.jobs.running

    def _done(self, ctx: Any, what: str, clicks: int, seen: Callable[[], Any]) -> None:
        """Wait until the window shows it, note the time, take a picture."""
        wait(ctx, lambda: bool(seen()), what, PATIENCE)
        ctx.yield_(2)
        self.rows.append((what, clicks, time.monotonic() - self._since))
        ctx.yield_(6)
        window = glfw_utils.glfw_window_hello_imgui()
        (x, y), (width, height) = glfw.get_window_pos(window), glfw.get_window_size(window)
        picture = ImageGrab.grab(bbox=(x, y, x + width, y + height), xdisplay="")
        picture.save(self._out / f"{len(self.rows):02d}.png")
        self._since = time.monotonic()


def _measured(state: Any) -> bool:
    return state.measured is not None and state.measured.more is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="a folder of photos, or a camera file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures and the mesh")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    newcomer = Newcomer(options.photos.resolve(), options.out.resolve())
    drive(newcomer.app, newcomer.go)
    print("step | clicks | seconds")
    for what, clicks, seconds in newcomer.rows:
        print(f"{what} | {clicks} | {seconds:.1f}")
    print(f"all | {sum(row[1] for row in newcomer.rows)} | {sum(row[2] for row in newcomer.rows):.1f}")


if __name__ == "__main__":
    main()
