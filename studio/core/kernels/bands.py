"""A few threads that share a call's work: bands of it, one per core."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from studio.core.kernels.crew import Crew


@dataclass(frozen=True)
class Band:
    """Items [begin, end) of the leading dimension, number `index` of `count` bands."""

    index: int
    count: int
    begin: int
    end: int


@functools.lru_cache(maxsize=256)
def _split(count: int, length: int) -> tuple[Band, ...]:
    ends = [length * i // count for i in range(count + 1)]
    return tuple(Band(i, count, ends[i], ends[i + 1]) for i in range(count))


class _Latch:
    """Counts finished bands of one call and carries the first error."""

    def __init__(self, pending: int) -> None:
        self._pending = pending
        self._lock = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self.error: BaseException | None = None

    def finish(self, error: BaseException | None) -> None:
        with self._lock:
            self._pending -= 1
            if error is not None and self.error is None:
                self.error = error
            last = self._pending == 0
        if last:
            self._done.release()

    def wait(self) -> None:
        self._done.acquire()


LEAST_WORK = 1_000_000.0
"""Nanoseconds of work, on one core, for which another band pays."""

_Task = tuple[Callable[[Band], None], Band, _Latch]


def _do(body: Callable[[Band], None], band: Band, latch: _Latch) -> None:
    error: BaseException | None = None
    try:
        body(band)
    except BaseException as caught:  # handed to the caller, who raises it
        error = caught
    latch.finish(error)


class BandPool:
    """A few threads that wait for bands; the thread that calls takes the first band itself.

    Handing a band over takes 15 us if the worker is awake and 100 us if its core sleeps. Several
    threads may call at once: their bands queue up for the same workers.

    Attributes:
        least_work: nanoseconds of work for which another band pays.
        crew: as many threads more, for what needs no Python; made by the launcher, False if it cannot.
    """

    def __init__(self, threads: int, least_work: float = LEAST_WORK) -> None:
        self.threads = max(1, threads)
        self.least_work = least_work
        self.crew: Crew | Literal[False] | None = None
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._workers = [
            threading.Thread(target=self._work, name=f"band-{i + 1}", daemon=True)
            for i in range(self.threads - 1)
        ]
        for worker in self._workers:
            worker.start()

    def _work(self) -> None:
        self._local.inside = True
        while (task := self._tasks.get()) is not None:
            _do(*task)
            del task  # an idle worker keeps no tensors alive

    def split(self, length: int, limit: int | None = None) -> tuple[Band, ...]:
        """At most `threads` (or `limit`) bands of nearly equal size."""
        most = self.threads if limit is None else min(limit, self.threads)
        return _split(max(1, min(most, length)), length)

    def run(self, bands: Sequence[Band], body: Callable[[Band], None]) -> None:
        """Call `body` for each band and wait for all; the first error is raised."""
        if len(bands) == 1 or getattr(self._local, "inside", False):
            for band in bands:
                body(band)
            return
        latch = _Latch(len(bands) - 1)
        for band in bands[1:]:
            self._tasks.put((body, band, latch))
        try:
            body(bands[0])
        finally:
            self._help()
            latch.wait()
        if latch.error is not None:
            raise latch.error

    def _help(self) -> None:
        """Do what no worker has begun: one that sleeps may take longer to wake than that lasts."""
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is None:  # of `close`
                self._tasks.put(None)
                return
            _do(*task)

    def close(self) -> None:
        """End the workers."""
        if self.crew:
            self.crew.close()
        for _ in self._workers:
            self._tasks.put(None)
        for worker in self._workers:
            worker.join()
