"""Colour and coverage side by side, the background where nothing is; adjoint written out."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def compose_forward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    color: wp.array(dtype=wp.vec3),
    background: wp.array(dtype=wp.vec3),
    per_pixel: int,
    rgba: wp.array(dtype=wp.vec4),
):
    first = (begin + wp.tid()) * run
    for i in range(first, wp.min(first + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            c = color[i]
            rgba[i] = wp.vec4(c[0], c[1], c[2], 1.0)
        else:
            b = background[i * per_pixel]
            rgba[i] = wp.vec4(b[0], b[1], b[2], 0.0)


@wp.kernel
def background_backward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    g_rgba: wp.array(dtype=wp.vec4),
    g_background: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    total = wp.vec3()
    for i in range(first, wp.min(first + run, rast.shape[0])):
        if rast[i][3] == 0.0:
            g = g_rgba[i]
            total += wp.vec3(g[0], g[1], g[2])
    wp.atomic_add(g_background, 0, total)
