"""Taking away from the real window: pictures of any size, layers, films, meshes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from imgui_bundle import imgui
from PIL import Image

from studio.core.io.images import load_image
from studio.core.optim.fit import Fit, FitProblem
from studio.core.scene import Volume
from studio.ui.commands import Set
from tests.needs import need
from tests.ui.driving import drive, make_app, small_settings, sphere_photos, wait, wait_ready

SHIFT = imgui.Key.mod_shift


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compile kernels before the window opens, and before another home is set."""
    need("display")
    fit = Fit(FitProblem(sphere_photos()), small_settings(2), "cpu")
    fit.prepare()
    fit.step()


def settled(ctx: Any, app: Any, what: str) -> None:
    wait(ctx, lambda: not app.state.jobs.running and not app.state.jobs.quiet, what)


def choose(ctx: Any, app: Any, dialog: str, **values: Any) -> None:
    for name, value in values.items():
        app.state.act("choose", dialog, name, value)
    ctx.yield_(2)


def test_pictures_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    app = make_app()
    state = app.state

    def save(ctx: Any, name: str) -> np.ndarray:
        state.act("screenshot", tmp_path / name)
        wait(ctx, lambda: (tmp_path / name).exists() and not state.jobs.running, f"{name} is written")
        return load_image(tmp_path / name)

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        _dialog(ctx, app)
        choose(ctx, app, "picture", size="custom", locked=True, width=300, samples=2)
        assert app.control.shots.size((7, 7)) == (300, 169), "the shape is locked"
        choose(ctx, app, "picture", locked=False, height=200)
        shown = save(ctx, "shown.png")
        assert shown.shape == (200, 300, 3)
        assert shown.std() > 0.02, "the picture is blank"
        choose(ctx, app, "picture", transparent=True)
        assert state.choices["picture"]["draw"] == "render", "a grid is not transparent"
        cut = save(ctx, "cut.png")
        assert cut.shape == (200, 300, 4)
        assert cut[0, 0, 3] == 0
        assert cut[100, 150, 3] == 1
        save(ctx, "small.jpg")
        assert not state.choices["picture"]["transparent"], "a JPEG has a background"
        choose(ctx, app, "picture", draw="normal")
        normal = save(ctx, "normal.png")
        assert abs(normal[100, 150] - normal[60, 150]).max() > 0.05
        _wipe(ctx, app, save)
        state.act("screenshot")  # the key: at once, as chosen last, among the user's pictures
        wait(ctx, lambda: any(tmp_path.glob("ball-*.png")) and not state.jobs.running, "the key saves")
        with Image.open(next(tmp_path.glob("ball-*.png"))) as image:
            assert image.size == (300, 200)
        assert not [n.text for n in state.notices if n.level in ("warn", "fail")]

    drive(app, script)


def _dialog(ctx: Any, app: Any) -> None:
    """Opened by its key; the preview and the size of the file follow the choices."""
    shots = app.control.shots
    ctx.key_press(SHIFT | imgui.Key.f12)
    wait(ctx, lambda: shots.preview is not None, "a preview")
    first = shots.preview
    ctx.item_click("//$FOCUSED/##size")
    ctx.yield_(2)
    ctx.item_click("//$FOCUSED/4K")
    wait(ctx, lambda: app.state.choices["picture"]["size"] == "4k", "4K is chosen")
    wait(ctx, lambda: shots.preview is not None and shots.preview is not first, "another preview")
    assert shots.preview.bytes > 2 * first.bytes
    ctx.key_press(imgui.Key.escape)
    wait(ctx, lambda: shots.preview is None, "the dialog is closed")
    app.state.act("dialog", "picture")
    ctx.yield_(4)
    ctx.item_click("//$FOCUSED/###main")
    wait(ctx, lambda: app.control.dialogs.open, "it asks where")
    app.control.dialogs.close()
    ctx.yield_(3)


def _wipe(ctx: Any, app: Any, save: Any) -> None:
    """The comparison as it is shown: the photo on the right of the divider, at any size."""
    app.state.act("look_through", 1)
    app.state.act("mode", "target")
    choose(ctx, app, "picture", draw="shown")
    ctx.yield_(30)
    right = save(ctx, "target.png")
    app.state.act("mode", "wipe")
    ctx.yield_(3)
    wipe = save(ctx, "wipe.png")
    middle = round(300 * app.state.view.wipe)
    assert np.abs(wipe[:, middle + 4 :] - right[:, middle + 4 :]).max() < 0.02
    assert np.abs(wipe[:, : middle - 4] - right[:, : middle - 4]).max() > 0.1
    app.state.act("mode", "difference")
    ctx.yield_(3)
    assert save(ctx, "difference.png").std() > 0.01
    app.state.act("leave_photo")
    ctx.yield_(3)


def test_layers_in_one_file(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        values = {"size": "custom", "locked": False, "width": 96, "height": 64, "samples": 2}
        choose(ctx, app, "picture", **values, transparent=True)
        choose(ctx, app, "picture", format="exr", layer_normal=True, layer_depth=True)
        path = tmp_path / "layers.exr"
        state.act("screenshot", path)
        wait(ctx, lambda: path.exists() and not state.jobs.running, "the file is written")
        with OpenEXR.File(str(path), separate_channels=True) as file:
            names = set(file.channels())
            depth = np.asarray(file.channels()["depth.Z"].pixels)
        assert {"R", "G", "B", "A", "normal.X", "normal.Y", "normal.Z", "depth.Z"} == names
        assert depth.shape == (64, 96)
        assert depth[32, 48] == pytest.approx(app.viewport.camera.distance - 0.75, rel=0.05)

    drive(app, script)


def test_a_large_picture_is_drawn_in_pieces_and_can_be_cancelled(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        choose(ctx, app, "picture", size="1", draw="render", samples=2)
        state.act("screenshot", tmp_path / "small.png")  # compiles shaders, which stay
        wait(ctx, lambda: (tmp_path / "small.png").exists() and not state.jobs.running, "a small one")
        wait(ctx, lambda: app.viewport.gl.settled, "the view stands still")
        alive = app.viewport.gl.resources.count
        choose(ctx, app, "picture", size="4k")
        state.act("screenshot", tmp_path / "large.png")
        wait(ctx, lambda: bool(state.jobs.running), "it is drawn")
        wait(ctx, lambda: 0 < state.jobs.running[0].fraction < 1, "some of it")
        state.jobs.running[0].cancel()
        wait(ctx, lambda: not state.jobs.running, "it is cancelled")
        assert app.viewport.gl.resources.count == alive
        assert not (tmp_path / "large.png").exists()

    drive(app, script)


def test_a_mesh_with_what_is_chosen(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.menu_click("//##MainMenuBar/File/###Export mesh…")
        wait(ctx, lambda: app.control.files.exported_bytes() is not None, "its size")
        ctx.yield_(3)
        glb = app.control.files.exported_bytes()
        ctx.item_click("//$FOCUSED/##format")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/Wavefront, .obj")
        wait(ctx, lambda: state.choices["mesh"]["format"] == "obj", "OBJ is chosen")
        wait(ctx, lambda: app.control.files.exported_bytes() not in (None, glb), "its size")
        estimate = app.control.files.exported_bytes()
        ctx.item_click("//$FOCUSED/##cameras")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###main")
        wait(ctx, lambda: app.control.dialogs.open, "it asks where")
        app.control.dialogs.close()
        choose(ctx, app, "mesh", up="z", unit="cm", environment=True)
        path = tmp_path / "ball.obj"
        state.act("export", path)
        wait(ctx, lambda: path.exists() and not state.jobs.running, "the mesh is written")
        assert {p.name for p in tmp_path.iterdir()} == {
            *("ball.obj", "ball.mtl", "ball_environment.hdr", "ball_cameras.json"),
        }
        assert abs(path.stat().st_size - estimate) < 0.05 * estimate
        state.act("copy_command", "export")
        ctx.yield_(2)
        assert any("save the project first" in n.text for n in state.notices), "the ball is in no file"

    drive(app, script)


def test_films_as_chosen(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("save_turntable")
        ctx.yield_(4)
        ctx.item_click("//$FOCUSED/###main")
        wait(ctx, lambda: app.control.dialogs.open, "it asks where")
        app.control.dialogs.close()
        choose(ctx, app, "film", seconds=0.5, fps=10, width=80, height=64)
        path = tmp_path / "turn"  # the ending follows from the choice
        state.act("save_turntable", path)
        wait(ctx, lambda: path.with_suffix(".gif").exists() and not state.jobs.running, "the film", 40.0)
        with Image.open(path.with_suffix(".gif")) as film:
            assert (film.size, film.n_frames, film.info["duration"]) == ((80, 64), 5, 100)  # type: ignore[attr-defined]

    drive(app, script)


def test_a_volume_alone_is_filmed(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        density = np.full((8, 8, 8), -20.0, np.float32)
        density[2:6, 2:6, 2:6] = 20.0
        volume = Volume(density, np.zeros((8, 8, 8, 1, 3), np.float32), np.full(3, -0.5), 0.15)
        scene = replace(state.scene, meshes=[], volume=volume)
        app.control._apply(Set(("scene",), scene, "Volume"))
        choose(ctx, app, "film", seconds=0.5, fps=10, width=64, height=64)
        state.act("save_turntable", tmp_path / "turn.gif")
        wait(ctx, lambda: (tmp_path / "turn.gif").exists() and not state.jobs.running, "the film", 40.0)
        with Image.open(tmp_path / "turn.gif") as film:
            assert (film.size, film.n_frames) == ((64, 64), 5)  # type: ignore[attr-defined]
            assert np.asarray(film.convert("RGB")).max() > 40

    drive(app, script)


def test_a_report_of_what_is_shown(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("toggle_run")
        wait(ctx, lambda: len(state.run.history) > 20, "some steps")
        state.act("toggle_run")
        wait(ctx, lambda: state.run.status.phase == "paused", "paused")
        state.act("save_report", tmp_path)
        page = tmp_path / "ball_report" / "report.html"
        wait(ctx, lambda: page.exists() and not state.jobs.running, "the report", 60.0)
        text = page.read_text(encoding="utf-8")
        assert f"<td>{state.run.status.step}</td>" in text
        for name in ("sheet.png", "loss.png", "shaded.png", "turntable.gif"):
            assert f'src="{name}"' in text
            assert (page.parent / name).stat().st_size > 1000
        assert any("Wrote report.html" in n.text for n in state.notices)
        state.act("stop")
        wait(ctx, lambda: not state.run.active, "stopped")

    drive(app, script)
