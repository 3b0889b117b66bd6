"""Antialiasing where surfaces intersect: adjacent pixels whose triangles' depths cross between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import crossing, launcher


def candidate_pairs(rast: Tensor, claimed: Tensor) -> Tensor:
    """[S, 2] int32 neighbouring pixels with different triangles, both covered.

    Args:
        rast: [N, H, W, 4].
        claimed: [R, 2] pairs of pixels to leave out, in either order.
    """
    n, height, width, _ = rast.shape
    ids = rast[..., 3]
    number = torch.arange(n * height * width, dtype=torch.int32, device=rast.device).view(n, height, width)
    found = []
    for low, high, step in (
        ((slice(None), slice(None), slice(None, -1)), (slice(None), slice(None), slice(1, None)), 1),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None)), width),
    ):
        wanted = (ids[low] != ids[high]) & (ids[low] > 0) & (ids[high] > 0)
        taken = torch.zeros(n * height * width, dtype=torch.bool, device=rast.device)
        own = claimed[(claimed[:, 0] - claimed[:, 1]).abs() == step]
        taken[own.amin(1).long()] = True
        first = number[low][wanted & ~taken.view(n, height, width)[low]]
        found.append(torch.stack([first, first + step], dim=1))
    return torch.cat(found)


class Crossings(torch.autograd.Function):
    """Blend pairs of pixels by where the depths of their triangles cross."""

    @staticmethod
    def forward(
        ctx: Any, color: Tensor, pos: Tensor, pairs: Tensor, rast: Tensor, screen: Tensor, tri: Tensor,
        surface: Tensor, boost: float,
    ) -> Tensor:  # fmt: skip
        _, height, width, channels = color.shape
        amount = torch.empty(len(pairs), device=color.device)
        slope = torch.empty(len(pairs), device=color.device)
        launcher.launch(
            crossing.find,
            len(pairs),
            [
                launcher.BEGIN,
                pairs,
                pos,
                screen,
                tri,
                surface,
                rast.view(-1, 4),
                width,
                height,
                amount,
                slope,
            ],
            color.device,
        )
        keep = slope > 0
        pairs, amount, slope = pairs[keep], amount[keep, None], slope[keep]
        first, second = pairs.long().unbind(1)
        flat = color.reshape(-1, channels)
        difference = flat[first] - flat[second]
        # Past the middle the first spills over into the second, before it the other way round.
        target = torch.where(amount[:, 0] > 0, second, first)
        out = flat.clone().index_add_(0, target, amount * difference)
        ctx.save_for_backward(pos, pairs, rast, tri, amount, slope, difference, target)
        ctx.boost = boost
        return out.view(color.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pos, pairs, rast, tri, amount, slope, difference, target = ctx.saved_tensors
        _, height, width, channels = grads[0].shape
        flat = grads[0].reshape(-1, channels)
        pulled = flat[target]
        first, second = pairs.long().unbind(1)
        to_color = flat.clone().index_add_(0, first, amount * pulled).index_add_(0, second, -amount * pulled)
        to_pos = None
        if ctx.needs_input_grad[1]:
            to_pos = torch.zeros_like(pos)
            to_amount = ctx.boost * (pulled * difference).sum(1)
            launcher.launch(
                crossing.find_backward,
                len(pairs),
                [pairs, pos, tri, rast.view(-1, 4), width, height, slope, to_amount, to_pos],
                pos.device,
                limit=1,
            )
        return to_color.view(grads[0].shape), to_pos, None, None, None, None, None, None
