"""Whether the second core of the machine is there while something is measured."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from studio.core.device import band_count

_Result = TypeVar("_Result")

WHOLE = 1.6
"""What a second thread of pure arithmetic is worth at least while a core is not another program's."""

_BYTES = bytes(8 << 20)


def second_core() -> float:
    """Work that two threads do in the time that one of them alone takes for a unit."""

    def work() -> None:
        hashlib.sha256(_BYTES).digest()  # Python's lock is free meanwhile

    def spent(threads: int) -> float:
        others = [threading.Thread(target=work) for _ in range(threads - 1)]
        start = time.perf_counter()
        for other in others:
            other.start()
        work()
        for other in others:
            other.join()
        return time.perf_counter() - start

    alone = min(spent(1) for _ in range(3))
    return 2 * alone / min(spent(2) for _ in range(3))


def on_whole_cores(measure: Callable[[], _Result], tries: int = 3) -> _Result:
    """What `measure` gives, once the second core was there before and after it, or the last of `tries`."""
    if band_count() < 2:
        return measure()
    for last in range(tries - 1, -1, -1):
        before = second_core()
        result = measure()
        worth = min(before, second_core())
        if worth >= WHOLE or last == 0:
            break
    if worth < WHOLE:
        print(f"the second core was worth {worth:.1f} meanwhile; measure this again on a quiet machine")
    return result
