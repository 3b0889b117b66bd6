"""Masks of the object: from mask files, and from a plain background colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio.core.io.images import load_image


@dataclass(frozen=True)
class Background:
    """A plain background: its sRGB coded colour, and how far from it the object begins (0..1)."""

    color: tuple[float, float, float]
    threshold: float


def load_mask(path: Path) -> np.ndarray:
    """[H, W] float32 coverage 0..1, row 0 at the bottom, from a mask file.

    White is the object. A file with an alpha channel that is not constant means the alpha; a
    file of the integers 0 and 1 means 0 and white.
    """
    image = load_image(path, color=False)
    if image.shape[2] == 4 and np.ptp(image[..., 3]) > 0:
        mask = image[..., 3]
    else:
        mask = image[..., :3].max(axis=2)
    top = float(mask.max())
    if 0 < top <= 1.5 / 255:  # integers 0 and 1 of an 8-bit file
        mask = mask / top
    return np.clip(mask, 0.0, 1.0).astype(np.float32)
