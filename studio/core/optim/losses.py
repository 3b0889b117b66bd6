"""The objective: what a step's renders are worth, term by term."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studio.core.arrival import constant, sent
from studio.core.color import linear_to_srgb, mse_to_psnr
from studio.core.ops.image_loss import image_loss
from studio.core.ops.ssim import ssim
from studio.core.optim.regularizers import SurfaceTerms
from studio.core.optim.settings import FitSettings
from studio.core.optim.targets import Targets
from studio.core.optim.variables import Variables

_OF_SHADING = ("light_white", "light_smoothness", "material_smoothness", "flat_normals")
"""Terms of what an unlit picture does not show."""


@dataclass(frozen=True, eq=False)
class Measures:
    """What a step's renders are worth, as numbers.

    Attributes:
        losses: every weighted term, and "total".
        psnr: dB over the object's pixels of all views of the step.
        view_errors: root mean square sRGB error of each view over the same pixels.
    """

    losses: dict[str, float]
    psnr: float
    view_errors: list[float]


@dataclass(frozen=True, eq=False)
class Measured:
    """The same where it was computed; nobody has looked at it yet.

    Attributes:
        total: [] the loss to call backward on.
        names: of the terms in `numbers`; "" for one that says nothing.
        numbers: [K + N] every weighted term, then the mean squared error of each view.
    """

    total: Tensor
    names: tuple[str, ...]
    numbers: Tensor

    def read(self, values: list[float] | None = None) -> Measures:
        """The numbers by name; waits for the GPU unless `values` are what `numbers` holds."""
        if values is None:
            values = self.numbers.tolist()
        count = len(self.names)
        losses = {name: value for name, value in zip(self.names, values) if name}
        squared = values[count:]
        return Measures(losses, mse_to_psnr(sum(squared) / len(squared)), [e**0.5 for e in squared])


def joined(parts: list[Measured], places: list[list[int]]) -> Measured:
    """What parts of a step measured, as if its photos had been one batch.

    Args:
        places: of each part's photos in the step.
    """
    first, count = parts[0], sum(len(own) for own in places)
    terms = len(first.names)
    shares = constant(tuple(len(own) / count for own in places), torch.float32, first.numbers.device)
    means = (torch.stack([part.numbers[:terms] for part in parts]) * shares[:, None]).sum(dim=0)
    order = np.argsort(np.concatenate(places))
    errors = torch.cat([part.numbers[terms:] for part in parts])
    numbers = torch.cat([means, errors.index_select(0, sent(order, errors.device))])
    return Measured(numbers[0], first.names, numbers)


def measure(
    rgba: Tensor,
    box_vertices: Tensor,
    target: Targets,
    views: Tensor,
    background: Tensor,
    variables: Variables,
    terms: SurfaceTerms,
    settings: FitSettings,
) -> Measured:
    """Add up the terms whose weight is not zero.

    Args:
        rgba: [N, H, W, 4] renders of the views over the background.
        box_vertices: [V, 3] in the unit box.
        target: the photos of the views.
        views: [N] int64, which of the training photos they are.
        background: [3] or [N, H, W, 3] linear, behind renders and photos with masks.
    """
    color_weight, mask_weight = (target.scale * settings.weight(name) for name in ("color", "mask"))
    stops = variables.views.stops().index_select(0, views)
    pixels = image_loss(
        rgba,
        target.color,
        target.mask,
        target.weight,
        stops,
        background,
        settings["color_loss"],
        color_weight,
        mask_weight,
    )
    extra = _surface_terms(box_vertices, variables, terms, settings)
    carving = variables.carving(target, box_vertices) if settings.weight("carving") > 0 else None
    if carving is not None:
        extra["carving"] = carving
    if settings.weight("ssim") > 0:
        extra["ssim"] = _ssim_term(rgba, target, stops, background)
    # All terms at once: each would be a launch of its own to weigh, and another to add.
    weights = (1.0, color_weight, mask_weight, *(settings.weight(name) for name in extra))
    values = torch.stack([pixels.total, pixels.color, pixels.mask, *extra.values()])
    weighted = values * constant(weights, values.dtype, values.device)
    total = weighted[0] + weighted[3:].sum() if extra else weighted[0]
    # Behind the object both show the same background, so all of the error is the object's.
    squared = (pixels.view_error / target.object_share()).detach()
    numbers = torch.cat([total[None], weighted[1:], squared]).detach()
    there = target.mask is not None and mask_weight != 0
    names = ("total", "color", "mask" if there else "", *extra)
    return Measured(total, names, numbers)


def _surface_terms(
    box_vertices: Tensor, variables: Variables, terms: SurfaceTerms, settings: FitSettings
) -> dict[str, Tensor]:
    """The regularizers that are on, not yet weighted."""
    makers = {
        "laplacian": lambda: terms.laplacian(box_vertices),
        "normal_consistency": lambda: terms.normal_consistency(box_vertices),
        "edge_length": lambda: terms.edge_length(box_vertices),
        **variables.light_terms(),
        **variables.material.terms(terms),
    }
    shaded = settings["shading"] != "unlit"
    return {
        name: make()
        for name, make in makers.items()
        if settings.weight(name) > 0 and (shaded or name not in _OF_SHADING)
    }


def _ssim_term(rgba: Tensor, target: Targets, stops: Tensor, background: Tensor) -> Tensor:
    """1 - SSIM of the display values over the object, both over mid grey.

    A constant behind both keeps the windows that cross the silhouette from comparing noise.
    """
    alpha = rgba[..., 3:]
    grey = 0.2140  # linear of 0.5 in sRGB
    gain = torch.exp2(stops)[:, None, None]
    render = (rgba[..., :3] - background * (1 - alpha)) * gain + grey * (1 - alpha)
    render, photo, inside = linear_to_srgb(render).clamp(0, 1), target.color, target.mask
    if target.mask is not None:
        coverage = target.mask[..., None]
        photo = photo * coverage + 0.5 * (1 - coverage)
    if target.weight is not None:
        says = target.weight[..., None] > 0
        render, photo = torch.where(says, render, 0.5), torch.where(says, photo, 0.5)
        inside = target.weight if inside is None else inside * target.weight
    return 1 - ssim(render, photo, inside)
