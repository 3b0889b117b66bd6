"""The optimizer's background thread: takes messages, publishes snapshots, never blocks the window."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import Cancelled, StudioError, describe
from studio.core.optim import messages as m
from studio.core.optim.checkpoint import load_checkpoint, save_checkpoint
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.radiance_live import RadianceLive
from studio.core.optim.resume import restore, state_of
from studio.core.optim.settings import FitSettings
from studio.core.optim.slot import Slot
from studio.core.scene import Scene

_EVERY_ROW_UNTIL = 1000
"""Plots keep every step up to this one, then every 2nd, 4th, ...: about 500 rows per doubling."""

_RATE_SMOOTHING = 0.1
"""Share of the newest step time in the smoothed rate; about the last ten steps count."""


AnyFit = Fit | RadianceLive


def make_fit(
    problem: FitProblem,
    settings: FitSettings,
    device: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> AnyFit:
    """The fit of the kind that the settings' `representation` names."""
    kind = Fit if settings["representation"] == "mesh" else RadianceLive
    return kind(problem, settings, device, progress, cancel)


@dataclass(frozen=True, eq=False)
class _Start:
    problem: FitProblem
    settings: FitSettings
    device: str
    resume: Path | None


@dataclass(frozen=True)
class _Close:
    pass


class Worker:
    """One background thread that runs a Fit.

    Any thread may call the methods; they return at once (close waits for the thread).
    Messages take effect in the order they were posted, between steps. Stop, close and a
    second start also break off preparing.

    Attributes:
        slot: the newest Snapshot not yet taken.
        status: where the run is; replaced as a whole.
        history: rows for the plots, append-only; a start or a reset begins a new list.
        max_snapshot_rate: snapshots a second, at most, while running; each only if the
            last was taken.
    """

    def __init__(
        self,
        on_update: Callable[[], None] | None = None,
        make_fit: Callable[..., AnyFit] = make_fit,
    ) -> None:
        self.slot: Slot[m.Snapshot] = Slot()
        self.status = m.Status()
        self.history: list[m.HistoryRow] = []
        self.max_snapshot_rate = 30.0
        self._on_update = on_update
        self._make_fit = make_fit
        self._inbox: deque[m.Message | _Start | _Close] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._fit: AnyFit | None = None
        self._last: m.Snapshot | None = None
        self._problem: FitProblem | None = None
        self._steps_left: int | None = None
        self._gradient = ""
        self._last_snapshot_time = 0.0
        self._seconds = 0.0
        self._step_seconds = 0.0

    # Called by the window

    def start(
        self, problem: FitProblem, settings: FitSettings, device: str = "auto", resume: Path | None = None
    ) -> None:
        """Begin a new run, or go on from the checkpoint `resume`; one that is under way ends.

        Errors appear in `status`.
        """
        self._send(_Start(problem, settings.copy(), device, resume))

    def post(self, message: m.Message) -> None:
        """Send a message of studio.core.optim.messages; without a run it does nothing."""
        self._send(message)

    def result(self) -> Scene | None:
        """The scene of the latest snapshot, or None before the first."""
        last, problem = self._last, self._problem
        return problem.scene_of(last) if last is not None and problem is not None else None

    @property
    def latest(self) -> m.Snapshot | None:
        """The latest snapshot published, whether or not it was taken from the slot."""
        return self._last

    @property
    def busy(self) -> bool:
        """Preparing or running, or a message is waiting to be handled."""
        return self.status.phase in ("preparing", "running") or bool(self._inbox)

    def close(self, timeout: float = 30.0) -> None:
        """End the run and the thread. Snapshot, status and history stay."""
        thread = self._thread
        if thread is None:
            return
        self._send(_Close())
        if thread is not threading.current_thread():
            thread.join(timeout)

    def _send(self, message: m.Message | _Start | _Close) -> None:
        with self._wake:
            self._inbox.append(message)
            if self._thread is None and not isinstance(message, _Close):
                self._thread = threading.Thread(target=self._loop, name="studio-optimizer", daemon=True)
                self._thread.start()
            self._wake.notify()

    # On the thread

    def _loop(self) -> None:
        while True:
            message = self._next_message()
            if isinstance(message, _Close):
                break
            try:
                if message is not None:
                    self._handle(message)
                elif self._fit is not None:
                    self._advance(self._fit)
            except Exception as error:  # the thread must outlive whatever a step does
                self._fail(error)
        with self._wake:
            self._fit = None
            self._thread = None
            if any(not isinstance(waiting, _Close) for waiting in self._inbox):  # a start after the close
                self._thread = threading.Thread(target=self._loop, name="studio-optimizer", daemon=True)
                self._thread.start()

    def _next_message(self) -> m.Message | _Start | _Close | None:
        """The next message; None at once while running, otherwise waits for one."""
        with self._wake:
            while not self._inbox:
                if self.status.phase == "running":
                    return None
                self._wake.wait()
            return self._inbox.popleft()

    def _handle(self, message: m.Message | _Start | _Close) -> None:
        if isinstance(message, _Start):
            self._begin(message)
            return
        fit = self._fit
        if fit is None:
            return
        if isinstance(message, m.Pause):
            if self.status.phase == "running":
                self._rest("paused")
        elif isinstance(message, m.Resume):
            self._run(fit, None)
        elif isinstance(message, m.Step):
            self._run(fit, max(1, message.count))
        elif isinstance(message, m.Stop):
            if self.status.phase in ("running", "paused"):
                self._rest("stopped")
        elif isinstance(message, m.Reset):
            fit.reset()
            self._clear()
            self._rest("paused")
        elif isinstance(message, m.SaveCheckpoint):
            self._save(fit, message.path)
        else:
            self._set(fit, message)

    def _set(self, fit: AnyFit, message: m.Message | _Start | _Close) -> None:
        """A live setting; one that is out of range is noted and ignored."""
        try:
            if isinstance(message, m.SetRate):
                fit.set_rate(message.group, message.rate)
            elif isinstance(message, m.SetGroup):
                fit.set_group(message.group, message.enabled)
            elif isinstance(message, m.SetWeight):
                fit.set_weight(message.term, message.weight)
            elif isinstance(message, m.SetRasterizer):
                fit.set_rasterizer(message.name, message.value)
            elif isinstance(message, m.SetSteps):
                fit.set_steps(message.steps)
                if self.status.phase == "done" and fit.steps_done < fit.steps:
                    self._run(fit, None)
                else:
                    self._say(self.status.phase, self.status.note)
            elif isinstance(message, m.SetGradient):
                self._gradient = fit.gradient_term = message.term
                if self.status.phase != "running":
                    self._publish(fit)
        except StudioError as error:
            self._say(self.status.phase, str(error))

    def _save(self, fit: AnyFit, path: Path) -> None:
        try:
            if isinstance(fit, RadianceLive):
                fit.save(path)
            else:
                save_checkpoint(path, state_of(fit))
            note = f"Checkpoint of step {fit.steps_done} written: {path.name}"
        except StudioError as error:
            note = str(error)
        self._say(self.status.phase, note)

    def _begin(self, start: _Start) -> None:
        self._fit = None
        self._clear()
        self._last = None
        self.slot.take()
        self._say("preparing", "Preparing")
        try:
            fit = self._make_fit(
                start.problem, start.settings, start.device, self._show_progress, self._must_break_off
            )
            if start.resume is None:
                fit.prepare()
            elif isinstance(fit, RadianceLive):
                fit.restore(start.resume)
            else:
                restore(fit, load_checkpoint(start.resume, fit.device))
        except Cancelled:
            self._say("stopped", "Stopped before the first step")
            return
        fit.gradient_term = self._gradient
        self._fit = fit
        self._problem = start.problem
        self._publish(fit)
        self._run(fit, None)

    def _show_progress(self, fraction: float, note: str) -> None:
        self.status = m.Status("preparing", 0, 0, 0.0, note, fraction)
        self._updated()

    def _must_break_off(self) -> bool:
        with self._wake:
            return any(isinstance(waiting, m.Stop | _Start | _Close) for waiting in self._inbox)

    def _run(self, fit: AnyFit, count: int | None) -> None:
        if self.status.phase == "failed":
            return
        self._steps_left = count
        if fit.steps_done >= fit.steps:
            self._rest("done")
        else:
            self._say("running")

    def _advance(self, fit: AnyFit) -> None:
        """One step, and what follows from it."""
        began = time.perf_counter()
        fit.step()
        seconds = time.perf_counter() - began
        self._seconds += seconds
        smooth = _RATE_SMOOTHING if self._step_seconds > 0 else 1.0
        self._step_seconds += smooth * (seconds - self._step_seconds)
        for result in fit.take_results():  # on a GPU those of some steps ago, a few at once
            if _keeps_row(result.step):
                self.history.append(m.HistoryRow(result.step, result.losses, result.psnr, self._seconds))
        if self._steps_left is not None:
            self._steps_left -= 1
        if fit.steps_done >= fit.steps:
            self._rest("done")
        elif self._steps_left == 0:
            self._rest("paused")
        else:
            self._say("running", quiet=True)
            due = time.perf_counter() - self._last_snapshot_time >= 1.0 / max(self.max_snapshot_rate, 1e-3)
            if due and self.slot.empty and fit.snapshot_ready():
                self._publish(fit, live=True)

    def _rest(self, phase: m.Phase) -> None:
        """Leave `running`: the state as it stands is published, then the phase."""
        if self._fit is not None:
            self._publish(self._fit)
        self._say(phase)

    def _fail(self, error: Exception) -> None:
        note = str(error) if isinstance(error, StudioError) else describe(error)
        self._say("failed", note)

    def _clear(self) -> None:
        self.history = []
        self._seconds = 0.0
        self._step_seconds = 0.0
        self._steps_left = None

    def _publish(self, fit: AnyFit, live: bool = False) -> None:
        self._last = fit.snapshot(live)
        self._last_snapshot_time = time.perf_counter()
        self.slot.put(self._last)
        self._updated()

    def _say(self, phase: m.Phase, note: str = "", quiet: bool = False) -> None:
        fit = self._fit
        rate = 1.0 / self._step_seconds if self._step_seconds > 0 else 0.0
        if fit is None:
            self.status = m.Status(phase, rate=rate, note=note)
        else:
            left = fit.schedule.left(fit.steps_done, rate) if rate > 0 else float("nan")
            parts = tuple(fit.schedule.parts())
            self.status = m.Status(phase, fit.steps_done, fit.steps, rate, note, left=left, parts=parts)
        if not quiet:
            self._updated()

    def _updated(self) -> None:
        if self._on_update is not None:
            self._on_update()


def _keeps_row(step: int) -> bool:
    """Whether the plots keep this step: all of the first thousand, then ever fewer."""
    stride = 1
    while step > _EVERY_ROW_UNTIL * stride:
        stride *= 2
    return step % stride == 0
