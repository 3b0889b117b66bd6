"""One table of actions: menus, keys, palette, sheet and tooltips say the same; every action has a handler."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from imgui_bundle import imgui

from studio.ui import actions, catalog
from studio.ui.control import Controller
from studio.ui.panels import palette
from tests.needs import ROOT, need
from tests.ui.driving import drive, make_app, wait, wait_ready

CTRL = imgui.Key.mod_ctrl


@pytest.fixture(scope="module", autouse=True)
def window() -> None:
    need("display")


def test_every_key_belongs_to_one_action() -> None:
    keys: dict[int, str] = {}
    for _, items in actions.GROUPS:
        for action in items:
            assert bool(action.shown) == bool(action.keys), (
                f"{action.title}: shown but without a key, or hidden"
            )
            for key in action.keys:
                assert key not in keys, f"{action.title} and {keys[key]} have one key"
                keys[key] = action.title


def test_tooltips_take_their_keys_from_the_table() -> None:
    """A key that is typed into a tooltip could be another one than the table's."""
    typed = re.compile(r'"[^"]*  \(( ?[A-Z.\[\]?] ?|Esc|Space|Tab|Ctrl\+[^)]*|F\d+)\)"')
    panels = ROOT / "studio" / "ui" / "panels"
    found = [
        f"{p.name}: {m.group(0)}" for p in panels.glob("*.py") for m in typed.finditer(p.read_text("utf-8"))
    ]
    assert not found


def test_menus_palette_sheet_and_handlers(tmp_path: Path) -> None:
    app = make_app(demo=True, document=False, folder=tmp_path / "data")
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        wait(ctx, lambda: state.photos is not None and not state.jobs.running, "the demo is open")
        state.set(("effects", "pbr", "specular_f0"), 0.06, "Change reflectance")
        ctx.yield_(3)
        _complete(app)
        # What is typed is found, the arrows choose, Enter does it.
        ctx.key_press(CTRL | imgui.Key.k)
        ctx.yield_(4)
        ctx.key_chars("channel normal")
        ctx.yield_(2)
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(3)
        assert state.view.aov == "normal"
        ctx.key_press(CTRL | imgui.Key.k)
        ctx.yield_(4)
        ctx.key_chars("preset")
        ctx.key_press(imgui.Key.down_arrow)
        ctx.yield_(2)
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(3)
        assert state.document.settings.preset == "standard"
        assert state.history.undo_label == "Use preset standard"
        # The history's menu and panel go to an entry.
        ctx.menu_click("//##MainMenuBar/Edit/###Undo")
        ctx.yield_(2)
        assert state.history.position == 1
        ctx.window_focus("//History")
        ctx.yield_(2)
        ctx.item_click("//History/##entry0")
        ctx.yield_(2)
        assert state.history.position == 0
        ctx.item_click("//History/##entry2")
        ctx.yield_(2)
        assert state.document.settings.preset == "standard"
        state.act("copy_command", "fit")
        ctx.yield_(2)
        assert imgui.get_clipboard_text().startswith("python main.py fit ")
        _welcome(ctx, app)

    drive(app, script)


def _complete(app: Any) -> None:
    """Every action of every menu is in the palette under its title, and somebody carries it out."""
    state = app.state
    names = dict(catalog.groups(state))
    assert {"File", "Edit", "View", "Scene", "Optimize", "Compare", "Window", "Help"} == set(names)
    assert any(action.name == "go_to" for action in names["Edit"])
    assert any(action.name == "panel" for action in names["Window"])
    for group, items in names.items():
        for action in items:
            handled = hasattr(Controller, f"_act_{action.name}")
            assert handled or hasattr(app.control.comparing, f"act_{action.name}"), action
            if action.possible(state):
                offered = catalog.matching(state, f"{group} {action.title}")
                assert (group, action.name, action.args) in [(g, a.name, a.args) for g, a in offered]
    shown = {keys for _, rows in palette.keyed(state) for _, keys in rows}
    assert shown == {action.shown for _, items in actions.GROUPS for action in items if action.shown}


def _welcome(ctx: Any, app: Any) -> None:
    state = app.state
    state.act("toggle", "welcome_open")
    ctx.yield_(3)
    ctx.item_click("//Welcome/scene_bust")
    ctx.yield_(3)
    ctx.item_click("//Question/###Don't save")
    wait(ctx, lambda: state.document.name == "bust", "the bust is open")
    assert not state.view.welcome_open
    assert not state.unsaved
