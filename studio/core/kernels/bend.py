"""Normals tilted by what a normal texture says, pixel by pixel, and tangents; adjoints written out.

A triangle's tangent is the direction in which u grows on its plane, made perpendicular to the pixel's
normal; the bitangent is perpendicular to both. A thread walks a run of pixels.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

FLAT = wp.constant(1.0e-12)
"""Shorter tangents and normals have no direction."""


@wp.struct
class Basis:
    """Tangent frame of a pixel; `scale` is one over the length the tangent had."""

    t: wp.vec3
    b: wp.vec3
    scale: float


@wp.func
def basis(n: wp.vec3, along: wp.vec3, turn: float) -> Basis:
    out = Basis()
    across = along - n * wp.dot(along, n)
    length = wp.length(across)
    if length > FLAT:
        out.scale = 1.0 / length
        out.t = across * out.scale
        out.b = turn * wp.cross(n, out.t)
    return out


@wp.func
def decoded(texel: wp.vec3) -> wp.vec3:
    return 2.0 * texel - wp.vec3(1.0, 1.0, 1.0)


@wp.kernel
def bend_forward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    texels: wp.array(dtype=wp.vec3),
    along: wp.array(dtype=wp.vec3),
    turn: wp.array(dtype=float),
    out: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    for i in range(first, wp.min(first + run, rast.shape[0])):
        n = normal[i]
        out[i] = n
        triangle = int(rast[i][3]) - 1
        if triangle >= 0 and turn[triangle] != 0.0:
            frame = basis(n, along[triangle], turn[triangle])
            d = decoded(texels[i])
            bent = frame.t * d[0] + frame.b * d[1] + n * d[2]
            out[i] = bent / wp.max(wp.length(bent), FLAT)


@wp.kernel
def bend_backward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    texels: wp.array(dtype=wp.vec3),
    along: wp.array(dtype=wp.vec3),
    turn: wp.array(dtype=float),
    grad: wp.array(dtype=wp.vec3),
    g_normal: wp.array(dtype=wp.vec3),
    g_texels: wp.array(dtype=wp.vec3),
    g_along: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    for i in range(first, wp.min(first + run, rast.shape[0])):
        g = grad[i]
        n = normal[i]
        triangle = int(rast[i][3]) - 1
        if triangle < 0 or turn[triangle] == 0.0:
            g_normal[i] = g
            g_texels[i] = wp.vec3()
        else:
            frame = basis(n, along[triangle], turn[triangle])
            d = decoded(texels[i])
            bent = frame.t * d[0] + frame.b * d[1] + n * d[2]
            length = wp.max(wp.length(bent), FLAT)
            unit = bent / length
            g_bent = (g - unit * wp.dot(unit, g)) / length
            g_texels[i] = 2.0 * wp.vec3(wp.dot(g_bent, frame.t), wp.dot(g_bent, frame.b), wp.dot(g_bent, n))
            # b = turn n x t
            bitangent = turn[triangle] * d[1] * g_bent
            g_t = d[0] * g_bent + wp.cross(bitangent, n)
            g_n = d[2] * g_bent + wp.cross(frame.t, bitangent)
            # t = across / |across|, across = along - n (along . n)
            g_across = (g_t - frame.t * wp.dot(frame.t, g_t)) * frame.scale
            a = along[triangle]
            g_normal[i] = g_n - wp.dot(a, n) * g_across - wp.dot(n, g_across) * a
            wp.atomic_add(g_along, triangle, g_across - n * wp.dot(n, g_across))


@wp.struct
class Slopes:
    """Two sides of a triangle, how v grows along them, which way round, and one over the length."""

    first: wp.vec3
    second: wp.vec3
    dv: wp.vec2
    turn: float
    scale: float


@wp.func
def slopes(
    t: int,
    vertices: wp.array(dtype=wp.vec3),
    uvs: wp.array(dtype=wp.vec2),
    faces: wp.array(dtype=wp.vec3i),
) -> Slopes:
    f = faces[t]
    out = Slopes()
    out.first = vertices[f[1]] - vertices[f[0]]
    out.second = vertices[f[2]] - vertices[f[0]]
    a = uvs[f[1]] - uvs[f[0]]
    b = uvs[f[2]] - uvs[f[0]]
    out.dv = wp.vec2(a[1], b[1])
    area = a[0] * b[1] - a[1] * b[0]
    if area != 0.0:
        out.turn = wp.sign(area)
    # Brought to unit length, as u may grow over a millionth of the scene.
    out.scale = 1.0 / wp.max(wp.length(out.first * out.dv[1] - out.second * out.dv[0]), 1.0e-30)
    return out


@wp.kernel
def tangents_forward(
    begin: int,
    vertices: wp.array(dtype=wp.vec3),
    uvs: wp.array(dtype=wp.vec2),
    faces: wp.array(dtype=wp.vec3i),
    face_part: wp.array(dtype=wp.int64),
    part: int,
    along: wp.array(dtype=wp.vec3),
    turn: wp.array(dtype=float),
):
    t = begin + wp.tid()
    along[t] = wp.vec3()
    turn[t] = 0.0
    if part < 0 or int(face_part[t]) == part:
        s = slopes(t, vertices, uvs, faces)
        along[t] = (s.first * s.dv[1] - s.second * s.dv[0]) * (s.turn * s.scale)
        turn[t] = s.turn


@wp.kernel
def tangents_backward(
    begin: int,
    vertices: wp.array(dtype=wp.vec3),
    uvs: wp.array(dtype=wp.vec2),
    faces: wp.array(dtype=wp.vec3i),
    turn: wp.array(dtype=float),
    grad: wp.array(dtype=wp.vec3),
    g_vertices: wp.array(dtype=wp.vec3),
    g_uvs: wp.array(dtype=wp.vec2),
):
    t = begin + wp.tid()
    if turn[t] != 0.0:
        f = faces[t]
        s = slopes(t, vertices, uvs, faces)
        g = grad[t] * (s.turn * s.scale)
        to_first = g * s.dv[1]
        to_second = g * (-s.dv[0])
        wp.atomic_add(g_vertices, f[0], -to_first - to_second)
        wp.atomic_add(g_vertices, f[1], to_first)
        wp.atomic_add(g_vertices, f[2], to_second)
        to_b = wp.dot(g, s.first)
        to_a = -wp.dot(g, s.second)
        wp.atomic_add(g_uvs, f[0], wp.vec2(0.0, -to_a - to_b))
        wp.atomic_add(g_uvs, f[1], wp.vec2(0.0, to_a))
        wp.atomic_add(g_uvs, f[2], wp.vec2(0.0, to_b))
