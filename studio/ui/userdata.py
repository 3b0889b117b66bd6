"""The user's data folder, and the list of projects opened last."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.io.files import write_bytes

VARIABLE = "STUDIO_USER_DIR"
"""Names another folder than the system's."""

RECENT = 12
"""Projects that the list keeps."""

_FILE = "recent.json"


def user_folder() -> Path:
    """Where the studio keeps a person's data; not made by this."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Studio"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Studio"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "studio"


def load_recent(folder: Path) -> list[Path]:
    """The projects opened or saved last, newest first; without those that are gone."""
    try:
        listed = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    texts = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    return [path for path in map(Path, texts) if _there(path)][:RECENT]


def _there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a server that sleeps, a name that cannot be
        return False


def remember(folder: Path, path: Path) -> list[Path]:
    """Put a project at the head of the list; the new list. A list that cannot be written is no loss."""
    path = Path(os.path.abspath(path))
    recent = [path, *(other for other in load_recent(folder) if other != path)][:RECENT]
    with suppress(StudioError):
        write_bytes(folder / _FILE, json.dumps([str(p) for p in recent]).encode())
    return recent
