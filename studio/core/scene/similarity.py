"""Maps between coordinate systems that keep shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


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
