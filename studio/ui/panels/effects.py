"""Effects: one group per effect of the registry; those that are on show the controls of their Params.

There may be a second set, B, to compare with; the panel shows one of the two.
"""

from __future__ import annotations

from imgui_bundle import imgui

from studio.core.effects.effect import Effect
from studio.ui import autopanel
from studio.ui import widgets as w
from studio.ui.commands import Path
from studio.ui.document import EffectSet
from studio.ui.state import AppState
from studio.ui.theme import Icon, px, roles

SETS = (("a", "A", "The effects of the picture"), ("b", "B", "The effects that it is compared with"))


def draw(state: AppState, effects: dict[str, Effect]) -> None:
    """The panel's body; `effects` is empty until the registry is loaded."""
    if not effects:
        w.empty(Icon.effects, "Effects appear once the renderer has loaded.")
        return
    _sets(state)
    other = state.document.other if state.view.editing == "b" else None
    shown: EffectSet = state.document.own if other is None else other
    path: Path = () if other is None else ("other",)
    skipped = state.skipped.get("a" if other is None else "b", {})
    for name, effect in effects.items():
        imgui.push_id(name)
        if w.section(title_of(effect)):
            enabled = shown.enabled[name]
            w.label("Enabled", effect.help)
            if (on := w.checkbox("##enabled", enabled)) is not None:
                verb = "Enable" if on else "Disable"
                state.set((*path, "enabled", name), on, f"{verb} {title_of(effect).lower()}")
            if enabled and name in skipped:
                w.wrapped(f"Left out: {skipped[name]}.", roles().muted)
            if enabled:
                autopanel.draw(state, shown.effects[name], (*path, "effects", name))
            imgui.dummy((0, px(2)))
        imgui.pop_id()


def _sets(state: AppState) -> None:
    """Which set is shown, and what can be done with the second one."""
    if state.document.other is None:
        if w.quiet_button(
            f"{Icon.compare}  Compare with a set B", "make_other", "Keep a copy to compare with"
        ):
            state.act("make_other")
        return
    if (chosen := w.segmented("set", state.view.editing, SETS)) is not None:
        state.view.editing = chosen
    imgui.same_line(0, px(8))
    if w.quiet_button(Icon.swap, "swap_sets", "Swap A and B"):
        state.act("swap_sets")
    imgui.same_line(0, 0)
    if w.quiet_button(Icon.close, "drop_other", "Remove set B"):
        state.act("drop_other")


def title_of(effect: Effect) -> str:
    """What the panel calls an effect: short names are initials."""
    if len(effect.name) <= 4:
        return effect.name.upper()
    return effect.name.replace("_", " ").capitalize()
