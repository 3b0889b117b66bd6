"""How much the values of a picture differ from their neighbours', in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.kernels import variation as kernels
from studio.core.ops.pixels import runs

_VALUE = 3.0
"""Nanoseconds of a value on one core."""


class _Variation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, across: Tensor, along: Tensor) -> Tensor:
        width = values.shape[-2]
        flat = values.view(-1, values.shape[-1])
        count, run = runs(len(flat), width, values.device)
        sums = values.new_zeros(3)
        head = [launcher.BEGIN, run, width, flat, weight.view(-1), across.view(-1), along.view(-1)]
        limit = launcher.worth(_VALUE * values.numel())
        outputs = [launcher.Scatter(sums)]
        launcher.launch(kernels.variation_forward, count, [*head, *outputs], values.device, limit=limit)
        ctx.save_for_backward(values, weight, across, along)
        return sums

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, across, along = ctx.saved_tensors
        width = values.shape[-2]
        flat, out = values.view(-1, values.shape[-1]), torch.empty_like(values)
        count, run = runs(len(flat), width, values.device, sums=False)
        head = [launcher.BEGIN, run, width, flat, weight.view(-1), across.view(-1), along.view(-1)]
        inputs = [*head, grads[0].contiguous(), out.view(flat.shape)]
        limit = launcher.worth(_VALUE * values.numel())
        launcher.launch(kernels.variation_backward, count, inputs, values.device, limit=limit)
        return out, None, None, None


def variation(values: Tensor, weight: Tensor, across: Tensor, along: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over a picture: absolute differences of neighbours, values, squares.

    Args:
        values: [..., H, W, C] float32, one picture.
        weight: [H, W] of the values.
        across: [H, W] of the difference between a value and the next of its row; behind the last
            comes the first.
        along: [H, W] of that between a value and the same of the next row, likewise.
    Returns:
        [] each: sum of weighted absolute differences, weighted sum, weighted sum of squares.
    Gradients:
        To: values. Discontinuous in: the sign of differences.
    """
    total, values_sum, squares = _Variation.apply(values.contiguous(), weight, across, along).unbind()
    return total, values_sum, squares
