"""Renders of photos' views beside the photos, and the numbers of their likeness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from studio.core.color import display, psnr, srgb_to_linear
from studio.core.optim import metrics
from studio.core.optim.emitted import Look
from studio.core.optim.rendering import Renderer
from studio.core.optim.targets import Targets
from studio.core.optim.views import moved_cameras
from studio.core.scene import Photo


@dataclass(frozen=True, eq=False)
class Picture:
    """One photo and its render, [H, W, 3] float32 sRGB 0..1, row 0 at the bottom.

    Attributes:
        target: the photo over black where it has a mask.
        difference: mean absolute difference of the channels, [H, W].
        coverage: [H, W] of the render.
    """

    name: str
    render: np.ndarray
    target: np.ndarray
    difference: np.ndarray
    coverage: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of all views in order, pictures of the first few."""

    views: list[metrics.ViewMetrics]
    pictures: list[Picture] = field(default_factory=list)

    def mean(self, name: str) -> float | None:
        """Mean of psnr, psnr_leveled, psnr_white, ssim, iou or error over the views; None where unknown."""
        return metrics.mean_of(self.views, name)


@torch.no_grad()
def evaluate_photos(
    renderer: Renderer,
    photos: list[Photo],
    stops: Tensor,
    moves: Tensor,
    resolution: int,
    pictures: int = 0,
) -> Evaluation:
    """Render each photo's view at `resolution` and compare, one at a time to spare memory.

    Args:
        stops: [len(photos), 3] exposure of the channels.
        moves: [len(photos), 6] refined poses; see optim.views.
        pictures: how many of the first photos keep their pictures.
    """

    def rendered(number: int, targets: Targets) -> np.ndarray:
        black = torch.zeros(3, device=stops.device)
        background = black if targets.mask is not None else renderer.variables.background
        own = slice(number, number + 1)
        cameras = moved_cameras(targets.cameras, moves[own], renderer.variables.views.center)
        return np.asarray(renderer.exposed(cameras, background, stops[own])[0].cpu().numpy())

    return evaluate_renders(rendered, photos, resolution, stops.device, pictures)


def evaluate_renders(
    rendered: Callable[[int, Targets], np.ndarray],
    photos: list[Photo],
    resolution: int,
    device: torch.device | str = "cpu",
    pictures: int = 0,
) -> Evaluation:
    """Compare each photo with what a function renders for it.

    Args:
        rendered: called with the photo's number and the photo as a target of `resolution`; gives
            [H, W, 4] linear colour, over black where the photo has a mask, and coverage.
        pictures: how many of the first photos keep their pictures.
    """
    views, kept = [], []
    for number, photo in enumerate(photos):
        targets = Targets.build([photo], resolution, device)
        image = rendered(number, targets)
        picture = Picture(
            photo.name,
            render=display(image[..., :3]),
            target=_over_black(targets),
            difference=np.empty(0),
            coverage=image[..., 3],
        )
        views.append(_compare(picture, targets, _on_white(image, targets)))
        if number < pictures:
            difference = np.abs(picture.render - picture.target).mean(axis=-1)
            kept.append(Picture(photo.name, picture.render, picture.target, difference, picture.coverage))
    return Evaluation(views, kept)


def evaluate_look(look: Look, photos: list[Photo], resolution: int, pictures: int = 0) -> Evaluation:
    """Compare each photo with what its camera sees of something that emits light; as evaluate_renders."""

    def rendered(number: int, targets: Targets) -> np.ndarray:
        return look(photos[number].camera.resized(targets.size[1], targets.size[0]))

    return evaluate_renders(rendered, photos, resolution, "cpu", pictures)


def _over_black(targets: Targets) -> np.ndarray:
    color: np.ndarray = targets.color[0].cpu().numpy()
    if targets.mask is None:
        return color
    coverage = targets.mask[0].cpu().numpy()[..., None]
    return np.asarray(display(srgb_to_linear(color) * coverage))


def _on_white(image: np.ndarray, targets: Targets) -> float:
    """dB of a render, [H, W, 4] linear over black and coverage, over white; NaN without a mask."""
    if targets.mask is None:
        return float("nan")
    coverage = targets.mask[0].cpu().numpy()[..., None]
    wanted = srgb_to_linear(targets.color[0].cpu().numpy()) * coverage + 1 - coverage
    return psnr(image[..., :3] + 1 - image[..., 3:], wanted)


def _compare(picture: Picture, targets: Targets, psnr_white: float) -> metrics.ViewMetrics:
    mask = None if targets.mask is None else targets.mask[0].cpu().numpy()
    inside = mask
    if targets.weight is not None:
        weight = targets.weight[0].cpu().numpy()
        inside = weight if mask is None else weight * mask
    chosen = slice(None) if inside is None else inside > 0.5
    error = np.abs(picture.render - picture.target)[chosen]
    return metrics.ViewMetrics(
        name=picture.name,
        psnr=metrics.psnr(picture.render, picture.target, inside),
        psnr_leveled=metrics.psnr_leveled(picture.render, picture.target, inside),
        ssim=metrics.ssim(picture.render, picture.target, inside),
        iou=float("nan") if mask is None else metrics.iou(picture.coverage, mask),
        error=float(error.mean()) if error.size else float("nan"),
        psnr_white=psnr_white,
    )
