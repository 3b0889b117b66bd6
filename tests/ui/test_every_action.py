"""Every action of the menus: by its menu item, by its keys, from the palette; each does what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from imgui_bundle import hello_imgui, imgui

from studio.core.optim.fit import Fit, FitProblem
from studio.ui import actions
from studio.ui.action import Action
from studio.ui.app import App
from tests.needs import need
from tests.ui.driving import drive, make_app, small_settings, sphere_photos, wait, wait_ready

Do = Callable[[Any, App, Action], None]
Probe = Callable[[App, Action], Any]


@dataclass(frozen=True)
class Expectation:
    """What an action needs, what is looked at, and how that has changed afterwards."""

    probe: Probe
    changed: Callable[[Any, Any, Action], bool] = lambda before, after, action: before != after
    prepare: Do = lambda ctx, app, action: None
    clean: Do = lambda ctx, app, action: None


def _view(name: str) -> Probe:
    return lambda app, action: getattr(app.state.view, name)


def _becomes(before: Any, after: Any, action: Action) -> bool:
    return bool(after == action.args[0])


def _dialog(app: App, action: Action) -> Any:
    return app.control.dialogs.open


def _no_dialog(ctx: Any, app: App, action: Action) -> None:
    app.control.dialogs.close()
    ctx.yield_(2)


def _popup(app: App, action: Action) -> Any:
    flags = imgui.PopupFlags_.any_popup_id | imgui.PopupFlags_.any_popup_level
    return imgui.is_popup_open("", flags)


def _no_popup(ctx: Any, app: App, action: Action) -> None:
    ctx.key_press(imgui.Key.escape)
    wait(ctx, lambda: not _popup(app, action), "the popup closes")


def _pose(app: App, action: Action) -> Any:
    return app.viewport.camera.camera(64, 64).view_to_world.round(4).tolist()  # type: ignore[union-attr]


def _phase(app: App, action: Action) -> Any:
    return app.state.run.status.phase


def _paused(ctx: Any, app: App, action: Action) -> None:
    """A run that has made some steps, paused."""
    run = app.state.run
    if run.status.phase not in ("running", "paused"):
        app.state.act("toggle_run")
        wait(ctx, lambda: app.state.run.status.phase == "running", "running")
        wait(ctx, lambda: len(app.state.run.history) > 40, "40 steps")
    if app.state.run.status.phase == "running":
        app.state.act("toggle_run")
    wait(ctx, lambda: app.state.run.status.phase == "paused", "paused")


def _stopped(ctx: Any, app: App, action: Action) -> None:
    app.state.act("stop")
    wait(ctx, lambda: not app.state.run.active, "stopped")


def _at_the_end(ctx: Any, app: App, action: Action) -> None:
    _paused(ctx, app, action)
    back = action.args[0] > 0
    app.state.act("go_to_step", 0 if back else 10**9)
    ctx.yield_(3)


def _edited(ctx: Any, app: App, action: Action) -> None:
    app.state.set(("scene", "background"), (0.1, 0.2, 0.3), "Change background")
    ctx.yield_(3)


def _undone(ctx: Any, app: App, action: Action) -> None:
    _edited(ctx, app, action)
    app.state.act("undo")
    ctx.yield_(3)


def _with_photo(ctx: Any, app: App, action: Action) -> None:
    app.state.act("look_through", 1)
    ctx.yield_(2)


def _other_mode(ctx: Any, app: App, action: Action) -> None:
    _with_photo(ctx, app, action)
    app.state.view.mode = "wipe" if action.args[0] == "render" else "render"
    ctx.yield_(2)


def _other_error(ctx: Any, app: App, action: Action) -> None:
    _with_photo(ctx, app, action)
    app.state.view.error = "ssim" if action.args[0] == "absolute" else "absolute"
    ctx.yield_(2)


def _with_sets(ctx: Any, app: App, action: Action) -> None:
    if app.state.document.other is None:
        app.state.act("toggle_other")
        wait(ctx, lambda: app.state.document.other is not None, "set B")


def _kept(ctx: Any, app: App, action: Action) -> None:
    if action.args[0] not in app.state.kept:
        app.state.act("keep", action.args[0])
        wait(ctx, lambda: action.args[0] in app.state.kept, "kept")
    app.state.set(("scene", "background"), (0.3, 0.1, 0.0), "Change background")
    app.state.act("look", "top")
    ctx.yield_(20)


def _no_photos(ctx: Any, app: App, action: Action) -> None:
    app.state.set(("photos",), None, "No photos")
    ctx.yield_(3)


def _photos_again(ctx: Any, app: App, action: Action) -> None:
    app.state.act("undo")  # the meshes lie as before
    app.state.act("undo")
    wait(ctx, lambda: app.state.photos is not None, "the photos are back")


def _other_tool(ctx: Any, app: App, action: Action) -> None:
    app.state.view.tool = "move" if action.args[0] == "select" else "select"
    ctx.yield_(2)


def _saved(app: App, action: Action) -> Any:
    return [line.text for line in app.state.log if line.text.startswith("Saved")]


def _few_samples(ctx: Any, app: App, action: Action) -> None:
    app.state.choices["picture"].set("samples", 1)


def _scene(app: App, action: Action) -> Any:
    return app.state.document.name, id(app.state.document.scene)


def _question(app: App, action: Action) -> Any:
    return app.state.question is not None


def _no_question(ctx: Any, app: App, action: Action) -> None:
    ctx.yield_(4)
    ctx.key_press(imgui.Key.escape)
    wait(ctx, lambda: app.state.question is None, "Esc cancels")
    ctx.yield_(4)


def _settled(ctx: Any, app: App, action: Action) -> None:
    wait(ctx, lambda: not app.state.jobs.running, "the jobs end")


def _lights(app: App, action: Action) -> Any:
    return len(app.state.scene.lighting.lights)


def _few_lights(ctx: Any, app: App, action: Action) -> None:
    while len(app.state.scene.lighting.lights) > 2:
        app.state.act("remove_light", 0)
        ctx.yield_(2)


def _under_the_mouse(ctx: Any, app: App, action: Action) -> None:
    low, high = app.viewport.rectangle()  # type: ignore[union-attr]
    ctx.mouse_move_to_pos(imgui.ImVec2((low.x + high.x) / 2, (low.y + high.y) / 2))
    app.state.view.inspector = False
    ctx.yield_(4)


EXPECTED: dict[str, Expectation] = {
    "new": Expectation(_question, prepare=_edited, clean=_no_question),
    "open_project": Expectation(_question, prepare=_edited, clean=_no_question),
    "save": Expectation(_dialog, clean=_no_dialog),
    "save_as": Expectation(_dialog, clean=_no_dialog),
    "open_mesh": Expectation(_dialog, clean=_no_dialog),
    "open_photos": Expectation(_dialog, clean=_no_dialog),
    "open_radiance": Expectation(_dialog, clean=_no_dialog),
    "show_kind": Expectation(lambda app, a: app.state.document.looks[a.args[0]]["shown"]),
    "open_environment": Expectation(_dialog, clean=_no_dialog),
    "export": Expectation(_popup, clean=_no_popup),
    "screenshot": Expectation(_saved, prepare=_few_samples, clean=_settled),
    "dialog": Expectation(_popup, clean=_no_popup),
    "save_turntable": Expectation(_popup, clean=_no_popup),
    "save_film": Expectation(_popup, prepare=_paused, clean=_no_popup),
    "quit": Expectation(_question, prepare=_edited, clean=_no_question),
    "undo": Expectation(lambda app, a: app.state.history.position, prepare=_edited),
    "redo": Expectation(lambda app, a: app.state.history.position, prepare=_undone),
    "preferences": Expectation(_popup, clean=_no_popup),
    "frame": Expectation(_pose, prepare=lambda ctx, app, a: _move_away(ctx, app)),
    "reset_view": Expectation(_pose, prepare=lambda ctx, app, a: _move_away(ctx, app)),
    "look": Expectation(_pose, prepare=lambda ctx, app, a: _move_away(ctx, app)),
    "turn_view": Expectation(_pose, prepare=lambda ctx, app, a: _move_away(ctx, app)),
    "look_photo": Expectation(_view("photo")),
    "toggle": Expectation(lambda app, action: getattr(app.state.view, action.args[0])),
    "pin": Expectation(_view("inspector"), prepare=_under_the_mouse),
    "exposure": Expectation(_popup, clean=_no_popup),
    "toggle_theme": Expectation(lambda app, a: app.state.preferences["theme"]),
    "tool": Expectation(_view("tool"), _becomes, _other_tool),
    "tip_meshes": Expectation(
        lambda app, a: app.state.scene.meshes[0].vertices.tobytes(), prepare=_no_photos, clean=_photos_again
    ),
    "add_light": Expectation(_lights, prepare=_few_lights),
    "toggle_run": Expectation(_phase, lambda b, after, a: after == "running", _paused, _stopped),
    "step": Expectation(lambda app, a: app.state.run.status.step, prepare=_paused, clean=_stopped),
    "stop": Expectation(_phase, lambda b, after, a: after == "stopped", _paused),
    "reset": Expectation(
        lambda app, a: app.state.run.status.step, lambda b, after, a: after == 0, _paused, _stopped
    ),
    "step_snapshot": Expectation(
        lambda app, a: None if app.state.run.shown is None else app.state.run.shown.step,
        prepare=_at_the_end,
        clean=_stopped,
    ),
    "save_report": Expectation(_dialog, clean=_no_dialog),
    "save_checkpoint": Expectation(_dialog, prepare=_paused, clean=_no_dialog),
    "resume": Expectation(_dialog, clean=_no_dialog),
    "mode": Expectation(_view("mode"), _becomes, _other_mode),
    "error": Expectation(_view("error"), _becomes, _other_error),
    "keep": Expectation(lambda app, a: id(app.state.kept.get(a.args[0]))),
    "restore": Expectation(_scene, prepare=_kept),
    "toggle_other": Expectation(lambda app, a: (app.state.document.other is None, app.state.view.mode)),
    "swap_sets": Expectation(lambda app, a: id(app.state.document.effects), prepare=_with_sets),
    "drop_other": Expectation(lambda app, a: app.state.document.other is None, prepare=_with_sets),
    "step_photo": Expectation(_view("photo"), prepare=_with_photo),
    "leave_photo": Expectation(_view("photo"), lambda b, after, a: after is None, _with_photo),
    "copy_command": Expectation(lambda app, a: len(app.state.log), prepare=_with_sets),
    "palette": Expectation(_popup, clean=_no_popup),
    "about": Expectation(_popup, clean=_no_popup),
}
"""By name; for `toggle` and others the arguments say which."""

ELSEWHERE = {
    "derive": "test_watching",
    "open_demo": "test_window",
    "open_scene": "test_window",
    "revert": "test_projects",
    "path_trace": "test_reference",
    "drop_reference": "test_reference",
    "save_radiance": "test_radiance",
    "make_mesh": "test_radiance",
    "voxelize": "test_radiance",
    "remove_radiance": "test_radiance",
}
"""Actions that take longer or need more, and the module that presses them."""

SPECIAL = {("toggle", ("help_open",)): Expectation(_popup, clean=_no_popup)}


def _move_away(ctx: Any, app: App) -> None:
    """A camera that no standard view has."""
    app.state.act("leave_photo")
    app.state.act("look", "front")
    ctx.yield_(30)
    app.viewport.camera.orbit(40.0, 25.0)  # type: ignore[union-attr]
    app.viewport.camera.zoom(0.5)  # type: ignore[union-attr]
    ctx.yield_(2)


def expectation(action: Action) -> Expectation | None:
    return SPECIAL.get((action.name, action.args)) or EXPECTED.get(action.name)


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compile kernels before the window opens."""
    need("display")
    fit = Fit(FitProblem(sphere_photos()), small_settings(2), "cpu")
    fit.prepare()
    fit.step()


def perform(ctx: Any, app: App, group: str, action: Action, way: str) -> None:
    """Prepare, press, and wait until what should change has changed."""
    expected = expectation(action)
    assert expected is not None
    expected.prepare(ctx, app, action)
    where = f"{action.title}, by {way}"
    assert action.possible(app.state), f"{where}: is not possible"
    before = expected.probe(app, action)
    if way == "menu":
        path = f"###{action.under}/###{action.title}" if action.under else f"###{action.title}"
        ctx.menu_click(f"//##MainMenuBar/{group}/{path}")
    else:
        ctx.key_press(action.keys[0])
    wait(ctx, lambda: expected.changed(before, expected.probe(app, action), action), where)
    if action.name == "toggle" and action.args != ("help_open",):
        app.state.act(action.name, *action.args)
        ctx.yield_(3)
    expected.clean(ctx, app, action)
    assert not [n.text for n in app.state.notices if n.level == "fail"], where


@pytest.mark.parametrize("group", [title for title, _ in actions.GROUPS])
@pytest.mark.parametrize("way", ["menu", "keys"])
def test_every_action_acts(group: str, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    app = make_app()
    items = dict(actions.GROUPS)[group]
    todo = [a for a in items if a.name not in ELSEWHERE and (way == "menu" or a.keys)]
    done: list[str] = []

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        for action in todo:
            perform(ctx, app, group, action, way)
            done.append(action.title)

    drive(app, script)
    assert len(done) == len(todo)


def test_every_action_is_expected_to_do_something() -> None:
    every = [action for _, items in actions.GROUPS for action in items]
    unknown = [a.title for a in every if expectation(a) is None and a.name not in ELSEWHERE]
    assert not unknown
    assert np.unique([a.keys[0] for a in every if a.keys]).size == sum(bool(a.keys) for a in every)


def test_the_palette_finds_and_does() -> None:
    app = make_app()

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        ctx.key_press(int(imgui.Key.mod_ctrl) | int(imgui.Key.k))
        ctx.yield_(4)
        ctx.key_chars("light theme")
        ctx.yield_(3)
        ctx.key_press(imgui.Key.enter)
        wait(ctx, lambda: app.state.preferences["theme"] == "light", "the theme is light")

    drive(app, script)


def test_every_panel_shows_and_hides() -> None:
    app = make_app()

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        docking = hello_imgui.get_runner_params().docking_params
        for window in docking.dockable_windows:
            if window.label == "Viewport":
                continue
            shown = window.is_visible
            for expected in (not shown, shown):
                ctx.menu_click(f"//##MainMenuBar/Window/{window.label}")
                wait(ctx, lambda w=window, e=expected: w.is_visible == e, window.label)  # type: ignore[misc]
        for layout in ("Edit", "Compare", "Optimize"):
            ctx.menu_click(f"//##MainMenuBar/Window/Layout {layout}")
            wait(ctx, lambda name=layout: hello_imgui.current_layout_name() == name, layout)  # type: ignore[misc]
            ctx.yield_(5)

    drive(app, script)
