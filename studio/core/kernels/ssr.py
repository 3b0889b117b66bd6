"""Screen-space reflections: what a ray sees where it meets a surface, and how much that counts."""

from __future__ import annotations

import warp as wp

from studio.core.kernels.ssr_ray import (
    AWAY_FADE,
    GRAZING,
    LOBE,
    NEAR_FADE,
    ROUGH_FADE,
    Cell,
    Options,
    Ray,
    Screen,
    agreement,
    cell_at,
    fade,
    march,
    mirrored,
    to_pixel,
)

wp.set_module_options({"enable_backward": False})


@wp.struct
class Sample:
    """A bilinear value with its slopes."""

    value: wp.vec4
    x: wp.vec4
    y: wp.vec4


@wp.struct
class Seen:
    """Radiance and coverage between two levels: value, slopes by position and by level, where it is from."""

    value: wp.vec4
    x: wp.vec4
    y: wp.vec4
    by_level: wp.vec4
    fine: int
    rest: float


@wp.struct
class Weights:
    """Why a hit counts less than 1, each on its own."""

    agree: float
    border_x: float
    border_y: float
    near: float
    facing: float
    away: float
    rough: float


@wp.func
def level_of(alpha: float, t: float, z: float, s: Screen) -> float:
    """Level of the pyramid whose texels are as wide as the lobe where it arrives."""
    radius = LOBE * alpha * t / z * 0.5 * s.lens[1] * float(s.height)
    return 0.5 * wp.log(1.0 + radius * radius) / 0.6931472


@wp.func
def lookup(
    pyramid: wp.array(dtype=wp.vec4),
    start: wp.array(dtype=int),
    view: int,
    s: Screen,
    level: int,
    xy: wp.vec2,
) -> Sample:
    """Bilinear value of one level at a position in full pixels, and its slopes per full pixel."""
    scale = 1.0 / float(1 << level)
    width = (s.width + (1 << level) - 1) >> level
    height = (s.height + (1 << level) - 1) >> level
    x = xy[0] * scale - 0.5
    y = xy[1] * scale - 0.5
    cx = wp.floor(x)
    cy = wp.floor(y)
    fx = x - cx
    fy = y - cy
    left = wp.clamp(int(cx), 0, width - 1)
    right = wp.clamp(int(cx) + 1, 0, width - 1)
    base = start[level] + view * width * height
    low = base + wp.clamp(int(cy), 0, height - 1) * width
    high = base + wp.clamp(int(cy) + 1, 0, height - 1) * width
    a = pyramid[low + left]
    b = pyramid[low + right]
    c = pyramid[high + left]
    d = pyramid[high + right]
    out = Sample()
    bottom = a + fx * (b - a)
    top = c + fx * (d - c)
    out.value = bottom + fy * (top - bottom)
    out.x = ((b - a) + fy * ((d - c) - (b - a))) * scale
    out.y = (top - bottom) * scale
    return out


@wp.func
def look(
    pyramid: wp.array(dtype=wp.vec4),
    start: wp.array(dtype=int),
    view: int,
    s: Screen,
    levels: int,
    level: float,
    xy: wp.vec2,
) -> Seen:
    """Trilinear value of the pyramid; by_level is 0 beyond the coarsest level."""
    out = Seen()
    kept = wp.min(level, float(levels - 1))
    out.fine = wp.min(int(kept), levels - 2)
    out.rest = kept - float(out.fine)
    a = lookup(pyramid, start, view, s, out.fine, xy)
    b = lookup(pyramid, start, view, s, out.fine + 1, xy)
    out.value = (1.0 - out.rest) * a.value + out.rest * b.value
    out.x = (1.0 - out.rest) * a.x + out.rest * b.x
    out.y = (1.0 - out.rest) * a.y + out.rest * b.y
    if kept == level:
        out.by_level = b.value - a.value
    return out


@wp.func
def edge_fade(o: Options, at: float, size: float) -> float:
    return fade(0.0, o.edge, wp.min(at, size - at) / size)


@wp.func
def weights_of(s: Screen, o: Options, ray: Ray, c: Cell, xy: wp.vec2, z: float, rough: float) -> Weights:
    """Weights of a hit at pixel position xy in the cell c, at depth z."""
    out = Weights()
    out.agree = agreement(c, z, o.thickness * z)
    out.border_x = edge_fade(o, xy[0], float(s.width))
    out.border_y = edge_fade(o, xy[1], float(s.height))
    out.near = fade(NEAR_FADE[0], NEAR_FADE[1], wp.length(xy - ray.xy))
    out.facing = fade(0.0, GRAZING, ray.cosine)
    out.away = 1.0 - fade(AWAY_FADE[0], AWAY_FADE[1], ray.r[2])
    out.rough = 1.0 - fade(ROUGH_FADE * o.roughness, o.roughness, rough)
    return out


@wp.func
def product(w: Weights) -> float:
    return w.agree * w.border_x * w.border_y * w.near * w.facing * w.away * w.rough


@wp.func
def place_of(i: int, width: int, height: int, stride: int) -> wp.vec3i:
    """(view, row, column) of ray i, there being one for every `stride` pixels in x and y."""
    columns = (width + stride - 1) // stride
    rows = (height + stride - 1) // stride
    return wp.vec3i(i // (columns * rows), (i // columns) % rows * stride, i % columns * stride)


@wp.func
def first_of(line: int, run: int, spacing: int, rays: int) -> int:
    """The first of the rays of a line: lines `spacing` apart follow each other.

    What reflects lies together in a picture, and threads get lines that follow each other.
    """
    lines = rays // run
    return line * spacing % lines * run


@wp.func
def screen_of(view: int, width: int, height: int, lens: wp.vec4, far: float) -> Screen:
    s = Screen()
    s.base = view * width * height
    s.width = width
    s.height = height
    s.lens = lens
    s.far = far
    return s


@wp.kernel
def reflect(
    begin: int,
    run: int,
    spacing: int,
    width: int,
    height: int,
    stride: int,
    thickness: float,
    edge: float,
    roughness_limit: float,
    steps: int,
    bisections: int,
    levels: int,
    depth: wp.array(dtype=float),
    normal: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    to_view: wp.array(dtype=wp.mat33),
    lens: wp.array(dtype=wp.vec4),
    far: wp.array(dtype=float),
    start: wp.array(dtype=int),
    pyramid: wp.array(dtype=wp.vec4),
    hit: wp.array(dtype=float),
    out: wp.array(dtype=wp.vec4),
):
    """hit: length of the ray, 0 without one. out: weighted radiance and coverage."""
    first = first_of(begin + wp.tid(), run, spacing, hit.shape[0])
    at = place_of(first, width, height, stride)
    view = at[0]
    s = screen_of(view, width, height, lens[view], far[view])
    o = Options()
    o.steps = steps
    o.bisections = bisections
    o.thickness = thickness
    o.edge = edge
    o.roughness = roughness_limit
    for j in range(run):
        column = at[2] + j * stride
        pixel = s.base + at[1] * width + column
        rough = roughness[pixel]
        if depth[pixel] < s.far and rough < roughness_limit:
            own = wp.vec2(float(column) + 0.5, float(at[1]) + 0.5)
            ray = mirrored(s, own, depth[pixel], to_view[view] * normal[pixel])
            if ray.cosine > 0.0 and ray.r[2] < AWAY_FADE[1]:
                t = march(s, o, depth, ray)
                if t > 0.0:
                    q = ray.p + t * ray.r
                    z = -q[2]
                    xy = to_pixel(s, q)
                    weight = product(weights_of(s, o, ray, cell_at(s, depth, xy), xy, z, rough))
                    if weight > 0.0:
                        level = level_of(rough * rough, t, z, s)
                        hit[first + j] = t
                        out[first + j] = weight * look(pyramid, start, view, s, levels, level, xy).value
