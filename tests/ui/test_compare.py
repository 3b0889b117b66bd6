"""Two sets of effects side by side in the real window: wipe, toggle, difference, channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui

from tests.needs import need
from tests.ui.driving import drive, make_app, shown, still, wait, wait_ready

CTRL = imgui.Key.mod_ctrl


@pytest.fixture(scope="module", autouse=True)
def window() -> None:
    need("display")


def test_two_sets_of_effects(tmp_path: Any) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.set(("photos",), None, "No photos")
        ctx.yield_(2)
        state.act("mode", "wipe")
        ctx.yield_(2)
        assert state.right == "diff"  # the other renderer is always there
        _same_sets_do_not_differ(ctx, app)
        _darker_set_b(ctx, app)
        _wipe_and_toggle(ctx, app)
        _swap_undo_and_remove(ctx, app)

    drive(app, script)


def _same_sets_do_not_differ(ctx: Any, app: Any) -> None:
    state = app.state
    state.act("mode", "render")
    ctx.window_focus("//Effects")
    ctx.item_click("//Effects/###make_other")
    ctx.yield_(2)
    assert state.document.other is not None
    assert (state.left, state.right) == ("render", "effects")
    ctx.window_focus("//Viewport")
    ctx.key_press(imgui.Key.o)
    still(ctx, app)
    assert state.view.mode == "difference"
    wait(ctx, lambda: state.measured is not None, "the number is there")
    assert state.measured.mean == 0.0
    assert np.ptp(shown(ctx, app).reshape(-1, 3), axis=0).max() < 0.02  # one colour but for dither


def _darker_set_b(ctx: Any, app: Any) -> None:
    state = app.state
    ctx.window_focus("//Effects")
    ctx.item_click("//Effects/###set_b")
    ctx.yield_(2)
    ctx.item_input_value("//Effects/pbr/##light_exposure", -1.0)
    ctx.yield_(2)
    assert state.document.other.effects["pbr"]["light_exposure"] == pytest.approx(-1.0)
    assert state.document.effects["pbr"]["light_exposure"] == 0.0
    still(ctx, app)
    wait(ctx, lambda: state.measured is not None, "the number is there")
    assert 0.01 < state.measured.mean < 0.5


def _wipe_and_toggle(ctx: Any, app: Any) -> None:
    state = app.state
    ctx.window_focus("//Viewport")
    ctx.key_press(imgui.Key.b)  # from the difference to B
    still(ctx, app)
    assert state.view.mode == "target"
    only_b = shown(ctx, app)
    ctx.key_press(imgui.Key.b)
    still(ctx, app)
    assert state.view.mode == "render"
    only_a = shown(ctx, app)
    middle = only_a.shape[0] // 2
    assert only_b[middle].max() < 0.8 * only_a[middle].max()
    ctx.item_click("//Viewport/###mode_wipe")
    still(ctx, app)
    both = shown(ctx, app)
    left, right = slice(0, int(0.45 * both.shape[1])), slice(int(0.55 * both.shape[1]), None)
    assert np.abs(both[:, left] - only_a[:, left]).max() < 0.02
    assert np.abs(both[:, right] - only_b[:, right]).max() < 0.02
    low, high = app.viewport.rectangle()
    ctx.mouse_move_to_pos(((low.x + high.x) / 2, (low.y + high.y) / 2 + 60))
    ctx.mouse_drag_with_delta((-100, 0))
    assert state.view.wipe == pytest.approx(0.5 - 100 / (high.x - low.x), abs=0.03)
    before = app.viewport.camera.camera(64, 64).view_to_world.copy()
    ctx.mouse_move_to_pos((high.x - 60, (low.y + high.y) / 2 + 60))
    ctx.mouse_drag_with_delta((30, 10))
    assert not np.allclose(before, app.viewport.camera.camera(64, 64).view_to_world)
    assert state.view.mode == "wipe", "moving the camera must not end the comparison"


def _swap_undo_and_remove(ctx: Any, app: Any) -> None:
    state = app.state
    state.act("swap_sets")
    ctx.yield_(2)
    assert state.document.effects["pbr"]["light_exposure"] == pytest.approx(-1.0)
    ctx.key_press(CTRL | imgui.Key.z)
    ctx.yield_(2)
    assert state.document.effects["pbr"]["light_exposure"] == 0.0
    ctx.window_focus("//Effects")
    ctx.item_click("//Effects/###drop_other")
    still(ctx, app)
    assert state.document.other is None
    assert (state.view.mode, state.view.editing) == ("render", "a")


def test_channels_from_the_menu() -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        assert state.channels[:3] == ("color", "albedo", "normal")
        pictures = {}
        for title, name in (("Normal", "normal"), ("Part", "part"), ("Irradiance", "irradiance")):
            if name in state.channels:  # of an effect: only while that makes it
                ctx.menu_click(f"//##MainMenuBar/View/###Channel/###{title}")
                still(ctx, app)
                assert state.view.aov == name
                pictures[name] = shown(ctx, app)
        assert {"normal", "part"} <= pictures.keys()
        middle = tuple(n // 2 for n in pictures["normal"].shape[:2])
        assert np.abs(pictures["normal"] - pictures["part"])[middle].max() > 0.05
        state.set(("enabled", "pbr"), False, "off")
        still(ctx, app)
        assert "irradiance" not in state.channels
        state.act("aov", "irradiance")  # of an effect that is off: the picture shows instead
        still(ctx, app)
        unlit = shown(ctx, app)
        state.act("aov", "color")
        still(ctx, app)
        assert np.abs(shown(ctx, app) - unlit).max() < 0.02

    drive(app, script)
