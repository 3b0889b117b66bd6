"""Where the panels stand: three saved layouts of the same dockable windows."""

from __future__ import annotations

from collections.abc import Callable

from imgui_bundle import hello_imgui, imgui

MAIN = "MainDockSpace"

_PLACES = {
    "Optimize": {
        "Scene": "LeftTop",
        "Photos": "Left",
        "Viewport": MAIN,
        "Optimize": "Right",
        "Effects": "Right",
        "Material": "Right",
        "Light": "Right",
        "Progress": "Bottom",
        "Log": "Bottom",
    },
    "Edit": {
        "Scene": "RightTop",
        "Photos": "RightTop",
        "Viewport": MAIN,
        "Material": "Right",
        "Light": "Right",
        "Effects": "Right",
        "Optimize": "Right",
        "Progress": "Bottom",
        "Log": "Bottom",
    },
    "Compare": {
        "Scene": "Left",
        "Photos": "Left",
        "Viewport": MAIN,
        "Optimize": "Right",
        "Effects": "Right",
        "Material": "Right",
        "Light": "Right",
        "Progress": "Bottom",
        "Log": "Bottom",
    },
}
_HIDDEN = {
    "Optimize": (),
    "Edit": ("Progress", "Log", "Photos"),
    "Compare": ("Scene", "Optimize", "Effects", "Material", "Light", "Log"),
}


def _splits(name: str) -> list[hello_imgui.DockingSplit]:
    split = hello_imgui.DockingSplit
    down, left, right = imgui.Dir.down, imgui.Dir.left, imgui.Dir.right
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
        split(MAIN, "Bottom", down, 0.25),
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
        params.docking_splits = _splits(name)
        windows = []
        for title, place in places.items():
            window = hello_imgui.DockableWindow(title, place, bodies[title])
            window.is_visible = title not in _HIDDEN[name]
            window.can_be_closed = False
            window.include_in_view_menu = False
            window.remember_is_visible = True
            if title == "Viewport":
                window.call_begin_end = False
            windows.append(window)
        params.dockable_windows = windows
        params.main_dock_space_node_flags = imgui.DockNodeFlags_.none
        out.append(params)
    return out
