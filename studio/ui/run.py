"""The window's side of a fit: starts the worker, takes its snapshots, keeps the timeline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.optim import messages as m
from studio.core.optim.settings import FitSettings
from studio.ui import capture
from studio.ui.commands import Edits, Set
from studio.ui.jobs import Job
from studio.ui.state import AppState, RunView
from studio.ui.timeline import neighbour

if TYPE_CHECKING:
    from studio.core.optim.fit import FitProblem
    from studio.core.optim.worker import Worker
    from studio.core.project import RunRecord

EARLIER = 2
"""Runs whose curves stay, for comparison: more hide each other."""

PLATEAU_SECONDS = 1.0
"""How often it is asked whether the run still gets better."""

_HINTS = {
    "memory": "Lower the resolution or the views per step, then start again.",
    "mask": "Fits need masks or a plain background; check the photos.",
}


class Run:
    """Owns the worker. Every method returns at once.

    Args:
        apply: carries out an edit of the document, within a gesture; the result of a run is one.

    Attributes:
        began_at: depth of the history when the run under way began.
    """

    def __init__(self, state: AppState, apply: Callable[[Edits | Set, int], None]) -> None:
        self._state = state
        self._apply = apply
        self.worker: Worker | None = None
        self._fresh = False
        self._attached = False
        self._stale: m.Status | None = None
        self._phase: m.Phase = "idle"
        self._number = 0
        self._committed: RunRecord | None = None
        self.began_at = 0
        self._asked = 0.0
        self._kind = "mesh"

    # What the user does

    def toggle(self) -> None:
        """Start, pause or resume, whichever fits."""
        phase = self._state.run.status.phase
        if phase in ("running", "preparing"):
            self._post(m.Pause())
        elif phase == "paused":
            self._post(m.Resume())
        else:
            self.start()

    def start(self, checkpoint: Path | None = None) -> None:
        """Begin a new run on the document as it is, or go on from a checkpoint of one."""
        state = self._state
        if not state.ready or state.photos is None:
            state.notify("Nothing to fit to yet", "warn", "Open photos with cameras first (Ctrl+Shift+O).")
            return
        from studio.core.optim.worker import Worker

        if self.worker is None:
            self.worker = Worker(on_update=self._wake)
        self._remember_curves()
        state.run = RunView(status=m.Status("preparing", note="Preparing"))
        self._phase = "idle"
        self._attached = True
        self._number += 1
        self.began_at = state.history.depth
        self._stale = self.worker.status
        self.worker.start(self._problem(), state.document.settings, state.device, checkpoint)
        settings = state.document.settings
        self._kind = settings["representation"]
        how = f"preset {settings.preset or 'own'}"
        how = how if settings["representation"] == "mesh" else f"as {settings['representation']}"
        state.say(f"Fit started: {len(state.photos.photos)} photos, {how}")

    def _remember_curves(self) -> None:
        if len(self._state.run.history) > 1:
            self._state.earlier = [*self._state.earlier, self._state.run.history][-EARLIER:]

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, with the settings of its run; a finished one gets more steps."""

        def work(job: Job) -> tuple[FitSettings, int]:
            from studio.core.optim.resume import saved_settings, saved_step

            job.progress(-1, checkpoint.name)
            return saved_settings(checkpoint), saved_step(checkpoint)

        def then(found: tuple[FitSettings, int]) -> None:
            settings, done = found
            length = length_of(settings)
            if done >= settings[length]:
                settings.set(length, done + more_steps(done))
            self._apply(Set(("settings",), settings, f"Resume {checkpoint.name}"), 0)
            self.start(checkpoint)

        self._state.jobs.start("Reading checkpoint", work, then)

    def save_checkpoint(self, path: Path) -> None:
        """Leave a checkpoint, which projects then name."""
        self._post(m.SaveCheckpoint(path))
        self._state.run.checkpoint = str(path)
        if self._committed is not None and self._committed is self._state.document.result:
            self._committed.checkpoint = str(path)

    def extend(self, steps: int) -> None:
        """More steps for a run that is done; one that was stopped early goes on first."""
        state, status = self._state, self._state.run.status
        if status.phase == "stopped" and status.step < status.steps:
            self._post(m.Resume())
        elif status.phase in ("done", "stopped", "paused"):
            settings, more = state.document.settings, status.steps + steps
            if settings["representation"] == self._kind:
                self._apply(Set(("settings", length_of(settings)), more, "Extend the run"), 0)
            else:  # the document's settings are of what comes next
                self._post(m.SetSteps(more))
        state.run.plateau = None

    def show_gradient(self, term: str) -> None:
        """Let snapshots carry the gradient of a loss term, "" for none."""
        self._state.view.gradients = term
        self._post(m.SetGradient(term))

    def _problem(self) -> FitProblem:
        """The document as the optimizer wants it."""
        from studio.core.optim.start import FitProblem

        document = self._state.document
        assert document.photos is not None
        values = {name: effect.as_dict() for name, effect in document.effects.items()}
        return FitProblem.of_scene(document.photos, document.scene, document.settings, values)

    def step(self) -> None:
        """One step, then pause."""
        if not self._state.run.active:
            self.start()
        self._post(m.Step(1))

    def stop(self) -> None:
        self._post(m.Stop())

    def abandon(self) -> None:
        """End the run and forget it: its document is being replaced."""
        if self._state.run.active:
            self._state.say("The fit was stopped.")
        self._detach()
        self._state.run = RunView()

    def _detach(self) -> None:
        """What the worker still does concerns nobody any more."""
        self._post(m.Stop())
        self._attached = False
        self._phase = "idle"

    def follow_document(self) -> None:
        """The document holds the result of another run, or of none: by undo, or because it was opened."""
        record = self._state.document.result
        if self._attached and record is self._committed:
            return
        self._detach()
        self._state.run = capture.run_view(record)
        self._fresh = True

    def reset(self) -> None:
        self._state.run.timeline = []
        self._state.run.shown = None
        self._state.run.plateau = None
        self._post(m.Reset())

    def show_step(self, step: int) -> None:
        """Look at the kept snapshot nearest to `step`; at the end, follow the run again."""
        run = self._state.run
        kept = min(run.timeline, key=lambda s: abs(s.step - step), default=None)
        newest = run.snapshot
        follow = newest is None or kept is None or abs(newest.step - step) <= abs(kept.step - step)
        run.shown = None if follow else kept
        self._fresh = True

    def step_through(self, by: int) -> None:
        """Look at the kept snapshot before or after the shown one; past the last, follow the run."""
        run = self._state.run
        if run.visible is None:
            return
        shown = run.visible.step
        step = neighbour(run.timeline, shown, by)
        self.show_step(run.status.step if by > 0 and step == shown else step)

    def post_setting(self, kind: str, target: str, value: float | str) -> None:
        """Pass a changed setting on to the run under way."""
        same = self._state.document.settings["representation"] == self._kind
        if self._state.run.status.phase in ("idle", "failed") or not same:
            return
        message: m.Message
        if kind == "steps":
            message = m.SetSteps(int(value))
        elif kind == "rasterizer":
            message = m.SetRasterizer(target, value)
        elif kind == "group":
            message = m.SetGroup(target, bool(value))
        elif kind == "rate":
            message = m.SetRate(target, float(value))
        else:
            message = m.SetWeight(target, float(value))
        self._post(message)

    def _post(self, message: m.Message) -> None:
        if self.worker is not None:
            self.worker.post(message)

    # What the worker did

    def _wake(self) -> None:
        """On the worker's thread. Beside software OpenGL each wake-up costs the fit a frame."""
        worker = self.worker
        if worker is None or not self._state.software or worker.status.phase != "running":
            self._state.wake()

    def take(self, snapshot_due: bool) -> None:
        """Once a frame, before drawing."""
        worker = self.worker
        if worker is None or not self._attached or worker.status is self._stale:
            return  # no run, or the thread has not yet begun the one that was started
        run = self._state.run
        run.status = worker.status
        run.history = worker.history
        resting = run.status.phase != "running"
        if snapshot_due or resting:
            snapshot = worker.slot.take()
            if snapshot is not None:
                self._keep(snapshot)
        self._look_for_plateau()
        if run.status.phase != self._phase:
            before, self._phase = self._phase, run.status.phase
            self._phase_changed(before, run.status)

    def take_fresh(self) -> bool:
        """Whether another snapshot is to be shown since the last call."""
        fresh, self._fresh = self._fresh, False
        return fresh

    def _keep(self, snapshot: m.Snapshot) -> None:
        run = self._state.run
        run.snapshot = snapshot
        self._fresh = self._fresh or run.shown is None
        from studio.core.optim.convergence import keep

        keep(run.timeline, snapshot)

    def _look_for_plateau(self) -> None:
        """In the last part of a run: a stage that is still to come begins with another loss. Not of a
        volume or points, whose finest details come with the lowest rates."""
        run, now = self._state.run, time.monotonic()
        parts = run.status.parts
        if run.snapshot is not None and run.snapshot.emits:
            return
        if run.status.phase != "running" or not parts or run.plateau is not None:
            return
        if now - self._asked < PLATEAU_SECONDS or run.status.step <= parts[-1].begin:
            return
        self._asked = now
        from studio.core.optim.watching import plateau

        run.plateau = plateau(run.history, parts[-1].begin, parts[-1].end - parts[-1].begin)
        if run.plateau is not None:
            self._state.notify(
                f"Converged: the loss has not fallen since step {run.plateau}",
                "good",
                "Stop it and keep the result, or let it run.",
            )

    def _phase_changed(self, before: m.Phase, status: m.Status) -> None:
        state = self._state
        if status.phase in ("done", "stopped", "failed") and state.run.snapshot is not None:
            self._commit(state.run.snapshot)
        if status.phase == "done":
            psnr = state.run.snapshot.psnr if state.run.snapshot is not None else float("nan")
            state.notify(
                f"Fit done after {status.step} steps, PSNR {psnr:.1f} dB",
                "good",
                f"{_keeping(state.run.snapshot)}, or let it go on in the panel Optimize.",
            )
        elif status.phase == "failed":
            hint = next((text for word, text in _HINTS.items() if word in status.note.lower()), "")
            at = f" at step {status.step}" if status.step else ""
            kept = (
                "" if state.run.snapshot is None else f"The state of step {state.run.snapshot.step} is kept."
            )
            state.notify(f"Fit failed{at}: {status.note}", "fail", f"{hint} {kept}".strip())
        elif status.phase in ("paused", "stopped"):
            state.say(f"Fit {status.phase} at step {status.step}")

    def _commit(self, snapshot: m.Snapshot) -> None:
        from studio.core.project import RunRecord

        run = self._state.run
        record = RunRecord(
            run.status.phase, snapshot.step, run.status.steps, snapshot, list(run.history), run.checkpoint
        )
        self.commit(record, "Fit", -self._number)

    def commit(self, record: RunRecord, label: str, gesture: int = 0) -> None:
        """The result becomes the document's, so that it can be edited, saved, exported and undone.

        Args:
            gesture: results of one run that come after another are one entry of the history.
        """
        from studio.core.optim.start import scene_after

        document = self._state.document
        assert record.snapshot is not None
        snapshot = record.snapshot
        new = scene_after(document.scene, snapshot, document.settings, document.name)
        made = (
            "volume" if snapshot.volume is not None else "points" if snapshot.points is not None else "meshes"
        )
        sets = [Set(("scene",), new, ""), Set(("result",), record, "")]
        sets += [Set(("looks", kind, "shown"), kind == made, "") for kind in document.looks]
        if "environment" in document.enabled:  # a map lights through its effect
            on = document.enabled["environment"] or new.lighting.environment is not None
            sets.append(Set(("enabled", "environment"), on, ""))
        self._committed = record
        self._apply(Edits(tuple(sets), label), gesture)

    def close(self) -> None:
        """End the worker; waits for its thread."""
        if self.worker is not None:
            self.worker.close()


def _keeping(snapshot: m.Snapshot | None) -> str:
    """How what a run made is written to a file."""
    if snapshot is not None and snapshot.emits:
        return "Save it with File, Save volume or points…"
    return "Export it with Ctrl+E"


def length_of(settings: FitSettings) -> str:
    """The setting that says how many steps a run has."""
    kind = settings["representation"]
    return "steps" if kind == "mesh" else f"{kind}_steps"


def more_steps(done: int) -> int:
    """By how much a finished run is extended: a third of what it took, in round numbers."""
    return max(10, round(done / 30) * 10)
