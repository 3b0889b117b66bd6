"""Interpolation of vertex attributes at the points that rasterize found."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import launcher
from studio.core.kernels.channels import groups
from studio.core.kernels.interpolate import kernels
from studio.core.ops import check
from studio.core.ops.visibility import run_length

PLAIN, DERIVATIVES = 1, 2


def _launch_forward(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor, mode: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One group of channels: values and their x and y derivatives, as the mode asks."""
    n, height, width, _ = rast.shape
    count = attr.shape[-1]
    run = run_length(rast.device, width)
    shape = (n * height * width, count)
    out = torch.empty(shape if mode == PLAIN else (0, count), device=rast.device)
    dx = torch.empty(shape if mode == DERIVATIVES else (0, count), device=rast.device)
    dy = torch.empty_like(dx)
    launcher.launch(
        kernels(count).forward,
        n * height * width // run,
        [
            launcher.BEGIN,
            run,
            attr,
            rast.view(-1, 4),
            tri,
            rast_db.view(-1, 4),
            height * width // run * run,
            mode,
            out,
            dx,
            dy,
        ],
        rast.device,
    )
    return out, dx, dy


class _Interpolate(torch.autograd.Function):
    """mode PLAIN gives [N, H, W, C]; DERIVATIVES gives [N, H, W, 2 C] as x, y pairs."""

    @staticmethod
    def forward(ctx: Any, attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor, mode: int) -> Tensor:
        n, height, width, _ = rast.shape
        pieces = []
        for first, count in groups(attr.shape[-1]):
            group = attr[..., first : first + count].contiguous()
            out, dx, dy = _launch_forward(group, rast, tri, rast_db, mode)
            pieces.append(out if mode == PLAIN else torch.stack([dx, dy], dim=-1).view(len(dx), -1))
        ctx.save_for_backward(attr, rast, tri, rast_db)
        ctx.mode = mode
        whole = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)
        return whole.view(n, height, width, -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        attr, rast, tri, rast_db = ctx.saved_tensors
        mode = ctx.mode
        n, height, width, _ = rast.shape
        run = run_length(rast.device, width)
        rows = height * width // run
        grad_rast = torch.zeros_like(rast)
        grad_db = torch.zeros_like(rast_db) if mode == DERIVATIVES else grad_rast
        grad_attr = torch.zeros_like(attr)
        for first, count in groups(attr.shape[-1]):
            group = attr[..., first : first + count].contiguous()
            target = torch.zeros_like(group)
            gradient = grads[0].reshape(n * height * width, -1, 1 if mode == PLAIN else 2)
            gradient = gradient[:, first : first + count]
            dx = gradient[..., 0].contiguous()
            dy = gradient[..., -1].contiguous()
            launcher.launch(
                kernels(count).backward,
                n * rows,
                [
                    launcher.BEGIN,
                    run,
                    group,
                    rast.view(-1, 4),
                    tri,
                    rast_db.view(-1, 4),
                    rows * run,
                    mode,
                    dx,
                    dx,
                    dy,
                    launcher.Scatter(target, unit=rows * (n if len(attr) == 1 else 1)),
                    grad_rast.view(-1, 4),
                    grad_db.view(-1, 4),
                ],
                rast.device,
            )
            grad_attr[..., first : first + count] = target
        return grad_attr, grad_rast, None, grad_db if mode == DERIVATIVES else None, None


def interpolate(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None = None,
    diff_attrs: Literal["all"] | list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Interpolate vertex attributes, perspective-correctly, at the points that rasterize found.

    Args:
        attr: [N, V, C] or [1, V, C] (shared by all images), or [V, C] in range mode; float32.
        rast: [N, H, W, 4] from `rasterize`.
        tri: [T, 3] int32, as given to `rasterize`.
        rast_db: [N, H, W, 4] from `rasterize`; needed for diff_attrs.
        diff_attrs: which channels get screen derivatives: "all", a list of channel numbers,
            or None.
    Returns:
        out: [N, H, W, C], 0 where empty.
        out_da: [N, H, W, 2 len(diff_attrs)] = (dA0/dX, dA0/dY, dA1/dX, ...) per pixel;
            zero channels if no diff_attrs were asked for.
    Gradients:
        To: attr, rast (its u and v), rast_db. Not to z/w and id of rast.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3.4.
    """
    op = "interpolate"
    rast = check.tensor(op, "rast", rast, ("N", "H", "W", 4))
    if isinstance(attr, Tensor) and attr.ndim == 2:
        attr = attr[None]
    attr = check.tensor(op, "attr", attr, ("N", "V", "C"), like=rast)
    check.same_batch(op, "attr", attr, rast.shape[0], allow_one=True)
    tri = check.triangles(op, tri, rast)
    if attr.shape[-1] == 0:
        raise ShapeError("interpolate: attr must have at least one channel, got 0")
    out = _Interpolate.apply(attr, rast, tri, rast, PLAIN)
    if diff_attrs is None or (diff_attrs != "all" and len(diff_attrs) == 0):
        return out, out.new_zeros(*rast.shape[:3], 0)
    if rast_db is None:
        raise ShapeError("interpolate: diff_attrs needs rast_db, got None")
    rast_db = check.tensor(op, "rast_db", rast_db, tuple(rast.shape), like=rast)
    chosen = attr
    if diff_attrs != "all":
        bad = [c for c in diff_attrs if not 0 <= int(c) < attr.shape[-1]]
        if bad:
            raise ShapeError(f"interpolate: diff_attrs must be below {attr.shape[-1]}, got {bad[0]}")
        chosen = attr[..., torch.as_tensor(diff_attrs, device=attr.device)].contiguous()
    return out, _Interpolate.apply(chosen, rast, tri, rast_db, DERIVATIVES)
