"""The objective: what a step's renders are worth, term by term."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from studio.core.color import linear_to_srgb, mse_to_psnr
from studio.core.optim.regularizers import SurfaceTerms, light_white
from studio.core.optim.settings import FitSettings
from studio.core.optim.targets import Targets
from studio.core.optim.variables import Variables


@dataclass(frozen=True)
class Measured:
    """Plain numbers of one step: weighted terms with "total", PSNR, error per view."""

    losses: dict[str, float]
    psnr: float
    view_errors: list[float]


class Objective:
    """Adds up the terms whose weight is not zero."""

    def __init__(self, terms: SurfaceTerms):
        self.terms = terms

    def __call__(
        self,
        render: tuple[Tensor, Tensor],
        targets: Targets,
        views: Tensor,
        background: Tensor,
        variables: Variables,
        settings: FitSettings,
    ) -> tuple[Tensor, Measured]:
        rgba, box = render
        mask = targets.mask[views] if targets.mask is not None else None
        color = targets.color[views]
        if mask is not None:
            color = color + (1 - mask) * background
        parts = {}
        a = linear_to_srgb(rgba[..., :3])
        b = linear_to_srgb(color)
        diff = a - b
        parts["color"] = settings.weight("color") * diff.abs().mean()
        if mask is not None:
            parts["mask"] = settings.weight("mask") * (rgba[..., 3:] - mask).square().mean()
        total = sum(parts.values())
        with torch.no_grad():
            m = (mask > 0.5).float() if mask is not None else torch.ones_like(rgba[..., 3:])
            area = m.sum(dim=(1, 2, 3)).clamp_min(1)
            err = (diff.abs() * m).sum(dim=(1, 2, 3)) / (3 * area)
            mse = float((diff.square() * m).sum() / (3 * area.sum()))
        losses = {k: float(x) for k, x in parts.items()}
        losses["total"] = float(total)
        return total, Measured(losses, mse_to_psnr(mse) if math.isfinite(mse) else float("nan"), err.tolist())
