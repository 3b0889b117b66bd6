"""The pictures of the README, taken of the real window while it fits the built-in photos.

    xvfb-run -a -s "-screen 0 1600x1000x24 -noreset" python scripts/pictures.py

Writes docs/images/window.png, and docs/images/convergence.gif, "Save film of the run" made small. With
--capture FOLDER, photos with masks such as `lego`, docs/images/volume.png instead: their volume, half way.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from imgui_bundle import glfw_utils  # noqa: E402  # before glfw

import glfw  # noqa: E402  # isort: skip
from PIL import Image, ImageGrab, ImageSequence  # noqa: E402

from studio.core.optim.settings import load_preset  # noqa: E402
from tests.ui.driving import drive, make_app, wait, wait_ready  # noqa: E402

PATIENCE = 300.0
FILM = 240
VOLUME = {"representation": "volume", "resolution": 200, "volume_resolution": 128, "volume_steps": 500}


def take(folder: Path) -> None:
    """Open the window, fit, take the pictures, close it."""
    app = make_app(document=False, demo=True)

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        wait(ctx, lambda: app.state.photos is not None and not app.state.jobs.running, "the photos", 60.0)
        app.state.act("toggle_run")
        half = app.state.document.settings["steps"] // 2
        wait(ctx, lambda: app.state.run.status.step > half, "half of the run", PATIENCE)
        app.state.act("look_through", 3)
        app.state.act("mode", "wipe")
        ctx.yield_(20)
        picture(ctx, folder / "window.png")
        app.state.act("mode", "render")
        app.state.act("leave_photo")
        wait(ctx, lambda: app.state.run.status.phase == "done", "the run's end", PATIENCE)
        ctx.yield_(10)
        app.state.act("save_film", folder / "convergence.gif")
        ctx.yield_(10)
        wait(ctx, lambda: not app.state.jobs.running, "the film", PATIENCE)

    drive(app, script)
    shrink(folder / "convergence.gif")


def take_volume(folder: Path, capture: Path) -> None:
    """Fit a volume to a capture and take the window when it is half done."""
    app = make_app(document=False)
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("open_files", [capture])
        wait(ctx, lambda: state.photos is not None and not state.jobs.running, "the photos", PATIENCE)
        settings = load_preset("standard")
        for name, value in VOLUME.items():
            settings.set(name, value)
        state.set(("settings",), settings, "Fit a volume")
        state.act("frame")
        state.act("toggle_run")
        half = VOLUME["volume_steps"] // 2
        wait(ctx, lambda: state.run.snapshot is not None and state.run.snapshot.step > half, "half", PATIENCE)
        picture(ctx, folder / "volume.png")
        state.act("stop")
        wait(ctx, lambda: not state.run.active, "the run's end")

    drive(app, script)


def shrink(path: Path) -> None:
    """Every third frame at FILM pixels: small enough for a page."""
    with Image.open(path) as film:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(film)][::3]
        shown = 3 * film.info["duration"]
    small = [frame.resize((FILM, FILM)).quantize(96) for frame in frames]
    small[0].save(path, save_all=True, append_images=small[1:], duration=shown, loop=0, optimize=True)


def picture(ctx: Any, path: Path) -> None:
    """What the screen shows of the window."""
    ctx.mouse_move_to_pos((5.0, 5.0))
    ctx.yield_(30)
    window = glfw_utils.glfw_window_hello_imgui()
    (x, y), (width, height) = glfw.get_window_pos(window), glfw.get_window_size(window)
    ImageGrab.grab(bbox=(x, y, x + width, y + height), xdisplay="").save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--capture", type=Path)
    given = parser.parse_args()
    if given.capture is None:
        take(given.out)
    else:
        take_volume(given.out, given.capture)


if __name__ == "__main__":
    main()
