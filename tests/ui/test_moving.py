"""The picture while the camera moves and after: fewer pixels for the rate, all of them when still."""

from __future__ import annotations

from typing import Any

import pytest

from studio.gl.governor import LEVELS, Level
from tests.needs import need
from tests.ui.driving import drive, make_app, wait, wait_ready


@pytest.fixture(scope="module", autouse=True)
def window() -> None:
    need("display")


def test_the_rate_holds_while_the_camera_moves() -> None:
    app = make_app()
    widths: list[float] = []

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.window_focus("//Viewport")
        _drag(ctx, app, widths, 1e-6, LEVELS[-1])  # no machine is that fast
        full = app.viewport.pixels[0]
        assert round(min(widths)) == round(full * LEVELS[-1].scale)
        _refined(ctx, app, full)
        _drag(ctx, app, widths, 10.0, LEVELS[0])  # every machine is
        assert widths[-1] == full
        _refined(ctx, app, full)

    drive(app, script)


def _drag(ctx: Any, app: Any, widths: list[float], target: float, level: Level) -> None:
    """Turn the camera until the governor has come to `level`; `widths` are the pictures', in pixels."""
    widths.clear()
    app.viewport.governor.target = target

    def note() -> None:
        if app.viewport.moving:
            widths.append(app.viewport.gl.read_image().shape[1])

    low, high = app.viewport.rectangle()
    ctx.mouse_move_to_pos(((low.x + high.x) / 2, (low.y + high.y) / 2))
    app.on_frame = note
    for step in range(60):
        if app.viewport.governor.level == level and step > 3:
            break
        ctx.mouse_drag_with_delta((12 if step % 2 else -12, 8))
    wait(ctx, lambda: not app.viewport.moving, "the camera has come to rest")
    app.on_frame = None
    assert app.viewport.governor.level == level


def _refined(ctx: Any, app: Any, full: int) -> None:
    """At rest every pixel is drawn, and all samples are averaged."""
    gl = app.viewport.gl
    wait(ctx, lambda: gl.settled, "the picture is finished")
    sizes: list[int] = []
    app.on_frame = lambda: sizes.append(gl.read_image().shape[1])
    ctx.yield_(2)
    app.on_frame = None
    assert sizes[-1] == full
    drawn = gl.frames_drawn
    ctx.yield_(5)
    assert gl.frames_drawn == drawn, "nothing is drawn while nothing changes"


def test_the_rate_holds_while_a_slider_is_dragged() -> None:
    app = make_app()
    widths: list[int] = []

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        app.viewport.governor.level = LEVELS[3]
        app.viewport.governor.target = 0.0
        ctx.window_focus("//Effects")
        ctx.yield_(3)
        wait(ctx, lambda: app.viewport.gl.settled, "the picture is finished")
        full = app.viewport.pixels[0]
        app.on_frame = lambda: widths.append(app.viewport.gl.read_image().shape[1])
        ctx.mouse_move("//Effects/pbr/##light_exposure")
        ctx.mouse_drag_with_delta((40, 0))
        assert app.state.document.effects["pbr"]["light_exposure"] > 0
        assert min(widths) < 0.6 * full
        wait(ctx, lambda: app.viewport.gl.settled and widths[-1] == full, "all pixels are back")
        app.on_frame = None

    drive(app, script)
