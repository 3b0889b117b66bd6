"""Terms that keep a surface sound where the photos say nothing.

All take vertices in units of the object's box, and all are ratios of lengths, angles or
colours, so that one weight serves a temple of 0.15 m and a head of 2 units, and a mesh
before and after remeshing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studio.core.ops.variation import variation
from studio.core.optim.largesteps import edges_of

_UNIT_TEXELS = 512
"""Side of an atlas over whose texels differences count as they are."""


class SurfaceTerms:
    """Regularizers of one topology.

    Args:
        faces: [T, 3] int.
        start: [V, 3] float32 vertices whose curvature `laplacian` keeps.
    """

    def __init__(self, faces: np.ndarray, start: Tensor):
        device = start.device
        edges = edges_of(faces)
        self.faces = torch.from_numpy(faces.astype(np.int64)).to(device)
        self.edges = torch.from_numpy(edges).to(device)
        self.face_pairs = torch.from_numpy(_face_pairs(faces)).to(device)
        degree = np.bincount(edges.ravel(), minlength=len(start)).astype(np.float32)
        self.inverse_degree = torch.from_numpy(1.0 / np.maximum(degree, 1)).to(device)[:, None]
        with torch.no_grad():
            self.start_offset = self._offset(start)
            self.start_edge = self._lengths(start).mean()

    def laplacian(self, vertices: Tensor) -> Tensor:
        """Mean squared change of the uniform Laplacian since the start, over the edge length squared.

        Gradients: to vertices.
        """
        change = (self._offset(vertices) - self.start_offset) / self.start_edge
        return change.square().sum(dim=1).mean()

    def normal_consistency(self, vertices: Tensor) -> Tensor:
        """Mean of 1 - cos of the angle between neighbouring triangles. Gradients: to vertices."""
        corner = vertices[self.faces]
        normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normal = torch.nn.functional.normalize(normal, dim=1, eps=1e-20)
        pair = normal[self.face_pairs]
        return (1 - (pair[:, 0] * pair[:, 1]).sum(dim=1)).mean()

    def edge_length(self, vertices: Tensor) -> Tensor:
        """Mean squared deviation of edges from their mean length, relative. Gradients: to vertices."""
        length = self._lengths(vertices)
        return (length / length.mean() - 1).square().mean()

    def smoothness(self, values: Tensor) -> Tensor:
        """Mean absolute difference of [V, C] values along edges. Gradients: to values."""
        return (values[self.edges[:, 0]] - values[self.edges[:, 1]]).abs().mean()

    def _offset(self, vertices: Tensor) -> Tensor:
        """[V, 3] each vertex minus the mean of its neighbours."""
        total = torch.zeros_like(vertices)
        total = total.index_add(0, self.edges[:, 0], vertices[self.edges[:, 1]])
        total = total.index_add(0, self.edges[:, 1], vertices[self.edges[:, 0]])
        return vertices - total * self.inverse_degree

    def _lengths(self, vertices: Tensor) -> Tensor:
        difference = vertices[self.edges[:, 0]] - vertices[self.edges[:, 1]]
        return difference.square().sum(dim=1).clamp_min(1e-20).sqrt()


class TextureTerms:
    """Regularizers of textures over an atlas.

    Args:
        covered: [1, S, S, 1] bool, texels of the charts; the gutter does not count.
    """

    def __init__(self, covered: Tensor):
        self.size = covered.shape[1]
        self.inside = covered[0, :, :, 0].float()
        self.texels = self.inside.sum().clamp_min(1.0)
        # Behind the last of a row comes the first; the atlas does not close.
        self.across = self.inside * self.inside.roll(-1, dims=1)
        self.along = self.inside * self.inside.roll(-1, dims=0)
        self.across[:, -1] = 0
        self.along[-1] = 0

    def sums(self, image: Tensor) -> TextureSums:
        """What terms of [1, S, S, C] are made of. Gradients: to image."""
        differences, total, squares = variation(image, self.inside, self.across, self.along)
        values = self.texels * image.shape[3]
        return TextureSums(
            differences * (self.size / _UNIT_TEXELS / values), total / values, squares / self.texels
        )


@dataclass(frozen=True, eq=False)
class TextureSums:
    """Numbers of a texture over the texels of its atlas.

    Attributes:
        variation: [] mean absolute difference over a 512th of the atlas's side; the same picture
            gives the same number at any size.
        mean: [] over texels and channels.
        mean_square: [] mean squared length of the texels.
    """

    variation: Tensor
    mean: Tensor
    mean_square: Tensor


def _face_pairs(faces: np.ndarray) -> np.ndarray:
    """[P, 2] int64 triangles that share an edge."""
    pairs = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1)
    keys = pairs[:, 0] * (int(faces.max()) + 1) + pairs[:, 1]
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    return np.stack([order[same] // 3, order[same + 1] // 3], axis=1)


def light_white(sh: Tensor) -> Tensor:
    """Mean squared colour of the environment: what departs from grey in [K, 3] coefficients.

    Light and base colour can trade a tint without changing a picture; this settles it.
    Gradients: to sh.
    """
    return (sh - sh.mean(dim=1, keepdim=True)).square().mean()
