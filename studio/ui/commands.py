"""Undoable edits: the only way the window changes the document.

A panel never writes to the document; it posts a `Set` (or several as `Edits`). The
history applies it, remembers what was there, and merges the stream of edits that one
drag of a slider makes into one entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import count
from typing import Any

import numpy as np

from studio.core.optim.messages import HistoryRow
from studio.core.params import ParamSet

Path = tuple[str | int, ...]
"""Where a value lives in the document, e.g. ("scene", "lighting", "lights", 0, "intensity")."""

HISTORY_LIMIT = 200
"""Entries kept."""

HISTORY_BYTES = 1_500_000_000
"""What entries may keep alive: 300 meshes of 50k triangles, 50 with textures of 1024 x 1024, or a
large set of photos that others replaced."""


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
    """One step of the history.

    Attributes:
        serial: of its newest state; an entry that a drag goes on with gets another.
        arrays: identity -> bytes of the arrays that it alone or with others keeps alive.
    """

    label: str
    paths: tuple[Path, ...]
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    gesture: int
    serial: int
    arrays: dict[int, int] = field(default_factory=dict)


class History:
    """Applies edits to a document and takes them back.

    Args:
        document: what the paths start from.
        on_change: called with each path after its value changed, also by undo and redo.
        limit: bytes of arrays that entries may keep alive; the oldest go first, never the newest.
    """

    def __init__(self, document: Any, on_change: Callable[[Path], None], limit: int = HISTORY_BYTES) -> None:
        self._document = document
        self._on_change = on_change
        self._limit = limit
        self._done: list[_Entry] = []
        self._undone: list[_Entry] = []
        self._dropped = 0
        self._serials = count(1)
        self._base = 0
        self._saved = 0

    @property
    def undo_label(self) -> str:
        """What undo would take back; "" if nothing."""
        return self._done[-1].label if self._done else ""

    @property
    def redo_label(self) -> str:
        return self._undone[-1].label if self._undone else ""

    @property
    def labels(self) -> list[str]:
        """All entries, oldest first, those undone at the end."""
        return [entry.label for entry in [*self._done, *self._undone[::-1]]]

    @property
    def position(self) -> int:
        """How many of `labels` are done."""
        return len(self._done)

    @property
    def depth(self) -> int:
        """How many edits lie behind the document, also those too old to be undone."""
        return self._dropped + len(self._done)

    @property
    def serial(self) -> int:
        """Another number for every state of the document that edits made."""
        return self._done[-1].serial if self._done else self._base

    @property
    def changed(self) -> bool:
        """Whether the document differs from what was saved or opened."""
        return self.serial != self._saved

    @property
    def bytes(self) -> int:
        """Of the arrays that entries keep alive; one that several share counts once."""
        total: dict[int, int] = {}
        for entry in [*self._done, *self._undone]:
            total |= entry.arrays
        return sum(total.values())

    def last_paths(self, part: str) -> tuple[Path, ...]:
        """What the newest edit that touched a part of the document changed; empty if none did."""
        touching = (e.paths for e in reversed(self._done) if any(path[0] == part for path in e.paths))
        return next(touching, ())

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
        self._undone.clear()
        last = self._done[-1] if self._done else None
        if last is not None and gesture and last.gesture == gesture and last.paths == paths:
            last.after = after
            last.serial = next(self._serials)
        else:
            last = _Entry(command.label, paths, before, after, gesture, next(self._serials))
            self._done.append(last)
        last.arrays = arrays_in((last.before, last.after))
        self._forget_old()

    def _forget_old(self) -> None:
        while len(self._done) > 1 and (len(self._done) > HISTORY_LIMIT or self.bytes > self._limit):
            self._base = self._done.pop(0).serial
            self._dropped += 1

    def mark_saved(self, serial: int | None = None) -> None:
        """The document is as on disk, or was at an earlier `serial`."""
        self._saved = self.serial if serial is None else serial

    def mark_unsaved(self) -> None:
        """What is on disk is another document."""
        self._saved = -1

    def forget(self) -> None:
        """Drop all entries; the document stays as it is and counts as saved."""
        self._done.clear()
        self._undone.clear()
        self._base = self._saved = next(self._serials)

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

    def go_to(self, position: int) -> None:
        """Undo or redo until `position` entries are done."""
        while len(self._done) > max(position, 0):
            self.undo()
        while len(self._done) < position and self._undone:
            self.redo()

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


def arrays_in(value: Any) -> dict[int, int]:
    """Identity -> bytes of every array in a tree of dataclasses, lists, tuples and dicts."""
    found: dict[int, int] = {}
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, np.ndarray):
            found[id(value)] = value.nbytes
        elif isinstance(value, list | tuple):
            waiting += [entry for entry in value if not isinstance(entry, int | float | str)]
        elif isinstance(value, dict):
            waiting += [entry for entry in value.values() if not isinstance(entry, int | float | str)]
        elif is_dataclass(value) and not isinstance(value, type | HistoryRow):
            waiting += [getattr(value, f.name) for f in fields(value)]
    return found
