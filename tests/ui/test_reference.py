"""The path-traced reference in the real window: traced behind it, compared, and out of date."""

from __future__ import annotations

from typing import Any

import pytest

from tests.needs import need
from tests.ui.driving import drive, make_app, wait, wait_ready


@pytest.fixture(scope="module", autouse=True)
def window() -> None:
    need("display")
    need("mitsuba")


def test_reference_of_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.ui.reference.WIDTH", 160)
    monkeypatch.setattr("studio.ui.reference.SAMPLES", 32)
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.set(("photos",), None, "No photos")
        ctx.yield_(2)
        assert state.right == "diff"
        state.act("path_trace")
        wait(ctx, lambda: state.reference is not None and not state.jobs.running, "the picture is traced")
        assert (state.right, state.view.mode) == ("reference", "wipe")
        state.act("mode", "difference")
        wait(ctx, lambda: app.viewport.gl.settled, "the picture stands still")
        wait(ctx, lambda: state.measured is not None, "the number is there")
        assert 0.0 < state.measured.mean < 0.08  # the same object, under the same light
        first = state.reference
        state.act("drop_reference")
        ctx.yield_(3)
        assert state.reference is None
        assert (state.right, state.view.mode) == ("diff", "render")
        state.act("path_trace")
        wait(ctx, lambda: state.reference is not None, "part of the picture is there")
        assert state.reference is not first
        state.set(("scene", "lighting", "lights", 0, "intensity"), 0.1, "Dim the light")
        ctx.yield_(3)
        assert state.reference is None  # of a light that is no more
        wait(ctx, lambda: not state.jobs.running, "the work has ended")
        assert state.reference is None

    drive(app, script)
