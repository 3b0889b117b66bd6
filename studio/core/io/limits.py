"""What is too large to load, found out before it is loaded."""

from __future__ import annotations

from pathlib import Path

from studio.core.errors import InputError

MAX_TRIANGLES = 5_000_000
"""Reading a text mesh takes about 700 bytes per triangle at its peak, so this is 3.5 GB; fits and
the viewport are meant for up to a million."""


def check_triangles(path: Path, count: int) -> None:
    """InputError if a mesh file holds more than MAX_TRIANGLES."""
    if count > MAX_TRIANGLES:
        raise InputError(
            f"{path}: {count / 1e6:.1f} million triangles, "
            f"expected at most {MAX_TRIANGLES // 10**6} million; simplify it first"
        )
