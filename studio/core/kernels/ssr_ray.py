"""Screen-space reflections: where the mirrored ray meets the depth buffer.

The ray of a pixel is a straight segment on the screen along which the inverse of its depth is
linear. It is walked in equal steps against the nearest depth; a step from before a surface to
behind it is a crossing, narrowed down by bisection and two Newton steps on

    F = K(xy) - 1 / z,   K = bilinear inverse depth, which is exact on a plane.

That search is discrete; it leaves one number, the ray's length. Everything else is a smooth
function of it and of the buffers, and is computed in ssr.py and, backwards, in
ssr_adjoint.py. Each reason for which a hit can be lost brings its weight to zero first.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.ssr_walk import crossing, walk

wp.set_module_options({"enable_backward": False})

START = wp.constant(0.5)
"""Pixels from its own at which a ray begins: there it is in front of whatever it meets later."""
NEAR_FADE = wp.constant(wp.vec2(1.0, 3.0))
"""Pixels from its own over which a hit comes to count."""
GRAZING = wp.constant(0.1)
"""Cosine to the viewer from which a reflector counts in full."""
AWAY_FADE = wp.constant(wp.vec2(0.2, 0.8))
"""The ray's cosine to the camera's axis, towards the camera, over which its hits stop to count:
it would meet the backs of things."""
BEFORE_FAR = wp.constant(0.98)
"""Part of the distance that stands for nothing at which rays end: nothing is not to be met."""
ROUGH_FADE = wp.constant(0.75)
"""Part of the greatest roughness from which reflections fade out."""
LEAST_SLOPE = wp.constant(0.02)
"""Depth that a ray gains on the surface it meets, per unit of length; less counts as this much."""
LOBE = wp.constant(2.0)
"""Radius that holds half of the GGX lobe at distance 1, in units of alpha: that of the normals is 1
(tan^2 = alpha^2 u / (1 - u) at u = 1/2), and mirroring doubles angles."""


@wp.struct
class Screen:
    """One view of the batch.

    base is its first pixel; lens is P00, P11, P02, P12 of view_to_clip; far is the depth that
    stands for nothing.
    """

    base: int
    width: int
    height: int
    lens: wp.vec4
    far: float


@wp.struct
class Options:
    steps: int
    bisections: int
    thickness: float
    edge: float
    roughness: float


@wp.struct
class Ray:
    """p + t r in view space from pixel xy of depth d; v is the unit direction of view.

    cosine is that between the surface's normal and the direction to the viewer.
    """

    xy: wp.vec2
    d: float
    v: wp.vec3
    p: wp.vec3
    r: wp.vec3
    cosine: float


@wp.struct
class Cell:
    """The four pixel centres around a point: where they are, their depths and weights."""

    index: wp.vec4i
    depth: wp.vec4
    weight: wp.vec4
    weight_x: wp.vec4
    weight_y: wp.vec4


@wp.func
def fade(low: float, high: float, x: float) -> float:
    """Smoothstep."""
    t = wp.clamp((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def fade_slope(low: float, high: float, x: float) -> float:
    t = wp.clamp((x - low) / (high - low), 0.0, 1.0)
    return 6.0 * t * (1.0 - t) / (high - low)


@wp.func
def toward(s: Screen, xy: wp.vec2) -> wp.vec3:
    """The point of depth 1 at a pixel position."""
    x = (2.0 * xy[0] / float(s.width) - 1.0 + s.lens[2]) / s.lens[0]
    y = (2.0 * xy[1] / float(s.height) - 1.0 + s.lens[3]) / s.lens[1]
    return wp.vec3(x, y, -1.0)


@wp.func
def to_pixel(s: Screen, p: wp.vec3) -> wp.vec2:
    x = s.lens[0] * p[0] / -p[2] - s.lens[2]
    y = s.lens[1] * p[1] / -p[2] - s.lens[3]
    return wp.vec2(0.5 * (x + 1.0) * float(s.width), 0.5 * (y + 1.0) * float(s.height))


@wp.func
def mirrored(s: Screen, xy: wp.vec2, d: float, normal: wp.vec3) -> Ray:
    out = Ray()
    out.xy = xy
    out.d = d
    a = toward(s, xy)
    out.v = a / wp.length(a)
    out.p = a * d
    out.cosine = -wp.dot(out.v, normal)
    out.r = out.v + 2.0 * out.cosine * normal
    return out


@wp.func
def position_adjoint(s: Screen, q: wp.vec3, g: wp.vec2, g_z: float) -> wp.vec3:
    """Gradient at the point q of gradients at its pixel position and its depth."""
    z = -q[2]
    gx = 0.5 * float(s.width) * s.lens[0] * g[0] / z
    gy = 0.5 * float(s.height) * s.lens[1] * g[1] / z
    return wp.vec3(gx, gy, (gx * q[0] + gy * q[1]) / z - g_z)


@wp.func
def motion(s: Screen, ray: Ray, q: wp.vec3) -> wp.vec2:
    """Pixels by which the ray's point q moves per unit of its length."""
    z = -q[2]
    x = 0.5 * float(s.width) * s.lens[0] * (ray.r[0] + q[0] / z * ray.r[2]) / z
    y = 0.5 * float(s.height) * s.lens[1] * (ray.r[1] + q[1] / z * ray.r[2]) / z
    return wp.vec2(x, y)


@wp.func
def cell_at(s: Screen, depth: wp.array(dtype=float), xy: wp.vec2) -> Cell:
    """The pixel centres around xy; those beyond the border are the border's."""
    x = xy[0] - 0.5
    y = xy[1] - 0.5
    cx = wp.floor(x)
    cy = wp.floor(y)
    fx = x - cx
    fy = y - cy
    left = wp.clamp(int(cx), 0, s.width - 1)
    right = wp.clamp(int(cx) + 1, 0, s.width - 1)
    low = s.base + wp.clamp(int(cy), 0, s.height - 1) * s.width
    high = s.base + wp.clamp(int(cy) + 1, 0, s.height - 1) * s.width
    out = Cell()
    out.index = wp.vec4i(low + left, low + right, high + left, high + right)
    for i in range(4):
        out.depth[i] = depth[out.index[i]]
    out.weight = wp.vec4((1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy)
    out.weight_x = wp.vec4(fy - 1.0, 1.0 - fy, -fy, fy)
    out.weight_y = wp.vec4(fx - 1.0, -fx, 1.0 - fx, fx)
    return out


@wp.func
def inverse_depths(c: Cell) -> wp.vec4:
    return wp.vec4(1.0 / c.depth[0], 1.0 / c.depth[1], 1.0 / c.depth[2], 1.0 / c.depth[3])


@wp.func
def inside(at: float, step: float, size: float) -> float:
    """The part of a step from `at` that ends within [0, size]."""
    if step > 0.0:
        return wp.min(1.0, (size - at) / step)
    if step < 0.0:
        return wp.min(1.0, -at / step)
    return 1.0


@wp.func
def agreement(c: Cell, z: float, reach: float) -> float:
    """How much of the cell is a surface at depth z, give or take `reach`."""
    total = float(0.0)
    for i in range(4):
        total += c.weight[i] * (1.0 - fade(0.5, 1.0, wp.abs(c.depth[i] - z) / reach))
    return total


@wp.func
def march(s: Screen, o: Options, depth: wp.array(dtype=float), ray: Ray) -> float:
    """Length of the ray where it first meets a surface; negative if it meets none."""
    end = wp.max(BEFORE_FAR * s.far - ray.d, 0.0) / wp.max(-ray.r[2], 1.0e-6)
    if ray.r[2] > 0.0:
        end = 0.95 * ray.d / wp.max(ray.r[2], 1.0e-6)
    end = wp.min(end, 1.0e3 * ray.d)
    tip = ray.p + end * ray.r
    k = 1.0 / ray.d
    k_end = -1.0 / tip[2]
    whole = to_pixel(s, tip) - ray.xy
    part = wp.min(inside(ray.xy[0], whole[0], float(s.width)), inside(ray.xy[1], whole[1], float(s.height)))
    run = whole * part
    dk = (k_end - k) * part
    length = wp.length(run)
    if length < NEAR_FADE[0]:
        return -1.0
    count = wp.clamp(int(length), 1, o.steps)
    first = START / length
    step = (1.0 - first) / float(count)
    before = bool(True)
    i = wp.int32(0)
    while i < count:
        i = walk(depth, s.base, s.width, s.height, ray.xy, run, k, dk, first, step, i, count, before)
        if i < count:
            i += 1
            u = first + float(i) * step
            at = crossing(
                depth, s.base, s.width, s.height, ray.xy, run, k, dk, u - step, u, o.bisections, 1.0 / length
            )
            before = at < 0.0
            if not before:
                here = k + at * dk
                c = cell_at(s, depth, ray.xy + at * run)
                if agreement(c, 1.0 / here, o.thickness / here) > 0.0 and at * length > NEAR_FADE[0]:
                    return at * part * end * k_end / here
    return -1.0
