"""Carries out commands: edits through the history, actions by their `_act_<name>` method.

Also the go-between of window and optimizer: posts messages, takes snapshots and status, and
keeps the viewport in step with the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgui_bundle import hello_imgui

from studio.core.errors import InputError, StudioError
from studio.core.params import ParamSet
from studio.core.scene import Light
from studio.core.scene.light import MAX_LIGHTS
from studio.ui import preferences
from studio.ui.commands import Act, Command, Edits, Set
from studio.ui.commands import Path as DocPath
from studio.ui.comparing import Comparing
from studio.ui.dialogs import FileDialogs
from studio.ui.files import ADVICE, Files
from studio.ui.jobs import Job
from studio.ui.panels.optimize import message_for
from studio.ui.run import Run
from studio.ui.state import AppState

if TYPE_CHECKING:
    from studio.core.effects.effect import Effect
    from studio.ui.panels.viewport import ViewportPanel


class Controller:
    """The one place where commands take effect.

    Args:
        native_dialogs: use the system's file dialogs where it has some.

    Attributes:
        effects: the registry, empty until it is loaded.
        viewport: set once the OpenGL context exists.
    """

    def __init__(self, state: AppState, native_dialogs: bool = True) -> None:
        self.state = state
        self.dialogs = FileDialogs(native_dialogs)
        self.run = Run(state, self._apply)
        self.files = Files(state, self.dialogs, self._apply, self.run.abandon)
        self.comparing = Comparing(state, self._apply, self.files.shown_scene)
        self.effects: dict[str, Effect] = {}
        self.viewport: ViewportPanel | None = None

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

            return effects, str(pick_device(self.state.device))

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

        self.state.jobs.start("Compiling kernels", work, lambda _: None)

    def _warm(self, loaded: tuple[dict[str, Effect], str]) -> None:
        effects, device = loaded
        self.state.compute = device.upper()
        document = self.state.document
        document.effects = {
            name: ParamSet(name, effect.params, document.scene.effects.get(name))
            for name, effect in effects.items()
        }
        document.enabled = {name: effect.enabled for name, effect in effects.items()}
        self.effects = effects
        self.state.ready = True
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

    def take_updates(self, snapshot_due: bool) -> None:
        """Once a frame: the optimizer's news, and the document's changes to viewport and worker."""
        self.run.take(snapshot_due)
        changes, self.state.changes = self.state.changes, []
        for path in changes:
            self._live_setting(path)
        if any(path[0] == "scene" for path in changes):
            self.comparing.reference.drop()  # of a scene that is no more
        if self.viewport is not None:
            self.viewport.sync(changes, self.run.take_fresh())

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
        self.files.open_scene(name)

    def _act_open_demo(self) -> None:
        self.files.open_demo()

    def _act_export(self, path: Path | None = None) -> None:
        if path is None:
            self.files.ask_export()
        else:
            self.files.export(path)

    def _act_screenshot(self, path: Path | None = None) -> None:
        if self.viewport is not None:
            self.files.save_picture(self.viewport, path)

    def _act_quit(self) -> None:
        hello_imgui.get_runner_params().app_shall_exit = True

    # Actions: edit

    def _act_undo(self) -> None:
        label = self.state.history.undo()
        if label:
            self.state.say(f"Undone: {label}")

    def _act_redo(self) -> None:
        label = self.state.history.redo()
        if label:
            self.state.say(f"Done again: {label}")

    def _act_add_light(self, kind: Any) -> None:
        lights = self.state.scene.lighting.lights
        if len(lights) >= MAX_LIGHTS:
            raise InputError(f"light: a scene has at most {MAX_LIGHTS} direct lights")
        name = "sun" if kind == "directional" else "lamp"
        light = Light(kind=kind, name=f"{name} {len(lights) + 1}" if lights else name)
        self._apply(Set(("scene", "lighting", "lights"), [*lights, light], f"Add {light.name}"))
        self.state.view.selected = f"light:{len(lights)}"

    def _act_remove_light(self, index: int) -> None:
        lights = list(self.state.scene.lighting.lights)
        gone = lights.pop(index)
        self._apply(Set(("scene", "lighting", "lights"), lights, f"Remove {gone.name}"))

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

    # Actions: view

    def _act_aov(self, aov: str) -> None:
        self.state.view.aov = aov

    def _act_toggle(self, name: str) -> None:
        view = self.state.view
        setattr(view, name, not getattr(view, name))
        if name == "picture_only":
            for window in hello_imgui.get_runner_params().docking_params.dockable_windows:
                self._hide(window, view.picture_only)
        elif name == "truth" and view.truth and view.photo is None and self.state.photos is not None:
            self.comparing.act_look_through(0)

    _shown_before: frozenset[str] = frozenset()

    def _hide(self, window: hello_imgui.DockableWindow, hide: bool) -> None:
        if window.label == "Viewport":
            return
        if hide:
            self._shown_before -= {window.label}
            self._shown_before |= {window.label} if window.is_visible else set()
            window.is_visible = False
        else:
            window.is_visible = window.label in self._shown_before

    def _act_select(self, key: str) -> None:
        self.state.view.selected = key
        kind = key.partition(":")[0]
        panel = {"material": "Material", "light": "Light", "sky": "Light", "cameras": "Photos"}.get(kind)
        if panel is not None:
            hello_imgui.get_runner_params().docking_params.focus_dockable_window(panel)

    def _act_frame(self) -> None:
        self.state.view.photo = None if self.state.view.mode == "render" else self.state.view.photo
        if self.viewport is not None:
            self.viewport.frame()

    def _act_reset_view(self) -> None:
        self.comparing.act_leave_photo()
        self.state.view.exposure = 0.0
        if self.viewport is not None:
            self.viewport.reset_camera()

    def _act_look(self, side: str) -> None:
        self.comparing.act_leave_photo()
        if self.viewport is not None:
            self.viewport.look_from(side)

    def _act_exposure(self) -> None:
        if self.viewport is not None:
            self.viewport.tools.exposure_open = True

    def _act_layout(self, name: str) -> None:
        hello_imgui.switch_layout(name)
        params = hello_imgui.get_runner_params().docking_params
        for title in {"Edit": ("Material",), "Optimize": ("Progress", "Optimize")}.get(name, ()):
            params.dockable_window_of_name(title).focus_window_at_next_frame = True

    def _act_palette(self) -> None:
        self.state.view.palette_open = True

    def _act_preferences(self) -> None:
        self.state.view.preferences_open = True

    def _act_prefer(self, name: str, value: Any) -> None:
        self.state.preferences.set(name, value)
        preferences.apply(self.state.preferences)

    def _act_toggle_theme(self) -> None:
        self._act_prefer("theme", "dark" if self.state.preferences["theme"] == "light" else "light")

    def _act_about(self) -> None:
        self.state.view.about_open = True

    def close(self) -> None:
        """End jobs and worker; waits for their threads."""
        self.dialogs.close()
        self.run.close()
        self.state.jobs.close()
