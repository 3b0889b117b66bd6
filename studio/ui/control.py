"""Carries out commands: edits through the history, actions by their `_act_<name>` method.

Also the go-between of window and optimizer: posts messages, takes snapshots and status, and
keeps the viewport in step with the document.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgui_bundle import hello_imgui

from studio.core.errors import StudioError
from studio.core.params import ParamSet
from studio.ui import capture
from studio.ui.commands import Act, Command, Edits, Set
from studio.ui.commands import Path as DocPath
from studio.ui.comparing import Comparing
from studio.ui.dialogs import FileDialogs
from studio.ui.files import ADVICE, Files
from studio.ui.films import Films
from studio.ui.gradients import Gradients
from studio.ui.jobs import Job
from studio.ui.panels.optimize import message_for
from studio.ui.projects import Projects
from studio.ui.radiance import RadianceFiles
from studio.ui.radiance_actions import RadianceActions
from studio.ui.recovery import EVERY, Autosave, Captured, Recovery, find_recoveries
from studio.ui.run import Run
from studio.ui.scene_actions import SceneActions
from studio.ui.shots import Shots
from studio.ui.state import AppState, Choice, Question
from studio.ui.view_control import ViewActions
from studio.ui.watch_actions import WatchActions

if TYPE_CHECKING:
    from studio.core.effects.effect import Effect
    from studio.ui.panels.viewport import ViewportPanel


class Controller(ViewActions, SceneActions, WatchActions, RadianceActions):
    """The one place where commands take effect.

    Args:
        native_dialogs: use the system's file dialogs where it has some.
        folder: the user's data folder, for autosaves and recent projects; None keeps nothing.
        autosave: seconds from a change to its being autosaved.

    Attributes:
        effects: the registry, empty until it is loaded.
        viewport: set once the OpenGL context exists.
        stays: the window is the only one of its process; what is loaded for it stays for good.
    """

    def __init__(
        self,
        state: AppState,
        native_dialogs: bool = True,
        folder: Path | None = None,
        autosave: float = EVERY,
    ) -> None:
        self.state = state
        self.folder = folder
        self.dialogs = FileDialogs(native_dialogs)
        self.run = Run(state, self._apply)
        self.projects = Projects(
            state, self.dialogs, self.run, self._apply, folder, lambda: self.effects, lambda: self.viewport
        )
        self.files = Files(state, self.dialogs, self._apply, self.run.abandon, self.projects)
        self.radiance = RadianceFiles(state, self.dialogs, self._apply, self.run.abandon)
        self.autosave = Autosave(folder, self._captured, self._autosave_failed, autosave)
        self.projects.adopt = self.autosave.adopt
        self.opened_with_nothing = False
        self._when_stopped: Callable[[], None] | None = None
        self.comparing = Comparing(state, self._apply, self.files.shown_scene)
        self.gradients = Gradients(state)
        self.shots = Shots(state, self.dialogs)
        self.films = Films(state, self.dialogs, self.files)
        self.effects: dict[str, Effect] = {}
        self.viewport: ViewportPanel | None = None
        self.stays = False

    @property
    def worker(self) -> Any:
        """The optimizer's worker, or None before the first start."""
        return self.run.worker

    def warm_up(self, files: list[Path], demo: bool) -> None:
        """Load the heavy libraries behind the window, then what it should open with."""

        def work(job: Job) -> tuple[dict[str, Effect], str]:
            job.progress(-1, "PyTorch")
            import torch  # noqa: F401

            job.progress(-1, "effects")
            from studio.core.effects import registry

            effects = registry()
            job.progress(-1, "optimizer")
            import studio.core.optim.worker  # noqa: F401
            from studio.core.device import pick_device

            if self.folder is not None:
                job.progress(-1, "unsaved work")
                self.state.recoveries = find_recoveries(self.folder)
            return effects, str(pick_device(self.state.device))

        self.opened_with_nothing = demo and not files
        if files:
            self.state.act("open_files", files)
        elif demo:
            self.files.open_demo()
        self.state.jobs.start("Loading", work, self._warm)

    def _compile_kernels(self) -> None:
        """Have the kernels ready before Start is pressed; a moment unless nothing is cached."""

        def work(job: Job) -> None:
            import torch

            from studio.core.device import pick_device
            from studio.core.kernels import launcher, warp_modules
            from studio.core.ops.prefilter import make_filters

            launcher.preload(
                warp_modules(),
                lambda done, total, name: job.progress(done / total, name),
                pick_device(self.state.device),
            )
            make_filters(torch.device("cpu"))  # or the sky would make the first frame wait

        self.state.jobs.start("Compiling kernels", work, lambda _: self._loaded())

    def _loaded(self) -> None:
        """Spare the garbage collector the libraries: to look through them takes a quarter of a second,
        now and then, in which the window would stand still."""
        if self.stays:
            gc.freeze()

    def _warm(self, loaded: tuple[dict[str, Effect], str]) -> None:
        effects, device = loaded
        self.state.compute = device.upper()
        document = self.state.document
        if not document.effects:  # else a project that the command line named was quicker
            document.effects = {
                name: ParamSet(name, effect.params, document.scene.effects.get(name))
                for name, effect in effects.items()
            }
            document.enabled = {name: effect.enabled for name, effect in effects.items()}
        self.effects = effects
        self.state.ready = True
        self._loaded()
        if self.state.recent and self.opened_with_nothing:
            self.state.view.welcome_open = True
        self.state.changes.append(("effects",))
        self._compile_kernels()

    # Commands

    def carry_out(self, command: Command) -> None:
        """Apply an edit or do an action; what the user cannot do becomes a notice."""
        try:
            if isinstance(command, Act):
                own = getattr(self, f"_act_{command.name}", None)
                (own or getattr(self.comparing, f"act_{command.name}"))(*command.args)
            else:
                self._apply(command, self.state.gesture)
        except StudioError as error:
            self.state.notify(str(error), "warn")

    def advice(self, title: str) -> str:
        """What to do after the job of this title failed."""
        return ADVICE.get(title, "")

    def _apply(self, command: Set | Edits, gesture: int = 0) -> None:
        self.state.history.apply(command, gesture)

    def _captured(self) -> Captured:
        return capture.captured(self.state, self.viewport), capture.picture_of(self.viewport)

    def _autosave_failed(self, line: str) -> None:
        self.state.notify(line, "warn", "Save the project (Ctrl+S) where there is room.")

    def take_updates(self, snapshot_due: bool) -> None:
        """Once a frame: the optimizer's news, and the document's changes to viewport and worker."""
        self.run.take(snapshot_due)
        if self._when_stopped is not None and not self.state.run.active:
            follow, self._when_stopped = self._when_stopped, None
            follow()
        changes, self.state.changes = self.state.changes, []
        for path in changes:
            self._live_setting(path)
        if ("result",) in changes:
            self.run.follow_document()
        if any(path[0] == "scene" for path in changes):
            self.comparing.reference.drop()  # of a scene that is no more
        if self.viewport is not None:
            self.viewport.sync(changes, self.run.take_fresh())

    def autosave_now_and_then(self) -> None:
        """Once a frame: what changed is written behind the window within half a minute."""
        state = self.state
        snapshot = state.run.snapshot if state.run.active else None
        now = (state.history.serial, None if snapshot is None else snapshot.step)
        self.autosave.update(now, state.unsaved and state.ready, state.document.path)

    def _live_setting(self, path: DocPath) -> None:
        """Settings that a running fit understands are passed on."""
        if path[0] != "settings":
            return
        settings = self.state.document.settings
        names = [str(path[1])] if len(path) > 1 else [param.name for param in settings.params()]
        for name in names:
            message = message_for(name, settings)
            if message is not None:
                self.run.post_setting(*message)

    # Actions: files

    def _act_open_files(self, paths: list[Path]) -> None:
        self.files.open_any(paths)

    def _act_open_mesh(self, path: Path | None = None) -> None:
        if path is None:
            self.files.ask_mesh()
        else:
            self.files.open_mesh(path)

    def _act_open_photos(self, path: Path | None = None) -> None:
        if path is None:
            self.files.ask_photos()
        else:
            self.files.open_photos(path)

    def _act_open_environment(self, path: Path | None = None) -> None:
        if path is None:
            self.files.ask_environment()
        else:
            self.files.open_environment(path)

    def _act_open_scene(self, name: str) -> None:
        self.state.view.welcome_open = False
        if name == "demo":
            self.files.open_demo()
        else:
            self.files.open_scene(name)

    def _act_new(self) -> None:
        self.projects.new()

    def _act_open_project(self, path: Path | None = None) -> None:
        if path is None:
            self.projects.ask_open()
        else:
            self.projects.open(path)

    def _act_save(self) -> None:
        self.projects.save()

    def _act_save_as(self, path: Path | None = None) -> None:
        if path is None:
            self.projects.ask_save()
        else:
            self.projects.write(path)

    def _act_revert(self) -> None:
        self.projects.revert()

    def _act_find_photos(self, path: Path | None = None) -> None:
        self.projects.find_photos(path)

    def _act_recover(self, recovery: Recovery) -> None:
        self.projects.recover(recovery)

    def _act_discard(self, recovery: Recovery) -> None:
        self.projects.discard(recovery)

    def _act_restore_view(self, values: dict[str, Any]) -> None:
        capture.restore_view(self.state, self.viewport, values)

    def _act_export(self, path: Path | None = None) -> None:
        if path is None:
            self._act_dialog("mesh")
        else:
            self.files.export(path)

    def _act_ask_export(self) -> None:
        self.files.ask_export()

    def _act_screenshot(self, path: Path | None = None) -> None:
        if self.viewport is not None:
            self.shots.save(self.viewport, path)

    def _act_ask_screenshot(self) -> None:
        if self.viewport is not None:
            self.shots.ask(self.viewport)

    def _act_dialog(self, name: str) -> None:
        """Open the dialog in which something to take away is chosen."""
        self.state.view.dialog = name

    def _act_choose(self, dialog: str, name: str, value: Any) -> None:
        """A choice in one of those dialogs; kept for the next time, in no document."""
        if dialog == "picture":
            self.shots.choose(name, value)
        else:
            self.state.choices[dialog].set(name, value)

    def _act_quit(self) -> None:
        self.projects.guard(lambda: self.leave(), "closing")

    def leave(self) -> None:
        """Close the window after this frame."""
        hello_imgui.get_runner_params().app_shall_exit = True

    # Actions: edit

    def _act_undo(self) -> None:
        if not self._behind_the_run(self.state.history.position - 1):
            self._undo()

    def _undo(self) -> None:
        label = self.state.history.undo()
        if label:
            self.state.say(f"Undone: {label}")

    def _act_redo(self) -> None:
        label = self.state.history.redo()
        if label:
            self.state.say(f"Done again: {label}")

    def _act_go_to(self, position: int) -> None:
        """Undo or redo to an entry of the history."""
        if not self._behind_the_run(position):
            self.state.history.go_to(position)

    def _behind_the_run(self, position: int) -> bool:
        """Whether that goes back behind the start of the run under way; then it is stopped first."""
        state, history = self.state, self.state.history
        first = self.run.began_at - (history.depth - history.position)
        if not state.run.active or position >= first:
            return False
        before = history.depth

        def stop() -> None:
            self.run.stop()
            self._when_stopped = back

        def back() -> None:
            """The run's result is an entry by now, if it got so far; it goes, and what was asked for."""
            undone = position + 1 == first
            if undone and history.depth > before:
                history.undo()
            elif not undone:
                history.go_to(position)

        state.question = Question(
            "Stop the fit and undo it?",
            "It is still running. Undoing goes back to the document before it began; redo brings the result.",
            (Choice("Stop and undo", stop, main=True),),
        )
        return True

    # Actions: run

    def _act_toggle_run(self) -> None:
        self.run.toggle()

    def _act_step(self) -> None:
        self.run.step()

    def _act_stop(self) -> None:
        self.run.stop()

    def _act_reset(self) -> None:
        self.run.reset()

    def _act_go_to_step(self, step: int) -> None:
        self.run.show_step(step)

    def close(self) -> None:
        """End jobs and worker; waits for their threads. Unsaved work has been asked about."""
        self.dialogs.close()
        self.run.close()
        self.state.jobs.close()
        self.autosave.close()
