"""What a rectangle of light sends to a pixel: a diffuse and a glossy form factor.

The lobe is a linearly transformed cosine: Heitz, Dupuy, Hill and Neubelt 2016, "Real-Time
Polygonal-Light Shading with Linearly Transformed Cosines", with a share of the plain cosine for
GGX's tail (see assets/fit_ltc.py). The rectangle is cut off at the
horizon exactly: a convex polygon has at most one side along it, from where it goes down to where
it comes up. The adjoint is Warp's generated one: there are no loops, and square roots of zero and
the cosines of too short and too long arcs are kept away.

The same functions stand in studio/shaders/common/area.glsl; change both together.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.brdf import MIN_NOV, MIN_PERCEPTUAL_ROUGHNESS

HALF_OVER_PI = wp.constant(0.15915494)


@wp.func
def arc(a: wp.vec3, b: wp.vec3) -> float:
    """z of the integral along the great circle from unit a to unit b: angle times unit a x b."""
    c = wp.max(wp.dot(a, b), -0.9999)
    ratio = float(0.0)  # angle / sine
    if c > 0.98:
        t = 1.0 - c
        ratio = 1.0 + t * (0.33333333 + t * (0.13333333 + t * 0.05714286))
    else:
        ratio = wp.acos(c) / wp.sqrt(1.0 - c * c)
    return ratio * (a[0] * b[1] - a[1] * b[0])


@wp.func
def towards_unit(a: wp.vec3) -> wp.vec3:
    return a / wp.sqrt(wp.dot(a, a) + 1.0e-18)


@wp.func
def crossing(a: wp.vec3, b: wp.vec3) -> wp.vec3:
    """Where the side from a to b meets the horizon, as a unit vector."""
    t = a[2] / (a[2] - b[2])
    return towards_unit(wp.vec3(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), 0.0))


@wp.func
def side(a: wp.vec3, b: wp.vec3) -> float:
    """Integral along what of a side is above the horizon."""
    if a[2] >= 0.0:
        if b[2] >= 0.0:
            return arc(towards_unit(a), towards_unit(b))
        return arc(towards_unit(a), crossing(a, b))
    if b[2] >= 0.0:
        return arc(crossing(a, b), towards_unit(b))
    return 0.0


@wp.func
def leaves(a: wp.vec3, b: wp.vec3) -> wp.vec3:
    """The crossing if the side goes below the horizon, else 0."""
    if a[2] >= 0.0 and b[2] < 0.0:
        return crossing(a, b)
    return wp.vec3(0.0, 0.0, 0.0)


@wp.func
def form_factor(a: wp.vec3, b: wp.vec3, c: wp.vec3, d: wp.vec3) -> float:
    """Cosine integral over pi of a convex polygon seen from the origin, normal +z.

    Positive if the corners run anticlockwise as seen from the origin.
    """
    total = side(a, b) + side(b, c) + side(c, d) + side(d, a)
    out = leaves(a, b) + leaves(b, c) + leaves(c, d) + leaves(d, a)
    back = leaves(b, a) + leaves(c, b) + leaves(d, c) + leaves(a, d)
    if wp.dot(out, out) > 0.5 and wp.dot(back, back) > 0.5:
        total += arc(out, back)
    return wp.max(total * HALF_OVER_PI, 0.0)


@wp.func
def transform(rough: float, nov: float, table: wp.array2d(dtype=wp.vec4), first: int) -> wp.vec4:
    """Between texels of the table's square from row `first` on: elements 11, 13, 31, 33 of the
    lobe's inverse matrix, or in the second square the share of the plain cosine."""
    last = table.shape[1] - 1
    y = wp.clamp(rough, 0.0, 1.0) * float(last)
    x = wp.sqrt(wp.max(1.0 - nov, 1.0e-8)) * float(last)
    row = wp.clamp(int(y), 0, last - 1)
    column = wp.clamp(int(x), 0, last - 1)
    fy = y - float(row)
    fx = x - float(column)
    row += first
    low = table[row, column] * (1.0 - fx) + table[row, column + 1] * fx
    high = table[row + 1, column] * (1.0 - fx) + table[row + 1, column + 1] * fx
    return low * (1.0 - fy) + high * fy


@wp.func
def turned(m: wp.vec4, q: wp.vec3) -> wp.vec3:
    return wp.vec3(m[0] * q[0] + m[1] * q[2], q[1], m[2] * q[0] + m[3] * q[2])


@wp.func
def local(t: wp.vec3, b: wp.vec3, n: wp.vec3, q: wp.vec3) -> wp.vec3:
    return wp.vec3(wp.dot(t, q), wp.dot(b, q), wp.dot(n, q))


@wp.func
def tangent(n: wp.vec3, v: wp.vec3, raw_nov: float) -> wp.vec3:
    """Unit part of v across n; any, where v is along n."""
    flat = v - n * raw_nov
    length2 = wp.dot(flat, flat)
    if length2 > 1.0e-8:
        return flat / wp.sqrt(length2)
    if wp.abs(n[0]) < 0.7:
        return wp.normalize(wp.cross(n, wp.vec3(1.0, 0.0, 0.0)))
    return wp.normalize(wp.cross(n, wp.vec3(0.0, 1.0, 0.0)))


@wp.kernel
def area_light(
    begin: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    views: wp.array2d(dtype=wp.vec3),
    table: wp.array2d(dtype=wp.vec4),
    light: wp.array(dtype=wp.vec3),
    out: wp.array(dtype=wp.vec2),
):
    """One pixel and one light; `light`: middle, axis, right, (half width, half height, 0)."""
    i = begin + wp.tid()
    if rast[i][3] > 0.0:
        view = i // view_pixels
        to_light = wp.matrix_from_rows(views[view, 0], views[view, 1], views[view, 2])
        d = to_light * (views[view, 3] - position[i])
        n = to_light * normal[i]
        v = d / wp.sqrt(wp.dot(d, d) + 1.0e-18)
        middle = light[0] - (views[view, 4] - d)
        if wp.dot(light[1], middle) > 0.0:
            raw_nov = wp.dot(n, v)
            nov = wp.clamp(raw_nov, MIN_NOV, 1.0)
            rough = wp.max(roughness[i], MIN_PERCEPTUAL_ROUGHNESS)
            m = transform(rough, nov, table, 0)
            share = transform(rough, nov, table, table.shape[1])[0]
            t = tangent(n, v, raw_nov)
            b = wp.cross(n, t)
            x = local(t, b, n, light[2] * light[3][0])
            y = local(t, b, n, wp.cross(light[1], light[2]) * light[3][1])
            q = local(t, b, n, middle)
            diffuse = form_factor(q - x - y, q + x - y, q + x + y, q - x + y)
            glossy = form_factor(
                turned(m, q - x - y), turned(m, q + x - y), turned(m, q + x + y), turned(m, q - x + y)
            )
            out[i] = wp.vec2(diffuse, glossy * (1.0 - share) + diffuse * share)
