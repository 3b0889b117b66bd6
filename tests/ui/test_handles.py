"""Objects and lights in the real window: picked, moved, turned and scaled, by handles and by numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui

from studio.core.scene import Light, Lighting, Scene
from studio.core.scene.shapes import cube, icosphere
from studio.ui.commands import Edits, Set
from tests.needs import need
from tests.ui.driving import at, drive, make_app, shown, still, wait, wait_ready

SHIFT = imgui.Key.mod_shift


@pytest.fixture(scope="module", autouse=True)
def window() -> None:
    need("display")


def test_handles_move_turn_and_scale() -> None:
    app = make_app()
    state, view = app.state, app.state.view

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.set(("photos",), None, "No photos")
        box = cube(0.8)
        lamp = Light(kind="point", position=(0.0, 0.65, 0.0), name="lamp")
        scene = Scene(meshes=[box, icosphere(2, 0.3)], lighting=Lighting(lights=[lamp]))
        scene.meshes[1] = scene.meshes[1].with_vertices(scene.meshes[1].vertices + np.float32((1.2, 0, 0)))
        state.send(Edits((Set(("scene",), scene, ""),), "Open"))
        ctx.yield_(2)
        state.act("reset_view")
        still(ctx, app)
        ctx.window_focus("//Viewport")
        _pick(ctx, app)
        _move_the_box(ctx, app)
        _turn_and_scale_the_box(ctx, app)
        _move_the_lamp(ctx, app)
        view.tool = "select"

    drive(app, script)


def _pick(ctx: Any, app: Any) -> None:
    view = app.state.view
    for point, found in (((1.2, 0.0, 0.3), "mesh:1"), ((0.0, 0.0, 0.4), "mesh:0"), ((0, 0.65, 0), "light:0")):
        ctx.mouse_move_to_pos(at(app, point))
        ctx.yield_(2)
        ctx.mouse_click()
        ctx.yield_(3)
        assert view.selected == found
    before = app.viewport.camera.camera(64, 64).view_to_world.copy()
    low, high = app.viewport.rectangle()
    ctx.mouse_move_to_pos((low.x + 0.5 * (high.x - low.x), high.y - 60))
    ctx.mouse_click()
    ctx.yield_(3)
    assert view.selected == ""
    assert np.array_equal(before, app.viewport.camera.camera(64, 64).view_to_world)
    app.state.act("select", "mesh:0")
    ctx.yield_(2)


def _handle(ctx: Any, app: Any, origin: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put the mouse on the handle of an axis; its screen position and direction."""
    start, end = np.array(at(app, origin)), np.array(at(app, origin + 0.2 * axis))
    direction = (end - start) / np.linalg.norm(end - start)
    for away in range(16, 90, 5):
        ctx.mouse_move_to_pos(tuple(start + away * direction))
        ctx.yield_(2)
        if app.viewport.handles.busy:
            return start + away * direction, direction
    raise AssertionError("no handle is found along the axis")


def _move_the_box(ctx: Any, app: Any) -> None:
    state = app.state
    ctx.key_press(imgui.Key.m)
    still(ctx, app)
    before = state.scene.meshes[0].vertices.copy()
    camera = app.viewport.camera.camera(64, 64).view_to_world.copy()
    ground = shown(ctx, app)
    _, direction = _handle(ctx, app, np.zeros(3), np.array([1.0, 0.0, 0.0]))
    ctx.mouse_drag_with_delta(tuple(60 * direction))
    still(ctx, app)
    moved = state.scene.meshes[0].vertices - before
    assert moved[:, 0].min() > 0.05
    assert np.abs(moved - moved[0]).max() < 1e-5, "it is moved as a whole"
    assert np.abs(moved[:, 1:]).max() < 1e-5, "along the axis"
    assert np.array_equal(camera, app.viewport.camera.camera(64, 64).view_to_world)
    assert np.abs(shown(ctx, app) - ground).max() > 0.1
    assert state.history.undo_label == f"Move {state.scene.meshes[0].name}"
    state.act("undo")
    still(ctx, app)
    assert np.array_equal(state.scene.meshes[0].vertices, before), "one drag is one edit"
    assert np.abs(shown(ctx, app) - ground).max() < 0.05


def _turn_and_scale_the_box(ctx: Any, app: Any) -> None:
    state = app.state
    before = state.scene.meshes[0].vertices.copy()
    ctx.key_press(imgui.Key.s | SHIFT)
    still(ctx, app)
    assert state.view.tool == "scale"
    _, direction = _handle(ctx, app, np.zeros(3), np.array([0.0, 1.0, 0.0]))
    ctx.mouse_drag_with_delta(tuple(40 * direction))
    still(ctx, app)
    after = state.scene.meshes[0].vertices
    factor = after[:, 1] / before[:, 1]
    assert factor.min() > 1.1
    assert np.ptp(factor) < 1e-4
    np.testing.assert_allclose(after[:, ::2], before[:, ::2], atol=1e-5)
    state.act("undo")
    ctx.key_press(imgui.Key.r | SHIFT)
    still(ctx, app)
    assert state.view.tool == "rotate"
    # The ring around y passes before the middle, below it on the screen.
    x, y = at(app, (0.0, 0.0, 0.0))
    for away in range(4, 80, 3):
        ctx.mouse_move_to_pos((x, y + away))
        ctx.yield_(2)
        if app.viewport.handles.busy:
            break
    ctx.mouse_drag_with_delta((50, 0))
    still(ctx, app)
    turned = state.scene.meshes[0].vertices
    assert np.abs(turned - before).max() > 0.05
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(before, axis=1), atol=1e-4)
    assert state.history.undo_label.startswith("Turn")
    state.act("undo")
    still(ctx, app)


def _move_the_lamp(ctx: Any, app: Any) -> None:
    state = app.state
    state.act("select", "light:0")
    state.act("tool", "move")
    ctx.yield_(2)
    ctx.window_focus("//Viewport")
    still(ctx, app)
    start = np.array(state.scene.lighting.lights[0].position)
    _, direction = _handle(ctx, app, start, np.array([1.0, 0.0, 0.0]))
    ctx.mouse_drag_with_delta(tuple(50 * direction))
    still(ctx, app)
    moved = np.array(state.scene.lighting.lights[0].position) - start
    assert moved[0] > 0.05
    assert np.abs(moved[1:]).max() < 1e-4
    assert state.history.undo_label == "Move lamp"
    state.act("undo")
    ctx.yield_(2)
    assert state.scene.lighting.lights[0].position == pytest.approx(tuple(start))


def test_objects_move_by_numbers() -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.window_focus("//Material")
        ctx.yield_(3)
        start = state.scene.meshes[0]
        state.act("select", "mesh:0")
        ctx.yield_(3)
        info = ctx.item_info("//Material/##position/$$0")
        assert info is not None
        ctx.item_input_value("//Material/##position/$$0", 0.5)
        wait(ctx, lambda: state.scene.meshes[0] is not start, "it moves")
        low, high = state.scene.meshes[0].bounds()
        assert (low + high) / 2 == pytest.approx([0.5, 0, 0], abs=1e-4)
        assert state.history.undo_label.startswith("Move")
        ctx.item_input_value("//Material/##scale/$$1", 2.0)
        wait(ctx, lambda: state.history.undo_label.startswith("Scale"), "it grows")
        low, high = state.scene.meshes[0].bounds()
        assert high - low == pytest.approx([1.5, 3.0, 1.5], rel=0.01)
        state.act("undo")
        state.act("undo")
        ctx.yield_(3)
        assert state.scene.meshes[0] is start

    drive(app, script)
