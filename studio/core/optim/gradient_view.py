"""What a picture's gradient looks like: each pixel's derivative by one number, beside finite differences.

The kernels have adjoints, not tangents, and an adjoint pass gives one weighted sum of pixels. So the
derivative is taken block by block, one pass each, coarse blocks first: blocks in which neither the
adjoint nor the finite difference feels anything are not looked into. The finite differences are means
over the same blocks, so that both say the same thing about the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from studio.core.color import display
from studio.core.errors import InputError
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.optim.scalars import Inputs, Scalar, chosen, scalars
from studio.core.pipeline import default_effects, render
from studio.core.plan import Effects
from studio.core.rasterizer import Rasterizer
from studio.core.scene import Camera, Scene
from studio.core.tensors import SceneTensors

Progress = Callable[[float, str], None]

_COARSE = 4
"""Side of a coarse block in blocks: the look ahead costs a sixteenth."""

_STEPS = (1.0, 4.0, 16.0)
"""Steps tried, of a scalar's own: where many triangles share a pixel only larger ones agree."""

_TRUSTED = 0.02
"""Differences of a step and of half of it that are this near need no other step."""

_NEGATIVE, _POSITIVE = np.array((0x56, 0xB4, 0xE9)) / 255, np.array((0xE6, 0x9F, 0x00)) / 255
"""Okabe and Ito's sky blue and orange: told apart by everybody."""


@dataclass(frozen=True, eq=False)
class GradientView:
    """The derivative of a picture, two ways. Rows count from the bottom.

    Attributes:
        scalar: by what; `at` is where.
        picture: [H, W, 3] linear.
        block: pixels along the side of a block; blocks at the upper and right border may be smaller.
        adjoint: [h, w] by reverse passes: mean over each block of the mean of R, G and B (linear),
            per unit of the scalar; NaN where no pass was made yet.
        difference: [h, w] the same by central differences of `scalar.step`.
        halved: [h, w] by half of that step: how far differences can be trusted.
        passes: reverse passes made.
    """

    scalar: Scalar
    picture: np.ndarray
    block: int
    adjoint: np.ndarray
    difference: np.ndarray
    halved: np.ndarray
    passes: int

    @property
    def error(self) -> float:
        """Relative: length of (adjoint - difference) over the longer of both; 0 where both are 0."""
        known = np.isfinite(self.adjoint)
        return _relative(self.adjoint[known], self.difference[known])

    @property
    def doubt(self) -> float:
        """The same between differences of a whole and of half a step: no error below it means anything."""
        return _relative(self.difference, self.halved)

    @property
    def limit(self) -> float:
        """Largest magnitude of both images but for the outermost 0.2 % of blocks."""
        both = np.abs(np.concatenate([self.adjoint[np.isfinite(self.adjoint)], self.difference.ravel()]))
        return float(np.quantile(both, 0.998)) or float(both.max()) or 1.0


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    size = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    return float(np.linalg.norm(a - b)) / size if size > 0 else 0.0


def gradient_views(
    scene: Scene,
    camera: Camera,
    name: str,
    effects: Effects | None = None,
    block: int = 4,
    step: float | None = None,
    device: torch.device | str = "cpu",
    rasterizer: Rasterizer | str = "antialias",
    progress: Progress | None = None,
) -> Iterator[GradientView]:
    """The derivative of a picture by one number of its scene; it gets more complete with each view.

    Args:
        camera: its size is the picture's.
        name: of a Scalar, see `scalars`.
        effects: those that are on; None for the default ones.
        block: side in pixels; a block costs one reverse pass.
        step: of the finite difference; None for the scalar's own, or a larger one that agrees better
            with half of itself.
        progress: called with (0..1, note); may raise Cancelled.
    Returns:
        views: the first has coarse blocks spread over their pixels, the last all blocks.
    Raises:
        InputError: no such scalar, a block or step that is not positive, nothing to render.
    """
    on = default_effects(scene) if effects is None else effects
    scalar = chosen(scalars(scene, camera, on), name)
    if block < 1:
        raise InputError(f"block: {block} pixels, expected at least 1")
    if step is not None and not (step > 0 and math.isfinite(step)):
        raise InputError(f"step: {step:g}, expected a number above 0")
    steps = (step,) if step is not None else tuple(scalar.step * s for s in _STEPS)
    inputs = Inputs(
        SceneTensors.from_scene(scene, device),
        CameraBatch.from_cameras([camera], device),
        LightTensors.from_lighting(scene.lighting, device),
        on,
    )
    background = torch.tensor(scene.background, dtype=torch.float32, device=device)

    def picture(value: Tensor) -> Tensor:
        changed = scalar.apply(inputs, value)
        frame = render(
            changed.surfaces, changed.cameras, changed.lights, background, changed.effects,
            rasterizer=rasterizer,
        )  # fmt: skip
        return frame["color"][0]

    tell = progress or (lambda fraction, note: None)
    tell(0.0, "finite differences")
    tried = []
    for length in steps:
        own = replace(scalar, step=length)
        pair = [_central(picture, own.at, share * length, torch.device(device)) for share in (1.0, 0.5)]
        tried.append((_relative(*(block_means(image, block) for image in pair)), own, pair))
        if tried[-1][0] < _TRUSTED:
            break
    _, scalar, pair = min(tried, key=lambda entry: entry[0])
    yield from _views(scalar, picture, block, pair, torch.device(device), tell)


def _views(
    scalar: Scalar,
    picture: Callable[[Tensor], Tensor],
    block: int,
    differences: list[np.ndarray],
    device: torch.device,
    tell: Progress,
) -> Iterator[GradientView]:
    """The views, from the differences by a whole and by half a step."""
    whole, half = differences
    leaf = torch.tensor(scalar.at, dtype=torch.float32, device=device, requires_grad=True)
    shown = picture(leaf)
    grey = shown.mean(dim=2)
    image = shown.detach().cpu().numpy()
    difference, halved = block_means(whole, block), block_means(half, block)
    felt = np.abs(block_means(np.abs(whole), block))  # sums that cancel are felt, too
    coarse = _blocks(grey.shape, block * _COARSE)
    adjoint = np.full(difference.shape, np.nan)
    rough = np.full(difference.shape, np.nan)
    waiting: list[tuple[int, int]] = []
    passes = 0
    for number, (rows, columns) in enumerate(coarse):
        tell(0.1 * number / len(coarse), "reverse passes, coarse")
        value = _mean_derivative(grey, rows, columns, leaf)
        passes += 1
        cells = (
            slice(rows.start // block, -(-rows.stop // block)),
            slice(columns.start // block, -(-columns.stop // block)),
        )
        rough[cells] = value
        if value == 0.0 and not felt[cells].any():
            adjoint[cells] = 0.0
        else:
            waiting += [
                (r, c)
                for r in range(cells[0].start, cells[0].stop)
                for c in range(cells[1].start, cells[1].stop)
            ]
    yield GradientView(scalar, image, block, rough, difference, halved, passes)
    height, width = grey.shape
    every = max(1, len(waiting) // 16)
    for number, (r, c) in enumerate(waiting):
        tell(0.1 + 0.9 * number / len(waiting), f"reverse passes: {number} of {len(waiting)}")
        rows = slice(r * block, min((r + 1) * block, height))
        columns = slice(c * block, min((c + 1) * block, width))
        adjoint[r, c] = _mean_derivative(grey, rows, columns, leaf)
        passes += 1
        if (number + 1) % every == 0 and number + 1 < len(waiting):
            yield GradientView(scalar, image, block, adjoint.copy(), difference, halved, passes)
    yield GradientView(scalar, image, block, adjoint, difference, halved, passes)


def _mean_derivative(grey: Tensor, rows: slice, columns: slice, leaf: Tensor) -> float:
    """The derivative of a window's mean."""
    mean = grey[rows, columns].mean()
    if not mean.requires_grad:  # the picture does not depend on it
        return 0.0
    (gradient,) = torch.autograd.grad(mean, leaf, retain_graph=True, allow_unused=True)
    return 0.0 if gradient is None else float(gradient)


@torch.no_grad()
def _central(picture: Callable[[Tensor], Tensor], at: float, step: float, device: torch.device) -> np.ndarray:
    """[H, W] float64 central difference of the mean of R, G and B."""
    ends = [torch.tensor(at + side * step, dtype=torch.float32, device=device) for side in (1, -1)]
    above, below = (picture(end).mean(dim=2).double().cpu().numpy() for end in ends)
    return np.asarray((above - below) / float(ends[0].double() - ends[1].double()))


def _blocks(shape: tuple[int, ...], side: int) -> list[tuple[slice, slice]]:
    height, width = shape
    return [
        (slice(r, min(r + side, height)), slice(c, min(c + side, width)))
        for r in range(0, height, side)
        for c in range(0, width, side)
    ]


def block_means(image: np.ndarray, side: int) -> np.ndarray:
    """[ceil(H / side), ceil(W / side)] float64 means over blocks of [H, W]."""
    starts = [np.arange(0, length, side) for length in image.shape]
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float64), starts[0], 0), starts[1], 1)
    sizes = [np.diff(np.append(start, length)) for start, length in zip(starts, image.shape)]
    return np.asarray(sums / (sizes[0][:, None] * sizes[1][None]))


def signed_colors(
    values: np.ndarray, limit: float, zero: tuple[float, float, float] = (0.06, 0.065, 0.07)
) -> np.ndarray:
    """[H, W, 3] sRGB 0..1: blue below zero, orange above, `zero` at it and where nothing is known."""
    share = np.nan_to_num(np.clip(values / max(limit, 1e-30), -1, 1))[..., None]
    end = np.where(share < 0, _NEGATIVE, _POSITIVE)
    # A root brings out the small ones; the sign stays what the eye sees first.
    weight = np.sqrt(np.abs(share))
    return np.asarray(np.array(zero) * (1 - weight) + end * weight)


def save_gradient_view(view: GradientView, path: Path | str) -> None:
    """Picture, adjoint, finite difference and their difference side by side, with one legend.

    Args:
        path: a .png.
    Raises:
        InputError: another suffix, or a place that cannot be written.
    """
    from studio.core.io.files import atomic_path
    from studio.core.optim.plots import BACKGROUND, INK, dark_figure

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: expected a file ending in .png")
    height, width = view.picture.shape[:2]
    figure = dark_figure(14.0, 14.0 / 4 * height / width + 1.0)
    axes = figure.subplots(1, 4)
    limit = view.limit
    unit = f" per {view.scalar.unit}" if view.scalar.unit else ""
    titles = ("picture", "reverse mode", f"central difference, ±{view.scalar.step:.3g}", "difference")
    images = (
        display(view.picture),
        *(signed_colors(v, limit) for v in (view.adjoint, view.difference, view.adjoint - view.difference)),
    )
    for ax, title, image in zip(axes, titles, images):
        ax.imshow(image, origin="lower", interpolation="nearest", extent=(0, width, 0, height))
        ax.set_title(title, color=INK, fontsize=9)
        ax.set_axis_off()
    figure.suptitle(
        f"d picture / d {view.scalar.name} at {view.scalar.at:g}:  relative error {view.error:.2e}"
        f"  (differences agree among themselves to {view.doubt:.1e})",
        color=INK, fontsize=11,
    )  # fmt: skip
    bar = figure.add_axes((0.3, 0.06, 0.4, 0.025))
    ramp = np.linspace(-limit, limit, 256)[None]
    bar.imshow(signed_colors(ramp, limit), aspect="auto", extent=(-limit, limit, 0, 1))
    bar.set_yticks([])
    bar.tick_params(colors=INK, labelsize=7)
    bar.set_xlabel(f"linear, mean of R, G and B{unit}", color=INK, fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, facecolor=BACKGROUND)
