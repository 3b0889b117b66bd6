"""The one way a test may skip: `need("cuda")`, or another thing that `_has` knows."""

from __future__ import annotations

import importlib.util
import os
import shutil
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """Folder of real photos and meshes; $STUDIO_DATA or ../shared/data."""
    return Path(os.environ.get("STUDIO_DATA", ROOT.parent / "shared" / "data"))


@cache
def _has_gl() -> bool:
    from studio.core.errors import WorkError
    from studio.gl.context import headless_context

    try:
        with headless_context():
            return True
    except WorkError:
        return False


def _has(what: str) -> bool:
    if what == "cuda":
        import torch

        return torch.cuda.is_available()
    if what == "display":
        if not os.environ.get("DISPLAY") and shutil.which("Xvfb"):
            raise RuntimeError("Xvfb is installed, but the fixture `display` of tests/ui has not run here")
        return bool(os.environ.get("DISPLAY"))
    if what == "gl":
        return _has_gl()
    if what in ("mitsuba", "pycolmap", "heif"):
        return importlib.util.find_spec({"heif": "pillow_heif"}.get(what, what)) is not None
    if what == "data":
        return (data_root() / "photos").is_dir()
    if what == "unprivileged":  # file permissions do not bind root
        return os.name != "posix" or os.geteuid() != 0
    raise ValueError(what)


def need(what: str) -> None:
    """Skip the test where this machine lacks `what`; tests/conftest.py counts these skips."""
    if not _has(what):
        pytest.skip(f"needs {what}, which this machine does not have")


def data(relative: str) -> Path:
    """A path below the data folder; skips where the folder is absent."""
    need("data")
    return data_root() / relative
