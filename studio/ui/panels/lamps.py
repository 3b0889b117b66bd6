"""Lights in the picture: an icon where each is or whence it shines, its shape, and what is clicked."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.scene import Camera, Light, Lighting
from studio.ui.state import AppState
from studio.ui.theme import Icon, px, roles, u32

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

SUN_DISTANCE = 1.15
"""How far from the middle of the scene the icon of parallel light stands, in the scene's radii."""

REACH = 11.0
"""Radius of an icon, pixels of the design."""

COLOR, ON_LIGHT = 0xF2C14E, 0x8A5200


def selected_light(state: AppState) -> int | None:
    """Index of the light that is selected."""
    kind, _, index = state.view.selected.partition(":")
    there = kind == "light" and index.isdigit() and int(index) < len(state.scene.lighting.lights)
    return int(index) if there else None


def lamp_frame(light: Light, center: np.ndarray, radius: float) -> np.ndarray:
    """[4, 4] pose of a light: z is its `direction`, x its `right`, the origin where its icon stands."""
    axis, right = light.frame()
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(axis, right), axis
    parallel = light.kind == "directional"
    pose[:3, 3] = center + SUN_DISTANCE * radius * axis if parallel else light.position
    return pose


def lamp_poses(lighting: Lighting, camera: Camera, center: np.ndarray, radius: float) -> list[np.ndarray]:
    """The world poses of all lights; those that are fixed to the camera go with it."""
    if lighting.fixed_to == "camera":
        # Directions and positions are the camera's; the scene's middle is so, too.
        inside = camera.world_to_view[:3, :3] @ center + camera.world_to_view[:3, 3]
        return [camera.view_to_world @ lamp_frame(light, inside, radius) for light in lighting.lights]
    return [lamp_frame(light, center, radius) for light in lighting.lights]


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """[N, 2] shares of the picture, from its upper left corner, of [N, 3] world points; NaN behind."""
    clip = points @ camera.world_to_clip[:, :3].T + camera.world_to_clip[:, 3]
    w = np.where(clip[:, 3] > 1e-6, clip[:, 3], np.nan)
    x, y = clip[:, 0] / w, clip[:, 1] / w
    return np.stack([(x + 1) / 2, (1 - y) / 2], axis=1)


def nearest(places: np.ndarray, mouse: tuple[float, float], reach: float) -> int | None:
    """Index of the place [N, 2] nearest to the mouse, at most `reach` away, or None; NaN is nowhere."""
    if len(places) == 0:
        return None
    away = np.hypot(places[:, 0] - mouse[0], places[:, 1] - mouse[1])
    away = np.where(np.isfinite(away), away, np.inf)
    index = int(np.argmin(away))
    return index if away[index] <= reach else None


def outline(light: Light, radius: float) -> list[np.ndarray]:
    """Lines [K, 3] that show a light's shape, in its own frame."""
    down = 0.5 * radius
    if light.kind == "directional":
        return [np.array([[0, 0, 0], [0, 0, -0.5 * SUN_DISTANCE * radius]])]
    if light.kind == "spot":
        angle = np.linspace(0, 2 * math.pi, 33)
        wide = down * math.tan(math.radians(light.outer_angle))
        rim = np.stack([wide * np.cos(angle), wide * np.sin(angle), np.full(33, -down)], axis=1)
        return [rim, *(np.array([[0, 0, 0], rim[i]]) for i in (0, 8, 16, 24))]
    if light.kind == "area":
        x, y = 0.5 * light.width, 0.5 * light.height
        corners = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0], [-x, -y, 0]])
        return [corners, np.array([[0, 0, 0], [0, 0, -down]])]
    return []


class Lamps:
    """The lights of one viewport panel."""

    def __init__(self, panel: ViewportPanel) -> None:
        self._panel = panel
        self._state = panel.state

    @property
    def shown(self) -> bool:
        view = self._state.view
        return view.lights and not view.picture_only and view.photo is None and view.mode == "render"

    def under_mouse(self, camera: Camera) -> int | None:
        """Index of the light whose icon is under the cursor."""
        if not self.shown:
            return None
        mouse = imgui.get_mouse_pos()
        return nearest(self._places(camera), (mouse.x, mouse.y), px(REACH))

    def draw(self, camera: Camera) -> None:
        """Icons, and the shape of the selected light."""
        if not self.shown:
            return
        lights, chosen = self._state.lighting().lights, selected_light(self._state)
        draw = imgui.get_window_draw_list()
        low, size = self._panel.low, self._panel.size
        draw.push_clip_rect(low, ImVec2(low.x + size.x, low.y + size.y), True)
        glow = ON_LIGHT if self._state.preferences["theme"] == "light" else COLOR
        if chosen is not None and chosen < len(lights):
            self._draw_shape(camera, chosen, glow)
        for i, (x, y) in enumerate(self._places(camera)):
            if not math.isfinite(x):
                continue
            ring = roles().accent if i == chosen else roles().window
            draw.add_circle_filled(ImVec2(x, y), px(REACH), u32(roles().window, 0.55))
            draw.add_circle(ImVec2(x, y), px(REACH), u32(ring, 0.9), 0, px(1.5))
            icon = Icon.sun if lights[i].kind == "directional" else Icon.bulb
            extent = imgui.calc_text_size(icon)
            draw.add_text(ImVec2(x - extent.x / 2, y - extent.y / 2), u32(glow), icon)
        draw.pop_clip_rect()

    def _poses(self, camera: Camera) -> list[np.ndarray]:
        return lamp_poses(self._state.lighting(), camera, *self._panel.scene_ball())

    def _places(self, camera: Camera) -> np.ndarray:
        """[L, 2] screen positions."""
        poses = self._poses(camera)
        points = np.array([pose[:3, 3] for pose in poses]).reshape(-1, 3)
        low, size = self._panel.low, self._panel.size
        return project(points, camera) * (size.x, size.y) + (low.x, low.y)

    def _draw_shape(self, camera: Camera, index: int, glow: int) -> None:
        pose = self._poses(camera)[index]
        low, size = self._panel.low, self._panel.size
        draw = imgui.get_window_draw_list()
        for line in outline(self._state.lighting().lights[index], self._panel.scene_ball()[1]):
            world = line @ pose[:3, :3].T + pose[:3, 3]
            screen = project(world, camera) * (size.x, size.y) + (low.x, low.y)
            for (ax, ay), (bx, by) in pairwise(screen):
                if math.isfinite(ax + bx):
                    draw.add_line(ImVec2(ax, ay), ImVec2(bx, by), u32(glow, 0.8), px(1.5))
