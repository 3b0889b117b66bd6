"""How much memory a process uses: what leak tests compare."""

from __future__ import annotations

import ctypes
from pathlib import Path

_FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks")


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (*_FIELDS, "keepcost")]


def in_use_mb() -> float:
    """Megabytes handed out and not given back, or what is resident where glibc cannot say.

    Resident memory hides a leak: freed blocks stay with the process, and it grows only when
    those are used up.
    """
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return float(found.uordblks + found.hblkhd) / 2**20
