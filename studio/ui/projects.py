"""Projects in the window: new, open, save, revert, recover; nothing unsaved goes without a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import StudioError
from studio.core.looks import looks
from studio.core.scene import PhotoSet, Scene
from studio.ui import capture, userdata
from studio.ui.commands import Edits, Set
from studio.ui.dialogs import FileDialogs, Request
from studio.ui.jobs import Job
from studio.ui.state import AppState, Choice, Question, View

if TYPE_CHECKING:
    from studio.core.project import Project
    from studio.ui.panels.viewport import ViewportPanel
    from studio.ui.recovery import Recovery
    from studio.ui.run import Run

SUFFIX = ".studio"
FILTER = (("Projects", (SUFFIX,)),)


class Projects:
    """The document's life on disk.

    Args:
        apply: carries out an edit of the document.
        folder: the user's data folder, for the list of recent projects; None keeps none.
        effects: gives the registry, empty until it is loaded.
        viewport: gives the viewport's panel, None before the window shows.
    """

    def __init__(
        self,
        state: AppState,
        dialogs: FileDialogs,
        run: Run,
        apply: Callable[[Edits | Set], None],
        folder: Path | None,
        effects: Callable[[], dict[str, Any]],
        viewport: Callable[[], ViewportPanel | None],
    ) -> None:
        self._state = state
        self._dialogs = dialogs
        self._run = run
        self._apply = apply
        self._folder = folder
        self._effects = effects
        self._viewport = viewport
        self._saving: Job | None = None
        self._after_saving: Callable[[], None] | None = None
        self.adopt: Callable[[Recovery], None] = lambda recovery: None
        if folder is not None:
            state.recent = userdata.load_recent(folder)

    # Before work goes

    def guard(self, then: Callable[[], None], doing: str) -> None:
        """Go on with `then`, at once or when the person has decided what becomes of unsaved work."""
        state = self._state
        if not state.unsaved:
            then()
            return

        def save_first() -> None:
            if self._saving is not None and self._saving in state.jobs.running:
                self._after_saving = then
            else:
                self.save(then)

        running = " A fit is running; its result so far is saved with it." if state.run.active else ""
        state.question = Question(
            f"Save {state.document.title} before {doing}?",
            f"Changes that are not saved would be lost.{running}",
            (Choice("Save", save_first, main=True), Choice("Don't save", then)),
        )

    # New

    def new(self) -> None:
        self.guard(self.clear, "beginning anew")

    def clear(self) -> None:
        """An empty document."""
        from studio.core.optim.settings import load_preset
        from studio.core.params import ParamSet

        effects = self._effects()
        sets = (
            Set(("scene",), Scene(), ""),
            Set(("photos",), None, ""),
            Set(("settings",), load_preset(), ""),
            Set(("effects",), {n: ParamSet(n, e.params) for n, e in effects.items()}, ""),
            Set(("enabled",), {n: e.enabled for n, e in effects.items()}, ""),
            Set(("other",), None, ""),
            Set(("name",), "untitled", ""),
            Set(("result",), None, ""),
            Set(("looks",), looks(), ""),
        )
        self._replace(sets, None)
        self._look_afresh()
        self._state.view.welcome_open = True

    def _replace(self, sets: tuple[Set, ...], path: Path | None, origin: str = "") -> None:
        """Another document takes the place of this one, which cannot be undone."""
        self._run.abandon()
        document = self._state.document
        document.path, document.origin, document.missing = path, origin, None
        self._apply(Edits(sets, "Open"))
        self._state.history.forget()
        capture.restore_kept(self._state, {}, {})

    def replaced_by(self, sets: tuple[Set, ...], origin: str) -> None:
        """A built-in scene becomes the document: one that no file holds yet."""
        fresh = (Set(("result",), None, ""), Set(("looks",), looks(), ""))
        self._replace((*sets, *fresh), None, origin)

    def _look_afresh(self) -> None:
        fresh, view = View(), self._state.view
        for name in capture.VIEW:
            if name not in ("grid", "cameras", "gizmo"):
                setattr(view, name, getattr(fresh, name))

    # Opening

    def ask_open(self) -> None:
        self.guard(
            lambda: self._dialogs.ask(Request("file", "Open project", self.read, FILTER)), "opening another"
        )

    def open(self, path: Path) -> None:
        self.guard(lambda: self.read(path), f"opening {path.stem}")

    def revert(self) -> None:
        """Back to what the file holds."""
        path = self._state.document.path
        if path is None:
            return
        self._state.question = Question(
            f"Revert to the saved {path.stem}?",
            "All changes since it was saved are lost; this cannot be undone.",
            (Choice("Revert", lambda: self.read(path), main=True),),
        )

    def read(self, path: Path, recovery: Recovery | None = None) -> None:
        """Load a project and its photos; then it becomes the document."""

        def work(job: Job) -> tuple[Project, PhotoSet | None, str]:
            from studio.core.project import load_project
            from studio.gl.upload import prepare

            job.progress(-1, path.name)
            project = load_project(path)
            prepare(project.scene.meshes)
            if project.photos is None or project.photos.missing:
                return project, None, ""
            try:
                return project, project.photos.read(job.progress), ""
            except StudioError as error:
                return project, None, str(error)

        self._state.jobs.start("Opening project", work, lambda found: self._take(path, recovery, *found))

    def _take(
        self, path: Path, recovery: Recovery | None, project: Project, photos: PhotoSet | None, trouble: str
    ) -> None:
        under_way = project.run if project.run is not None and project.run.under_way else None
        if under_way is not None and recovery is None:
            # The state it had reached is the document; only a recovery can still go back behind it.
            project.scene = project.shown_scene()
            project.run = replace(under_way, phase="stopped")
        elif under_way is not None:
            project.run = None
        from studio.core.effects import registry

        sets = (*capture.document_edits(project, registry()), Set(("photos",), photos, ""))
        self._replace(sets, path if recovery is None else recovery.path)
        capture.restore_kept(self._state, project.kept, registry())
        state = self._state
        if recovery is not None:
            state.history.mark_unsaved()
            self.adopt(recovery)
            if under_way is not None and under_way.snapshot is not None:
                project.run = replace(under_way, phase="stopped")
                self._run.commit(project.run, "Fit (recovered)")
        self._tell(project, photos, trouble)
        state.view.welcome_open = False
        state.act("restore_view", project.view)
        if recovery is None:
            self._remember(path)
            state.notify(f"Opened {path.stem}", "good")
        else:
            state.notify(f"Recovered {project.name}", "good", "It is not saved yet.")

    def _tell(self, project: Project, photos: PhotoSet | None, trouble: str) -> None:
        """What could not be taken over, and photos that are not there."""
        state = self._state
        for note in project.notes:
            state.say(f"{project.name}: {note}", "warn")
        reference = project.photos
        if reference is None:
            return
        if photos is not None:
            for note in reference.changes(photos):
                state.notify(f"{project.name}: {note}", "warn")
            return
        state.document.missing = reference
        what = trouble or f"{reference.described} are not in {reference.source}"
        state.notify(what, "warn", "All else is open. Find photos… in the panel Photos says where they are.")

    def find_photos(self, folder: Path | None = None) -> None:
        """Point to where the project's photos are now."""
        missing = self._state.document.missing
        if missing is None:
            return
        if folder is None:
            self._dialogs.ask(Request("folder", f"Where are {missing.described}?", self.find_photos))
            return
        moved = missing.moved(folder)

        def take(photos: PhotoSet) -> None:
            self._apply(Set(("photos",), photos, "Find photos"))
            self._state.document.missing = None
            for note in moved.changes(photos):
                self._state.notify(note, "warn")

        self._state.jobs.start("Opening photos", lambda job: moved.read(job.progress), take)

    # Saving

    def save(self, then: Callable[[], None] | None = None) -> None:
        """Into the project's file; asks for one where there is none."""
        if self._state.document.path is None:
            self.ask_save(then)
        else:
            self.write(self._state.document.path, then)

    def ask_save(self, then: Callable[[], None] | None = None) -> None:
        def chosen(path: Path) -> None:
            path = path if path.suffix.lower() == SUFFIX else path.with_name(path.name + SUFFIX)
            if path.exists() and not self._dialogs.asks_to_replace and path != self._state.document.path:
                self._state.question = Question(
                    f"Replace {path.name}?",
                    f"There is a file of this name in {path.parent}.",
                    (Choice("Replace", lambda: self.write(path, then), main=True),),
                )
            else:
                self.write(path, then)

        start = f"{self._state.document.title}{SUFFIX}"
        self._dialogs.ask(Request("save", "Save project", chosen, FILTER, start))

    def write(self, path: Path, then: Callable[[], None] | None = None) -> None:
        """Save as `path`, behind the window; `then` follows once it is on disk."""
        state = self._state
        project = capture.captured(state, self._viewport())
        project.name = path.stem
        picture, serial = capture.picture_of(self._viewport()), state.history.serial

        def work(job: Job) -> Path:
            from studio.core.project import save_project

            job.progress(-1, path.name)
            save_project(project, path, picture)
            return path

        def saved(path: Path) -> None:
            state.document.path = path
            state.history.mark_saved(serial)
            self._remember(path)
            state.notify(f"Saved {path.stem}", "good", f"In {path.parent}")
            follow, self._after_saving = then or self._after_saving, None
            if follow is not None:
                follow()

        self._saving = state.jobs.start("Saving project", work, saved)

    def _remember(self, path: Path) -> None:
        if self._folder is not None:
            self._state.recent = userdata.remember(self._folder, path)

    # Recovering

    def recover(self, recovery: Recovery) -> None:
        def go() -> None:
            self._state.recoveries = [r for r in self._state.recoveries if r is not recovery]
            self.read(recovery.autosave, recovery)

        self.guard(go, "recovering other work")

    def discard(self, recovery: Recovery) -> None:
        recovery.discard()
        self._state.recoveries = [r for r in self._state.recoveries if r is not recovery]
