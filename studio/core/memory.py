"""How the allocator treats large blocks. Imports nothing heavy: the window calls it first."""

from __future__ import annotations

import ctypes
import os
import sys


def keep_freed_memory() -> None:
    """Let glibc keep freed images for the next step.

    It would return every block of more than 32 MB to the system at once, and on other threads
    than the first even smaller ones; taking them anew costs a page fault each 4 kB. Drawing 82k
    triangles at 2048 pixels with gradients went from 128 to 54 ms, four images of 256 pixels
    from 18 to 13. So: nothing from mmap, one arena, and up to a quarter of the memory kept.
    Call it before there are other threads. Elsewhere than on glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        quarter = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
        trim_threshold, mmap_max, arena_max = -1, -4, -8  # the names of malloc.h
        mallopt(mmap_max, 0)
        mallopt(arena_max, 1)
        mallopt(trim_threshold, min(quarter, 2**31 - 1))
