"""Making pictures smaller by exact area averaging."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage, sparse


@lru_cache(maxsize=32)
def _weights(size: int, new: int) -> sparse.csr_matrix:
    """[new, size] float32: the share of each old pixel in each new one; rows sum to 1."""
    step = size / new
    edges = np.arange(new + 1) * step
    row, column, share = [], [], []
    for i in range(new):
        first, last = int(edges[i]), min(int(np.ceil(edges[i + 1] - 1e-9)), size)
        for j in range(first, last):
            row.append(i)
            column.append(j)
            share.append((min(edges[i + 1], j + 1) - max(edges[i], j)) / step)
    return sparse.csr_matrix((np.array(share, np.float32), (row, column)), shape=(new, size))


def shrink(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width, C] float32: each new pixel is the mean over its area of [H, W, C].

    Meant for linear light, and for sizes no larger than the picture's.
    """
    h, w, c = image.shape
    out = np.ascontiguousarray(image, np.float32)
    if height != h:
        out = (_weights(h, height) @ out.reshape(h, w * c)).reshape(height, w, c)
    if width != w:
        turned = np.ascontiguousarray(out.transpose(1, 0, 2)).reshape(w, height * c)
        out = (_weights(w, width) @ turned).reshape(width, height, c).transpose(1, 0, 2)
    return np.ascontiguousarray(out)


def fitted_size(height: int, width: int, max_size: int | None) -> tuple[int, int]:
    """(height, width) with the long side at most `max_size`; never larger than given."""
    long = max(height, width)
    if max_size is None or long <= max_size:
        return height, width
    return max(1, round(height * max_size / long)), max(1, round(width * max_size / long))


def resized_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] float32 coverage of a boolean mask at another size."""
    h, w = mask.shape
    if height <= h and width <= w:
        return shrink(mask[..., None].astype(np.float32), height, width)[..., 0]
    zoomed = ndimage.zoom(
        mask.astype(np.float32), (height / h, width / w), order=1, grid_mode=True, mode="nearest"
    )
    return np.asarray(zoomed > 0.5, np.float32)
