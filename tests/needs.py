"""The one way a test may skip: `need("cuda")`, `need("display")`, `need("data")`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SKIPS: list[str] = []
"""What was missing, once per skipped test; the total is asserted in tests/unit/test_skips.py."""

ROOT = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """Folder of real photos and meshes; $STUDIO_DATA or ../shared/data."""
    return Path(os.environ.get("STUDIO_DATA", ROOT.parent / "shared" / "data"))


def _has(what: str) -> bool:
    if what == "cuda":
        import torch

        return torch.cuda.is_available()
    if what == "display":
        return bool(os.environ.get("DISPLAY"))
    if what == "gl":
        try:
            import moderngl

            context = moderngl.create_context(standalone=True, backend="egl")
        except Exception:
            return False
        context.release()
        return True
    if what == "data":
        return (data_root() / "photos").is_dir()
    raise ValueError(what)


def need(what: str) -> None:
    """Skip the test where this machine lacks `what`: cuda, display, gl or data."""
    if not _has(what):
        SKIPS.append(what)
        pytest.skip(f"needs {what}, which this machine does not have")


def data(relative: str) -> Path:
    """A path below the data folder; skips where the folder is absent."""
    need("data")
    return data_root() / relative
