"""The real window, clicked: a fit from start to export, files good and bad, shortcuts."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui

from studio.core.io.images import save_exr
from studio.core.optim.fit import Fit, FitProblem
from studio.ui.commands import Edits, Set
from tests.needs import need
from tests.ui.driving import drive, make_app, small_settings, sphere_photos, wait, wait_ready

TETRA = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
CTRL, SHIFT = imgui.Key.mod_ctrl, imgui.Key.mod_shift


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compile kernels before the window opens: the engine ends a test after 60 seconds."""
    need("display")
    fit = Fit(FitProblem(sphere_photos()), small_settings(2), "cpu")
    fit.prepare()
    fit.step()


def test_fit_from_start_to_export(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        first = state.view.photo
        assert first is None
        _fit_and_pause(ctx, app)
        _compare(ctx, app)
        _edit_and_undo(ctx, app)
        _export(ctx, app, tmp_path)

    drive(app, script)
    assert not any(t.name.startswith("studio-optimizer") for t in threading.enumerate())


def _fit_and_pause(ctx: Any, app: Any) -> None:
    run = app.state.run
    ctx.item_click("//Optimize/###start")
    wait(ctx, lambda: app.state.run.status.phase == "running", "the fit runs")
    wait(ctx, lambda: len(app.state.run.history) > 60, "60 steps")
    run = app.state.run
    ctx.item_click("//Optimize/###start")
    wait(ctx, lambda: run.status.phase == "paused", "paused")
    totals = [row.losses["total"] for row in run.history]
    # A ball of 0.75 that should be 0.45: most of the loss goes within 60 steps.
    assert np.mean(totals[-5:]) < 0.6 * np.mean(totals[:3])
    shown = app.viewport.gl.meshes.parts[0].mesh
    extent = float(np.abs(shown.vertices).max())
    assert extent < 0.7, f"the viewport still shows the start mesh, extent {extent}"
    _read_plots(ctx, app)
    step = run.status.step
    ctx.item_click("//Optimize/###step")
    wait(ctx, lambda: run.status.step == step + 1 and run.status.phase == "paused", "one step")


def _read_plots(ctx: Any, app: Any) -> None:
    """Hovering reads the curves; the timeline goes back to the start and returns."""
    run, line = app.state.run, ctx.item_info("//Progress/timeline").rect_full
    for share in (0.15, 0.5, 0.85):
        ctx.mouse_move_to_pos((line.min.x + share * (line.max.x - line.min.x), line.min.y - 50))
        ctx.yield_(2)
    ctx.mouse_move_to_pos((line.min.x + 10, (line.min.y + line.max.y) / 2))
    ctx.mouse_click()
    ctx.yield_(3)
    assert run.shown is not None
    assert run.shown.step == 0
    ctx.mouse_move_to_pos((line.max.x - 10, (line.min.y + line.max.y) / 2))
    ctx.mouse_click()
    ctx.yield_(3)
    assert run.shown is None


def _compare(ctx: Any, app: Any) -> None:
    view = app.state.view
    ctx.item_click("//Photos/photo2")
    wait(ctx, lambda: view.photo == 2, "photo 2 is looked through")
    wait(ctx, lambda: not app.viewport.camera.moving, "the camera has arrived")
    ctx.item_click("//Viewport/###mode_wipe")
    ctx.yield_(3)
    assert view.mode == "wipe"
    low, high = app.viewport.rectangle()
    middle = (low.y + high.y) / 2 + 60
    ctx.mouse_move_to_pos(((low.x + high.x) / 2, middle))
    ctx.mouse_drag_with_delta((-120, 0))
    expected = 0.5 - 120 / (high.x - low.x)
    # The drag threshold and rounding to pixels take a few pixels off.
    assert abs(view.wipe - expected) < 0.03, f"wipe at {view.wipe}, expected {expected}"
    assert view.photo == 2, "dragging the divider must not move the camera"
    ctx.key_press(imgui.Key.right_bracket)
    ctx.yield_(2)
    assert view.photo == 3
    ctx.key_press(imgui.Key.o)
    ctx.yield_(2)
    assert view.mode == "difference"
    ctx.key_press(imgui.Key.escape)
    ctx.yield_(2)
    assert view.photo is None
    assert view.mode == "render"


def _edit_and_undo(ctx: Any, app: Any) -> None:
    document = app.state.document
    ctx.window_focus("//Effects")
    before = document.effects["pbr"]["specular_f0"]
    ctx.item_input_value("//Effects/pbr/##specular_f0", 0.1)
    ctx.yield_(2)
    assert document.effects["pbr"]["specular_f0"] == pytest.approx(0.1)
    ctx.key_press(CTRL | imgui.Key.z)
    ctx.yield_(2)
    assert document.effects["pbr"]["specular_f0"] == pytest.approx(before)
    ctx.key_press(CTRL | SHIFT | imgui.Key.z)
    ctx.yield_(2)
    assert document.effects["pbr"]["specular_f0"] == pytest.approx(0.1)
    ctx.menu_click("//##MainMenuBar/Edit/###Undo")
    ctx.yield_(2)
    assert document.effects["pbr"]["specular_f0"] == pytest.approx(before)
    ctx.item_click("//Effects/pbr/##enabled")
    ctx.yield_(2)
    assert document.enabled["pbr"] is False
    assert not ctx.item_exists("//Effects/pbr/##specular_f0"), "an effect that is off shows no controls"
    ctx.key_press(CTRL | imgui.Key.z)
    ctx.yield_(2)
    assert document.enabled["pbr"] is True


def _export(ctx: Any, app: Any, folder: Path) -> None:
    state = app.state
    mesh = folder / "ball.glb"
    vertices = len(state.run.visible.mesh.vertices)
    state.act("export", mesh)
    wait(ctx, lambda: mesh.exists() and not state.jobs.running, "the mesh is written")
    picture = folder / "ball.png"
    state.act("screenshot", picture)
    wait(ctx, lambda: picture.exists() and not state.jobs.running, "the picture is written")
    from PIL import Image

    with Image.open(picture) as image:
        assert np.asarray(image).std() > 5, "the picture is blank"
    ctx.item_click("//Optimize/###stop") if ctx.item_exists("//Optimize/###stop") else state.act("stop")
    wait(ctx, lambda: state.run.status.phase == "stopped", "stopped")
    assert state.history.undo_label == "Fit"
    state.act("open_mesh", mesh)
    wait(ctx, lambda: state.document.scene.meshes[0].name != "" and not state.jobs.running, "reopened")
    wait(ctx, lambda: state.history.undo_label.startswith("Open ball"), "the opened mesh is the document")
    # glTF welds nothing and splits nothing here: no UVs, one normal per vertex.
    assert len(state.scene.meshes[0].vertices) == vertices


def test_the_built_in_scene_converges_at_once(tmp_path: Path) -> None:
    app = make_app(document=False, demo=True)
    state = app.state
    tetra = tmp_path / "tetra.obj"
    tetra.write_text(TETRA)

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        wait(ctx, lambda: state.photos is not None and not state.jobs.running, "the built-in scene is open")
        assert not state.history.changed, "what the window opens with is no edit"
        _mesh_instead(ctx, app, tetra)
        state.set(("settings", "resolution"), 128, "Change resolution")  # seconds, not minutes
        ctx.yield_(2)
        ctx.key_press(imgui.Key.space)
        wait(ctx, lambda: len(state.run.history) > 24, "24 steps")
        totals = [row.losses["total"] for row in state.run.history]
        # 24 steps of 600 towards the duck: the loss has lost a fifth and more by then.
        assert np.mean(totals[-4:]) < 0.85 * np.mean(totals[:4])

        def measured() -> bool:
            shown = state.run.snapshot  # comes when the window has time for it
            return shown is not None and any(np.isfinite(e) for e in shown.view_errors.values())

        wait(ctx, measured, "errors of the photos")
        state.act("open_mesh", tetra)
        wait(ctx, lambda: state.scene.triangle_count() == 4, "another mesh is open")
        ctx.yield_(10)
        assert state.run.status.phase == "idle", "the run went with its document"
        assert state.history.undo_label == "Open tetra.obj"
        assert state.photos is not None, "they have been worked with"

    drive(app, script)


def _mesh_instead(ctx: Any, app: Any, path: Path) -> None:
    """A mesh opened before anything was done replaces the duck's photos, and its panel comes forward."""
    state = app.state
    assert not ctx.item_exists("//Material/##base_color")
    state.act("open_mesh", path)
    wait(ctx, lambda: state.scene.triangle_count() == 4, "the mesh is open")
    assert state.photos is None
    wait(ctx, lambda: ctx.item_exists("//Material/##base_color"), "the mesh's panel")
    state.act("undo")
    wait(ctx, lambda: state.photos is not None, "the photos are back")
    ctx.window_focus("//Optimize")


def test_files_and_notices(tmp_path: Path) -> None:
    app = make_app(document=False)
    state = app.state
    bad = tmp_path / "broken.glb"
    bad.write_bytes(b"glTF but not really")
    good = tmp_path / "tetra.obj"
    good.write_text(TETRA)
    sky = tmp_path / "sky.exr"
    save_exr(sky, np.full((16, 32, 3), 0.5, np.float32))
    other = tmp_path / "notes.pdf"
    other.write_text("no mesh")

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        assert ctx.item_exists("//Photos/###open_photos")
        assert ctx.item_exists("//Scene/###open_mesh")
        ctx.item_click("//Scene/###open_mesh")
        ctx.yield_(3)
        assert app.control.dialogs.open
        app.control.dialogs.close()
        for path in (bad, other, tmp_path / "missing.obj", tmp_path):
            lines = len(state.log)
            app._on_drop(None, [str(path)])
            wait(
                ctx,
                lambda n=lines: len(state.log) > n and not state.jobs.running,
                f"a notice about {path.name}",
            )
            assert state.log[-1].level == "fail", state.log[-1]
        assert state.notices
        app._on_drop(None, [str(good)])
        wait(ctx, lambda: state.scene.triangle_count() == 4, "the tetrahedron is open")
        ctx.key_press(CTRL | imgui.Key.z)
        wait(ctx, lambda: not state.scene.meshes, "undone")
        ctx.key_press(CTRL | imgui.Key.y)
        wait(ctx, lambda: state.scene.triangle_count() == 4, "done again")
        _look_around(ctx, app)
        state.act("open_scene", "cornell")
        ctx.yield_(3)
        ctx.item_click("//Question/###Don't save")
        wait(ctx, lambda: state.document.name == "cornell", "a built-in scene is open")
        assert len(state.scene.lighting.lights) == 1
        app._on_drop(None, [str(sky)])
        wait(ctx, lambda: state.scene.lighting.environment is not None, "the map lights the scene")
        assert state.document.enabled["environment"]
        ctx.yield_(4)
        ctx.key_press(CTRL | imgui.Key.z)
        wait(ctx, lambda: state.scene.lighting.environment is None, "undone")

    drive(app, script)


def _look_around(ctx: Any, app: Any) -> None:
    """Hands and keys on an opened mesh."""
    viewport, view = app.viewport, app.state.view
    app.state.notices.clear()  # they stand over the lower half of the picture
    ctx.yield_(2)
    ctx.window_focus("//Viewport")
    low, high = viewport.rectangle()
    ctx.mouse_move_to_pos(((low.x + high.x) / 2, (low.y + high.y) / 2))
    before = viewport.camera.camera(64, 64).view_to_world.copy()
    ctx.mouse_drag_with_delta((60, 10))
    turned = viewport.camera.camera(64, 64).view_to_world.copy()
    assert not np.allclose(before, turned)
    distance = viewport.camera.distance
    ctx.mouse_wheel_y(2)
    ctx.yield_(2)
    assert viewport.camera.distance < distance
    ctx.key_press(imgui.Key._3)
    ctx.yield_(2)
    assert view.aov == "normal"
    ctx.key_press(imgui.Key._1)
    ctx.yield_(2)
    ctx.key_press(imgui.Key.tab)
    ctx.yield_(4)
    assert view.picture_only
    assert viewport.rectangle()[1].x - viewport.rectangle()[0].x > high.x - low.x
    ctx.key_press(imgui.Key.tab)
    ctx.yield_(4)
    assert not view.picture_only
    ctx.key_press(SHIFT | imgui.Key.slash)
    ctx.yield_(3)
    assert ctx.window_info("//$FOCUSED").window is not None
    ctx.key_press(imgui.Key.escape)
    for layout in ("Compare", "Edit", "Optimize"):
        app.state.act("layout", layout)
        ctx.yield_(4)
    for kind in ("point", "spot", "area"):
        app.state.act("add_light", kind)
        ctx.yield_(2)
        assert app.state.scene.lighting.lights[1].kind == kind
        app.state.act("remove_light", 1)
        ctx.yield_(2)
        assert len(app.state.scene.lighting.lights) == 1


def test_any_sequence_of_run_commands_is_safe() -> None:
    app = make_app()
    state = app.state
    generator = random.Random(7)

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        for _ in range(40):
            state.act(generator.choice(("toggle_run", "toggle_run", "step", "stop", "reset")))
            ctx.yield_(generator.randrange(1, 6))
            assert state.run.status.phase != "failed", state.run.status.note
        state.act("toggle_run")  # whatever it is doing then, the window closes over it

    drive(app, script)
    assert not any(t.name.startswith("studio-optimizer") for t in threading.enumerate())


def test_the_first_shape_of_a_run_fills_the_view() -> None:
    app = make_app(document=False)
    state = app.state
    sets = (Set(("photos",), sphere_photos(), ""), Set(("settings",), small_settings(), ""))
    state.send(Edits(sets, "Open photos"))

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        assert not state.scene.meshes
        app.viewport.camera.zoom(-8.0, (0.0, 0.0), 1.0)  # far away
        ctx.item_click("//Optimize/###start")
        wait(ctx, lambda: not app.viewport.gl.empty, "the first shape")
        wait(ctx, lambda: not app.viewport.camera.moving, "framed")
        low, high = app.viewport.gl.bounds()
        camera = app.viewport.camera.camera(*app.viewport.pixels)
        up = camera.view_to_world[:3, 1] * (high - low)[1] / 2
        top = camera.world_to_clip @ (*((low + high) / 2 + up), 1)
        assert 0.4 < top[1] / top[3] < 1

    drive(app, script)
