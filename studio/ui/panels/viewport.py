"""The viewport: the picture, kept in step with the document and the run."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.errors import StudioError
from studio.core.scene import Camera, Photo, PhotoSet
from studio.gl.governor import LEVELS, Governor
from studio.gl.navigation import OrbitCamera
from studio.gl.options import AOVS, ERRORS, ViewOptions
from studio.gl.shots import ShotViewport
from studio.ui.commands import Path
from studio.ui.panels.gradients import draw_arrows
from studio.ui.panels.handles import TOOLS, Handles
from studio.ui.panels.hands import Hands
from studio.ui.panels.lamps import Lamps
from studio.ui.panels.mask_brush import MaskBrush
from studio.ui.panels.scene_tree import selected_mesh
from studio.ui.panels.viewport_tools import Tools
from studio.ui.radiance import Preview
from studio.ui.state import AppState
from studio.ui.theme import px

if TYPE_CHECKING:
    from studio.ui.comparing import Comparing

FLICKER_HZ = 1.5
TURNTABLE_RATE = 24.0
"""Degrees a second."""

HOLD_SECONDS = 0.15
"""A camera that pauses for less, between two turns of the wheel, is still moving."""


class ViewportPanel:
    """Draws the Viewport window; owns the renderer and the free camera.

    Attributes:
        resolution_scale: share of the pixels drawn each way, set by the pacing.
        governor: lowers it further while the camera moves, and makes drafts of effects, as far as
            the machine needs.
        samples: jittered frames that a still picture averages, set by the pacing. At a
            reduced scale they are drawn at once, since the next snapshot is about to come.
        moving: the camera moves, or somebody holds it; the picture is only refined afterwards.
        low, size: where the picture is on the screen; `pixels` its size in the framebuffer.
        lens: index of the photo that the camera follows, or None.
        preview: the volume's iso-surface, if it is to be seen.
    """

    def __init__(self, ctx: Any, state: AppState) -> None:
        self.gl = ShotViewport(ctx, say=state.say)
        self.camera = OrbitCamera()
        self.state = state
        self.resolution_scale = 1.0
        self.samples = 8
        self.lens: int | None = None
        self.low = ImVec2(0, 0)
        self.size = ImVec2(1, 1)
        self.pixels = (1, 1)
        self.moving = False
        self._pose: tuple[bytes, float] | None = None
        self._moved = -HOLD_SECONDS
        self.comparing: Comparing | None = None
        self.preview = Preview(state)
        self._ball: tuple[np.ndarray, float] | None = None
        self.governor = Governor(level=LEVELS[3] if state.software else LEVELS[0])
        self.hands = Hands(self)
        self.brush = MaskBrush(self)
        self._photos: PhotoSet | None = None
        self.handles = Handles(self)
        self.lamps = Lamps(self)
        self.tools = Tools(self)

    # Keeping up with the document

    def sync(self, changes: list[Path], fresh_snapshot: bool) -> None:
        """Bring the renderer up to date; `changes` are the document's paths that changed."""
        state = self.state
        parts = {path[0] for path in changes}
        if any(path[0] == "enabled" or path in (("scene",), ("other",)) for path in changes):
            self.governor.reset()
        if parts & {"scene", "effects", "other", "looks"} and imgui.is_any_mouse_down():
            self._moved = time.monotonic()  # a slider is dragged: as good as a moving camera
        preview = self.preview.fresh()
        if "scene" in parts or preview:
            self._sync_scene(changes)
        if fresh_snapshot or ("scene" in parts and state.run.override is not None):
            self._sync_snapshot()
        if fresh_snapshot or "looks" in parts:
            self._sync_looks()
        if "photos" in parts:
            self.gl.set_photos(state.photos)
            if state.photos is None or not state.photos.shows_as(self._photos):
                state.view.photo = None
                state.view.mode = "render"
            self._photos = state.photos
        if parts & {"effects", "enabled", "other"} and state.document.effects:
            self._sync_effects()
        state.pictures = self.gl.interop.describe()
        state.channels = tuple(name for name in AOVS if self.gl.chain.makes(name))

    def _sync_effects(self) -> None:
        """Both sets of effects, and what of them cannot run."""
        document = self.state.document
        self.gl.set_effects(document.own.on())
        self.gl.set_other_effects(document.other.on() if document.other is not None else {})
        for key, chain in (("a", self.gl.chain), ("b", self.gl.other)):
            self.state.skipped[key] = {**chain.plan().skipped, **chain.pointless}
        if document.other is None and self.state.view.editing == "b":  # undone
            self.state.view.editing = "a"

    def _sync_scene(self, changes: list[Path]) -> None:
        """Everything after a new scene; only the light after an edit of the light."""
        changes = [path for path in changes if path[0] == "scene"]
        light_only = all(path[:2] == ("scene", "lighting") for path in changes)
        if changes and light_only:
            self.gl.set_lighting(self.state.lighting())
            return
        if changes and all(path[:2] == ("scene", "background") for path in changes):
            self.gl.set_background(self.state.scene.background)
            return
        moved = {path[2] for path in changes if path[:2] == ("scene", "meshes") and len(path) == 3}
        if moved and all(path[:2] == ("scene", "meshes") and len(path) == 3 for path in changes):
            for index in moved:
                self.gl.update_mesh(int(index), self.state.scene.meshes[int(index)])
        else:
            self.gl.set_scene(self.state.scene, self.preview.mesh)
        self.camera.set_bounds(*self.gl.bounds())

    def _sync_snapshot(self) -> None:
        snapshot = self.state.run.override
        if snapshot is None:
            self.gl.set_scene(self.state.scene, self.preview.mesh)
            return
        first = self.gl.empty
        if snapshot.mesh is None:
            self.gl.set_radiance(snapshot.volume, snapshot.points)
        else:
            if not self.gl.meshes.parts:
                self.gl.set_scene(replace(self.state.scene, meshes=[snapshot.mesh]))
            self.gl.update_mesh(0, snapshot.mesh, snapshot.on_gpu)
            self.gl.set_lighting(self.state.lighting())
        self.camera.set_bounds(*self.gl.bounds())
        if first and self.state.view.photo is None:
            self.frame()  # the object appears, however large the capture is

    def _sync_looks(self) -> None:
        looks = {name: values.copy() for name, values in self.state.document.looks.items()}
        for kind, seen in self.state.shown_kinds().items():
            looks[kind].set("shown", seen)
        self.gl.set_looks(looks)

    def scene_ball(self) -> tuple[np.ndarray, float]:
        """Middle and radius of the scene's box; while a handle is held, as they were before."""
        if not self.state.holding or self._ball is None:
            low, high = self.gl.bounds()
            radius = max(float(np.linalg.norm(high - low)) / 2, 1e-6)
            self._ball = (np.asarray(low, np.float64) + high) / 2, radius
        return self._ball

    # Camera

    def frame(self) -> None:
        """Show the whole object."""
        self.camera.frame(*self.gl.bounds(), self.size.x / max(self.size.y, 1.0))

    def reset_camera(self) -> None:
        """The view that the window opened with."""
        fresh = OrbitCamera()
        fresh.orthographic = self.state.view.orthographic
        fresh.set_bounds(*self.gl.bounds())
        fresh.frame(*self.gl.bounds(), self.size.x / max(self.size.y, 1.0), smooth=False)
        self.camera = fresh
        self.lens = None

    def look_from(self, side: str) -> None:
        self.camera.set_view(side)

    def _follow_photo(self) -> None:
        """Look through the chosen photo, or leave it."""
        index, photos = self.state.view.photo, self.state.photos
        if index is None or photos is None:
            self.lens = None
            return
        if index != self.lens:
            self.lens = index
            self.camera.look_through(photos.photos[index].camera)

    # Drawing

    def draw(self) -> None:
        """The window of the viewport."""
        window_class = imgui.WindowClass()
        private = imgui.internal.DockNodeFlagsPrivate_
        window_class.dock_node_flags_override_set = int(private.no_tab_bar) | int(
            imgui.DockNodeFlags_.no_undocking
        )
        imgui.set_next_window_class(window_class)
        imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(0, 0))
        flags = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
        shown = imgui.begin("Viewport", None, flags)[0]
        imgui.pop_style_var()
        try:
            if shown:
                self._body()
        finally:
            imgui.end()  # or ImGui ends the process before anybody has seen what went wrong

    def _body(self) -> None:
        self.low, self.size = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail()
        if self.size.x < 8 or self.size.y < 8:
            return
        scale = imgui.get_io().display_framebuffer_scale
        self.pixels = max(1, round(self.size.x * scale.x)), max(1, round(self.size.y * scale.y))
        self.camera.orthographic = self.state.view.orthographic
        self._follow_photo()
        if self.state.view.turning and self.state.view.photo is None and not self.camera.moving:
            self.camera.turn(TURNTABLE_RATE * imgui.get_io().delta_time, 0.0, smooth=False)
        self.camera.update(imgui.get_io().delta_time)
        camera = self.camera.camera(*self.pixels)
        moving = self._watch(camera)
        options = self._options(moving)
        self.gl.set_selection(self._selection())
        try:
            texture = self._timed_frame(camera, options, moving)
            for _ in range(options.samples - 1 if options.resolution_scale < 1.0 else 0):
                texture = self.gl.render(camera, options)
        except StudioError as error:  # a shader this driver refuses: say so once, keep the window alive
            if not any(notice.text == str(error) for notice in self.state.notices):
                self.state.notify(str(error), "fail", "Run `main.py doctor` to see what this machine has.")
            return
        high = ImVec2(self.low.x + self.size.x, self.low.y + self.size.y)
        draw = imgui.get_window_draw_list()
        draw.add_image(imgui.ImTextureRef(texture.glo), self.low, high, ImVec2(0, 1), ImVec2(1, 0))
        if moving or options.mode == "flicker" or (self.resolution_scale == 1.0 and not self.gl.settled):
            self.state.wake()
        if self.comparing is not None:
            self.comparing.follow(self, options)
        self.handles.draw(camera)
        self.lamps.draw(camera)
        self.hands.take_input(self.handles.busy)
        draw_arrows(self.state, camera, self.low, self.size)
        self.brush.draw()
        self.tools.draw(camera)

    def _watch(self, camera: Camera) -> bool:
        """Whether the camera moves: it does, or did a moment ago, or is held."""
        pose = (camera.view_to_world.tobytes(), camera.fx)
        if pose != self._pose:
            self._pose, self._moved = pose, time.monotonic()
        held = imgui.is_any_mouse_down() and imgui.is_window_hovered(
            imgui.HoveredFlags_.allow_when_blocked_by_active_item
        )
        self.moving = self.camera.moving or held or time.monotonic() - self._moved < HOLD_SECONDS
        return self.moving

    def _timed_frame(self, camera: Camera, options: ViewOptions, moving: bool) -> Any:
        """A frame; the governor learns how long one of a moving camera took."""
        drawn, start = self.gl.frames_drawn, time.perf_counter()
        texture = self.gl.render(camera, options)
        if moving and self.gl.frames_drawn > drawn:
            self.gl.ctx.finish()
            self.governor.moved(time.perf_counter() - start, options.resolution_scale, options.draft)
        return texture

    def _options(self, moving: bool) -> ViewOptions:
        state, view = self.state, self.state.view
        scale = self.resolution_scale
        draft = moving and self.governor.level.draft
        if moving:
            scale = min(scale, self.governor.level.scale)
        left, right = state.left, state.right or "photo"
        if view.mode == "render" and view.truth and left == "render":
            right = "photo"  # laid over the render
        both = left == "effects" or (right == "effects" and view.mode != "render")
        shown = (self.gl.chain, self.gl.other) if both else (self.gl.chain,)
        mapped = self.comparing is not None and self.comparing.has_map
        return ViewOptions(
            mode=view.mode,
            left=left,
            right=right,
            aov=view.aov if view.aov in state.channels else "color",
            photo=view.photo,
            wipe=view.wipe,
            flicker=(imgui.get_time() * FLICKER_HZ) % 1.0 if view.mode == "flicker" else 0.0,
            aov_map=view.aov_map,
            aov_range=view.aov_range,
            wireframe=view.wireframe,
            normals=view.normals,
            clipping=view.clipping,
            overlay=view.overlay if view.truth and right == "photo" and view.photo is not None else 0.0,
            error=view.error if view.error in ERRORS else "map" if mapped else "absolute",
            error_range=view.error_range,
            background="scene" if any(chain.paints_background for chain in shown) else "studio",
            grid=view.grid,
            axes=view.grid,
            frusta=view.cameras and view.photo is None and not view.picture_only,
            exposure=view.exposure,
            theme="light" if self.state.preferences["theme"] == "light" else "dark",
            resolution_scale=scale,
            draft=draft,
            samples=1 if draft or scale < self.resolution_scale else self.samples,
            ui_scale=px(1),
        )

    def _selection(self) -> int | None:
        kind = self.state.view.selected.partition(":")[0]
        # An outline around the only object says nothing, unless a tool is about it.
        alone = len(self.state.scene.meshes) < 2 and self.state.view.tool not in TOOLS
        return None if kind != "mesh" or alone else selected_mesh(self.state)

    def rectangle(self) -> tuple[ImVec2, ImVec2]:
        """Upper left and lower right corner on the screen."""
        return self.low, ImVec2(self.low.x + self.size.x, self.low.y + self.size.y)

    # Pictures

    def shot_options(self, height: int, samples: int) -> ViewOptions:
        """The present view as a picture of that many rows, without frusta and tools."""
        lines = px(1) * height / max(self.pixels[1], 1)
        return replace(
            self._options(False),
            resolution_scale=1.0,
            draft=False,
            samples=samples,
            frusta=False,
            ui_scale=lines,
        )

    def still(self, name: str) -> Photo:
        """The render of this view as a picture to compare with, without exposure."""
        options = replace(
            self._options(False), mode="render", left="render", exposure=0.0, resolution_scale=1.0, samples=8
        )
        camera = self.camera.camera(*self.pixels)
        for _ in range(options.samples):
            self.gl.render(camera, options)
        return self.gl.still(name)

    def release(self) -> None:
        """Give the OpenGL objects back."""
        self.gl.release()
