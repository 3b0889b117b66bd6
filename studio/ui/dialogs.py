"""File dialogs: the system's where there is one, else one drawn in the window. Never blocking."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from imgui_bundle import im_file_dialog, portable_file_dialogs

Kind = Literal["file", "folder", "save"]

_HELPERS = ("zenity", "kdialog", "matedialog", "qarma")
_KEY = "studio-file-dialog"


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked for.

    Attributes:
        start: suggested file name; the dialog opens in the folder used last.
        filters: (what, extensions with dot), e.g. ("Meshes", (".obj", ".glb")).
    """

    kind: Kind
    title: str
    then: Callable[[Path], None]
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    start: str = ""


class FileDialogs:
    """At most one dialog at a time, polled once a frame.

    Args:
        native: use the system's dialogs if it has any; tests say False.
    """

    def __init__(self, native: bool = True) -> None:
        self._native = native and has_native_dialogs()
        self._request: Request | None = None
        self._dialog: Any = None
        self._folder = str(Path.home())

    @property
    def open(self) -> bool:
        return self._request is not None

    @property
    def asks_to_replace(self) -> bool:
        """Whether the save dialog itself warns of files that would be replaced."""
        return self._native

    def ask(self, request: Request) -> None:
        """Open a dialog; a second one while the first is open is ignored."""
        if self._request is not None:
            return
        request = replace(request, start=str(Path(self._folder) / request.start))
        self._request = request
        if self._native:
            self._dialog = _native(request)
        else:
            _drawn(request)

    def poll(self) -> None:
        """Draw the drawn one; hand over the answer when there is one. Inside a frame."""
        request = self._request
        if request is None:
            return
        answer: str | None = None
        if self._native:
            if not self._dialog.ready(0):
                return
            result = self._dialog.result()
            answer = (result[0] if result else "") if isinstance(result, list) else result
            self._dialog = None
        else:
            dialog = im_file_dialog.FileDialog.instance()
            if not dialog.is_done(_KEY):
                return
            answer = dialog.get_results()[0].path() if dialog.has_result() else ""
        self.close()
        if answer:
            self._chosen(request, Path(answer))

    def answer(self, path: Path) -> None:
        """Take `path` for what was asked, as if it had been chosen: for scripts that use the window."""
        request = self._request
        if request is not None:
            self.close()
            self._chosen(request, path)

    def _chosen(self, request: Request, path: Path) -> None:
        self._folder = str(path.parent)
        request.then(path)

    def close(self) -> None:
        """Drop whatever is open."""
        if self._dialog is not None:
            self._dialog.kill()
        elif self._request is not None:
            im_file_dialog.FileDialog.instance().close()
        self._request = None
        self._dialog = None


def has_native_dialogs() -> bool:
    """Whether the system brings dialogs of its own; on Linux they are helper programs."""
    return not sys.platform.startswith("linux") or any(shutil.which(name) for name in _HELPERS)


def _native(request: Request) -> Any:
    filters: list[str] = []
    for what, extensions in request.filters:
        filters += [what, " ".join(f"*{extension}" for extension in extensions)]
    filters += ["All files", "*"]
    if request.kind == "folder":
        return portable_file_dialogs.select_folder(request.title, request.start)
    if request.kind == "save":
        return portable_file_dialogs.save_file(request.title, request.start, filters)
    return portable_file_dialogs.open_file(request.title, request.start, filters)


def _drawn(request: Request) -> None:
    dialog = im_file_dialog.FileDialog.instance()
    parts = [f"{what}{{{','.join(extensions)}}}" for what, extensions in request.filters]
    pattern = "" if request.kind == "folder" else ",".join([*parts, ".*"])
    folder = str(Path(request.start).parent if request.kind == "save" else Path(request.start or "."))
    if request.kind == "save":
        dialog.save(_KEY, request.title, pattern, folder)
    else:
        dialog.open(_KEY, request.title, pattern, False, folder)
