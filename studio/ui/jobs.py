"""Background jobs with progress and cancel; what they return is handed over on the main thread.

Most run on threads of their own. What needs OpenGL is drawn on the main thread, a piece per frame.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from studio.core.errors import Cancelled, StudioError, describe

DRAWING_SECONDS = 0.03
"""Of a frame, for drawing in pieces; one piece is drawn however long it takes."""


class Job:
    """One piece of long work.

    Attributes:
        title: what the status bar shows, e.g. "Opening photos".
        fraction: 0..1, or -1 where nobody can tell.
        note: detail beside the title.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.fraction = -1.0
        self.note = ""
        self._cancel = threading.Event()

    def progress(self, fraction: float, note: str = "") -> None:
        """Report from the work; raises Cancelled once the user asked for it."""
        self.fraction = fraction
        self.note = note
        if self._cancel.is_set():
            raise Cancelled(f"{self.title}: cancelled")

    def cancel(self) -> None:
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()


class Jobs:
    """Starts jobs on threads and delivers their results in `poll`.

    Args:
        on_error: called on the main thread with the job's title and one line.
        on_update: called on the job's thread when it ends, to wake the window.
    """

    def __init__(self, on_error: Callable[[str, str], None], on_update: Callable[[], None]) -> None:
        self._on_error = on_error
        self._on_update = on_update
        self._lock = threading.Lock()
        self._finished: list[tuple[Job, Callable[[], None]]] = []
        self._threads: list[threading.Thread] = []
        self._drawings: list[tuple[Job, Generator[float, None, Any], Callable[[Any], None]]] = []
        self.running: list[Job] = []
        self.quiet: list[Job] = []

    def start(
        self, title: str, work: Callable[[Job], Any], then: Callable[[Any], None], quiet: bool = False
    ) -> Job:
        """Run `work(job)` on a thread; `then(result)` follows on the main thread.

        Args:
            quiet: the status bar says nothing of it: short work that follows the view.
        """
        job = Job(title)
        (self.quiet if quiet else self.running).append(job)

        def run() -> None:
            deliver: Callable[[], None] = _nothing
            try:
                result = work(job)
                if not job.cancelled:
                    deliver = partial(then, result)
            except Cancelled:
                pass
            except Exception as error:
                deliver = partial(self._on_error, title, _line(error))
            with self._lock:
                self._finished.append((job, deliver))
            self._on_update()

        thread = threading.Thread(target=run, name=f"studio-job-{title}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return job

    def draw(
        self,
        title: str,
        steps: Generator[float, None, Any],
        then: Callable[[Any], None],
        quiet: bool = False,
    ) -> Job:
        """Work on the main thread that gives way between its steps, each with the share that is done.

        Args:
            steps: closed if it is cancelled, so that it can free what it holds.
            then, quiet: as for `start`.
        """
        job = Job(title)
        (self.quiet if quiet else self.running).append(job)
        self._drawings.append((job, steps, then))
        self._on_update()
        return job

    def _go_on_drawing(self) -> None:
        """A few steps of the oldest drawing."""
        end = time.perf_counter() + DRAWING_SECONDS
        while self._drawings:
            job, steps, then = self._drawings[0]
            deliver: Callable[[], None] | None = None
            try:
                if job.cancelled:
                    steps.close()
                    deliver = _nothing
                else:
                    job.fraction = next(steps)
            except StopIteration as done:
                deliver = partial(then, done.value)
            except Exception as error:
                deliver = partial(self._on_error, job.title, _line(error))
            if deliver is not None:
                self._drawings.pop(0)
                self._forget(job)
                deliver()
            if time.perf_counter() > end:
                break
        if self._drawings:
            self._on_update()  # the next piece, in the next frame

    def _forget(self, job: Job) -> None:
        (self.running if job in self.running else self.quiet).remove(job)

    def poll(self) -> None:
        """Deliver what has finished, and go on drawing; call once a frame."""
        with self._lock:
            finished, self._finished = self._finished, []
        for job, deliver in finished:
            self._forget(job)
            deliver()
        self._go_on_drawing()

    def close(self, timeout: float = 5.0) -> None:
        """Cancel everything and wait a moment; nothing is delivered any more."""
        for job in (*self.running, *self.quiet):
            job.cancel()
        for _, steps, _ in self._drawings:
            steps.close()
        self._drawings.clear()
        for thread in self._threads:
            thread.join(timeout)


def _line(error: Exception) -> str:
    """What went wrong, in one line; of a defect the terminal gets the whole story."""
    if not isinstance(error, StudioError | OSError):
        traceback.print_exception(error)
    return str(error) if isinstance(error, StudioError) else describe(error)


def _nothing() -> None:
    """What a cancelled job delivers."""
