"""Torch front of exact closest points and free lines of sight of a triangle mesh."""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

from studio.core.device import start_warp
from studio.core.kernels import closest as kernels
from studio.core.kernels import launcher
from studio.core.ops import check

_LIFT = 1e-4
"""Start of lines of sight above the surface, of the mesh's size."""


class TriangleTree:
    """A mesh that answers where its closest point is, and what it hides.

    Args:
        vertices: [V, 3] float32.
        faces: [T, 3] int32.
    Raises:
        ShapeError: names the tensor, expected and actual shape.
    """

    def __init__(self, vertices: Tensor, faces: Tensor):
        op = "triangle_tree"
        self.vertices = check.tensor(op, "vertices", vertices.detach(), ("V", 3))
        self.faces = check.tensor(op, "faces", faces, ("T", 3), torch.int32)
        start_warp()
        self.size = float((self.vertices.max(dim=0).values - self.vertices.min(dim=0).values).max())
        points: Any = wp.from_torch(self.vertices, dtype=wp.vec3)
        corners: Any = wp.from_torch(self.faces.reshape(-1))
        self._mesh = wp.Mesh(points, corners)

    def closest(self, points: Tensor, reach: float = 1e6) -> tuple[Tensor, Tensor, Tensor]:
        """The closest point of the mesh to each of some points, exactly.

        Args:
            points: [P, 3].
            reach: further away nothing is looked for.
        Returns:
            triangle [P] int32 (-1 beyond reach), barycentrics [P, 3], distance [P].
        Gradients:
            None.
        """
        points = check.tensor("closest", "points", points.detach(), ("P", 3), like=self.vertices)
        device = points.device
        face = torch.empty(len(points), dtype=torch.int32, device=device)
        weights = torch.empty_like(points)
        distance = torch.empty(len(points), device=device)
        inputs = [launcher.BEGIN, int(self._mesh.id), points, float(reach), face, weights, distance]
        launcher.launch(kernels.closest_points, len(points), inputs, device)
        self._wait(device)
        return face, weights, distance

    def across(self, points: Tensor, normals: Tensor, reach: float) -> tuple[Tensor, Tensor]:
        """What of the mesh lies on the line through each point along its normal, and faces as it does.

        The nearer of the first hits either way; the closest point where neither faces so.

        Args:
            points, normals: [P, 3], unit normals.
            reach: further away nothing is looked for.
        Returns:
            triangle [P] int32 (-1 if there is none), barycentrics [P, 3].
        Gradients:
            None.
        """
        op = "across"
        points = check.tensor(op, "points", points.detach(), ("P", 3), like=self.vertices)
        normals = check.tensor(op, "normals", normals.detach(), (len(points), 3), like=points)
        face = torch.empty(len(points), dtype=torch.int32, device=points.device)
        weights = torch.empty_like(points)
        inputs = [launcher.BEGIN, int(self._mesh.id), points, normals, _LIFT * self.size, float(reach)]
        launcher.launch(kernels.across, len(points), [*inputs, face, weights], points.device)
        self._wait(points.device)
        return face, weights

    def seen_by(self, points: Tensor, normals: Tensor, eyes: Tensor) -> Tensor:
        """[P] int32, how many of the eyes see the front of each point of the mesh past the mesh.

        Args:
            points, normals: [P, 3], of the mesh's surface, unit normals.
            eyes: [E, 3].
        Gradients:
            None.
        """
        op = "seen_by"
        points = check.tensor(op, "points", points.detach(), ("P", 3), like=self.vertices)
        normals = check.tensor(op, "normals", normals.detach(), (len(points), 3), like=points)
        eyes = check.tensor(op, "eyes", eyes.detach(), ("E", 3), like=points)
        seen = torch.empty(len(points), dtype=torch.int32, device=points.device)
        inputs = [launcher.BEGIN, int(self._mesh.id), points, normals, eyes, _LIFT * self.size, seen]
        launcher.launch(kernels.free_lines, len(points), inputs, points.device)
        self._wait(points.device)
        return seen

    @staticmethod
    def _wait(device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()  # the mesh must outlive the queries
