"""Actions that change how the document is looked at, and how the window looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from imgui_bundle import hello_imgui, imgui

from studio.core.errors import InputError
from studio.ui import as_command, preferences
from studio.ui.comparing import Comparing
from studio.ui.panels import optimize
from studio.ui.shots import Shots
from studio.ui.state import AppState

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

_PANELS = {
    **{"material": "Material", "volume": "Material", "points": "Material"},
    **{"light": "Light", "sky": "Light", "cameras": "Photos"},
}
"""Which panel is about what the scene tree has selected."""


class ViewActions:
    """The part of the controller that is about looking; `_act_<name>` carries out an action.

    Attributes:
        viewport: set once the OpenGL context exists.
    """

    state: AppState
    comparing: Comparing
    shots: Shots
    viewport: ViewportPanel | None

    def _act_aov(self, aov: str) -> None:
        self.state.view.aov, self.state.view.aov_range = aov, None

    def _act_toggle(self, name: str) -> None:
        view = self.state.view
        setattr(view, name, not getattr(view, name))
        if name == "picture_only":
            for window in hello_imgui.get_runner_params().docking_params.dockable_windows:
                self._hide(window, view.picture_only)
        elif name == "truth" and view.truth and view.photo is None and self.state.photos is not None:
            self.comparing.act_look_through(0)

    _shown_before: frozenset[str] = frozenset()

    def _hide(self, window: hello_imgui.DockableWindow, hide: bool) -> None:
        if window.label == "Viewport":
            return
        if hide:
            self._shown_before -= {window.label}
            self._shown_before |= {window.label} if window.is_visible else set()
            window.is_visible = False
        else:
            window.is_visible = window.label in self._shown_before

    def _act_select(self, key: str) -> None:
        self.state.view.selected = key
        kind = key.partition(":")[0]
        if kind in _PANELS:
            self._act_bring(_PANELS[kind])

    def _act_bring(self, panel: str) -> None:
        """A panel comes in front of those it shares its place with."""
        hello_imgui.get_runner_params().docking_params.focus_dockable_window(panel)

    def _act_frame(self) -> None:
        self.state.view.photo = None if self.state.view.mode == "render" else self.state.view.photo
        if self.viewport is not None:
            self.viewport.frame()

    def _act_reset_view(self) -> None:
        self.comparing.act_leave_photo()
        self.state.view.exposure, self.state.view.aov_range = 0.0, None
        if self.viewport is not None:
            self.viewport.reset_camera()

    def _act_look(self, side: str) -> None:
        self.comparing.act_leave_photo()
        if self.viewport is not None:
            self.viewport.look_from(side)

    def _act_turn_view(self, right: float, up: float) -> None:
        self.comparing.act_leave_photo()
        if self.viewport is not None:
            self.viewport.camera.turn(right, up)

    def _act_tool(self, name: str) -> None:
        """Take a tool; the same again puts it down."""
        view = self.state.view
        view.tool = "select" if view.tool == name else name
        if view.tool == "mask":
            self.comparing.act_look_through(view.photo or 0)
            view.mode, view.right = "target", "photo"
        elif view.tool != "select" and not view.selected.startswith(("mesh:", "light:")):
            view.selected = "mesh:0"

    def _act_pin(self) -> None:
        """The inspector keeps to the pixel under the mouse, or follows it again."""
        view = self.state.view
        hover = None if self.viewport is None else self.viewport.hands.hover
        view.pinned = None if view.pinned is not None or hover is None else hover[0]
        view.inspector = True

    def _act_exposure(self) -> None:
        if self.viewport is not None:
            self.viewport.tools.exposure_open = True

    def _act_layout(self, name: str) -> None:
        hello_imgui.switch_layout(name)
        params = hello_imgui.get_runner_params().docking_params
        for title in {"Edit": ("Material",), "Optimize": ("Progress", "Optimize")}.get(name, ()):
            params.dockable_window_of_name(title).focus_window_at_next_frame = True

    def _act_panel(self, name: str) -> None:
        """Show or hide a dockable window."""
        params = hello_imgui.get_runner_params().docking_params
        window = params.dockable_window_of_name(name)
        if window is not None:
            window.is_visible = not window.is_visible
            window.focus_window_at_next_frame = window.is_visible

    def _act_restore_layout(self) -> None:
        hello_imgui.get_runner_params().docking_params.layout_reset = True

    def _act_preset(self, name: str) -> None:
        self.state.set(("settings",), optimize.preset(name).copy(), f"Use preset {name}")

    def _act_copy_command(self, what: str) -> None:
        """Put the command line that does the same on the clipboard."""
        made: dict[str, Callable[[], as_command.Copied]] = {
            "fit": lambda: as_command.fit(self.state),
            "render": lambda: as_command.render(self.state, self.viewport),
            "compare": lambda: as_command.compare(self.state, self.viewport),
            "export": lambda: as_command.export(self.state),
            "picture": self._picture_command,
            "turntable": lambda: as_command.turntable(self.state),
        }
        copied = made[what]()
        imgui.set_clipboard_text(copied.command)
        self.state.notify("Copied", "good", copied.note or copied.command)

    def _picture_command(self) -> as_command.Copied:
        if self.viewport is None:
            raise InputError("picture: there is no view yet")
        return as_command.picture(self.state, self.viewport, self.shots)

    def _act_palette(self) -> None:
        self.state.view.palette_open = True

    def _act_preferences(self) -> None:
        self.state.view.preferences_open = True

    def _act_prefer(self, name: str, value: Any) -> None:
        self.state.preferences.set(name, value)
        preferences.apply(self.state.preferences)

    def _act_toggle_theme(self) -> None:
        self._act_prefer("theme", "dark" if self.state.preferences["theme"] == "light" else "light")

    def _act_about(self) -> None:
        self.state.view.about_open = True
