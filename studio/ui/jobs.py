"""Background jobs with progress and cancel; what they return is handed over on the main thread."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from studio.core.errors import Cancelled, StudioError, describe


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
                if not isinstance(error, StudioError | OSError):
                    traceback.print_exc()  # a defect: the terminal gets the whole story
                line = str(error) if isinstance(error, StudioError) else describe(error)
                deliver = partial(self._on_error, title, line)
            with self._lock:
                self._finished.append((job, deliver))
            self._on_update()

        thread = threading.Thread(target=run, name=f"studio-job-{title}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return job

    def poll(self) -> None:
        """Deliver what has finished; call once a frame."""
        with self._lock:
            finished, self._finished = self._finished, []
        for job, deliver in finished:
            (self.running if job in self.running else self.quiet).remove(job)
            deliver()

    def close(self, timeout: float = 5.0) -> None:
        """Cancel everything and wait a moment; nothing is delivered any more."""
        for job in (*self.running, *self.quiet):
            job.cancel()
        for thread in self._threads:
            thread.join(timeout)


def _nothing() -> None:
    """What a cancelled job delivers."""
