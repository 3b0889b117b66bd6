"""How much of each light covered pixels see, and how far it has gone through what it lights.

A thread walks a run of pixels and skips the empty ones. The filters are in shadow_filter.py, the
adjoint in shadow_adjoint.py.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.shadow_filter import (
    MODE_VSSM,
    choose_tile,
    hard_visibility,
    place,
    soft_visibility,
)
from studio.core.kernels.shadow_map import LENGTH, TANGENT, bilinear, vec12

wp.set_module_options({"enable_backward": False})


@wp.kernel
def visibility_forward(
    begin: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    position: wp.array(dtype=wp.vec3),
    normal: wp.array(dtype=wp.vec3),
    atlas: wp.array2d(dtype=wp.vec2),
    levels: wp.array(dtype=int),
    width: int,
    taps: wp.array(dtype=wp.vec2),
    matrices: wp.array2d(dtype=wp.mat44),
    tiles: wp.array2d(dtype=vec12),
    first_tile: wp.array(dtype=int),
    faces: wp.array(dtype=int),
    sizes: wp.array(dtype=float),
    mode: int,
    radius: int,
    bias: float,
    bleeding: float,
    out: wp.array2d(dtype=float),
):
    """out[pixel, light], which comes filled with 1."""
    start = (begin + wp.tid()) * run
    for i in range(start, wp.min(start + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            view = wp.min(i // view_pixels, atlas.shape[0] - 1)
            for light in range(first_tile.shape[0]):
                if first_tile[light] >= 0:
                    number = choose_tile(matrices, view, first_tile[light], faces[light], position[i])
                    tile = tiles[view, number]
                    at = place(matrices[view, number], tile, position[i], normal[i], bias)
                    if at.inside == 1:
                        if mode == MODE_VSSM:
                            out[i, light] = soft_visibility(
                                atlas, view, levels, width, taps, tile, at, sizes[light], bleeding
                            )
                        else:
                            out[i, light] = hard_visibility(atlas, view, width, tile, at, radius)


@wp.kernel
def thickness_forward(
    begin: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    position: wp.array(dtype=wp.vec3),
    normal: wp.array(dtype=wp.vec3),
    atlas: wp.array2d(dtype=wp.vec2),
    levels: wp.array(dtype=int),
    width: int,
    matrices: wp.array2d(dtype=wp.mat44),
    tiles: wp.array2d(dtype=vec12),
    first_tile: wp.array(dtype=int),
    faces: wp.array(dtype=int),
    bias: float,
    out: wp.array2d(dtype=float),
):
    """out[pixel, light], which comes filled with 0."""
    start = (begin + wp.tid()) * run
    for i in range(start, wp.min(start + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            view = wp.min(i // view_pixels, atlas.shape[0] - 1)
            for light in range(first_tile.shape[0]):
                if first_tile[light] >= 0:
                    number = choose_tile(matrices, view, first_tile[light], faces[light], position[i])
                    tile = tiles[view, number]
                    at = place(matrices[view, number], tile, position[i], normal[i], bias)
                    if at.inside == 1:
                        m = bilinear(atlas, view, levels, width, tile, 0, at.uv).value
                        slant = wp.sqrt(1.0 + tile[TANGENT] * (at.x * at.x + at.y * at.y))
                        out[i, light] = wp.max(at.t - m[0], 0.0) * tile[LENGTH] * slant
