"""A scene: meshes, lighting, background, effect settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from studio.core.scene.camera import Camera
from studio.core.scene.light import Lighting
from studio.core.scene.mesh import Mesh
from studio.core.scene.points import Points
from studio.core.scene.volume import Volume


@dataclass(eq=False)
class Scene:
    """What is rendered.

    Attributes:
        meshes: all parts, in world space.
        volume, points: what emits light of its own: neither light nor effects of surfaces touch it.
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
    volume: Volume | None = None
    points: Points | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return not self.meshes and self.volume is None and self.points is None

    @property
    def emitter(self) -> Volume | Points | None:
        """What emits light of its own: the volume, or where there is none the points."""
        return self.points if self.volume is None else self.volume

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each [3], of all there is; the unit cube around the origin if that is nothing."""
        boxes = [mesh.bounds() for mesh in self.meshes]
        boxes += [it.bounds() for it in (self.volume, self.points) if it is not None]
        if not boxes:
            return np.full(3, -0.5), np.full(3, 0.5)
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
