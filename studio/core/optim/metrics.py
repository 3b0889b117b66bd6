"""Numbers that say how well renders match photos."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from studio.core.color import display, srgb_to_linear
from studio.core.optim.flip import flip

MAX_PSNR = 100.0
"""What equal images get, so that means and JSON stay finite."""


@dataclass(frozen=True)
class ViewMetrics:
    """How well one render matches its photo.

    Attributes:
        psnr: dB of sRGB values 0..1, inside the mask.
        psnr_leveled: the same after one gain for the photo's exposure, of which each half of the
            object takes the other half's; see psnr_leveled.
        ssim: mean structural similarity inside the mask.
        iou: intersection over union of render coverage and mask; NaN without a mask.
        error: mean absolute sRGB difference inside the mask.
        psnr_white: dB of the whole picture over white, which is how radiance fields are compared; NaN
            without a mask.
    """

    name: str
    psnr: float
    ssim: float
    iou: float
    error: float
    psnr_leveled: float = float("nan")
    psnr_white: float = float("nan")


def psnr(render: np.ndarray, photo: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of [H, W, 3] images in 0..1, over mask > 0.5."""
    squared = (render.astype(np.float64) - photo) ** 2
    chosen = squared if mask is None else squared[mask > 0.5]
    if chosen.size == 0:
        return float("nan")
    error = float(chosen.mean())
    return min(MAX_PSNR, -10 * math.log10(error)) if error > 0 else MAX_PSNR


def psnr_leveled(render: np.ndarray, photo: np.ndarray, mask: np.ndarray | None = None) -> float:
    """`psnr` after one gain in linear light, for a photo whose exposure nobody could know.

    The object is cut into a left and a right half of equal area; each is measured with the gain
    that fits the other half best, so no pixel is judged by a gain that it took part in.
    """
    inside = np.ones(photo.shape[:2], bool) if mask is None else mask > 0.5
    ends = inside.sum(axis=0).cumsum()
    left = inside & (ends <= 0.5 * ends[-1])
    halves = [left, inside & ~left]
    if not all(half.any() for half in halves):
        return psnr(render, photo, mask)
    a, b = srgb_to_linear(render.astype(np.float64)), srgb_to_linear(photo.astype(np.float64))
    out = render.astype(np.float64)
    for half, other in zip(halves, reversed(halves)):
        gain = (a[other] * b[other]).sum() / max((a[other] ** 2).sum(), 1e-12)
        out[half] = display(a[half] * gain)
    return psnr(out, photo, mask)


def ssim(render: np.ndarray, photo: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean SSIM of [H, W, 3] images in 0..1, of the pixels of mask > 0.5 (Wang et al. 2004).

    With a mask both images are black outside of it, so that what lies behind the object
    does not count through the windows that reach across its silhouette.
    """
    similarity = ssim_map(render, photo, mask)
    if similarity is None:
        return float("nan")
    return float(similarity.mean() if mask is None else similarity[mask > 0.5].mean())


def ssim_map(render: np.ndarray, photo: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray | None:
    """[H, W] mean SSIM of the three colours, see `ssim`; None for an empty mask or a tiny image."""
    inside = None if mask is None else mask > 0.5
    if inside is not None:
        if not inside.any():
            return None
        render, photo = render * inside[..., None], photo * inside[..., None]
    window = min(7, *(2 * ((n - 1) // 2) + 1 for n in render.shape[:2]))  # 7 unless the image is smaller
    if window < 3:
        return None
    _, similarity = structural_similarity(
        photo.astype(np.float32), render.astype(np.float32), win_size=window, channel_axis=2,
        data_range=1.0, full=True,
    )  # fmt: skip
    out: np.ndarray = similarity.mean(axis=2)
    return out


@dataclass(frozen=True, eq=False)
class PairMetrics:
    """How far two pictures are apart.

    Attributes:
        mean: mean absolute difference of sRGB values.
        psnr: dB. ssim: mean structural similarity. flip: mean of FLIP, see studio.core.optim.flip.
        flip_map: [H, W] float32, FLIP of each pixel; 0 outside of the mask.
        ssim_map: [H, W] float32, 1 - SSIM, cut at 0; 0 outside of the mask.
    """

    mean: float
    psnr: float
    ssim: float
    flip: float
    flip_map: np.ndarray
    ssim_map: np.ndarray


MARGIN = 12
"""Pixels around the mask that FLIP and SSIM look at: as far as their filters reach."""


def pair_metrics(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> PairMetrics:
    """All numbers of two pictures; what lies outside of a mask is black in both.

    Args:
        a, b: [H, W, 3] sRGB values, cut at 0 and 1; b is the one that is right.
        mask: [H, W], what is compared where it is > 0.5. NaN without any such pixel.
    """
    a, b = np.clip(a, 0, 1), np.clip(b, 0, 1)
    height, width = a.shape[:2]
    inside = np.ones((height, width), bool) if mask is None else mask > 0.5
    maps = np.zeros((2, height, width), np.float32)
    if not inside.any():
        nan = float("nan")
        return PairMetrics(nan, nan, nan, nan, *maps)
    found = np.nonzero(inside)
    part = tuple(slice(max(0, int(i.min()) - MARGIN), int(i.max()) + 1 + MARGIN) for i in found)
    a, b, inside = a[part], b[part], inside[part]
    if mask is not None:
        a, b = a * inside[..., None], b * inside[..., None]
    perceived = flip(a, b)
    similarity = ssim_map(a, b)
    maps[0][part] = perceived * inside
    if similarity is not None:
        maps[1][part] = np.clip(1 - similarity, 0, None) * inside
    return PairMetrics(
        mean=float(np.abs(a - b)[inside].mean(dtype=np.float64)),
        psnr=psnr(a, b, inside),
        ssim=float("nan") if similarity is None else float(similarity[inside].mean()),
        flip=float(perceived[inside].mean()),
        flip_map=maps[0],
        ssim_map=maps[1],
    )


def iou(coverage: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of two [H, W] coverages, both cut at one half; 1 if both are empty."""
    a, b = coverage > 0.5, mask > 0.5
    union = int((a | b).sum())
    return float((a & b).sum()) / union if union else 1.0


def soft_iou(coverage: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of two [H, W] coverages 0..1 by product and probabilistic sum."""
    union = float((coverage + mask - coverage * mask).sum())
    return float((coverage * mask).sum()) / union if union > 0 else 1.0


def mean_of(views: list[ViewMetrics], field: str) -> float | None:
    """Mean of one field over the views where it is known; None where it is known nowhere."""
    values = [v for v in (getattr(view, field) for view in views) if not math.isnan(v)]
    return float(np.mean(values)) if values else None


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MiB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024) if sys.platform == "darwin" else peak / 1024
