"""A scene: meshes, lighting, background, effect settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from studio.core.scene.camera import Camera
from studio.core.scene.light import Lighting
from studio.core.scene.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * rotation @ x + translation.

    Attributes:
        scale: positive.
        rotation: [3, 3] float64.
        translation: [3] float64.
    """

    scale: float = 1.0
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] points mapped; float64."""
        return self.scale * np.asarray(points, np.float64) @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def apply_to_pose(self, view_to_world: np.ndarray) -> np.ndarray:
        """A rigid [4, 4] camera pose mapped; it stays rigid, scale goes into the position."""
        out = np.eye(4)
        out[:3, :3] = self.rotation @ view_to_world[:3, :3]
        out[:3, 3] = self.apply(view_to_world[:3, 3])
        return out


@dataclass(eq=False)
class Scene:
    """What is rendered.

    Attributes:
        meshes: all parts, in world space.
        lighting: direct lights and environment.
        background: linear RGB behind everything.
        effects: per effect name its parameter values (checked by the effect's Params).
        cameras: viewpoints that came with the file or belong to the scene.
    """

    meshes: list[Mesh] = field(default_factory=list)
    lighting: Lighting = field(default_factory=Lighting)
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    effects: dict[str, dict[str, Any]] = field(default_factory=dict)
    cameras: list[Camera] = field(default_factory=list)
    name: str = "untitled"

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each [3]; the unit cube around the origin if there is no mesh."""
        if not self.meshes:
            return np.full(3, -0.5), np.full(3, 0.5)
        boxes = [mesh.bounds() for mesh in self.meshes]
        return np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)

    def lacks(self) -> frozenset[str]:
        """Surface channels that say nothing here: occlusion, emissive, subsurface."""
        materials = [mesh.material for mesh in self.meshes]
        there = {
            "occlusion": any(m.occlusion_texture is not None for m in materials),
            "emissive": any(max(m.emissive) > 0 for m in materials),
            "subsurface": any(m.subsurface > 0 for m in materials),
        }
        return frozenset(name for name, found in there.items() if not found)

    def triangle_count(self) -> int:
        return sum(len(mesh.faces) for mesh in self.meshes)
