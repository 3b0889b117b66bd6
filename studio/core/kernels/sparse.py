"""Product of a sparse matrix with 24 dense columns, the 8 mirror images of a map's 3 channels, or with 3."""

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


@wp.func_native("""
    const int* column = (const int*)columns.data;
    const float *weight = (const float*)weights.data, *values = (const float*)dense.data;
    float x = 0.0f, y = 0.0f, z = 0.0f;
    for (int k = begin; k < end; k += step) {
        const float* from = values + 3 * column[k];
        x += weight[k] * from[0];
        y += weight[k] * from[1];
        z += weight[k] * from[2];
    }
    float* to = (float*)out.data + 3 * (size_t)row;
    if (step == 1) {
        to[0] = x;
        to[1] = y;
        to[2] = z;
    } else {
        wp::atomic_add(to, x);
        wp::atomic_add(to + 1, y);
        wp::atomic_add(to + 2, z);
    }
""")
def add_row(
    begin: int,
    end: int,
    step: int,
    row: int,
    columns: wp.array(dtype=int),
    weights: wp.array(dtype=float),
    dense: wp.array(dtype=wp.vec3),
    out: wp.array(dtype=wp.vec3),
): ...


@wp.kernel
def multiply_colors(
    begin: int,
    lanes: int,
    starts: wp.array(dtype=int),
    columns: wp.array(dtype=int),
    weights: wp.array(dtype=float),
    dense: wp.array(dtype=wp.vec3),
    out: wp.array(dtype=wp.vec3),
):
    """One row, whose entries `lanes` threads share; then `out` begins with zeros."""
    band_row, lane = wp.tid()
    row = begin + band_row
    add_row(starts[row] + lane, starts[row + 1], lanes, row, columns, weights, dense, out)
