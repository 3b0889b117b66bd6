"""All there is to do now: the table of actions with recent files, history, channels, presets, windows."""

from __future__ import annotations

from collections.abc import Callable

from studio.core.channels import CHANNELS
from studio.core.optim.settings import PRESETS
from studio.ui.action import Action
from studio.ui.actions import GROUPS, Groups
from studio.ui.state import AppState
from studio.ui.theme import Icon

HISTORY_SHOWN = 24
"""Entries of the history that its menu lists; the panel has all."""

LAYOUTS = ("Optimize", "Edit", "Compare")


def groups(state: AppState) -> Groups:
    """Every menu with all that is in it now: recent files, history, channels, presets, windows, too."""
    more = {
        "File": (_after("open_project", _recent(state)),),
        "Edit": (_after("redo", _entries(state)),),
        "View": (_after("", _channels(state)),),
        "Optimize": (_after("", _presets()),),
        "Window": (_after("", _windows(state)),),
    }
    out = []
    for title, items in GROUPS:
        for place, extra in more.get(title, ()):
            at = next((i + 1 for i, action in enumerate(items) if action.name == place), len(items))
            items = (*items[:at], *extra, *items[at:])
        out.append((title, items))
    return tuple(out)


def _after(name: str, extra: tuple[Action, ...]) -> tuple[str, tuple[Action, ...]]:
    """Actions and the name of the one they stand behind, "" for the end."""
    return name, extra


def _recent(state: AppState) -> tuple[Action, ...]:
    return tuple(
        Action(
            "open_project",
            path.stem,
            Icon.file,
            args=(path,),
            possible=lambda state: state.ready,
            under="Open recent",
        )
        for path in state.recent
    )


def _entries(state: AppState) -> tuple[Action, ...]:
    """The newest entries of the history, latest first, then the document as it was opened."""
    labels = ["Opened", *state.history.labels]
    listed = list(enumerate(labels))[-HISTORY_SHOWN:]
    return tuple(
        Action("go_to", label, args=(i,), checked=_at(i), under="History") for i, label in reversed(listed)
    )


def _at(position: int) -> Callable[[AppState], bool]:
    return lambda state: state.history.position == position


def _channels(state: AppState) -> tuple[Action, ...]:
    return tuple(
        Action(
            "aov",
            CHANNELS[aov].title,
            shown=str(i + 1) if i < 8 else "",
            args=(aov,),
            checked=_shows(aov),
            under="Channel",
        )
        for i, aov in enumerate(state.channels)
    )


def _shows(aov: str) -> Callable[[AppState], bool]:
    return lambda state: state.view.aov == aov


def _presets() -> tuple[Action, ...]:
    return tuple(
        Action("preset", f"Preset {name}", args=(name,), checked=_preset(name), divided=not i)
        for i, name in enumerate(PRESETS)
    )


def _preset(name: str) -> Callable[[AppState], bool]:
    return lambda state: state.document.settings.preset == name


def _windows(state: AppState) -> tuple[Action, ...]:
    panels = tuple(Action("panel", name, args=(name,), checked=_visible(name)) for name in state.panels)
    layouts = tuple(
        Action("layout", f"Layout {name}", args=(name,), checked=_laid_out(name), divided=not i)
        for i, name in enumerate(LAYOUTS)
    )
    return (*panels, *layouts, Action("restore_layout", "Restore layout"))


def _visible(name: str) -> Callable[[AppState], bool]:
    return lambda state: state.panels.get(name, False)


def _laid_out(name: str) -> Callable[[AppState], bool]:
    return lambda state: state.layout == name


def matching(state: AppState, text: str) -> list[tuple[str, Action]]:
    """(menu, action) of what the palette offers for what was typed: possible, all words in it."""
    words = text.lower().split()
    found = []
    for group, items in groups(state):
        for action in items:
            name = f"{group} {action.under} {action.title}".lower()
            if all(word in name for word in words) and action.possible(state):
                found.append((group, action))
    start = text.lower().strip()
    return sorted(found, key=lambda entry: not entry[1].title.lower().startswith(start)) if start else found
