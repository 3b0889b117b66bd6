"""The window's side of a fit: starts the worker, takes its snapshots, keeps the timeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from studio.core.optim import messages as m
from studio.ui import capture
from studio.ui.commands import Edits, Set
from studio.ui.state import AppState, RunView

if TYPE_CHECKING:
    from studio.core.optim.fit import FitProblem
    from studio.core.optim.worker import Worker
    from studio.core.project import RunRecord

TIMELINE = 24
"""Snapshots kept for going back; of 20k triangles each holds about 1 MB."""

TIMELINE_BYTES = 400_000_000
"""Textures in the timeline, at most: those of 512 x 512 take 9 MB a snapshot."""

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

    def start(self) -> None:
        """Begin a new run on the document as it is."""
        state = self._state
        if not state.ready or state.photos is None:
            state.notify("Nothing to fit to yet", "warn", "Open photos with cameras first (Ctrl+Shift+O).")
            return
        from studio.core.optim.worker import Worker

        if self.worker is None:
            self.worker = Worker(on_update=self._wake)
        state.run = RunView(status=m.Status("preparing", note="Preparing"))
        self._phase = "idle"
        self._attached = True
        self._number += 1
        self.began_at = state.history.depth
        self._stale = self.worker.status
        self.worker.start(self._problem(), state.document.settings, state.device)
        preset = state.document.settings.preset or "own"
        state.say(f"Fit started: {len(state.photos.photos)} photos, preset {preset}")

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
        self._post(m.Reset())

    def show_step(self, step: int) -> None:
        """Look at the kept snapshot nearest to `step`; at the end, follow the run again."""
        run = self._state.run
        kept = min(run.timeline, key=lambda s: abs(s.step - step), default=None)
        newest = run.snapshot
        follow = newest is None or kept is None or abs(newest.step - step) <= abs(kept.step - step)
        run.shown = None if follow else kept
        self._fresh = True

    def post_setting(self, kind: str, target: str, value: float | str) -> None:
        """Pass a changed setting on to the run under way."""
        if self._state.run.status.phase in ("idle", "failed"):
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
        spacing = max(1, run.status.steps // TIMELINE)
        if run.timeline and snapshot.step < run.timeline[-1].step:
            run.timeline = []
        if not run.timeline or snapshot.step - run.timeline[-1].step >= spacing:
            run.timeline.append(snapshot)
            del run.timeline[: -2 * TIMELINE]
            if _texture_bytes(run.timeline) > TIMELINE_BYTES:
                del run.timeline[1::2]  # those that stay still span the run

    def _phase_changed(self, before: m.Phase, status: m.Status) -> None:
        state = self._state
        if status.phase in ("done", "stopped", "failed") and state.run.snapshot is not None:
            self._commit(state.run.snapshot)
        if status.phase == "done":
            psnr = state.run.snapshot.psnr if state.run.snapshot is not None else float("nan")
            state.notify(
                f"Fit done after {status.step} steps, PSNR {psnr:.1f} dB", "good", "Export it with Ctrl+E."
            )
        elif status.phase == "failed":
            hint = next((text for word, text in _HINTS.items() if word in status.note.lower()), "")
            state.notify(f"Fit failed: {status.note}", "fail", hint or "The last good state is kept.")
        elif status.phase in ("paused", "stopped"):
            state.say(f"Fit {status.phase} at step {status.step}")

    def _commit(self, snapshot: m.Snapshot) -> None:
        from studio.core.project import RunRecord

        run = self._state.run
        record = RunRecord(run.status.phase, snapshot.step, run.status.steps, snapshot, list(run.history))
        self.commit(record, "Fit", -self._number)

    def commit(self, record: RunRecord, label: str, gesture: int = 0) -> None:
        """The result becomes the document's, so that it can be edited, saved, exported and undone.

        Args:
            gesture: results of one run that come after another are one entry of the history.
        """
        from studio.core.optim.start import scene_after

        document = self._state.document
        assert record.snapshot is not None
        new = scene_after(document.scene, record.snapshot, document.settings, document.name)
        sets = [Set(("scene",), new, ""), Set(("result",), record, "")]
        if "environment" in document.enabled:  # a map lights through its effect
            on = document.enabled["environment"] or new.lighting.environment is not None
            sets.append(Set(("enabled", "environment"), on, ""))
        self._committed = record
        self._apply(Edits(tuple(sets), label), gesture)

    def close(self) -> None:
        """End the worker; waits for its thread."""
        if self.worker is not None:
            self.worker.close()


def _texture_bytes(snapshots: list[m.Snapshot]) -> int:
    """Memory of the snapshots' textures; those that several share count once."""
    materials = [snapshot.mesh.material for snapshot in snapshots]
    names = ("base_color_texture", "orm_texture", "normal_texture")
    images = [image for material in materials for n in names if (image := getattr(material, n)) is not None]
    return sum({id(image): image.nbytes for image in images}.values())
