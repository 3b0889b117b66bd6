"""Actions around a run that is watched: snapshots, going on, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import InputError
from studio.core.params import ParamSet
from studio.core.scene import Camera, Scene
from studio.ui.dialogs import FileDialogs, Request
from studio.ui.files import Files
from studio.ui.films import Films
from studio.ui.gradients import Gradients
from studio.ui.run import Run
from studio.ui.state import AppState, Choice, Question

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

CHECKPOINTS = (("Checkpoint", (".safetensors",)),)


class WatchActions:
    """Part of the controller: what panels and menus ask of a run by `_act_<name>`."""

    state: AppState
    dialogs: FileDialogs
    run: Run
    files: Files
    gradients: Gradients
    films: Films
    viewport: ViewportPanel | None

    def derivable(self) -> list[str]:
        """The numbers that the picture can be derived by."""
        return self.gradients.choices(*self._seen())

    def _act_derive(self) -> None:
        self.gradients.start(*self._seen())

    def _seen(self) -> tuple[Scene, Camera, dict[str, ParamSet]]:
        """What the viewport shows: scene, camera, effects."""
        if self.viewport is None:
            raise InputError("gradients: there is no view yet")
        camera = self.viewport.camera.camera(*self.viewport.pixels)
        return self.files.shown_scene(), camera, self.state.document.own.on()

    def _act_step_snapshot(self, by: int) -> None:
        self.run.step_through(by)

    def _act_extend(self, steps: int) -> None:
        self.run.extend(steps)

    def _act_show_gradient(self, term: str) -> None:
        self.run.show_gradient(term)

    def _act_save_turntable(self, path: Path | None = None) -> None:
        if path is None:
            self._open_films("turntable")
        else:
            self.films.turntable(path)

    def _act_save_film(self, path: Path | None = None) -> None:
        if path is None:
            self._open_films("run")
        else:
            self.films.run(path)

    def _act_save_report(self, folder: Path | None = None) -> None:
        if folder is None:
            self.dialogs.ask(Request("folder", "Folder for the report", self.files.report))
        else:
            self.files.report(folder)

    def _open_films(self, film: str) -> None:
        self.state.choices["film"].set("film", film)
        self.state.view.dialog = "film"

    def _act_ask_film(self) -> None:
        self.films.ask()

    def _act_save_checkpoint(self, path: Path | None = None) -> None:
        if path is not None:
            self.run.save_checkpoint(path)
            return
        start = f"{self.state.document.name}-{self.state.run.status.step}.safetensors"
        self.dialogs.ask(Request("save", "Save checkpoint", self.run.save_checkpoint, CHECKPOINTS, start))

    def _act_resume(self, path: Path | None = None) -> None:
        if path is not None:
            self.run.resume(path)
            return
        own = Path(self.state.run.checkpoint)
        if not self.state.run.checkpoint or not own.is_file():
            self._ask_checkpoint()
            return
        self.state.question = Question(
            f"Go on from {own.name}?",
            f"The last run left it in {own.parent}.",
            (
                Choice("Go on", lambda: self.run.resume(own), main=True),
                Choice("Another…", self._ask_checkpoint),
            ),
        )

    def _ask_checkpoint(self) -> None:
        self.dialogs.ask(Request("file", "Resume from a checkpoint", self.run.resume, CHECKPOINTS))
