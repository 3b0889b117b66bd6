"""Volume and points: how they are shown, and what can be made of them."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.ui import autopanel
from studio.ui import widgets as w
from studio.ui.radiance import described
from studio.ui.state import AppState
from studio.ui.theme import Icon

_PICTURE = ("shown", "density_scale", "step", "termination")
_SLICE = ("slice", "slice_position")
_SURFACE = ("surface", "threshold")


def draw(state: AppState, kind: str) -> bool:
    """The panel's body for "volume" or "points"; false if there is no such thing."""
    visible = state.visible_radiance()
    what = visible[0] if kind == "volume" else visible[1]
    if what is None:
        return False
    looks, path = state.document.looks[kind], ("looks", kind)
    w.spacer(2)
    w.muted(f"{described(what)}, colours of degree {what.degree}")
    w.spacer(2)
    if kind == "points":
        autopanel.draw(state, looks, path)
    else:
        autopanel.draw(state, looks, path, _PICTURE)
        if w.section("Slice"):
            shown = _SLICE if looks["slice"] != "none" else _SLICE[:1]
            autopanel.draw(state, looks, path, shown)
        if w.section("Surface"):
            autopanel.draw(state, looks, path, _SURFACE)
            w.spacer(2)
            _button(state, f"{Icon.mesh}  Make mesh", "make_mesh", "The surface becomes the start of a fit")
    w.spacer(4)
    _button(state, f"{Icon.export}  Save…", "save_radiance", "Write it to a file")
    return True


def _button(state: AppState, title: str, action: str, hint: str) -> None:
    imgui.begin_disabled(not state.ready or state.run.active)
    if imgui.button(f"{title}###{action}", ImVec2(-1, 0)):
        state.act(action)
    imgui.end_disabled()
    w.tooltip(hint)
