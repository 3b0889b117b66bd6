"""Vertex normals from triangles, and unit normals per pixel; adjoints written out.

Normals are gathered by the vertices (each walks the triangles around it), not scattered by
the triangles: no accumulators, the same result on every run.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

MIN_LENGTH = wp.constant(1.0e-20)
"""Shorter sums (isolated vertices, degenerate triangles) give +Y and no gradient."""


@wp.func
def other_corners(faces: wp.array2d(dtype=int), corner: int) -> wp.vec2i:
    """The two vertices that follow corner 3 * face + k in its triangle."""
    face = corner // 3
    k = corner - 3 * face
    return wp.vec2i(faces[face, (k + 1) % 3], faces[face, (k + 2) % 3])


@wp.kernel
def vertex_normals_forward(
    begin: int,
    vertices: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=int),
    start: wp.array(dtype=int),
    corners: wp.array(dtype=int),
    normals: wp.array(dtype=wp.vec3),
    lengths: wp.array(dtype=float),
):
    i = begin + wp.tid()
    total = wp.vec3()
    for j in range(start[i], start[i + 1]):
        corner = corners[j]
        own = vertices[faces[corner // 3, corner % 3]]
        ends = other_corners(faces, corner)
        total += wp.cross(vertices[ends[0]] - own, vertices[ends[1]] - own)
    length = wp.length(total)
    lengths[i] = length
    if length > MIN_LENGTH:
        normals[i] = total / length
    else:
        normals[i] = wp.vec3(0.0, 1.0, 0.0)


@wp.kernel
def unit_backward(
    begin: int,
    normals: wp.array(dtype=wp.vec3),
    lengths: wp.array(dtype=float),
    g_normals: wp.array(dtype=wp.vec3),
    g_totals: wp.array(dtype=wp.vec3),
):
    i = begin + wp.tid()
    if lengths[i] > MIN_LENGTH:
        n = normals[i]
        g = g_normals[i]
        g_totals[i] = (g - wp.dot(n, g) * n) / lengths[i]
    else:
        g_totals[i] = wp.vec3()


@wp.kernel
def vertex_normals_backward(
    begin: int,
    vertices: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=int),
    start: wp.array(dtype=int),
    corners: wp.array(dtype=int),
    group: wp.array(dtype=int),
    g_totals: wp.array(dtype=wp.vec3),
    g_vertices: wp.array(dtype=wp.vec3),
):
    # The cross product F of a triangle adds to the totals of its three corners, so dL/dF is
    # the sum of their gradients, and moving corner a changes F by (b - c) x.
    i = begin + wp.tid()
    own = g_totals[group[i]]
    out = wp.vec3()
    for j in range(start[i], start[i + 1]):
        ends = other_corners(faces, corners[j])
        g = own + g_totals[group[ends[0]]] + g_totals[group[ends[1]]]
        out += wp.cross(vertices[ends[0]] - vertices[ends[1]], g)
    g_vertices[i] = out


@wp.kernel
def normalize_pixels_forward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    lengths: wp.array(dtype=float),
):
    first = (begin + wp.tid()) * run
    for i in range(first, wp.min(first + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            n = normal[i]
            length = wp.max(wp.length(n), MIN_LENGTH)
            lengths[i] = length
            normal[i] = n / length


@wp.kernel
def normalize_pixels_backward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    lengths: wp.array(dtype=float),
    grad: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    for i in range(first, wp.min(first + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            n = normal[i]
            g = grad[i]
            grad[i] = (g - wp.dot(n, g) * n) / lengths[i]
