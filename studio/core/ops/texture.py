"""Texture sampling at interpolated coordinates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.kernels import launcher
from studio.core.kernels import texture as kernels
from studio.core.ops import check
from studio.core.ops.visibility import run_length

FILTERS = {"nearest": kernels.NEAREST, "linear": kernels.LINEAR}
BOUNDARIES = {"wrap": kernels.WRAP, "clamp": kernels.CLAMP, "zero": kernels.ZERO}


def _head(tex: Tensor, uv: Tensor, filtering: int, boundary: int) -> list[Any]:
    """The arguments that both kernels begin with."""
    batch, tex_height, tex_width, channels = tex.shape
    _, height, width, _ = uv.shape
    run = run_length(uv.device, width)
    texels = tex.view(-1, channels)
    sizes = [tex_width, tex_height, int(batch == 1), height * width]
    return [launcher.BEGIN, run, texels, *sizes, filtering, boundary, uv.view(-1, 2)]


class _Texture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tex: Tensor, uv: Tensor, filtering: int, boundary: int) -> Tensor:
        channels = tex.shape[-1]
        n, height, width, _ = uv.shape
        out = torch.empty(n, height, width, channels, device=uv.device)
        launcher.launch(
            kernels.sample,
            n * height * width // run_length(uv.device, width),
            [*_head(tex, uv, filtering, boundary), out.view(-1, channels)],
            uv.device,
        )
        ctx.save_for_backward(tex, uv)
        ctx.modes = (filtering, boundary)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tex, uv = ctx.saved_tensors
        channels = tex.shape[-1]
        n, height, width, _ = uv.shape
        with_tex = ctx.needs_input_grad[0]
        grad_uv = torch.empty_like(uv)
        grad_tex = torch.zeros_like(tex) if with_tex else tex
        flat = grad_tex.view(-1, channels)
        rows = height * width // run_length(uv.device, width)
        target = launcher.Scatter(flat, unit=rows * (n if len(tex) == 1 else 1)) if with_tex else flat
        tail = [grads[0].contiguous().view(-1, channels), int(with_tex), target, grad_uv.view(-1, 2)]
        launcher.launch(kernels.sample_backward, n * rows, [*_head(tex, uv, *ctx.modes), *tail], uv.device)
        return grad_tex if with_tex else None, grad_uv, None, None


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
) -> Tensor:
    """Sample a texture.

    The uv of empty pixels are 0 and sample the corner texel: mask the result by coverage.

    Args:
        tex: [N, TH, TW, C] or [1, TH, TW, C] (shared) float32; any size; row 0 at v = 0.
        uv: [N, H, W, 2] float32; texel centres at (i + 0.5) / size.
        uv_da: [N, H, W, 4] screen derivatives of uv; accepted, not used by the filters there are.
        filter_mode: "nearest", "linear", or "auto" (linear).
        boundary_mode: "wrap" repeats, "clamp" holds the border, "zero" is 0 outside.
    Returns:
        [N, H, W, C].
    Gradients:
        To: tex; uv for linear filtering. Not to uv for nearest (piecewise constant), nor to uv_da.
    Raises:
        InputError: a filter or boundary mode that does not exist, with those that do.
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3.5.
    """
    op = "texture"
    if filter_mode not in FILTERS and filter_mode != "auto":
        raise InputError(f"texture: filter_mode must be one of auto, {', '.join(FILTERS)}, got {filter_mode}")
    if boundary_mode not in BOUNDARIES:
        raise InputError(
            f"texture: boundary_mode must be one of {', '.join(BOUNDARIES)}, got {boundary_mode}"
        )
    uv = check.tensor(op, "uv", uv, ("N", "H", "W", 2))
    tex = check.tensor(op, "tex", tex, ("N", "TH", "TW", "C"), like=uv)
    check.same_batch(op, "tex", tex, len(uv), allow_one=True)
    if tex.numel() == 0:
        raise ShapeError(f"texture: tex must have texels and channels, got {list(tex.shape)}")
    if uv_da is not None:
        check.tensor(op, "uv_da", uv_da, (*uv.shape[:3], 4), like=uv)
    filtering = FILTERS["linear" if filter_mode == "auto" else filter_mode]
    return _Texture.apply(tex, uv, filtering, BOUNDARIES[boundary_mode])
