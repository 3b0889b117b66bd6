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

KINDS = {"gif": ("GIF", (".gif",)), "mp4": ("MP4", (".mp4",))}


class Films:
    """Starts the jobs; they render with the differentiable renderer, so the window stays free."""

    def __init__(self, state: AppState, dialogs: FileDialogs, files: Files) -> None:
        self._state = state
        self._dialogs = dialogs
        self._files = files

    def ask(self) -> None:
        """Ask where the film that is chosen goes."""
        values = self._state.choices["film"]
        kind, film = KINDS[values["format"]], values["film"]
        start = f"{self._state.document.name}-{film}.{values['format']}"
        save = self.run if film == "run" else self.turntable
        self._dialogs.ask(Request("save", "Save film", save, (kind,), start))

    def _shape(self, path: Path) -> tuple[Path, tuple[int, int]]:
        """(file, size); sides of a video are even."""
        values = self._state.choices["film"]
        path = path if path.suffix else path.with_suffix(f".{values['format']}")
        even = 2 if path.suffix.lower() == ".mp4" else 1
        return path, (values["width"] // even * even, values["height"] // even * even)

    def turntable(self, path: Path) -> None:
        """The scene as it is shown, once around; a volume or points where no mesh is shown."""
        path, size = self._shape(path)
        values, device = self._state.choices["film"].copy(), self._state.device
        scene, effects = self._files.seen_scene(), self._effects()

        def work(job: Job) -> Path:
            from studio.core.device import pick_device
            from studio.core.optim.turntable import save_turntable

            where, seconds, fps = pick_device(device), values["seconds"], values["fps"]
            save_turntable(scene, path, seconds, size, effects, where, job.progress, fps)
            return path

        self._state.jobs.start("Filming turntable", work, self._saved)

    def run(self, path: Path) -> None:
        """The run's snapshots one after the other.

        Raises:
            InputError: there is no run.
        """
        snapshots, last = list(self._state.run.timeline), self._state.run.snapshot
        if snapshots and last is not None and last.step == snapshots[-1].step:
            snapshots[-1] = last  # whole, where the timeline has it thinned
        if len(snapshots) < 2:
            raise InputError("film: there is no run to film yet; start one first")
        path, size = self._shape(path)
        values, device = self._state.choices["film"].copy(), self._state.device
        base, effects = self._state.document.scene, self._effects()
        own_light = self._state.document.settings.enabled("light")

        def scene_of(snapshot: Snapshot) -> Scene:
            if snapshot.mesh is None:
                made = snapshot.whole()
                return replace(base, meshes=[], volume=made.volume, points=made.points)
            lighting = snapshot.lighting if own_light else base.lighting
            return replace(base, meshes=[snapshot.mesh, *base.meshes[1:]], lighting=lighting)

        def work(job: Job) -> Path:
            from studio.core.device import pick_device
            from studio.core.optim.convergence import save_convergence

            where, seconds, fps = pick_device(device), values["seconds"], values["fps"]
            save_convergence(snapshots, scene_of, path, seconds, size, effects, where, job.progress, fps)
            return path

        self._state.jobs.start("Filming the run", work, self._saved)

    def _effects(self) -> dict[str, ParamSet]:
        return {name: values.copy() for name, values in self._state.document.own.on().items()}

    def _saved(self, path: Path) -> None:
        self._state.notify(f"Saved {path.name}", "good", f"In {path.parent}")
