"""Seeing in the real window: any two pictures, the inspector, channels, views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui

from tests.needs import need
from tests.ui.driving import at, choose, drive, make_app, shown, still, wait, wait_ready

SHIFT = imgui.Key.mod_shift


@pytest.fixture(scope="module", autouse=True)
def window() -> None:
    need("display")


def test_any_two_pictures() -> None:
    app = make_app()
    state, view = app.state, app.state.view

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.window_focus("//Viewport")
        ctx.key_press(imgui.Key.y)
        still(ctx, app)
        assert (view.mode, state.left, state.right, view.photo) == ("side", "render", "photo", 0)
        _against_the_other_renderer(ctx, app)
        _kept_pictures(ctx, app)
        _measures(ctx, app)

    drive(app, script)


def _against_the_other_renderer(ctx: Any, app: Any) -> None:
    state = app.state
    choose(ctx, "right", "Differentiable")
    wait(ctx, lambda: "diff" in state.stills, "the other renderer has drawn")
    still(ctx, app)
    assert state.right == "diff"
    wait(ctx, lambda: state.measured is not None and state.measured.more is not None, "the numbers are there")
    more = state.measured.more
    assert 40 < more.psnr < 100  # the same picture but for how outlines are antialiased
    assert more.ssim > 0.99
    assert more.flip < 0.01
    first = state.stills["diff"]
    ctx.key_press(imgui.Key.keypad6)  # leaves the photo, not the comparison
    still(ctx, app)
    wait(ctx, lambda: state.stills["diff"] is not first, "it draws the new view, too")
    assert (state.view.mode, state.view.photo) == ("side", None)
    ctx.item_click("//Viewport/###swap_sides")
    still(ctx, app)
    assert (state.left, state.right) == ("diff", "render")
    ctx.item_click("//Viewport/###swap_sides")


def _kept_pictures(ctx: Any, app: Any) -> None:
    state = app.state
    light = ("scene", "lighting", "lights", 0, "intensity")
    ctx.key_press(imgui.Key.k)
    ctx.yield_(3)
    bright = state.scene.lighting.lights[0].intensity
    state.set(light, 0.05, "Dim the sun")
    still(ctx, app)
    ctx.key_press(imgui.Key.k | SHIFT)
    still(ctx, app)
    state.act("side", "left", "a")
    state.act("side", "right", "b")
    state.act("mode", "wipe")
    still(ctx, app)
    both = shown(ctx, app)
    state.act("mode", "render")
    still(ctx, app)
    only_a = shown(ctx, app)
    state.act("mode", "target")
    still(ctx, app)
    only_b = shown(ctx, app)
    middle = (both.shape[0] // 2, both.shape[1] // 2)
    assert only_a[middle].max() > 1.3 * only_b[middle].max()
    seam = both.shape[1] // 2
    assert np.abs(both[:, : seam - 8] - only_a[:, : seam - 8]).max() < 0.02
    assert np.abs(both[:, seam + 8 :] - only_b[:, seam + 8 :]).max() < 0.02
    state.act("restore", "a")
    still(ctx, app)
    assert state.scene.lighting.lights[0].intensity == bright
    assert state.history.undo_label == "Go back to A"
    state.act("undo")
    still(ctx, app)
    assert state.scene.lighting.lights[0].intensity == 0.05
    state.act("side", "left", "render")
    state.act("mode", "wipe")
    still(ctx, app)
    wait(ctx, lambda: state.measured is not None and state.measured.more is not None, "the numbers are there")
    assert state.measured.more.psnr > 80, "what is kept as B is the render now"


def _measures(ctx: Any, app: Any) -> None:
    state = app.state
    state.act("side", "right", "a")
    state.act("mode", "difference")
    still(ctx, app)
    pictures = {}
    for kind in ("absolute", "relative", "flip", "ssim"):
        state.act("error", kind)
        still(ctx, app)
        if kind in ("flip", "ssim"):
            wait(ctx, lambda: app.control.comparing.has_map, "the map is there")
        ctx.yield_(3)
        pictures[kind] = shown(ctx, app)
    middle = tuple(n // 2 for n in pictures["flip"].shape[:2])
    assert state.view.error_range == 1.0
    assert pictures["flip"][middle].max() > 0.05
    assert np.abs(pictures["flip"] - pictures["absolute"]).max() > 0.1
    assert np.abs(pictures["flip"] - pictures["ssim"]).max() > 0.02
    state.act("drop_kept", "a")
    ctx.yield_(3)
    assert "a" not in state.stills
    assert state.right != "a"


def test_pixels_tones_and_channels() -> None:
    app = make_app()
    state, view = app.state, app.state.view

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("reset_view")
        still(ctx, app)
        ctx.window_focus("//Viewport")
        _inspect(ctx, app)
        _histogram(ctx, app)
        _lines(ctx, app)
        _channels(ctx, app)
        view.inspector = view.histogram = False

    drive(app, script)


def _inspect(ctx: Any, app: Any) -> None:
    state, inspector = app.state, app.viewport.tools.inspector
    ctx.mouse_move_to_pos(at(app, (0.0, 0.0, 0.0)))
    ctx.key_press(imgui.Key.i)
    wait(ctx, lambda: inspector.seen is not None and inspector.seen.info is not None, "the pixel is read")
    still(ctx, app)
    ctx.yield_(12)
    seen, image = inspector.seen, shown(ctx, app)
    row, column = image.shape[0] - 1 - seen.y, seen.x
    assert np.abs(image[row, column] - np.clip(seen.colors["render"], 0, 1)).max() < 0.02
    assert np.linalg.norm(seen.info.position) == pytest.approx(0.75, abs=0.01)
    face = state.scene.meshes[0].faces[seen.info.triangle]
    corners = state.scene.meshes[0].vertices[face]
    assert np.linalg.norm(corners.mean(axis=0) - seen.info.position) < 0.2
    words = dict(inspector.words())
    assert words["object"].startswith("0")
    assert {"linear", "sRGB", "triangle", "depth", "normal", "position"} <= words.keys()
    ctx.key_press(imgui.Key.p)
    ctx.yield_(2)
    assert state.view.pinned == (seen.x, seen.y)
    ctx.mouse_move_to_pos(at(app, (0.3, 0.3, 0.0)))
    ctx.yield_(12)
    assert (inspector.seen.x, inspector.seen.y) == (seen.x, seen.y), "a pinned pixel stays"
    before = inspector.seen.colors["render"]
    state.view.exposure = 1.0
    still(ctx, app)
    ctx.yield_(12)
    np.testing.assert_allclose(inspector.seen.colors["render"], 2 * before, rtol=0.01)
    state.view.exposure = 0.0
    ctx.key_press(imgui.Key.p)
    ctx.yield_(2)
    assert state.view.pinned is None


def _histogram(ctx: Any, app: Any) -> None:
    inspector, view = app.viewport.tools.inspector, app.state.view
    ctx.key_press(imgui.Key.h)
    wait(ctx, lambda: inspector.tones is not None, "tones are counted")
    still(ctx, app)
    np.testing.assert_allclose(inspector.tones.counts.sum(axis=1), 1.0, rtol=1e-5)
    assert inspector.tones.bright < 0.5
    view.exposure = 6.0
    still(ctx, app)
    wait(ctx, lambda: inspector.tones.bright > 0.9, "all is clipped")
    plain = shown(ctx, app)
    ctx.key_press(imgui.Key.c)
    still(ctx, app)
    middle = shown(ctx, app)[plain.shape[0] // 2 - 8 : plain.shape[0] // 2 + 8, plain.shape[1] // 2 - 8 :][
        :, :16
    ]
    red = (middle[..., 0] > 0.9) & (middle[..., 1] < 0.2)
    assert 0.3 < red.mean() < 0.7
    ctx.key_press(imgui.Key.c)
    view.exposure = 0.0
    still(ctx, app)


def _lines(ctx: Any, app: Any) -> None:
    view = app.state.view
    plain = shown(ctx, app)
    for key, name in ((imgui.Key.z, "wireframe"), (imgui.Key.n, "normals")):
        ctx.key_press(key)
        still(ctx, app)
        assert getattr(view, name)
        changed = np.abs(shown(ctx, app) - plain).max(axis=2) > 0.1
        assert 0.002 < changed.mean() < 0.5, name
        ctx.key_press(key)
        still(ctx, app)
        assert np.abs(shown(ctx, app) - plain).max() < 0.02


def _channels(ctx: Any, app: Any) -> None:
    view, gl = app.state.view, app.viewport.gl
    ctx.key_press(imgui.Key._4)
    still(ctx, app)
    assert view.aov == "depth"
    near, far = gl.channel_range()
    depth = app.viewport.camera.distance
    assert near < depth < far
    plain = shown(ctx, app)
    ctx.item_input_value("//Viewport/##aov_high", 2 * far)
    still(ctx, app)
    assert view.aov_range == pytest.approx((near, 2 * far), rel=1e-3)
    middle = tuple(n // 2 for n in plain.shape[:2])
    assert np.abs(shown(ctx, app) - plain)[middle].max() > 0.02
    choose(ctx, "aov_map", "Gray")
    still(ctx, app)
    assert view.aov_map == "gray"
    assert np.ptp(shown(ctx, app)[middle]) < 0.01
    ctx.key_press(imgui.Key._1)
    still(ctx, app)
    assert view.aov_range is None


def test_views_and_the_turntable() -> None:
    app = make_app()
    view = app.state.view

    def axis() -> np.ndarray:
        return np.asarray(app.viewport.camera.camera(64, 64).view_to_world[:3, 2])

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.window_focus("//Viewport")
        ctrl = imgui.Key.mod_ctrl
        for chord, expected in (
            *((imgui.Key.keypad1, (0, 0, 1)), (imgui.Key.keypad1 | ctrl, (0, 0, -1))),
            *((imgui.Key.keypad3, (1, 0, 0)), (imgui.Key.keypad9, (-1, 0, 0))),
        ):
            ctx.key_press(chord)
            ctx.yield_(2)
            wait(ctx, lambda: not app.viewport.camera.moving, "the camera has arrived")
            np.testing.assert_allclose(axis(), expected, atol=0.02)
        before = axis()
        ctx.key_press(imgui.Key.keypad6)
        ctx.yield_(2)
        wait(ctx, lambda: not app.viewport.camera.moving, "the camera has arrived")
        assert float(before @ axis()) == pytest.approx(np.cos(np.radians(15)), abs=1e-3)
        app.state.act("toggle", "turning")
        start = axis()
        ctx.yield_(10)
        assert view.turning
        assert float(start @ axis()) < 0.9999
        app.state.act("toggle", "turning")
        ctx.yield_(2)
        there = axis()
        ctx.yield_(5)
        np.testing.assert_array_equal(there, axis())
        ctx.key_press(imgui.Key.g)
        ctx.yield_(3)
        assert (view.truth, view.photo) == (True, 0)
        still(ctx, app)
        pictures = []
        for opacity in (0.0, 1.0):
            view.overlay = opacity
            still(ctx, app)
            pictures.append(shown(ctx, app))
        assert np.abs(pictures[0] - pictures[1]).max() > 0.2

    drive(app, script)


def hit(ctx: Any, app: Any, x: float, y: float) -> Any:
    """What lies under a pixel of the view, asked on the thread that has the OpenGL context."""
    found: list[Any] = []
    app.on_frame = lambda: found.append(app.viewport.gl.pixel(x, y, triangle=True))
    ctx.yield_(2)
    app.on_frame = None
    return found[-1]


def test_orthographic_view() -> None:
    """Parallels stay parallel in picture, picking and axes; the number pad switches."""
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("look", "front")
        ctx.yield_(3)
        wait(ctx, lambda: not app.viewport.camera.moving, "the front")
        ctx.key_press(imgui.Key.keypad5)
        wait(ctx, lambda: state.view.orthographic, "orthographic")
        wait(ctx, lambda: app.viewport.gl.settled, "the picture stands still")
        width, height = app.viewport.pixels
        middle = hit(ctx, app, width / 2, height / 2)
        assert middle is not None
        assert middle.position == pytest.approx([0, 0, 0.75], abs=0.01)
        assert middle.triangle is not None
        # Half way out the ball is hit where the ray runs along z.
        per_pixel = 2 * np.tan(app.viewport.camera.fov_y / 2) * app.viewport.camera.distance / height
        aside = hit(ctx, app, width / 2 + 0.4 / per_pixel, height / 2)
        assert aside is not None
        assert aside.position[0] == pytest.approx(0.4, abs=0.01)
        assert aside.position[2] == pytest.approx(np.sqrt(0.75**2 - 0.4**2), abs=0.02)
        state.act("frame")
        ctx.yield_(3)
        wait(ctx, lambda: not app.viewport.camera.moving, "framed")
        camera = app.viewport.camera.camera(*app.viewport.pixels)
        top = camera.world_to_clip @ (0, 0.75, 0, 1)
        assert top[1] / top[3] == pytest.approx(1 / 1.2, abs=0.02)
        ctx.key_press(imgui.Key.keypad5)
        wait(ctx, lambda: not state.view.orthographic, "perspective")

    drive(app, script)
