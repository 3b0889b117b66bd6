"""The adjoint of shadow.py, written out: gradients of receivers, atlas, matrices and sizes."""

from __future__ import annotations

import warp as wp

from studio.core.kernels.shadow_filter import MODE_VSSM, choose_tile, place
from studio.core.kernels.shadow_filter_adjoint import (
    PlaceAdjoint,
    hard_adjoint,
    place_adjoint,
    soft_adjoint,
)
from studio.core.kernels.shadow_map import LENGTH, TANGENT, bilinear, scatter_level, vec12

wp.set_module_options({"enable_backward": False})


@wp.func
def add_matrix(target: wp.array2d(dtype=wp.mat44), view: int, number: int, value: wp.mat44):
    wp.atomic_add(target, view, number, value)


@wp.kernel
def visibility_backward(
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
    g_out: wp.array2d(dtype=float),
    g_position: wp.array(dtype=wp.vec3),
    g_normal: wp.array(dtype=wp.vec3),
    g_atlas: wp.array2d(dtype=wp.vec2),
    g_matrices: wp.array2d(dtype=wp.mat44),
    g_sizes: wp.array(dtype=float),
):
    start = (begin + wp.tid()) * run
    for light in range(first_tile.shape[0]):
        # What a run's pixels share is summed before it goes to memory.
        total = wp.mat44()
        total_size = float(0.0)
        last_view = wp.int32(0)
        last = wp.int32(-1)
        for i in range(start, wp.min(start + run, rast.shape[0])):
            if rast[i][3] > 0.0 and g_out[i, light] != 0.0 and first_tile[light] >= 0:
                view = wp.min(i // view_pixels, atlas.shape[0] - 1)
                number = choose_tile(matrices, view, first_tile[light], faces[light], position[i])
                m = matrices[view, number]
                tile = tiles[view, number]
                at = place(m, tile, position[i], normal[i], bias)
                if at.inside == 1:
                    back = PlaceAdjoint()
                    if mode == MODE_VSSM:
                        back = soft_adjoint(
                            atlas,
                            view,
                            levels,
                            width,
                            taps,
                            tile,
                            at,
                            sizes[light],
                            bleeding,
                            g_out[i, light],
                            g_atlas,
                        )
                    else:
                        back = hard_adjoint(atlas, view, width, tile, at, radius, g_out[i, light], g_atlas)
                    pulled = place_adjoint(m, tile, position[i], normal[i], bias, at, back, wp.vec2())
                    g_position[i] = g_position[i] + pulled.position
                    g_normal[i] = g_normal[i] + pulled.normal
                    total_size += back.size
                    if last >= 0 and (number != last or view != last_view):
                        add_matrix(g_matrices, last_view, last, total)
                        total = wp.mat44()
                    last = number
                    last_view = view
                    total += pulled.matrix
        if last >= 0:
            add_matrix(g_matrices, last_view, last, total)
        if total_size != 0.0:
            wp.atomic_add(g_sizes, light, total_size)


@wp.kernel
def thickness_backward(
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
    g_out: wp.array2d(dtype=float),
    g_position: wp.array(dtype=wp.vec3),
    g_normal: wp.array(dtype=wp.vec3),
    g_atlas: wp.array2d(dtype=wp.vec2),
    g_matrices: wp.array2d(dtype=wp.mat44),
):
    start = (begin + wp.tid()) * run
    for i in range(start, wp.min(start + run, rast.shape[0])):
        for light in range(first_tile.shape[0]):
            if rast[i][3] > 0.0 and g_out[i, light] != 0.0 and first_tile[light] >= 0:
                view = wp.min(i // view_pixels, atlas.shape[0] - 1)
                number = choose_tile(matrices, view, first_tile[light], faces[light], position[i])
                m = matrices[view, number]
                tile = tiles[view, number]
                at = place(m, tile, position[i], normal[i], bias)
                if at.inside == 1:
                    one = bilinear(atlas, view, levels, width, tile, 0, at.uv)
                    behind = at.t - one.value[0]
                    if behind > 0.0:
                        slant = wp.sqrt(1.0 + tile[TANGENT] * (at.x * at.x + at.y * at.y))
                        g = g_out[i, light] * tile[LENGTH]
                        back = PlaceAdjoint()
                        back.t = g * slant
                        back.uv = wp.vec2(one.dx[0], one.dy[0]) * (-g * slant)
                        g_xy = wp.vec2(at.x, at.y) * (g * behind * tile[TANGENT] / slant)
                        scatter_level(g_atlas, view, levels, width, tile, 0, at.uv, wp.vec2(-g * slant, 0.0))
                        pulled = place_adjoint(m, tile, position[i], normal[i], bias, at, back, g_xy)
                        g_position[i] = g_position[i] + pulled.position
                        g_normal[i] = g_normal[i] + pulled.normal
                        add_matrix(g_matrices, view, number, pulled.matrix)
