"""Product of a sparse matrix with 24 dense columns: the 8 mirror images of a map's 3 channels."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

vec24 = wp.types.vector(length=24, dtype=wp.float32)


@wp.kernel
def multiply(
    begin: int,
    starts: wp.array(dtype=int),
    columns: wp.array(dtype=int),
    weights: wp.array(dtype=float),
    dense: wp.array(dtype=vec24),
    out: wp.array(dtype=vec24),
):
    """One row: entries starts[row] to starts[row + 1] (compressed sparse rows)."""
    row = begin + wp.tid()
    total = vec24()
    for k in range(starts[row], starts[row + 1]):
        total += weights[k] * dense[columns[k]]
    out[row] = total
