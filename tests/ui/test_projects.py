"""Projects in the real window: saving, opening, questions before work goes, undo of whole runs, recovery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui

from studio.core.optim.fit import Fit, FitProblem
from studio.core.project import load_project, summary
from studio.ui import userdata
from studio.ui.capture import captured
from studio.ui.recovery import find_recoveries
from tests.needs import ROOT, need
from tests.ui.driving import drive, make_app, small_settings, sphere_photos, wait, wait_ready
from tests.unit.test_project import same

CTRL, SHIFT = imgui.Key.mod_ctrl, imgui.Key.mod_shift


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compile kernels before the window opens: the engine ends a test after 60 seconds."""
    need("display")
    fit = Fit(FitProblem(sphere_photos()), small_settings(2), "cpu")
    fit.prepare()
    fit.step()


def test_save_edit_revert_new_and_open_again(tmp_path: Path) -> None:
    app = make_app(document=False, demo=True, folder=tmp_path / "data")
    state, path = app.state, tmp_path / "duck.studio"

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        wait(ctx, lambda: state.photos is not None and not state.jobs.running, "the demo is open")
        assert not state.unsaved
        state.set(("effects", "pbr", "specular_f0"), 0.09, "Change reflectance")
        state.set(("scene", "lighting", "lights", 0, "intensity"), 1.5, "Change intensity")
        state.act("toggle_other")
        ctx.yield_(3)
        assert state.unsaved
        state.act("keep", "a")
        wait(ctx, lambda: "a" in state.kept, "a picture is kept")
        app.viewport.camera.orbit(40, 15)
        state.view.grid = False
        state.act("save_as", path)
        wait(ctx, lambda: path.exists() and not state.jobs.running, "saved")
        assert not state.unsaved
        assert state.document.path == path
        assert state.recent == [path]
        assert summary(path).thumbnail is not None
        before, placed = captured(state, app.viewport), app.viewport.camera.placement()
        assert set(before.kept) == {"a"}
        state.act("keep", "b")
        ctx.yield_(3)
        assert state.unsaved, "a kept picture belongs to the project"
        _revert(ctx, app, before)
        _new(ctx, app)
        assert not state.kept
        state.act("open_files", [path])
        wait(ctx, lambda: state.document.path == path and not state.jobs.running, "opened again")
        ctx.yield_(4)
        _equal(before, captured(state, app.viewport))
        assert state.view.grid is False
        for a, b in zip(placed, app.viewport.camera.placement()):
            np.testing.assert_allclose(a, b, atol=1e-6)
        assert state.photos is not None
        assert not state.unsaved

    drive(app, script)
    assert not list((tmp_path / "data" / "recovery").iterdir()), "a good end leaves nothing to recover"


def _equal(before: Any, after: Any) -> None:
    for name in ("scene", "effects", "other", "run", "name"):
        same(getattr(before, name), getattr(after, name), name)
    assert before.settings.as_dict() == after.settings.as_dict()
    assert before.photos.names == after.photos.names
    same(before.photos.world, after.photos.world)


def _revert(ctx: Any, app: Any, before: Any) -> None:
    state = app.state
    state.set(("scene", "lighting", "lights", 0, "intensity"), 3.0, "Change intensity")
    ctx.yield_(2)
    assert state.unsaved
    state.act("revert")
    ctx.yield_(3)
    ctx.item_click("//Question/###main")
    wait(ctx, lambda: not state.unsaved and not state.jobs.running, "reverted")
    ctx.yield_(3)
    assert state.scene.lighting.lights[0].intensity == 1.5
    _equal(before, captured(state, app.viewport))


def _new(ctx: Any, app: Any) -> None:
    """Cancel keeps everything, Don't save does not."""
    state = app.state
    state.set(("scene", "lighting", "lights", 0, "intensity"), 2.0, "Change intensity")
    ctx.yield_(2)
    ctx.key_press(CTRL | imgui.Key.n)
    ctx.yield_(3)
    assert state.question is not None
    ctx.item_click("//Question/###cancel")
    ctx.yield_(2)
    assert state.question is None
    assert state.scene.lighting.lights[0].intensity == 2.0
    ctx.key_press(CTRL | imgui.Key.n)
    ctx.yield_(3)
    ctx.item_click("//Question/###Don't save")
    ctx.yield_(3)
    assert not state.scene.meshes
    assert state.photos is None
    assert state.document.path is None
    assert not state.unsaved


def test_save_before_closing(tmp_path: Path) -> None:
    app = make_app(folder=tmp_path / "data")
    state, path = app.state, tmp_path / "ball.studio"

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("save_as", path)
        wait(ctx, lambda: not state.unsaved and not state.jobs.running, "saved")
        state.set(("scene", "background"), (0.5, 0.25, 0.125), "Change background")
        ctx.yield_(2)
        left: list[bool] = []
        app.control.leave = lambda: left.append(state.unsaved)  # the engine does not survive the window
        app._on_close(None)  # what the window's own button calls
        ctx.yield_(3)
        assert state.question is not None
        assert not left
        ctx.item_click("//Question/###main")
        wait(ctx, lambda: left == [False], "saved, then closed")

    drive(app, script)
    assert load_project(path).scene.background == (0.5, 0.25, 0.125)


def test_a_run_is_undone_as_a_whole(tmp_path: Path) -> None:
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.set(("settings", "light_enabled"), True, "Move light")
        ctx.yield_(2)
        before = captured(state, None)
        start = state.scene
        state.act("toggle_run")
        wait(ctx, lambda: state.run.snapshot is not None and state.run.snapshot.step > 5, "steps")
        state.act("stop")
        wait(ctx, lambda: state.history.undo_label == "Fit", "stopped")
        result = captured(state, None)
        assert result.run is not None
        assert result.run.step > 5
        assert not np.array_equal(result.scene.lighting.sh, before.scene.lighting.sh)
        sh = result.run.snapshot.lighting.sh
        assert result.scene.lighting.sh is sh, "light that moved is part of the result"
        left = tmp_path / "left.safetensors"
        state.act("save_checkpoint", left)
        wait(ctx, left.exists, "a checkpoint")
        assert captured(state, None).run.checkpoint == str(left), "a project names where the run can go on"
        ctx.key_press(CTRL | imgui.Key.z)
        ctx.yield_(3)
        same(before.scene, captured(state, None).scene)
        assert state.scene is start
        assert state.document.result is None
        assert state.run.history == []
        shown = app.viewport.gl.meshes.parts[0].mesh
        same(before.scene.meshes[0].vertices, shown.vertices)
        ctx.key_press(CTRL | SHIFT | imgui.Key.z)
        ctx.yield_(3)
        same(result.scene, captured(state, None).scene)
        assert state.run.checkpoint == str(left)
        state.act("resume")
        ctx.yield_(3)
        assert state.question is not None
        ctx.item_click("//Question/###cancel")
        ctx.yield_(2)
        assert len(state.run.history) == len(result.run.history)
        assert state.run.status.step == result.run.step
        _undo_while_it_runs(ctx, app, result)

    drive(app, script)


def _undo_while_it_runs(ctx: Any, app: Any, result: Any) -> None:
    state = app.state
    state.act("toggle_run")
    wait(ctx, lambda: state.run.active and len(state.run.history) > 3, "it runs again")
    wait(ctx, lambda: state.run.snapshot is not None and state.run.snapshot.step > 0, "a snapshot")
    state.set(("settings", "vertices_rate"), 0.001, "Change rate")
    ctx.yield_(2)
    state.act("undo")  # an edit made during the run is taken back under way
    ctx.yield_(2)
    assert state.question is None
    assert state.run.active
    state.act("undo")
    ctx.yield_(3)
    assert state.question is not None
    ctx.item_click("//Question/###main")
    wait(ctx, lambda: not state.run.active, "stopped")
    ctx.yield_(4)
    same(result.scene, captured(state, None).scene)
    assert state.history.redo_label == "Fit"
    assert state.history.labels.count("Fit") == 2


def test_work_under_way_is_autosaved_and_recovered(tmp_path: Path) -> None:
    """A session that dies in the middle of a run: the newest snapshot comes back, and its start by undo."""
    data = tmp_path / "data"
    app = make_app(folder=data, autosave=0.2)
    state, kept = app.state, {}

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("toggle_run")
        wait(ctx, lambda: state.run.snapshot is not None and state.run.snapshot.step > 3, "it runs")
        session = next((data / "recovery").iterdir())
        saved = session / "autosave.studio"
        wait(ctx, lambda: saved.exists() and summary(saved).step > 0, "a snapshot is autosaved")
        kept["session"] = [(f.name, f.read_bytes()) for f in session.iterdir() if f.name != "lock"]
        kept["start"] = captured(state, None).scene

    drive(app, script)
    # The session as it would be left by a kill.
    lost = data / "recovery" / "lost"
    lost.mkdir(parents=True)
    for name, content in kept["session"]:
        (lost / name).write_bytes(content)
    project = load_project(lost / "autosave.studio")
    assert project.run is not None
    assert project.run.snapshot is not None
    second = make_app(document=False, folder=data, autosave=0.2)

    def recover(ctx: Any) -> None:
        state = second.state
        wait_ready(ctx, second)
        wait(ctx, lambda: bool(state.recoveries), "the offer")
        ctx.yield_(3)
        ctx.item_click("//Recovery/$$0/###recover")
        wait(ctx, lambda: state.document.result is not None, "recovered")
        ctx.yield_(3)
        same(project.run.snapshot.mesh.vertices, state.scene.meshes[0].vertices)
        assert state.unsaved
        assert state.history.undo_label == "Fit (recovered)"
        wait(ctx, lambda: not lost.exists(), "the work is this session's now")
        assert len(list((data / "recovery").iterdir())) == 1
        state.act("undo")
        ctx.yield_(3)
        same(kept["start"].meshes, state.scene.meshes)

    drive(second, recover)
    assert not list((data / "recovery").iterdir())


SESSION = """
import sys
from pathlib import Path
from imgui_bundle import immapp
from studio.core.scene import Scene
from studio.core.scene.shapes import icosphere
from studio.ui.app import App
from studio.ui.commands import Edits, Set

app = App([], "cpu", preferences=False, demo=False, folder=Path(sys.argv[1]), autosave=0.5)
state, said = app.state, []

def on_frame():
    if state.ready and not said:
        said.append(1)
        scene = Scene([icosphere(3, 0.625)], background=(0.125, 0.25, 0.5), name="precious")
        state.send(Edits((Set(("scene",), scene, ""), Set(("name",), "precious", "")), "Work"))
        state.set(("effects", "pbr", "specular_f0"), 0.0875, "Change reflectance")
        print("worked", flush=True)

app.on_frame = on_frame
app.run()
"""


def test_kill_9_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """The real program in a process of its own, killed; the next session recovers what it had."""
    data = tmp_path / "data"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(data)], env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "worked"
        end = time.monotonic() + 60
        while not list((data / "recovery").glob("*/autosave.studio")):
            assert process.poll() is None, "the window closed by itself"
            assert time.monotonic() < end, "no autosave"
            time.sleep(0.1)
        assert find_recoveries(data) == [], "a living session is not offered"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    app = make_app(document=False, folder=data)
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        wait(ctx, lambda: bool(state.recoveries), "the offer")
        assert state.recoveries[0].summary.name == "precious"
        ctx.yield_(3)
        ctx.item_click("//Recovery/$$0/###recover")
        wait(ctx, lambda: state.document.name == "precious", "recovered")
        from studio.core.scene.shapes import icosphere

        same(icosphere(3, 0.625).vertices, state.scene.meshes[0].vertices)
        assert state.scene.background == (0.125, 0.25, 0.5)
        assert state.document.effects["pbr"]["specular_f0"] == 0.0875
        assert state.unsaved

    drive(app, script)


def test_photos_that_are_gone_are_told_and_found(tmp_path: Path) -> None:
    from dataclasses import replace

    from studio.core.project import Project, save_project
    from studio.core.project_photos import ASSETS, PhotoReference
    from studio.core.scene import Scene

    path = tmp_path / "lonely.studio"
    reference = PhotoReference(tmp_path / "nowhere", names=["photo_00", "photo_01"])
    save_project(Project("lonely", Scene(), reference), path)
    app = make_app(document=False)
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.act("open_files", [path])
        wait(ctx, lambda: state.document.missing is not None, "the project is open without its photos")
        assert any("nowhere" in notice.text for notice in state.notices)
        assert not state.unsaved
        again = tmp_path / "again.studio"
        state.act("save_as", again)
        wait(ctx, lambda: again.exists() and not state.jobs.running, "saved")
        same(replace(load_project(again).photos, world=None), replace(reference, world=None))
        ctx.window_focus("//Photos")
        ctx.yield_(2)
        ctx.item_click("//Photos/###find_photos")
        ctx.yield_(2)
        assert app.control.dialogs.open
        app.control.dialogs.close()
        state.act("find_photos", ASSETS / "demo")
        wait(ctx, lambda: state.photos is not None, "found")
        assert state.document.missing is None

    drive(app, script)


def test_the_list_of_recent_projects_drops_what_is_gone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = [tmp_path / f"{i}.studio" for i in range(15)]
    for file in files:
        file.write_bytes(b"x")
        userdata.remember(data, file)
    assert userdata.load_recent(data) == files[:2:-1]
    files[14].unlink()
    assert userdata.load_recent(data)[0] == files[13]
    assert userdata.remember(data, files[5])[:2] == [files[5], files[13]]
    (data / "recent.json").write_text("{broken")
    assert userdata.load_recent(data) == []
