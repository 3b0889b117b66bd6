"""Torch front of the kernels that bend normals by a normal texture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import bend as kernels
from studio.core.kernels import launcher
from studio.core.ops.pixels import flat, runs


class _Tangents(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vertices: Tensor, uvs: Tensor, faces: Tensor, face_part: Tensor, part: int
    ) -> tuple[Tensor, Tensor]:
        along = vertices.new_empty(len(faces), 3)
        turn = vertices.new_empty(len(faces))
        inputs = [launcher.BEGIN, vertices, uvs, faces, face_part, part]
        launcher.launch(kernels.tangents_forward, len(faces), [*inputs, along, turn], vertices.device)
        ctx.save_for_backward(vertices, uvs, faces, turn)
        ctx.mark_non_differentiable(turn)
        return along, turn

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        vertices, uvs, faces, turn = ctx.saved_tensors
        g_vertices, g_uvs = torch.zeros_like(vertices), torch.zeros_like(uvs)
        inputs = [launcher.BEGIN, vertices, uvs, faces, turn, grads[0].contiguous()]
        outputs = [launcher.Scatter(g_vertices), launcher.Scatter(g_uvs)]
        launcher.launch(kernels.tangents_backward, len(faces), [*inputs, *outputs], vertices.device)
        return g_vertices, g_uvs, None, None, None


def tangents(
    vertices: Tensor, uvs: Tensor, faces: Tensor, face_part: Tensor, part: int = -1
) -> tuple[Tensor, Tensor]:
    """Where u grows on each triangle's plane.

    Args:
        vertices: [V, 3]. uvs: [V, 2]. faces: [T, 3] int32. face_part: [T] int64.
        part: triangles of other parts get nothing; -1 for all.
    Returns:
        along: [T, 3] the direction in which u grows, of unit length.
        turn: [T] 1 where u and v turn as in the texture, -1 where they are mirrored, 0 where
            coordinates stand still.
    Gradients:
        To: vertices and uvs, as if the length that `along` is divided by stood still: what takes
        it looks at the direction alone.
    Reference:
        glTF 2.0, section 3.7.2.1, but each triangle has its own tangent.
    """
    along, turn = _Tangents.apply(vertices.contiguous(), uvs.contiguous(), faces, face_part, part)
    return along, turn


def bend(rast: Tensor, normal: Tensor, texels: Tensor, along: Tensor, turn: Tensor, out: Tensor) -> None:
    """Tilt normals within the tangent frames of their triangles.

    Args:
        rast: [N, H, W, 4]; where nothing is, normals stay.
        normal: [N, H, W, 3] unit.
        texels: [N, H, W, 3] normals in tangent space, encoded as 0..1.
        along, turn: from `tangents`; normals stay where turn is 0.
        out: [N, H, W, 3] unit; may be `normal`.
    """
    count, run = runs(rast[..., 0].numel(), rast.shape[2], rast.device)
    images = [flat(t) for t in (rast, normal, texels)]
    launcher.launch(
        kernels.bend_forward, count, [launcher.BEGIN, run, *images, along, turn, flat(out)], rast.device
    )


def bend_backward(
    rast: Tensor,
    normal: Tensor,
    texels: Tensor,
    along: Tensor,
    turn: Tensor,
    grad: Tensor,
    g_texels: Tensor,
    g_along: Tensor,
) -> None:
    """Adjoint of `bend`, in place on `grad`, which becomes that of `normal`.

    Args:
        g_texels: [N, H, W, 3] written. g_along: [T, 3] added to. Discontinuous in: along, from
            triangle to triangle.
    """
    count, run = runs(rast[..., 0].numel(), rast.shape[2], rast.device)
    inputs = [*(flat(t) for t in (rast, normal, texels)), along, turn, flat(grad)]
    outputs = [flat(grad), flat(g_texels), launcher.Scatter(g_along)]
    launcher.launch(kernels.bend_backward, count, [launcher.BEGIN, run, *inputs, *outputs], rast.device)
