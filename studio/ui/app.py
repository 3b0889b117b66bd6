"""The window: context, layout, frame loop, pacing, and a clean end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imgui_bundle import hello_imgui, imgui, immapp  # before glfw: else two GLFW libraries load

import glfw  # isort: skip
from imgui_bundle import glfw_utils

from studio.core.memory import keep_freed_memory
from studio.core.scene import Scene
from studio.gl.context import adopt_context, describe_context
from studio.ui import actions, choices, preferences, theme, widgets
from studio.ui.control import Controller
from studio.ui.document import Document
from studio.ui.gradients import GradientImages
from studio.ui.jobs import Jobs
from studio.ui.layout import Fitting, layouts
from studio.ui.pacing import Pacing
from studio.ui.panels import (
    effects,
    export_dialog,
    film_dialog,
    gradients,
    history,
    light,
    log,
    material,
    menus,
    optimize,
    overlays,
    palette,
    photos,
    progress,
    questions,
    scene_tree,
    shot_dialog,
    status,
    welcome,
)
from studio.ui.panels import preferences as preferences_dialog
from studio.ui.panels.viewport import ViewportPanel
from studio.ui.pictures import Pictures
from studio.ui.recovery import EVERY
from studio.ui.state import AppState
from studio.ui.thumbnails import Thumbnails
from studio.ui.userdata import user_folder

SIZE = (1280, 800)
PREFERENCE = "view"
REMEMBERED = ("grid", "cameras", "gizmo", "lights")
"""Settings of the view that the next session takes up."""


class App:
    """One window and everything behind it.

    Args:
        files: opened once the window shows; the built-in scene if there are none.
        device: auto, cpu or cuda, for fits.
        preferences: remember layout and window place in the user's configuration folder.
        demo: show the built-in scene when there are no files.
        folder: the user's data folder, for autosaves and recent projects; None keeps nothing.
        autosave: seconds from a change to its being autosaved.

    Attributes:
        state: what the panels read.
        params: hello_imgui's runner parameters; tests hand them to the test engine.
    """

    def __init__(
        self,
        files: list[Path] | None = None,
        device: str = "auto",
        preferences: bool = True,
        demo: bool = True,
        folder: Path | None = None,
        autosave: float = EVERY,
    ) -> None:
        self._files = list(files or [])
        self._demo = demo
        jobs = Jobs(self._job_failed, lambda: self.state.wake())
        self.state = AppState(jobs, Document(Scene(name="untitled")), device)
        self.control = Controller(self.state, preferences, folder, autosave)
        self.viewport: ViewportPanel | None = None
        self._thumbnails: Thumbnails | None = None
        self._pictures: Pictures | None = None
        self._palette = palette.Palette()
        self._gradient_images: GradientImages | None = None
        self._pacing = Pacing()
        self._fitting = Fitting()
        self._began = time.perf_counter()
        self._title = ""
        self._preferences = preferences
        self._links: list[_Link] = []
        self.first_frame_seconds = 0.0
        self.on_frame: Callable[[], None] | None = None
        self.params = self._runner_params(preferences)

    def run(self) -> None:
        """Open the window; returns when it is closed."""
        self.control.stays = True
        immapp.run(self.params, self.add_ons())
        self.let_go()

    def let_go(self) -> None:
        """Forget the closed window.

        ImGui's side keeps what it was given to call, for good; without this, the whole document with it.
        """
        for link in self._links:
            link.target = None

    def _linked(self, target: Callable[..., Any]) -> _Link:
        self._links.append(_Link(target))
        return self._links[-1]

    @staticmethod
    def add_ons() -> immapp.AddOnsParams:
        return immapp.AddOnsParams(with_implot=True)

    def _runner_params(self, preferences: bool) -> hello_imgui.RunnerParams:
        params = hello_imgui.RunnerParams()
        params.app_window_params.window_title = "Studio"
        params.app_window_params.window_geometry.size = SIZE
        params.app_window_params.restore_previous_geometry = preferences
        params.platform_backend_type = hello_imgui.PlatformBackendType.glfw
        params.renderer_backend_type = hello_imgui.RendererBackendType.open_gl3
        gl = hello_imgui.OpenGlOptions()
        gl.major_version, gl.minor_version = 4, 1
        gl.use_core_profile = gl.use_forward_compat = True
        gl.glsl_version = "410"
        gl.anti_aliasing_samples = 0  # on software GL multisampling costs two thirds of the frame rate
        params.renderer_backend_options.open_gl_options = gl
        params.ini_disable = not preferences
        params.ini_folder_type = hello_imgui.IniFolderType.app_user_config_folder
        params.ini_filename = "studio/window.ini"
        params.fps_idling.vsync_to_monitor = True
        window = params.imgui_window_params
        window.default_imgui_window_type = hello_imgui.DefaultImGuiWindowType.provide_full_screen_dock_space
        window.show_menu_bar = True
        window.show_menu_app = window.show_menu_view = False
        window.show_status_bar = True
        window.show_status_fps = False
        window.remember_status_bar_settings = window.remember_theme = False
        self._fill_callbacks(params.callbacks)
        bodies = self._bodies()
        default, *others = layouts(bodies)
        params.docking_params = default
        params.alternative_docking_layouts = others
        return params

    def _fill_callbacks(self, callbacks: hello_imgui.RunnerCallbacks) -> None:
        callbacks.load_additional_fonts = theme.load_fonts
        callbacks.setup_imgui_style = theme.apply_style
        callbacks.setup_imgui_config = _configure
        callbacks.post_init = self._linked(self._post_init)
        callbacks.pre_new_frame = self._linked(self._before_frame)
        callbacks.show_gui = self._linked(self._show_gui)
        callbacks.show_menus = self._linked(lambda: menus.draw(self.state))
        callbacks.show_status = self._linked(lambda: status.draw(self.state))
        callbacks.before_exit = self._linked(self._before_exit)

    def _bodies(self) -> dict[str, Callable[[], None]]:
        state = self.state
        panels = {
            "Scene": lambda: scene_tree.draw(state),
            "History": lambda: history.draw(state),
            "Photos": lambda: photos.draw(state, self._thumbnails) if self._thumbnails else None,
            "Optimize": lambda: optimize.draw(state),
            "Effects": lambda: effects.draw(state, self.control.effects),
            "Material": lambda: material.draw(state),
            "Light": lambda: light.draw(state),
            "Progress": lambda: progress.draw(state),
            "Gradients": self._gradients,
            "Log": lambda: log.draw(state),
        }
        bodies: dict[str, Callable[[], None]] = {
            title: self._linked(_on_panel(body)) for title, body in panels.items()
        }
        bodies["Viewport"] = self._linked(lambda: self.viewport.draw() if self.viewport else None)
        return bodies

    def _gradients(self) -> None:
        if self._gradient_images is not None:
            own, names = self.control.gradients, self.control.derivable
            gradients.draw(self.state, own, self._gradient_images, names)

    # Life

    def _post_init(self) -> None:
        self.state.window_open = True
        ctx = adopt_context()
        facts = describe_context(ctx)
        self.state.renderer = facts.short
        self.state.software = facts.software
        if self._preferences:
            self._load_preferences()
        preferences.apply(self.state.preferences)  # the plots' style and the DPI factor exist only now
        self.viewport = ViewportPanel(ctx, self.state)
        self.control.viewport = self.control.comparing.viewport = self.viewport
        self.viewport.comparing = self.control.comparing
        self._thumbnails = Thumbnails(ctx, self.state.jobs)
        self._pictures = Pictures(ctx)
        self._gradient_images = GradientImages(ctx)
        self._drop_callback = self._linked(self._on_drop)  # GLFW keeps no reference
        window = glfw_utils.glfw_window_hello_imgui()
        glfw.set_drop_callback(window, self._drop_callback)
        self._close_callback = self._linked(self._on_close)
        glfw.set_window_close_callback(window, self._close_callback)
        self.control.warm_up(self._files, self._demo)

    def _on_drop(self, window: Any, paths: list[str]) -> None:
        self.state.act("open_files", [Path(path) for path in paths])
        self.state.wake()

    def _on_close(self, window: Any) -> None:
        """The window's own button asks like Quit does."""
        glfw.set_window_should_close(glfw_utils.glfw_window_hello_imgui(), False)
        self.state.act("quit")
        self.state.wake()

    def _before_frame(self) -> None:
        """Carry out what the last frame asked for, and take what the threads brought."""
        state = self.state
        commands, state.commands = state.commands, []
        for command in commands:
            self.control.carry_out(command)
        state.jobs.poll()
        self._pacing.update(state, self.params, self.control.worker)
        self.control.take_updates(self._pacing.snapshot_due())
        self.control.autosave_now_and_then()
        if self.viewport is not None:
            self.viewport.resolution_scale = self._pacing.resolution_scale
            self.viewport.samples = self._pacing.samples
        self._fitting.update(self.params, imgui.get_io().display_size.x / theme.scale())
        windows = self.params.docking_params.dockable_windows
        state.panels = {window.label: window.is_visible for window in windows if window.label != "Viewport"}
        state.layout = hello_imgui.current_layout_name()
        state.idle = bool(self.params.fps_idling.is_idling)
        state.fps = hello_imgui.frame_rate()
        title = f"{state.document.title}{' •' if state.unsaved else ''} · Studio"
        if title != self._title:
            self._title = title
            glfw.set_window_title(glfw_utils.glfw_window_hello_imgui(), title)
        # What shows between panels; they paint themselves.
        self.params.imgui_window_params.background_color = theme.vec(theme.roles().border)
        visible = not state.view.picture_only
        self.params.imgui_window_params.show_menu_bar = visible
        self.params.imgui_window_params.show_status_bar = visible

    def _show_gui(self) -> None:
        if not self.first_frame_seconds:
            self.first_frame_seconds = time.perf_counter() - self._began
        theme.keep_style()
        state = self.state
        if not imgui.is_any_item_active() and not state.holding:
            state.gesture += 1
        actions.trigger_shortcuts(state)
        self.control.dialogs.poll()
        if self.viewport is not None:
            overlays.draw(state, self.viewport.rectangle())
        palette.draw_shortcuts(state)
        self._palette.draw(state)
        if self._pictures is not None:
            if self.viewport is not None:
                welcome.draw(state, self._pictures, self.viewport.rectangle())
            questions.draw(state, self._pictures)
        preferences_dialog.draw(state)
        if self.viewport is not None and self._pictures is not None:
            export_dialog.draw(state, self.control.files)
            film_dialog.draw(state)
            shot_dialog.draw(state, self.control.shots, self.viewport, self._pictures)
        if self.on_frame is not None:
            self.on_frame()

    def _load_preferences(self) -> None:
        """View settings and preferences of the last session; whatever is damaged is ignored."""
        self.state.preferences = preferences.load()
        self.state.choices = choices.load()
        try:
            saved = json.loads(hello_imgui.load_user_pref(PREFERENCE) or "{}")
        except ValueError:
            return
        for name in REMEMBERED:
            if isinstance(saved.get(name), bool):
                setattr(self.state.view, name, saved[name])

    def _before_exit(self) -> None:
        if self._preferences:
            preferences.save(self.state.preferences)
            choices.save(self.state.choices)
            view = self.state.view
            hello_imgui.save_user_pref(
                PREFERENCE, json.dumps({name: getattr(view, name) for name in REMEMBERED})
            )
        self.state.window_open = False
        self.control.close()
        if self._thumbnails is not None:
            self._thumbnails.release()
        if self._pictures is not None:
            self._pictures.release()
        if self._gradient_images is not None:
            self._gradient_images.release()
        if self.viewport is not None:
            self.viewport.release()

    def _job_failed(self, title: str, line: str) -> None:
        self.state.notify(line, "fail", self.control.advice(title))


class _Link:
    """Calls `target` until it is let go."""

    __slots__ = ("target",)  # no __dict__, which glfw would copy into what it keeps

    def __init__(self, target: Callable[..., Any] | None) -> None:
        self.target = target

    def __call__(self, *args: Any) -> Any:
        return None if self.target is None else self.target(*args)


def _on_panel(body: Callable[[], Any]) -> Callable[[], None]:
    """The body of a panel with its background."""

    def draw() -> None:
        theme.fill_panel()
        body()

    return draw


def _configure() -> None:
    io = imgui.get_io()
    io.config_flags |= imgui.ConfigFlags_.docking_enable
    io.config_windows_move_from_title_bar_only = True
    io.config_drag_click_to_input_text = False


def run_app(files: list[Path], device: str = "auto") -> None:
    """Open the studio's window on these files and stay until it is closed.

    Args:
        files: projects, meshes, photo folders or camera files; empty for the built-in scene.
        device: auto, cpu or cuda.
    """
    keep_freed_memory()
    widgets.reset()
    App(files, device, folder=user_folder()).run()
