"""NMR's gradient: the step at an edge as a linear ramp along the rows and columns of a picture.

A line is a row or a column; `stride` steps along it. Two neighbouring pixels on it that show
different triangles are an event for each of the two whose edge crosses between their centres.
A module per channel count.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import dot_product, variant

NONE = wp.constant(-1)
TOLERANCE = wp.constant(1.0e-4)
"""Pixels by which a crossing may lie beyond a pixel's centre: rounding of float32 corners."""


def kernels(channels: int) -> SimpleNamespace:
    """`backward` for a number of channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The one worth compiling ahead: colour and coverage."""
    return [kernels(4).module]


@wp.struct
class Crossing:
    """Where an edge crosses a line: its corners (NONE for no edge), the second one's share,
    and the place along the line in pixels."""

    a: wp.int32
    b: wp.int32
    t: wp.float32
    place: wp.float32


@wp.func
def pixel_position(p: wp.vec4, axis: wp.int32, size: wp.vec2i):
    """(along, across) the line in pixels, centres at integers; lines are rows for axis 0."""
    x = (p[0] / p[3] * 0.5 + 0.5) * wp.float32(size[0]) - 0.5
    y = (p[1] / p[3] * 0.5 + 0.5) * wp.float32(size[1]) - 0.5
    return wp.where(axis == 0, wp.vec2(x, y), wp.vec2(y, x))


@wp.func
def crossing(
    pos: wp.array2d(dtype=wp.vec4),
    n: wp.int32,
    t: wp.vec3i,
    axis: wp.int32,
    size: wp.vec2i,
    line: wp.float32,
    low: wp.float32,
):
    """The edge of a triangle that crosses a line between the pixels `low` and `low` + 1."""
    out = Crossing()
    out.a = NONE
    if wp.min(t[0], wp.min(t[1], t[2])) < 0 or wp.max(t[0], wp.max(t[1], t[2])) >= pos.shape[1]:
        return out
    if pos[n, t[0]][3] > 0.0 and pos[n, t[1]][3] > 0.0 and pos[n, t[2]][3] > 0.0:
        for k in range(3):
            a = t[k]
            b = t[(k + 1) % 3]
            p = pixel_position(pos[n, a], axis, size)
            q = pixel_position(pos[n, b], axis, size)
            if (p[1] <= line and q[1] > line) or (q[1] <= line and p[1] > line):
                share = (line - p[1]) / (q[1] - p[1])
                place = p[0] + share * (q[0] - p[0])
                if place >= low - TOLERANCE and place <= low + 1.0 + TOLERANCE:
                    out.a = a
                    out.b = b
                    out.t = share
                    out.place = place
    return out


@wp.func
def touch(tri: wp.array(dtype=wp.vec3i), s: wp.int32, t: wp.int32):
    """Whether two triangles share a vertex; -1 is none and shares nothing."""
    found = wp.int32(0)
    if s >= 0 and t >= 0 and s < tri.shape[0] and t < tri.shape[0]:
        for i in range(3):
            for j in range(3):
                if tri[s][i] == tri[t][j]:
                    found = 1
    return found


@wp.func
def add_along(
    grad_pos: wp.array2d(dtype=wp.vec4), n: wp.int32, v: wp.int32, p: wp.vec4, axis: wp.int32, g: wp.float32
):
    """Adds the gradient of a corner's normalised x (axis 0) or y to that of its clip position."""
    i = 1.0 / p[3]
    x = wp.where(axis == 0, g * i, 0.0)
    y = wp.where(axis == 0, 0.0, g * i)
    wp.atomic_add(grad_pos, n, v, wp.vec4(x, y, 0.0, -(x * p[0] + y * p[1]) * i))


def _make_walks(vec) -> SimpleNamespace:
    dot = dot_product(vec)

    @wp.func
    def outward(
        first: wp.int32,
        stride: wp.int32,
        i: wp.int32,
        step: wp.int32,
        last: wp.int32,
        place: wp.float32,
        inside: vec,
        depth: wp.float32,
        color: wp.array(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        grad: wp.array(dtype=vec),
    ):
        """Gradient of `place` from the pixels i, i + step, ..., last outside the triangle: each
        would take the colour `inside` if the edge came up to it and nothing nearer were there."""
        total = wp.float32(0.0)
        for k in range((last - i) * step + 1):
            j = i + k * step
            at = first + j * stride
            r = rast[at]
            if r[3] == 0.0 or r[2] >= depth:
                change = dot(grad[at], inside - color[at])
                if change < 0.0:
                    distance = wp.float32(j) - place
                    total += change / (wp.float32(step) * wp.max(distance * wp.float32(step), 0.5))
        return total

    @wp.func
    def inward(
        first: wp.int32,
        stride: wp.int32,
        i: wp.int32,
        step: wp.int32,
        last: wp.int32,
        place: wp.float32,
        outside: vec,
        triangle: wp.float32,
        color: wp.array(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        grad: wp.array(dtype=vec),
    ):
        """The same from the pixels of the triangle itself, which would take the colour `outside`."""
        total = wp.float32(0.0)
        j = i
        going = wp.int32(1)
        while going == 1:
            at = first + j * stride
            if rast[at][3] == triangle:
                change = dot(grad[at], outside - color[at])
                if change < 0.0:
                    distance = wp.float32(j) - place
                    total += change / (wp.float32(step) * wp.max(distance * wp.float32(step), 0.5))
                going = wp.where(j == last, 0, 1)
                j += step
            else:
                going = 0
        return total

    return SimpleNamespace(outward=outward, inward=inward)


def _make(module, vec) -> dict:
    walks = _make_walks(vec)
    outward = walks.outward
    inward = walks.inward

    @wp.kernel(enable_backward=False, module=module)
    def nmr_backward(
        begin: wp.int32,
        run: wp.int32,
        axis: wp.int32,
        outlines_only: wp.int32,
        size: wp.vec2i,
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        rast: wp.array(dtype=wp.vec4),
        color: wp.array(dtype=vec),
        grad: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
    ):
        """Adds Kato's gradient along rows (axis 0) or columns (axis 1) to that of positions.

        A thread looks at `run` neighbouring pairs of pixels, counted line by line.
        """
        length = wp.where(axis == 0, size[0], size[1])
        lines = wp.where(axis == 0, size[1], size[0])
        stride = wp.where(axis == 0, 1, size[0])
        pairs = length - 1
        scale = wp.float32(length) * 0.5  # gradients per pixel to gradients per unit of x / w
        start = (begin + wp.tid()) * run
        for k in range(start, start + run):
            line = k // pairs
            i = k - line * pairs
            n = line // lines
            row = line - n * lines
            first = n * size[0] * size[1] + wp.where(axis == 0, row * size[0], row)
            here = rast[first + i * stride]
            there = rast[first + (i + 1) * stride]
            step_here = here[3] != there[3]
            if step_here and outlines_only != 0:
                step_here = touch(tri, wp.int32(here[3]) - 1, wp.int32(there[3]) - 1) == 0
            if step_here:
                for side in range(2):
                    # The triangle of the pixel `own`; the edge moves into `other` and beyond.
                    r = wp.where(side == 0, here, there)
                    number = wp.int32(r[3]) - 1
                    if number >= 0 and number < tri.shape[0]:
                        c = crossing(pos, n, tri[number], axis, size, wp.float32(row), wp.float32(i))
                        if c.a != NONE:
                            step = 1 - 2 * side
                            own = i + side
                            other = i + 1 - side
                            end = wp.where(side == 0, length - 1, 0)
                            back = wp.where(side == 0, 0, length - 1)
                            inside = color[first + own * stride]
                            outside = color[first + other * stride]
                            g = outward(
                                first, stride, other, step, end, c.place, inside, r[2], color, rast, grad
                            )
                            g += inward(
                                first, stride, own, -step, back, c.place, outside, r[3], color, rast, grad
                            )
                            if g != 0.0:
                                g *= scale
                                add_along(grad_pos, n, c.a, pos[n, c.a], axis, g * (1.0 - c.t))
                                add_along(grad_pos, n, c.b, pos[n, c.b], axis, g * c.t)

    return {"backward": nmr_backward}
