"""Work that outlives a crash: autosaves of this session, and those that dead sessions left.

Every session has a folder `recovery/<id>/` with a lock that the system frees when the process ends,
however it ends. A session that ends in good order removes its folder; whatever is left without a
holder of its lock is work that somebody lost.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from studio.core.errors import StudioError, describe
from studio.core.io.files import write_bytes

if TYPE_CHECKING:
    from studio.core.project import Project, Summary

EVERY = 30.0
"""Seconds after which a change is written: with the writing itself at most a minute is lost."""

_AUTOSAVE, _LOCK, _SESSION = "autosave.studio", "lock", "session.json"

Captured = tuple["Project", bytes | None]
"""What is written: the document as it stands, and a picture of it."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """Work of a session that ended without saving.

    Attributes:
        path: of the project file it belongs to, None if it was never saved.
        lock: held, so that no other window offers the same.
    """

    folder: Path
    summary: Summary
    path: Path | None
    lock: FileLock

    @property
    def autosave(self) -> Path:
        return self.folder / _AUTOSAVE

    def discard(self) -> None:
        """Remove it for good."""
        self.lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def find_recoveries(folder: Path) -> list[Recovery]:
    """What dead sessions left in the user's data folder, newest first; empty ones are swept up."""
    found = []
    for session in sorted((folder / "recovery").glob("*/")):
        lock = FileLock(session / _LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue  # another window at work, or a folder that is not ours to touch
        recovery = _read(session, lock)
        if recovery is None:
            lock.release()
            shutil.rmtree(session, ignore_errors=True)
        else:
            found.append(recovery)
    return sorted(found, key=lambda r: -r.summary.saved)


def _read(session: Path, lock: FileLock) -> Recovery | None:
    from studio.core.project import summary

    try:
        found = summary(session / _AUTOSAVE)
    except StudioError:  # the session had nothing to lose
        return None
    try:
        text = json.loads((session / _SESSION).read_text(encoding="utf-8")).get("path")
    except (OSError, ValueError, AttributeError):
        text = None
    return Recovery(session, found, Path(text) if isinstance(text, str) else None, lock)


class Autosave:
    """Writes the document into this session's folder, on a thread of its own, while it changes.

    Args:
        folder: the user's data folder, None to keep nothing.
        capture: the document as it stands, called on the main thread.
        on_failure: called on the main thread with one line, once, until a write succeeds again.
        every: seconds from a change to its being written.
    """

    def __init__(
        self,
        folder: Path | None,
        capture: Callable[[], Captured],
        on_failure: Callable[[str], None],
        every: float = EVERY,
    ) -> None:
        self._capture = capture
        self._on_failure = on_failure
        self._every = every
        self._folder: Path | None = None
        self._thread: threading.Thread | None = None
        self._written: object = None
        self._noticed: float | None = None
        self._failure = ""
        self._failed = False
        self._adopted: list[Recovery] = []
        if folder is not None:
            self._open(folder)

    def _open(self, folder: Path) -> None:
        session = folder / "recovery" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        try:
            session.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(session / _LOCK)
            self._lock.acquire(timeout=0)
        except (Timeout, OSError) as error:
            self._failure = f"Autosave is off: {session} ({describe(error)})"
            return
        self._folder = session

    def update(self, state: object, changed: bool, path: Path | None) -> None:
        """Once a frame.

        Args:
            state: equal as long as nothing changed.
            changed: whether there is anything to lose.
            path: of the project file that the work belongs to.
        """
        if self._failure and not self._failed:
            self._failed = True
            self._on_failure(self._failure)
        if self._folder is None or self.writing:
            return
        if not changed:
            self._noticed = None
            if self._written is not None:
                self._clear()
            return
        if state == self._written:
            return
        now = time.monotonic()
        self._noticed = now if self._noticed is None else self._noticed
        if now - self._noticed >= self._every or self._adopted:
            self._written, self._noticed = state, None
            self._start(path)

    @property
    def writing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def adopt(self, recovery: Recovery) -> None:
        """The recovered work is this session's now: its old folder goes once it is written here."""
        self._adopted.append(recovery)

    def close(self) -> None:
        """The session ends in good order: nothing stays but work that could not be taken over."""
        if self._thread is not None:
            self._thread.join(30.0)
        if self._folder is not None:
            self._lock.release()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _clear(self) -> None:
        """Nothing is unsaved any more."""
        assert self._folder is not None
        (self._folder / _AUTOSAVE).unlink(missing_ok=True)
        self._written = None
        self._release_adopted()

    def _release_adopted(self) -> None:
        for recovery in self._adopted:
            recovery.discard()
        self._adopted = []

    def _start(self, path: Path | None) -> None:
        folder, (project, picture) = self._folder, self._capture()
        assert folder is not None

        def write() -> None:
            from studio.core.project import save_project

            try:
                named = {"path": None if path is None else str(path), "pid": os.getpid()}
                write_bytes(folder / _SESSION, json.dumps(named).encode())
                save_project(project, folder / _AUTOSAVE, picture)
            except (StudioError, MemoryError) as error:
                self._failure, self._written = f"Autosave failed: {describe(error)}", None
                return
            self._failure, self._failed = "", False
            self._release_adopted()

        self._thread = threading.Thread(target=write, name="studio-autosave", daemon=True)
        self._thread.start()
