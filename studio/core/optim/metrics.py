"""Numbers that say how well renders match photos."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

MAX_PSNR = 100.0
"""What equal images get, so that means and JSON stay finite."""


@dataclass(frozen=True)
class ViewMetrics:
    """How well one render matches its photo.

    Attributes:
        psnr: dB of sRGB values 0..1, inside the mask.
        ssim: mean structural similarity inside the mask.
        iou: intersection over union of render coverage and mask; NaN without a mask.
        error: mean absolute sRGB difference inside the mask.
    """

    name: str
    psnr: float
    ssim: float
    iou: float
    error: float


def psnr(render: np.ndarray, photo: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of [H, W, 3] images in 0..1, over mask > 0.5."""
    squared = (render.astype(np.float64) - photo) ** 2
    chosen = squared if mask is None else squared[mask > 0.5]
    if chosen.size == 0:
        return float("nan")
    error = float(chosen.mean())
    return min(MAX_PSNR, -10 * math.log10(error)) if error > 0 else MAX_PSNR


def ssim(render: np.ndarray, photo: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean SSIM of [H, W, 3] images in 0..1, of the pixels of mask > 0.5 (Wang et al. 2004).

    With a mask both images are black outside of it, so that what lies behind the object
    does not count through the windows that reach across its silhouette.
    """
    inside = None if mask is None else mask > 0.5
    if inside is not None:
        if not inside.any():
            return float("nan")
        render, photo = render * inside[..., None], photo * inside[..., None]
    window = min(7, *(2 * ((n - 1) // 2) + 1 for n in render.shape[:2]))  # 7 unless the image is smaller
    if window < 3:
        return float("nan")
    _, similarity = structural_similarity(
        photo.astype(np.float32), render.astype(np.float32), win_size=window, channel_axis=2,
        data_range=1.0, full=True,
    )  # fmt: skip
    return float(similarity.mean() if inside is None else similarity[inside].mean())


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
