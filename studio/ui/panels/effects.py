"""Effects: one group per effect of the registry, its controls made from its Params."""

from __future__ import annotations

from imgui_bundle import imgui

from studio.core.effects.effect import Effect
from studio.ui import autopanel
from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import Icon, px


def draw(state: AppState, effects: dict[str, Effect]) -> None:
    """The panel's body; `effects` is empty until the registry is loaded."""
    if not effects:
        w.empty(Icon.effects, "Effects appear once the renderer has loaded.")
        return
    for name, effect in effects.items():
        imgui.push_id(name)
        if w.section(title_of(effect)):
            enabled = state.document.enabled[name]
            w.label("Enabled", effect.help)
            if (on := w.checkbox("##enabled", enabled)) is not None:
                verb = "Enable" if on else "Disable"
                state.set(("enabled", name), on, f"{verb} {title_of(effect).lower()}")
            imgui.begin_disabled(not enabled)
            autopanel.draw(state, state.document.effects[name], ("effects", name))
            imgui.end_disabled()
            imgui.dummy((0, px(2)))
        imgui.pop_id()


def title_of(effect: Effect) -> str:
    """What the panel calls an effect: short names are initials."""
    if len(effect.name) <= 4:
        return effect.name.upper()
    return effect.name.replace("_", " ").capitalize()
