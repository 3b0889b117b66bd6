"""Volumes and points in the real window: opened, shown, sliced, meshed, voxelized, saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio.core.color import linear_to_srgb
from studio.core.io.splats import load_points, save_points
from studio.core.io.volumes import load_volume, save_volume
from studio.core.optim import report_now
from studio.core.project import load_project
from studio.ui import radiance
from tests.needs import need
from tests.radiance_scenes import ball, dots
from tests.ui.driving import drive, make_app, wait, wait_ready


@pytest.fixture(scope="module", autouse=True)
def needs_display() -> None:
    need("display")


def on_gl(ctx: Any, app: Any, look: Callable[[], Any]) -> Any:
    """What `look` gives on the thread that draws: scripts run on another."""
    got: list[Any] = []
    app.on_frame = lambda: got.append(look())
    wait(ctx, lambda: bool(got), "a frame")
    app.on_frame = None
    return got[-1]


def middle(ctx: Any, app: Any) -> np.ndarray:
    """[3] sRGB of the middle of the picture, 0..255."""
    image = on_gl(ctx, app, lambda: linear_to_srgb(app.viewport.gl.read_image()[..., :3]) * 255)
    height, width = image.shape[:2]
    return np.asarray(image[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2].mean((0, 1)))


def still(ctx: Any, app: Any) -> None:
    wait(ctx, lambda: not app.viewport.moving and app.viewport.gl.settled, "the picture stands still")


def opened(ctx: Any, app: Any, path: Path) -> None:
    app.state.act("open_files", [path])
    kind = "points" if path.suffix == ".ply" else "volume"
    wait(ctx, lambda: getattr(app.state.scene, kind) is not None and not app.state.jobs.running, path.name)
    still(ctx, app)


def change(ctx: Any, app: Any, kind: str, **values: Any) -> None:
    for name, value in values.items():
        app.state.set(("looks", kind, name), value, f"Change {name}")
    ctx.yield_(4)
    still(ctx, app)


def test_a_volume_is_opened_looked_at_and_meshed(tmp_path: Path) -> None:
    path = tmp_path / "ball.safetensors"
    save_volume(ball(), path)
    app = make_app(document=False)
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        opened(ctx, app, path)
        assert state.view.selected == "volume"
        red, green, _ = middle(ctx, app)
        assert red > 150
        assert green < 90
        width, height = app.viewport.pixels
        found = on_gl(ctx, app, lambda: app.viewport.gl.pixel(width // 2, height // 2))
        assert found is not None
        assert np.linalg.norm(found.position) == pytest.approx(0.35, abs=0.06)
        change(ctx, app, "volume", shown=False)
        assert middle(ctx, app)[0] < 150
        app.state.act("undo")
        ctx.yield_(4)
        still(ctx, app)
        assert middle(ctx, app)[0] > 150
        change(ctx, app, "volume", slice="z", slice_position=0.5)
        red, green, _ = middle(ctx, app)
        assert green > 90, "the density on the plane is not red"
        change(ctx, app, "volume", slice="none", surface=True)
        wait(ctx, lambda: app.viewport.preview.mesh is not None, "the preview")
        ctx.yield_(4)
        assert len(app.viewport.gl.meshes.parts) == 1
        radius = np.linalg.norm(app.viewport.preview.mesh.vertices, axis=1)
        assert radius.mean() == pytest.approx(0.35, abs=0.02)
        state.act("make_mesh")
        wait(ctx, lambda: bool(state.scene.meshes), "the mesh")
        assert state.document.settings["start"] == "mesh"
        assert state.scene.meshes[0].colors is not None
        assert np.median(state.scene.meshes[0].colors[:, 0]) == pytest.approx(0.49, abs=0.02)
        assert not state.document.looks["volume"]["shown"]
        state.act("undo")
        ctx.yield_(4)
        assert not state.scene.meshes
        assert state.document.looks["volume"]["shown"]
        _saved_again(ctx, app, tmp_path / "again.safetensors")
        state.act("remove_radiance", "volume")
        ctx.yield_(4)
        assert state.scene.empty

    drive(app, script)


def _saved_again(ctx: Any, app: Any, path: Path) -> None:
    app.state.act("save_radiance", path)
    wait(ctx, lambda: path.exists() and not app.state.jobs.running, "the volume is saved")
    np.testing.assert_array_equal(load_volume(path).density, ball().density)


def test_points_are_opened_and_thinned(tmp_path: Path) -> None:
    path = tmp_path / "dots.ply"
    save_points(dots(), path)
    app = make_app(document=False)

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        opened(ctx, app, path)
        _, green, _ = middle(ctx, app)
        assert green > 150
        change(ctx, app, "points", share=0.0)
        assert middle(ctx, app)[1] < 120
        change(ctx, app, "points", share=1.0, opacity_cut=0.99)
        assert middle(ctx, app)[1] < 120
        change(ctx, app, "points", opacity_cut=0.0)
        assert middle(ctx, app)[1] > 150
        again = tmp_path / "again.ply"
        app.state.act("save_radiance", again)
        wait(ctx, lambda: again.exists() and not app.state.jobs.running, "saved")
        np.testing.assert_allclose(load_points(again).centers, dots().centers, atol=1e-6)
        app.state.act("save_radiance", tmp_path / "wrong.safetensors")
        wait(ctx, lambda: any("no volume" in n.text for n in app.state.notices), "a notice")
        app.state.act("remove_radiance", "points")
        ctx.yield_(4)
        assert app.state.scene.empty

    drive(app, script)


def test_a_mesh_becomes_a_volume_and_a_project_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radiance, "_RESOLUTION", 32)
    app = make_app()
    state = app.state
    path = tmp_path / "ball.studio"

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("voxelize")
        wait(ctx, lambda: state.scene.volume is not None, "the volume", 40.0)
        still(ctx, app)
        assert not state.document.looks["meshes"]["shown"]
        assert middle(ctx, app).mean() > 150, "white like the mesh"
        state.set(("looks", "volume", "density_scale"), 2.0, "Change density")
        density = state.scene.volume.density
        state.act("save_as", path)
        wait(ctx, lambda: path.exists() and not state.jobs.running, "saved")
        state.act("undo")
        state.act("undo")
        ctx.yield_(4)
        assert state.scene.volume is None
        state.act("open_project", path)
        wait(ctx, lambda: state.question is not None or state.scene.volume is not None, "asked or opened")
        if state.question is not None:
            state.question.choices[1].then()
            state.question = None
        wait(ctx, lambda: state.scene.volume is not None, "opened again")
        np.testing.assert_array_equal(state.scene.volume.density, density)
        assert state.document.looks["volume"]["density_scale"] == 2.0
        assert not state.document.looks["meshes"]["shown"]

    drive(app, script)


@pytest.mark.parametrize(("fitted", "kind"), [("volume", "volume"), ("sdf", "volume"), ("points", "points")])
def test_a_fit_is_watched_paused_stepped_and_kept(
    fitted: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_now, "_SECONDS", 0.1)
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        _small_radiance(ctx, app, fitted)
        state.act("toggle_run")
        wait(ctx, lambda: state.run.status.step > 5, "some steps", 60.0)
        wait(ctx, lambda: app.viewport.gl.radiance.shown == (kind.upper(),), "it is shown")
        assert not app.viewport.gl.meshes.shown, "what is fitted is seen, not the document's mesh"
        state.act("toggle_run")
        wait(ctx, lambda: state.run.status.phase == "paused", "paused")
        step = state.run.status.step
        state.act("step")
        wait(ctx, lambda: state.run.status.step == step + 1 and state.run.status.phase == "paused", "a step")
        state.set(("settings", f"{fitted}_steps"), step + 40, "Change steps")
        wait(ctx, lambda: state.run.status.steps == step + 40, "fewer steps")
        state.act("toggle_run")
        wait(ctx, lambda: state.run.status.phase == "done", "all steps", 60.0)
        assert state.run.status.step == step + 40
        rows = state.run.history
        assert rows[-1].step == step + 40
        assert rows[-1].psnr > rows[0].psnr + 1, "it has learnt something"
        made = getattr(state.scene, kind)
        assert made is not None
        still(ctx, app)
        red, _, blue = middle(ctx, app)
        assert red > blue + 30, "the ball is orange"
        _filmed_and_reported(ctx, app, tmp_path)
        _kept_and_reset(ctx, app, kind, tmp_path)

    drive(app, script)


def _filmed_and_reported(ctx: Any, app: Any, folder: Path) -> None:
    """Films and report show what was fitted, not the document's mesh, which is grey."""
    state = app.state
    for name, value in {"width": 64, "height": 64, "seconds": 0.5, "fps": 10}.items():
        state.choices["film"].set(name, value)
    for action in ("save_turntable", "save_film"):
        path = folder / f"{action}.gif"
        state.act(action, path)
        wait(ctx, lambda p=path: p.exists() and not state.jobs.running, f"{action} is written", 60.0)
        with Image.open(path) as film:
            film.seek(film.n_frames - 1)  # type: ignore[attr-defined]
            red, _, blue = np.asarray(film.convert("RGB"), np.float32)[28:36, 28:36].mean(axis=(0, 1))
        assert red > blue + 30, action
    state.act("save_report", folder)
    page = folder / "ball_report" / "report.html"
    wait(ctx, lambda: page.exists() and not state.jobs.running, "the report", 120.0)
    text = page.read_text(encoding="utf-8")
    assert "on white" in text
    for name in ("sheet.png", "loss.png", "turntable.gif"):
        assert f'src="{name}"' in text


def _small_radiance(ctx: Any, app: Any, kind: str) -> None:
    for name, value in {
        "representation": kind,
        f"{kind}_steps": 20_000,
        "hull_resolution": 32,
        **{"volume_resolution": 24, "sdf_resolution": 24, "volume_rays": 1024, "points_count": 400},
    }.items():
        app.state.set(("settings", name), value, "Change setting")
    ctx.yield_(3)


def _kept_and_reset(ctx: Any, app: Any, kind: str, folder: Path) -> None:
    """A file, a project and undo hold what a fit made; more steps go on, reset begins anew."""
    state = app.state
    path = folder / ("made.safetensors" if kind == "volume" else "made.ply")
    state.act("save_radiance", path)
    wait(ctx, lambda: path.exists() and not state.jobs.running, "the file")
    state.act("save_as", folder / "made.studio")
    wait(ctx, lambda: (folder / "made.studio").exists() and not state.jobs.running, "the project")
    loaded = load_project(folder / "made.studio")
    assert getattr(loaded.scene, kind) is not None
    assert loaded.run is not None
    assert loaded.run.snapshot is not None
    assert loaded.run.snapshot.mesh is None
    more = state.run.status.step + 10
    state.act("extend", 10)
    wait(ctx, lambda: state.run.status.step == more and state.run.status.phase == "done", "10 more", 40.0)
    state.act("step_snapshot", -1)
    ctx.yield_(4)
    assert state.run.shown is not None
    assert app.viewport.gl.radiance.shown == (kind.upper(),)
    state.act("reset")
    wait(ctx, lambda: state.run.status.step == 0 and state.run.status.phase == "paused", "reset", 40.0)
    state.act("stop")
    wait(ctx, lambda: not state.run.active, "stopped")
