"""Where the panels stand: three saved layouts of the same windows, each with a form for little room."""

from __future__ import annotations

from collections.abc import Callable

from imgui_bundle import hello_imgui, imgui

MAIN = "MainDockSpace"

_PLACES = {
    "Optimize": {
        "Scene": "LeftTop",
        "History": "LeftTop",
        "Photos": "Left",
        "Viewport": MAIN,
        "Optimize": "Right",
        "Effects": "Right",
        "Material": "Right",
        "Light": "Right",
        "Progress": "Bottom",
        "Gradients": "Bottom",
        "Log": "Bottom",
    },
    "Edit": {
        "Scene": "RightTop",
        "History": "RightTop",
        "Photos": "RightTop",
        "Viewport": MAIN,
        "Material": "Right",
        "Light": "Right",
        "Effects": "Right",
        "Optimize": "Right",
        "Progress": "Bottom",
        "Gradients": "Bottom",
        "Log": "Bottom",
    },
    "Compare": {
        "Scene": "Left",
        "History": "Left",
        "Photos": "Left",
        "Viewport": MAIN,
        "Optimize": "Right",
        "Effects": "Right",
        "Material": "Right",
        "Light": "Right",
        "Progress": "Bottom",
        "Gradients": "Bottom",
        "Log": "Bottom",
    },
}
COMPACT_WIDTH = 900.0
"""Below this width, in pixels of the design, there is no room for columns on both sides of the picture."""

_HIDDEN = {
    "Optimize": (),
    "Edit": ("Progress", "Gradients", "Log", "Photos"),
    "Compare": (
        *("Scene", "History", "Optimize", "Effects", "Material", "Light"),
        *("Gradients", "Log"),
    ),
}


def _splits(name: str, compact: bool) -> list[hello_imgui.DockingSplit]:
    split = hello_imgui.DockingSplit
    down, left, right = imgui.Dir.down, imgui.Dir.left, imgui.Dir.right
    if compact:
        return [split(MAIN, "Bottom", down, 0.34), split(MAIN, "Right", right, 0.46)]
    if name == "Edit":
        return [
            split(MAIN, "Bottom", down, 0.25),
            split(MAIN, "Right", right, 0.27),
            split("Right", "RightTop", imgui.Dir.up, 0.3),
        ]
    if name == "Compare":
        return [
            split(MAIN, "Bottom", down, 0.22),
            split(MAIN, "Left", left, 0.2),
            split(MAIN, "Right", right, 0.25),
        ]
    return [
        split(MAIN, "Bottom", down, 0.29),
        split(MAIN, "Left", left, 0.175),
        split(MAIN, "Right", right, 0.285),
        split("Left", "LeftTop", imgui.Dir.up, 0.3),
    ]


def layouts(bodies: dict[str, Callable[[], None]]) -> list[hello_imgui.DockingParams]:
    """The layouts, default first; `bodies` draws each window by its title.

    The viewport's body begins and ends its own window, since it has neither tab nor padding.
    """
    out = []
    for name, places in _PLACES.items():
        params = hello_imgui.DockingParams()
        params.layout_name = name
        windows = []
        for title in places:
            window = hello_imgui.DockableWindow(title, "", bodies[title])
            window.is_visible = title not in _HIDDEN[name]
            window.can_be_closed = False
            window.include_in_view_menu = False
            window.remember_is_visible = True
            if title == "Viewport":
                window.call_begin_end = False
            windows.append(window)
        params.dockable_windows = windows
        params.main_dock_space_node_flags = imgui.DockNodeFlags_.none
        _arrange(params, compact=False)
        out.append(params)
    return out


def _arrange(params: hello_imgui.DockingParams, compact: bool) -> None:
    """Say where the windows of a layout stand; it comes true when the layout is made or reset."""
    params.docking_splits = _splits(params.layout_name, compact)
    for window in params.dockable_windows:
        place = _PLACES[params.layout_name][window.label]
        # Without columns on both sides, what tells about the scene goes below the picture.
        window.dock_space_name = "Bottom" if compact and place in ("Left", "LeftTop", "RightTop") else place


class Fitting:
    """Keeps the layouts in the form that the window has room for."""

    def __init__(self) -> None:
        self._compact = False
        self._stale: set[str] = set()

    def update(self, params: hello_imgui.RunnerParams, width: float) -> None:
        """Once a frame; `width` of the window in pixels of the design."""
        every = [params.docking_params, *params.alternative_docking_layouts]
        if (width < COMPACT_WIDTH) != self._compact:
            self._compact = not self._compact
            for layout in every:
                _arrange(layout, self._compact)
            self._stale = {layout.layout_name for layout in every}
        current = params.docking_params
        if current.layout_name in self._stale:
            self._stale.discard(current.layout_name)
            current.layout_reset = True
