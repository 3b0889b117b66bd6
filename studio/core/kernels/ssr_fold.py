"""Where a reflection ends because rays pass by a surface: part of the adjoint of ssr.py.

The mirror sees a rounded or bent surface from another side than the camera; for it the surface ends
where rays graze it, and the camera sees no outline there. Along a ray,

    depth(ray) = max over its length of K(xy) - 1 / z,

how far it comes below the surface in inverse depth, is positive for a ray that meets it and
negative for one that passes by. Between two neighbours, the reflection ends where it is zero.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.ssr_outline import Mirror, misses, ray_at, ray_number, step_to
from studio.core.kernels.ssr_ray import (
    Ray,
    cell_at,
    inverse_depths,
    motion,
    position_adjoint,
    to_pixel,
)

wp.set_module_options({"enable_backward": False})

GRAZE_REACH = wp.constant(6)
"""Pixels along a ray, from where the surface was met, within which its deepest point is looked for."""


@wp.struct
class Graze:
    """Where a ray comes deepest below a surface: by how much, in inverse depth, and after what length."""

    found: bool
    depth: float
    t: float


@wp.struct
class RayAdjoint:
    """Gradients of a ray's begin and direction."""

    p: wp.vec3
    r: wp.vec3


@wp.func
def deepest(m: Mirror, ray: Ray, t: float, step: float, before: int) -> Graze:
    """Look from `before` steps before length t to some after it; not found where the surface ends nearby."""
    out = Graze()
    out.found = True
    out.depth = -1.0e9
    for i in range(-before, GRAZE_REACH + 1):
        at = t + float(i) * step
        q = ray.p + at * ray.r
        if q[2] < 0.0:
            c = cell_at(m.s, m.depth, to_pixel(m.s, q))
            if wp.max(c.depth) - wp.min(c.depth) > m.thickness * wp.min(c.depth):
                out.found = out.found and (i <= -3 or i >= 3)
            else:
                depth = wp.dot(c.weight, inverse_depths(c)) + 1.0 / q[2]
                if depth > out.depth:
                    out.depth = depth
                    out.t = at
    return out


@wp.func
def depth_adjoint(m: Mirror, ray: Ray, t: float, g: float, g_depth: wp.array(dtype=float)) -> RayAdjoint:
    """Through the depth that a ray has below a surface after the length t at which it is deepest."""
    out = RayAdjoint()
    q = ray.p + t * ray.r
    c = cell_at(m.s, m.depth, to_pixel(m.s, q))
    inverse = inverse_depths(c)
    slope = wp.vec2(wp.dot(c.weight_x, inverse), wp.dot(c.weight_y, inverse))
    for i in range(4):
        wp.atomic_add(g_depth, c.index[i], -g * c.weight[i] * inverse[i] * inverse[i])
    out.p = position_adjoint(m.s, q, g * slope, g / (q[2] * q[2]))
    out.r = t * out.p
    return out


@wp.func
def fold_adjoint(
    m: Mirror, place: wp.vec2i, ray: Ray, t: float, q: wp.vec3, g: wp.vec4, g_depth: wp.array(dtype=float)
) -> RayAdjoint:
    """Gradient of where the reflection ends between a ray and its neighbours that pass by the surface."""
    out = RayAdjoint()
    past = wp.vec4i(0, 0, 0, 0)
    some = bool(False)
    for way in range(4):
        past[way] = misses(m, place, step_to(place, way, 1), t, -q[2])
        some = some or past[way] == 1
    if not some:
        return out
    step = 1.0 / wp.length(motion(m.s, ray, q))
    inside = deepest(m, ray, t, step, 0)
    if not inside.found or inside.depth <= 0.0:
        return out
    # The end is crossed along the axis to which it is more nearly perpendicular, and only once.
    change = wp.vec4(0.0, 0.0, 0.0, 0.0)
    most = wp.vec2(0.0, 0.0)
    for way in range(4):
        if past[way] >= 0:
            there = deepest(m, ray_at(m, step_to(place, way, 1)), t, step, GRAZE_REACH)
            if there.found:
                change[way] = inside.depth - there.depth
                most[way // 2] = wp.max(most[way // 2], wp.abs(change[way]))
    for way in range(4):
        if past[way] == 1 and most[way // 2] >= most[1 - way // 2] and change[way] > inside.depth:
            seen = m.out[ray_number(m, place)] - m.out[ray_number(m, step_to(place, way, 1))]
            part = depth_adjoint(m, ray, inside.t, wp.dot(g, seen) / change[way], g_depth)
            out.p += part.p
            out.r += part.r
    return out
