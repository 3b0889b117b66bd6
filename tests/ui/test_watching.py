"""Watching a run in the real window: curves, timeline, rates, going on, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui

from studio.core.optim import messages as m
from studio.core.optim.fit import Fit, FitProblem
from tests.needs import need
from tests.ui.driving import drive, make_app, small_settings, sphere_photos, wait, wait_ready


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compile kernels before the window opens: the engine ends a test after 60 seconds."""
    need("display")
    fit = Fit(FitProblem(sphere_photos()), small_settings(2), "cpu")
    fit.prepare()
    fit.step()


def _run_to(ctx: Any, app: Any, steps: int) -> None:
    """A finished fit of so many steps."""
    app.state.set(("settings", "steps"), steps, "Change steps")
    ctx.yield_(2)
    app.state.act("toggle_run")
    wait(ctx, lambda: app.state.run.active, "it has begun")
    wait(ctx, lambda: app.state.run.status.phase == "done", f"{steps} steps are done", 40.0)


def test_curves_timeline_and_going_on() -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        _run_to(ctx, app, 20)
        _scrub(ctx, app)
        _smooth_and_sort(ctx, app)
        _rates(ctx, app)
        ctx.item_click("//Optimize/###extend")
        wait(ctx, lambda: state.run.status.steps == 30, "10 more steps")
        wait(ctx, lambda: state.run.status.phase == "done" and state.run.status.step == 30, "all done", 40.0)
        assert [row.step for row in state.run.history] == list(range(1, 31)), "the curves go on"

    drive(app, script)


def test_checkpoints_and_curves_of_earlier_runs(tmp_path: Path) -> None:
    app = make_app()

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        _run_to(ctx, app, 12)
        _checkpoint(ctx, app, tmp_path / "ball.safetensors")

    drive(app, script)


def _scrub(ctx: Any, app: Any) -> None:
    """Arrow keys and dragging go through the snapshots; picture, errors and status follow."""
    run = app.state.run
    ctx.window_focus("//Viewport")
    steps = [snapshot.step for snapshot in run.timeline]
    assert steps[0] == 0
    assert steps[-1] == 20
    ctx.key_press(imgui.Key.left_arrow)
    ctx.yield_(3)
    assert run.shown is not None
    assert run.shown.step == steps[-2]
    shown = app.viewport.gl.meshes.parts[0].mesh
    np.testing.assert_array_equal(shown.vertices, run.timeline[-2].mesh.vertices)
    ctx.key_press(imgui.Key.right_arrow)
    ctx.yield_(3)
    assert run.shown is None, "past the last snapshot the run is followed again"
    line = ctx.item_info("//Progress/timeline").rect_full
    middle = (line.min.y + line.max.y) / 2
    ctx.mouse_move_to_pos((line.max.x - 10, middle))
    ctx.mouse_down(0)
    ctx.mouse_move_to_pos((line.min.x + 10, middle))
    ctx.yield_(2)
    assert run.shown is not None
    assert run.shown.step == 0, "dragging scrubs"
    ctx.mouse_up(0)
    ctx.mouse_move_to_pos((line.max.x - 10, middle))
    ctx.mouse_click()
    ctx.yield_(3)
    assert run.shown is None


def _smooth_and_sort(ctx: Any, app: Any) -> None:
    view = app.state.view
    ctx.item_input_value("//Progress/##smoothing", 0.25)
    ctx.yield_(2)
    assert view.smoothing == pytest.approx(0.25)
    ctx.item_click("//Progress/###sort_bars")
    ctx.yield_(2)
    assert view.worst_first
    bars = ctx.item_info("//Progress/##views").rect_full
    ctx.mouse_move_to_pos((bars.min.x + 50, (bars.min.y + bars.max.y) / 2))
    ctx.mouse_click()
    ctx.yield_(3)
    errors = app.state.run.snapshot.view_errors
    worst = max(errors, key=errors.__getitem__)
    assert app.state.photos.photos[view.photo].name == worst, "the first bar is the worst photo"
    app.state.act("leave_photo")
    app.state.act("toggle", "worst_first")
    ctx.yield_(2)


def _rates(ctx: Any, app: Any) -> None:
    snapshot = app.state.run.snapshot
    settings = app.state.document.settings
    assert snapshot.rates["vertices"] < settings.rate("vertices"), "decay has taken its part"
    assert snapshot.motion["vertices"] > 0


def _checkpoint(ctx: Any, app: Any, path: Path) -> None:
    state = app.state
    state.act("save_checkpoint", path)
    wait(ctx, path.exists, "the checkpoint is written")
    _run_to(ctx, app, 4)
    assert len(state.earlier) == 1, "the curves of the run before stay"
    assert state.earlier[0][-1].step == 12
    state.act("resume", path)
    wait(ctx, lambda: state.run.status.step > 12, "on from step 12", 40.0)
    assert state.document.settings["steps"] == 22, "a finished run gets more steps"
    state.act("resume", path.with_name("missing.safetensors"))

    def refused() -> bool:
        return any(line.level == "fail" and "missing.safetensors" in line.text for line in state.log)

    wait(ctx, refused, "a notice")


def test_states_are_told_apart() -> None:
    """Converged, failed at a step: said in status bar and notices, with what to do."""
    from studio.ui.panels import status

    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        _run_to(ctx, app, 6)
        ctx.yield_(2)
        worker = app.control.run.worker
        flat = [m.HistoryRow(step, {"total": 0.02}, 25.0, 0.1 * step) for step in range(1, 151)]
        parts = worker.status.parts
        worker.history = flat
        worker.status = m.Status("running", 150, 151, 9.0, parts=(parts[-1]._replace(begin=0, end=151),))
        wait(ctx, lambda: state.run.plateau is not None, "the plateau is seen")
        assert any("Converged" in notice.text for notice in state.notices)
        assert f"no better since step {state.run.plateau}" in status.parts(state)
        assert ctx.item_exists("//##MainStatusBar/###stop_converged") or ctx.item_exists(
            "**/###stop_converged"
        )
        worker.status = m.Status("failed", 33, 150, note="the loss is not finite", parts=parts)
        wait(ctx, lambda: any("failed at step 33" in notice.text for notice in state.notices), "a notice")
        assert "at step 33" in status.parts(state)
        assert "step 6 is kept" in status.parts(state)

    drive(app, script)


def test_gradients_of_the_view_and_of_the_vertices() -> None:
    app = make_app()
    state = app.state
    gradients = app.control.gradients

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.window_focus("//Gradients")
        ctx.yield_(2)
        controls = "//" + ctx.window_info("//Gradients/controls").window.name.replace("/", "\\/")
        assert "light.0.intensity" in app.control.derivable()
        gradients.parameter = "light.0.intensity"
        gradients.size, gradients.block = 48, 8
        ctx.item_click(controls + "/###derive")
        wait(ctx, lambda: gradients.view is not None and not gradients.busy, "the view is derived")
        view = gradients.view
        assert max(view.picture.shape[:2]) == 48
        assert np.isfinite(view.adjoint).all()
        assert view.error < 1e-3
        assert np.abs(view.difference).max() > 0
        ctx.yield_(3)
        assert len(app._gradient_images.get(view)) == 4
        gradients.size, gradients.block = 160, 1  # minutes: it is cancelled
        ctx.item_click(controls + "/###derive")
        wait(ctx, lambda: gradients.busy, "it works")
        ctx.item_click(controls + "/###cancel_gradients")
        wait(ctx, lambda: not state.jobs.running, "it ends")
        _run_to(ctx, app, 4)
        state.act("show_gradient", "total")
        wait(ctx, lambda: state.run.snapshot.gradient is not None, "arrows of the finished run")
        assert state.run.snapshot.gradient.shape == state.run.snapshot.mesh.vertices.shape
        ctx.yield_(3)
        state.act("show_gradient", "")
        wait(ctx, lambda: state.run.snapshot.gradient is None, "no arrows")

    drive(app, script)


def test_films_are_made_in_the_background(tmp_path: Path) -> None:
    from PIL import Image

    app = make_app()
    state = app.state
    for name, value in {"width": 64, "height": 64, "seconds": 0.5, "fps": 10}.items():
        state.choices["film"].set(name, value)

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("save_film", tmp_path / "none.gif")
        wait(ctx, lambda: any("no run to film" in n.text for n in state.notices), "a notice")
        _run_to(ctx, app, 4)
        for action in ("save_turntable", "save_film"):
            path = tmp_path / f"{action}.gif"
            state.act(action, path)
            wait(ctx, lambda p=path: p.exists() and not state.jobs.running, f"{action} is written")
            with Image.open(path) as film:
                assert film.size == (64, 64)
                assert film.n_frames >= 2
        state.choices["film"].set("seconds", 60.0)
        state.act("save_turntable", tmp_path / "long.gif")
        wait(ctx, lambda: bool(state.jobs.running), "it is filmed")
        state.jobs.running[0].cancel()
        wait(ctx, lambda: not state.jobs.running, "it ends")
        assert not (tmp_path / "long.gif").exists()

    drive(app, script)
