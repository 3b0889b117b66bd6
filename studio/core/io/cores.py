"""Work on many photos at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

Progress = Callable[[float, str], None]
"""Called with 0..1 and what is being done; may raise Cancelled."""


def on_all_cores(
    function: Callable[[A], B], items: list[A], progress: Progress | None = None, what: str = ""
) -> list[B]:
    """The function over all items on all cores, in order; the first error stops the rest.

    Args:
        progress: called from the calling thread with "`what`: 3 of 40" as items are done.
    """
    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="photos")
    try:
        out: list[B] = []
        for item in pool.map(function, items):
            out.append(item)
            if progress is not None:
                progress(len(out) / len(items), f"{what}: {len(out)} of {len(items)}")
        return out
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
