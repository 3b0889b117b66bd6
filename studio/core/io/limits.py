"""What is too large to load, found out before it is loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path

from studio.core.errors import InputError

MAX_TRIANGLES = 5_000_000
"""Fits and the viewport are meant for up to a million. Reading this many takes 4 GB from an OBJ
with uvs and normals, 0.7 GB from a binary file."""

_TEXT_BYTES = 800
"""Memory at the peak of reading an OBJ, per triangle, measured on 500,000 with uvs and normals."""

MAX_BYTES = 2 * 2**30
"""MAX_TRIANGLES with uvs and normals are 1 GB of OBJ text, the most wordy way to write them."""

_CHUNK = 2**24


def check_triangles(path: Path, count: int) -> None:
    """InputError if a mesh file holds more than MAX_TRIANGLES."""
    if count > MAX_TRIANGLES:
        raise InputError(
            f"{path}: {count / 1e6:.1f} million triangles, "
            f"expected at most {MAX_TRIANGLES // 10**6} million; simplify it first"
        )


def check_before_reading(path: Path) -> None:
    """InputError if a mesh file is too large, from its size and header; little of it is read."""
    size, suffix = path.stat().st_size, path.suffix.lower()
    if suffix == ".obj":
        count = _lines_of_faces(path)
        check_triangles(path, count)
        memory = machine_memory()
        if memory and count * _TEXT_BYTES > memory / 2:
            raise InputError(
                f"{path}: {count / 1e6:.1f} million triangles need {count * _TEXT_BYTES / 2**30:.1f} GB, "
                f"this machine has {memory / 2**30:.1f} GB; simplify it, or save it as .glb"
            )
    elif suffix in (".ply", ".stl"):
        with path.open("rb") as file:
            head = file.read(2**16)
        if suffix == ".ply":
            check_triangles(path, ply_triangles(head))
        elif len(head) >= 84 and binary_stl_size(head) == size:
            check_triangles(path, (size - 84) // 50)
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size / 2**30:.1f} GB, expected a mesh file below {MAX_BYTES // 2**30} GB")


def machine_memory() -> int:
    """Bytes of memory of this machine, 0 if it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


def binary_stl_size(head: bytes) -> int:
    """Bytes that a binary STL with this beginning has: 84 and 50 for each triangle."""
    return 84 + 50 * int.from_bytes(head[80:84], "little")


def ply_triangles(head: bytes) -> int:
    """At least this many triangles follow a PLY header, 0 if it does not say."""
    counts = {m[1]: int(m[2]) for m in re.finditer(rb"^element (\w+) (\d{1,15})\s*$", head, re.MULTILINE)}
    return max(counts.get(b"face", 0), counts.get(b"vertex", 0) // 2)


def _lines_of_faces(path: Path) -> int:
    """Lines that begin with `f `, counted in pieces; each holds a triangle at least."""
    count, tail = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            count += (tail + chunk).count(b"\nf ")
            tail = (tail + chunk)[-2:]  # too short to hold a whole one: nothing is counted twice
    return count
