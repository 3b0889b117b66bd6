"""Pictures of the real window in every theme and size, to be looked at: no text may be cut or overlap.

    xvfb-run -a -s "-screen 0 2600x1500x24 -noreset" python scripts/sheets.py --out sheets

For each theme (dark, light), interface size (100, 200 %) and window (1280x800, 2560x1440): every layout with
a paused run, every dialog, every menu. One PNG each, named after what it shows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from imgui_bundle import glfw_utils, hello_imgui  # noqa: E402  # before glfw

import glfw  # noqa: E402  # isort: skip
from PIL import ImageGrab  # noqa: E402

from studio.ui import preferences  # noqa: E402
from studio.ui.app import App  # noqa: E402
from tests.ui.driving import drive, make_app, wait, wait_ready  # noqa: E402

STEPS = 30
DIALOGS: dict[str, tuple[str, ...]] = {
    "preferences": ("preferences",),
    "shortcuts": ("toggle", "help_open"),
    "palette": ("palette",),
    "about": ("about",),
    "screenshot": ("dialog", "picture"),
    "export": ("export",),
    "film": ("save_turntable",),
}


class Sheet:
    """One window in one look, photographed in every state."""

    def __init__(self, folder: Path, theme: str, scale: str, size: tuple[int, int]) -> None:
        self._folder = folder / f"{theme}-{scale}-{size[0]}x{size[1]}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._look = {"theme": theme, "scale": scale}
        self.app: App = make_app()
        self.app.params.app_window_params.window_geometry.size = size

    def take(self) -> None:
        """Open the window, take all the pictures, close it."""
        drive(self.app, self._script)

    def _script(self, ctx: Any) -> None:
        wait_ready(ctx, self.app)
        for name, value in self._look.items():
            self.app.state.act("prefer", name, value)
        self.app.state.act("toggle_run")
        wait(ctx, lambda: len(self.app.state.run.history) > STEPS, "some steps")
        self.app.state.act("toggle_run")
        wait(ctx, lambda: self.app.state.run.status.phase == "paused", "paused")
        for layout in ("Edit", "Compare", "Optimize"):
            self._act(ctx, "layout", layout)
            if layout == "Compare":
                self._act(ctx, "mode", "wipe")
            self._picture(ctx, f"layout {layout.lower()}")
        self._panels(ctx)
        self._dialogs(ctx)
        self._menus(ctx)
        self.app.state.act("stop")

    def _act(self, ctx: Any, name: str, *args: Any) -> None:
        self.app.state.act(name, *args)
        ctx.yield_(8)

    def _panels(self, ctx: Any) -> None:
        docking = hello_imgui.get_runner_params().docking_params
        for window in docking.dockable_windows:
            if window.label in ("Effects", "Material", "Light", "Log") and window.is_visible:
                window.focus_window_at_next_frame = True
                ctx.yield_(4)
                self._picture(ctx, f"panel {window.label.lower()}")

    def _dialogs(self, ctx: Any) -> None:
        for title, action in DIALOGS.items():
            self._act(ctx, *action)
            if title == "screenshot":
                wait(ctx, lambda: self.app.control.shots.preview is not None, "a preview")
            self._picture(ctx, f"dialog {title}")
            ctx.key_press(_escape())
            ctx.yield_(4)

    def _menus(self, ctx: Any) -> None:
        from studio.ui import actions

        for title in [*(title for title, _ in actions.GROUPS[:-1]), "Window", "Help"]:
            ctx.menu_click(f"//##MainMenuBar/{title}")
            self._picture(ctx, f"menu {title.lower()}")
            ctx.key_press(_escape())
            ctx.yield_(2)

    def _picture(self, ctx: Any, name: str) -> None:
        ctx.yield_(3)
        window = glfw_utils.glfw_window_hello_imgui()
        (x, y), (width, height) = glfw.get_window_pos(window), glfw.get_window_size(window)
        screen = ImageGrab.grab(bbox=(x, y, x + width, y + height), xdisplay="")
        screen.save(self._folder / f"{name}.png")


def _escape() -> Any:
    from imgui_bundle import imgui

    return imgui.Key.escape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--themes", default="dark,light")
    parser.add_argument("--scales", default="100,200")
    parser.add_argument("--sizes", default="1280x800,2560x1440")
    options = parser.parse_args()
    known = {param.name: param.choices for param in preferences.PARAMS}
    for theme in options.themes.split(","):
        for scale in options.scales.split(","):
            if theme not in known["theme"] or scale not in known["scale"]:
                parser.error(f"no theme {theme} or no scale {scale}")
            for size in options.sizes.split(","):
                width, height = map(int, size.split("x"))
                Sheet(options.out, theme, scale, (width, height)).take()


if __name__ == "__main__":
    main()
