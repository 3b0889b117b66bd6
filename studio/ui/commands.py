"""Undoable edits: the only way the window changes the document.

A panel never writes to the document; it posts a `Set` (or several as `Edits`). The
history applies it, remembers what was there, and merges the stream of edits that one
drag of a slider makes into one entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio.core.params import ParamSet

Path = tuple[str | int, ...]
"""Where a value lives in the document, e.g. ("scene", "lighting", "lights", 0, "intensity")."""

HISTORY_LIMIT = 200
"""Entries kept; an entry can hold a whole mesh, so not without end."""


@dataclass(frozen=True, eq=False)
class Set:
    """Replace the value at `path`.

    Attributes:
        label: what the Edit menu calls it, e.g. "Change roughness".
    """

    path: Path
    value: Any
    label: str


@dataclass(frozen=True, eq=False)
class Edits:
    """Several replacements that are undone together."""

    sets: tuple[Set, ...]
    label: str


@dataclass(frozen=True)
class Act:
    """Something that is no edit of the document: start, open a dialog, select a photo."""

    name: str
    args: tuple[Any, ...] = ()


Command = Set | Edits | Act


def read(document: Any, path: Path) -> Any:
    """The value at `path`."""
    value = document
    for key in path:
        indexed = isinstance(value, dict | list | ParamSet)
        value = value[key] if indexed else getattr(value, str(key))
    return value


def write(document: Any, path: Path, value: Any) -> None:
    """Put `value` at `path`; a ParamSet checks it (InputError)."""
    owner = read(document, path[:-1])
    key = path[-1]
    if isinstance(owner, ParamSet):
        owner.set(str(key), value)
    elif isinstance(owner, dict | list):
        owner[key] = value  # type: ignore[index]
    else:
        setattr(owner, str(key), value)


@dataclass(eq=False)
class _Entry:
    label: str
    paths: tuple[Path, ...]
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    gesture: int


class History:
    """Applies edits to a document and takes them back.

    Args:
        document: what the paths start from.
        on_change: called with each path after its value changed, also by undo and redo.
    """

    def __init__(self, document: Any, on_change: Callable[[Path], None]) -> None:
        self._document = document
        self._on_change = on_change
        self._done: list[_Entry] = []
        self._undone: list[_Entry] = []

    @property
    def undo_label(self) -> str:
        """What undo would take back; "" if nothing."""
        return self._done[-1].label if self._done else ""

    @property
    def redo_label(self) -> str:
        return self._undone[-1].label if self._undone else ""

    @property
    def changed(self) -> bool:
        """Whether anything was edited."""
        return bool(self._done)

    def apply(self, command: Set | Edits, gesture: int = 0) -> None:
        """Carry out an edit. Edits of one path within one gesture become one entry.

        Raises:
            InputError: a parameter refuses the value; then nothing has changed.
        """
        sets = (command,) if isinstance(command, Set) else command.sets
        paths = tuple(s.path for s in sets)
        before = tuple(read(self._document, path) for path in paths)
        after = tuple(s.value for s in sets)
        self._put(paths, after, undo_with=before)
        last = self._done[-1] if self._done else None
        if last is not None and gesture and last.gesture == gesture and last.paths == paths:
            last.after = after
        else:
            self._done.append(_Entry(command.label, paths, before, after, gesture))
            del self._done[:-HISTORY_LIMIT]
        self._undone.clear()

    def forget(self) -> None:
        """Drop all entries; the document stays as it is."""
        self._done.clear()
        self._undone.clear()

    def undo(self) -> str:
        """Take the last edit back; its label, "" if there was none."""
        if not self._done:
            return ""
        entry = self._done.pop()
        self._put(entry.paths[::-1], entry.before[::-1])
        self._undone.append(entry)
        return entry.label

    def redo(self) -> str:
        if not self._undone:
            return ""
        entry = self._undone.pop()
        entry.gesture = 0  # a later drag must not merge into it
        self._put(entry.paths, entry.after)
        self._done.append(entry)
        return entry.label

    def _put(self, paths: tuple[Path, ...], values: tuple[Any, ...], undo_with: tuple[Any, ...] = ()) -> None:
        for i, (path, value) in enumerate(zip(paths, values)):
            try:
                write(self._document, path, value)
            except Exception:
                for j in range(i - 1, -1, -1):
                    write(self._document, paths[j], undo_with[j])
                raise
        for path in paths:
            self._on_change(path)
