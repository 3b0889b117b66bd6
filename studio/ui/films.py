"""Films from the window: the object turning, and the run from its first snapshot to the last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from studio.core.errors import InputError
from studio.core.optim.messages import Snapshot
from studio.core.params import ParamSet
from studio.core.scene import Scene
from studio.ui.dialogs import FileDialogs, Request
from studio.ui.files import Files
from studio.ui.jobs import Job
from studio.ui.state import AppState

SIZE = (480, 480)
SECONDS = 5.0
KINDS = (("GIF", (".gif",)), ("MP4, with imageio-ffmpeg", (".mp4",)))


class Films:
    """Starts the jobs; they render with the differentiable renderer, so the window stays free."""

    def __init__(self, state: AppState, dialogs: FileDialogs, files: Files) -> None:
        self._state = state
        self._dialogs = dialogs
        self._files = files

    def turntable(self, path: Path | None = None) -> None:
        """The scene as it is shown, once around; asks for a file without `path`."""
        if path is None:
            start = f"{self._state.document.name}-turn.gif"
            self._dialogs.ask(Request("save", "Save turntable", self.turntable, KINDS, start))
            return
        scene, effects = self._files.shown_scene(), self._effects()
        device = self._state.device

        def work(job: Job) -> Path:
            from studio.core.device import pick_device
            from studio.core.optim.turntable import save_turntable

            save_turntable(scene, path, SECONDS, SIZE, effects, pick_device(device), job.progress)
            return path

        self._state.jobs.start("Filming turntable", work, self._saved)

    def run(self, path: Path | None = None) -> None:
        """The run's snapshots one after the other; asks for a file without `path`."""
        snapshots = list(self._state.run.timeline)
        if any(snapshot.emits for snapshot in snapshots):
            raise InputError("film: only runs of a mesh are filmed; save a turntable on the command line")
        if len(snapshots) < 2:
            raise InputError("film: there is no run to film yet; start one first")
        if path is None:
            start = f"{self._state.document.name}-run.gif"
            self._dialogs.ask(Request("save", "Save film of the run", self.run, KINDS, start))
            return
        base, effects, device = self._state.document.scene, self._effects(), self._state.device
        own_light = self._state.document.settings.enabled("light")

        def scene_of(snapshot: Snapshot) -> Scene:
            lighting = snapshot.lighting if own_light else base.lighting
            assert snapshot.mesh is not None
            return replace(base, meshes=[snapshot.mesh, *base.meshes[1:]], lighting=lighting)

        def work(job: Job) -> Path:
            from studio.core.device import pick_device
            from studio.core.optim.convergence import save_convergence

            save_convergence(
                snapshots, scene_of, path, SECONDS, SIZE, effects, pick_device(device), job.progress
            )
            return path

        self._state.jobs.start("Filming the run", work, self._saved)

    def _effects(self) -> dict[str, ParamSet]:
        return {name: values.copy() for name, values in self._state.document.own.on().items()}

    def _saved(self, path: Path) -> None:
        self._state.notify(f"Saved {path.name}", "good", f"In {path.parent}")
