"""What an entry of the table of actions is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imgui_bundle import imgui

from studio.ui import when
from studio.ui.state import AppState

CTRL, SHIFT = imgui.Key.mod_ctrl, imgui.Key.mod_shift


@dataclass(frozen=True)
class Action:
    """One thing a person can do.

    Attributes:
        keys: chords that trigger it; the first is shown.
        shown: how the first chord is written in menus.
        args: passed to the handler.
        checked: for toggles, whether it is on.
        repeat: holding the key repeats it.
        under: the submenu it stands in, "" for none.
        divided: a line separates it from what stands above.
        label: what the menu shows instead of the title, where that changes with the document.
    """

    name: str
    title: str
    icon: str = ""
    shown: str = ""
    keys: tuple[int, ...] = ()
    args: tuple[Any, ...] = ()
    possible: Callable[[AppState], bool] = when.always
    checked: Callable[[AppState], bool] | None = None
    repeat: bool = False
    under: str = ""
    divided: bool = False
    label: Callable[[AppState], str] | None = None


def key_of(key: imgui.Key, *mods: imgui.Key) -> int:
    """The chord of a key with modifiers."""
    chord = int(key)
    for mod in mods:
        chord |= int(mod)
    return chord
