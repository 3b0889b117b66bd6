"""How far a fit is from a mesh that is known to be right."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch

from studio.core.errors import InputError
from studio.core.ops.closest import TriangleTree
from studio.core.scene import Camera, Mesh

SAMPLES = 200_000
"""Points on the surface: the mean distance is then known to a thousandth of itself."""


@dataclass(frozen=True)
class Distances:
    """From the visible part of one surface to the other, exact, in % of the true box's diagonal.

    Attributes:
        mean_percent, p99_percent: from the known mesh to the fit.
        back_mean_percent, back_p99_percent: from the fit to the known mesh.
        normals_degrees: mean angle between the interpolated normals of a point of the known mesh
            and of the fit's closest point.
    """

    mean_percent: float
    p99_percent: float
    back_mean_percent: float
    back_p99_percent: float
    normals_degrees: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def distances(known: Mesh, fitted: Mesh, cameras: list[Camera], samples: int = SAMPLES) -> Distances:
    """Compare two meshes where cameras see them.

    Args:
        known, fitted: in one world.
        cameras: their positions count; a point is visible if one of them sees its front past the
            mesh that it belongs to.
        samples: points on each surface, spread evenly; the visible ones are measured.
    Raises:
        InputError: no camera sees one of the meshes.
    """
    eyes = torch.tensor(np.stack([camera.view_to_world[:3, 3] for camera in cameras]), dtype=torch.float32)
    true, found = _Surface(known), _Surface(fitted)
    points, normals = true.visible(eyes, samples)
    diagonal = float(np.linalg.norm(np.subtract(*known.bounds())))
    face, weights, away = found.tree.closest(points)
    cosine = (normals * found.normals_at(face, weights)).sum(dim=1).clamp(-1, 1)
    back = true.tree.closest(found.visible(eyes, samples)[0])[2]
    percent, back_percent = 100 * away.double() / diagonal, 100 * back.double() / diagonal
    return Distances(
        float(percent.mean()),
        float(np.quantile(percent.numpy(), 0.99)),
        float(back_percent.mean()),
        float(np.quantile(back_percent.numpy(), 0.99)),
        float(torch.rad2deg(torch.arccos(cosine)).mean()),
    )


class _Surface:
    """A mesh as tensors, with its tree."""

    def __init__(self, mesh: Mesh):
        self.name = mesh.name
        self.vertices = torch.from_numpy(np.ascontiguousarray(mesh.vertices, np.float32))
        self.faces = torch.from_numpy(np.ascontiguousarray(mesh.faces, np.int32))
        self.normals = torch.from_numpy(np.ascontiguousarray(mesh.vertex_normals(), np.float32))
        self.tree = TriangleTree(self.vertices, self.faces)

    def normals_at(self, face: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """[P, 3] unit, interpolated."""
        corners = self.normals[self.faces[face.long()].long()]
        return torch.nn.functional.normalize((weights[..., None] * corners).sum(dim=1), dim=1)

    def visible(self, eyes: torch.Tensor, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(points, interpolated normals), [P, 3] each: evenly spread, those that an eye sees."""
        corners = self.vertices[self.faces.long()].double()
        across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = across.norm(dim=1)
        generator = torch.Generator().manual_seed(0)
        # One sample in every equal share of the area: evener than if each fell where it liked.
        places = (torch.arange(samples) + torch.rand(samples, generator=generator)) / samples
        face = torch.searchsorted(area.cumsum(0), places.double() * area.sum()).clamp_max(len(area) - 1)
        a, b = torch.rand(2, samples, generator=generator).double()
        root = a.sqrt()
        weights = torch.stack([1 - root, root * (1 - b), root * b], dim=1)
        points = (weights[..., None] * corners[face]).sum(dim=1).float()
        flat = torch.nn.functional.normalize(across[face], dim=1).float()
        seen = self.tree.seen_by(points, flat, eyes) > 0
        if not seen.any():
            raise InputError(f"{self.name}: no camera sees it; expected a mesh in the world of the cameras")
        return points[seen], self.normals_at(face, weights.float())[seen]
