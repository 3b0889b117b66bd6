"""Theme, accent, sizes and power of the real window, and what it does with little room."""

from __future__ import annotations

import json
from typing import Any

import pytest
from imgui_bundle import hello_imgui, imgui

from studio.ui import preferences, theme
from studio.ui.layout import COMPACT_WIDTH
from tests.needs import need
from tests.ui.driving import drive, make_app, wait, wait_ready


@pytest.mark.parametrize("name", list(theme.THEMES))
@pytest.mark.parametrize("accent", list(theme.ACCENTS))
def test_text_is_legible(name: str, accent: str) -> None:
    roles = theme.made_of(name, accent)
    for color in (roles.text, roles.muted, roles.accent, roles.warn, roles.fail, roles.good):
        assert theme.contrast(color, roles.panel) >= 4.5
    assert theme.contrast(roles.text, roles.control) >= 4.5
    assert theme.contrast(roles.on_accent, roles.accent) >= 4.5


def test_contrast_is_that_of_the_standard() -> None:
    assert theme.contrast(0xFFFFFF, 0x000000) == pytest.approx(21.0)
    assert theme.contrast(0x777777, 0xFFFFFF) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("saved", ["", "{", "[1]", '{"theme": "mauve", "text_size": "big", "future": 1}'])
def test_damaged_preferences_are_ignored(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hello_imgui, "load_user_pref", lambda name: saved)
    assert preferences.load().as_dict() == preferences.defaults().as_dict()


def test_preferences_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, str] = {}
    monkeypatch.setattr(hello_imgui, "save_user_pref", kept.__setitem__)
    monkeypatch.setattr(hello_imgui, "load_user_pref", lambda name: kept[name])
    chosen = preferences.defaults()
    for name, value in (("theme", "light"), ("accent", "teal"), ("scale", "150"), ("save_power", False)):
        chosen.set(name, value)
    preferences.save(chosen)
    assert json.loads(next(iter(kept.values())))["accent"] == "teal"
    assert preferences.load().as_dict() == chosen.as_dict()


def test_preferences_act_at_once() -> None:
    need("display")
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.key_press(int(imgui.Key.mod_ctrl) | int(imgui.Key.comma))
        ctx.yield_(3)
        ctx.item_click("//$FOCUSED/teal")
        wait(ctx, lambda: theme.roles().accent == theme.ACCENTS["teal"][0], "another accent")
        ctx.item_click("//$FOCUSED/##save_power")
        wait(ctx, lambda: not app.params.fps_idling.enable_idling, "no idling")
        ctx.key_press(imgui.Key.escape)
        before = theme.scale()
        for name, value in (("theme", "light"), ("scale", "200"), ("text_size", 18)):
            state.act("prefer", name, value)
        wait(ctx, lambda: theme.scale() == pytest.approx(2 * 18 / 15), "large")
        assert theme.scale() > before
        assert theme.roles().accent == theme.ACCENTS["teal"][1]
        wait(ctx, lambda: imgui.get_style().frame_padding.x == pytest.approx(8 * theme.scale()), "spacing")
        state.act("prefer", "accent", "mauve")
        wait(ctx, lambda: any("mauve" in notice.text for notice in state.notices), "a refusal")

    drive(app, script)


def test_columns_leave_where_room_is_little() -> None:
    need("display")
    app = make_app()

    def place(title: str) -> str:
        window = app.params.docking_params.dockable_window_of_name(title)
        return str(window.dock_space_name)

    def picture_width() -> float:
        low, high = app.viewport.rectangle()  # type: ignore[union-attr]
        return high.x - low.x

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        assert imgui.get_io().display_size.x > COMPACT_WIDTH
        assert place("Scene") == "LeftTop"
        app.state.act("prefer", "scale", "200")
        wait(ctx, lambda: place("Scene") == "Bottom", "the left column leaves")
        ctx.yield_(6)
        low, _ = app.viewport.rectangle()  # type: ignore[union-attr]
        assert low.x < 10  # nothing is left of the picture
        narrow = picture_width()
        app.state.act("layout", "Edit")
        ctx.yield_(6)
        assert place("Scene") == "Bottom"
        app.state.act("layout", "Optimize")
        app.state.act("prefer", "scale", "100")
        wait(ctx, lambda: place("Scene") == "LeftTop", "the left column comes back")
        ctx.yield_(6)
        low, _ = app.viewport.rectangle()  # type: ignore[union-attr]
        assert low.x > 100
        assert narrow > 200

    drive(app, script)
