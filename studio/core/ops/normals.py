"""Vertex normals computed differentiably from triangles; unit normals per pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.kernels import normals as kernels
from studio.core.ops import check
from studio.core.scene.mesh import weld


@dataclass(frozen=True, eq=False)
class Incidence:
    """Which triangle corners meet at a vertex, as compressed rows.

    Attributes:
        group: [V] int32, number of the first vertex at the same position.
        start, corners: corners (3 * face + k) of every vertex's own triangles.
        group_start, group_corners: the same for all vertices at that position, in the rows of
            the first of them; the other rows are empty.
        seams: whether any two vertices share a position.
    """

    group: Tensor
    start: Tensor
    corners: Tensor
    group_start: Tensor
    group_corners: Tensor
    seams: bool

    @classmethod
    def build(cls, faces: Tensor, positions: np.ndarray | Tensor) -> Incidence:
        """Rows for [T, 3] faces; vertices at the very same [V, 3] position share a normal."""
        device = faces.device
        index = faces.detach().cpu().numpy().astype(np.int64).ravel()
        points = positions.detach().cpu().numpy() if isinstance(positions, Tensor) else positions
        group = weld(points)
        start, corners = _rows(index, len(points))
        seams = bool((group != np.arange(len(points))).any())
        group_start, group_corners = _rows(group[index], len(points)) if seams else (start, corners)

        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.int32)).to(device)

        return cls(
            tensor(group), tensor(start), tensor(corners), tensor(group_start), tensor(group_corners), seams
        )


def _rows(owner: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    corners = np.argsort(owner, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))])
    return start, corners


class _VertexNormals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices: Tensor, faces: Tensor, rows: Incidence) -> Tensor:
        normals = torch.empty_like(vertices)
        lengths = torch.empty_like(vertices[:, 0])
        launcher.launch(
            kernels.vertex_normals_forward,
            len(vertices),
            [launcher.BEGIN, vertices, faces, rows.group_start, rows.group_corners, normals, lengths],
            vertices.device,
        )
        ctx.rows = rows
        ctx.save_for_backward(vertices, faces, normals, lengths)
        return normals[rows.group.long()] if rows.seams else normals.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        vertices, faces, normals, lengths = ctx.saved_tensors
        rows: Incidence = ctx.rows
        grad = grads[0].contiguous()
        if rows.seams:
            grad = torch.zeros_like(grad).index_add_(0, rows.group.long(), grad)
        totals = torch.empty_like(vertices)
        out = torch.empty_like(vertices)
        device, count = vertices.device, len(vertices)
        launcher.launch(
            kernels.unit_backward, count, [launcher.BEGIN, normals, lengths, grad, totals], device
        )
        launcher.launch(
            kernels.vertex_normals_backward,
            count,
            [launcher.BEGIN, vertices, faces, rows.start, rows.corners, rows.group, totals, out],
            device,
        )
        return out, None, None


def vertex_normals(vertices: Tensor, faces: Tensor, rows: Incidence | None = None) -> Tensor:
    """Unit normals of vertices: area-weighted mean of the triangles around them.

    Args:
        vertices: [V, 3] float32.
        faces: [T, 3] int32, counter-clockwise from outside.
        rows: from Incidence.build; build it once per mesh. None builds it here.
    Returns:
        normals: [V, 3]; +Y where no triangle with an area is.
    Gradients:
        To: vertices.
    Raises:
        ShapeError: names the tensor, expected and actual shape or type.
    """
    vertices = check.tensor("vertex_normals", "vertices", vertices, ("V", 3))
    faces = check.triangles("vertex_normals", faces, vertices)
    rows = rows if rows is not None else Incidence.build(faces, vertices)
    normals: Tensor = _VertexNormals.apply(vertices, faces, rows)
    return normals


def _runs(rast: Tensor) -> tuple[int, int]:
    pixels = rast.shape[0] * rast.shape[1] * rast.shape[2]
    run = rast.shape[2] if rast.device.type == "cpu" else 1
    return pixels // run, run


def normalize_pixels(rast: Tensor, normal: Tensor, length: Tensor) -> None:
    """Scale [N, H, W, 3] normals of covered pixels to unit length in place; keeps the lengths."""
    count, run = _runs(rast)
    inputs = [launcher.BEGIN, run, rast.view(-1, 4), normal.view(-1, 3), length.view(-1)]
    launcher.launch(kernels.normalize_pixels_forward, count, inputs, rast.device)


def normalize_pixels_backward(rast: Tensor, normal: Tensor, length: Tensor, grad: Tensor) -> None:
    """Adjoint of normalize_pixels, in place on `grad`."""
    count, run = _runs(rast)
    inputs = [launcher.BEGIN, run, rast.view(-1, 4), normal.view(-1, 3), length.view(-1), grad.view(-1, 3)]
    launcher.launch(kernels.normalize_pixels_backward, count, inputs, rast.device)
