"""SoftRas kernels: soft coverage and depth softmax over every face whose blur reaches a pixel.

Faces are set up once per image and listed by tile (see softras_faces). A pixel walks its tile's
list forward, a listed face walks its tile's pixels backward, so that neither has to store
anything per pair of face and pixel. On CUDA nobody knows how long the lists will be, and to look would
be to wait: they get memory for what is usual, and a tile whose list does not fit is drawn from all faces
of its image. A module per channel count; adjoints are written out.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import variant
from studio.core.kernels.softras_adjoint import NEGLIGIBLE, make_backward
from studio.core.kernels.softras_faces import (
    SIZE,
    View,
    centre,
    coverage,
    fragment,
    tiles_along,
    view_of,
)
from studio.core.kernels.softras_texture import make_texturing

OPAQUE = wp.constant(1.0e-30)
"""What passes less than this passes nothing; products go on towards denormal numbers, which
are thirty times slower."""
FAR_AWAY = wp.constant(-1.0e30)
"""Depth that any face beats."""
BACKGROUND_DEPTH = 1e-3
"""Normalised depth of the background in the softmax (epsilon of the paper)."""
BEHIND = wp.constant(BACKGROUND_DEPTH)


def kernels(channels: int, textured: bool = False) -> SimpleNamespace:
    """`forward` and `backward` for a number of channels, with or without texture layers."""
    name = f"{__name__}_textured" if textured else __name__
    return variant(name, channels, lambda module, vec: _make(module, vec, textured))


def warp_modules() -> list:
    """The ones worth compiling ahead: what a fit needs, unlit and shaded, and the same with textures."""
    return [
        *(kernels(channels).module for channels in (3, 11)),
        *(kernels(channels, True).module for channels in (5, 7, 14)),
    ]


def _make(module, vec, textured: bool) -> dict:
    texturing = make_texturing(vec, textured)
    return {
        "forward": _make_forward(module, vec, texturing),
        "backward": make_backward(module, vec, texturing),
    }


@wp.func
def weigh(inner: wp.float32, d: wp.float32, z: wp.float32, top: wp.float32, view: View):
    """Weight of a fragment relative to the largest depth so far, what is left of the weights
    before it, and the largest depth now. Branches, for an exponential costs more than one."""
    weight = wp.float32(0.0)
    kept = wp.float32(1.0)
    now = top
    if view.hard != 0:
        if inner >= 0.0 and z > top:
            weight = 1.0
            kept = 0.0
            now = z
    elif z > top:
        weight = d
        kept = wp.exp((top - z) * view.per_gamma)
        now = z
    else:
        exponent = (z - top) * view.per_gamma
        if exponent > NEGLIGIBLE:
            weight = d * wp.exp(exponent)
    return wp.vec3(weight, kept, now)


def _make_pixel(vec, texturing):
    """The function that aggregates one pixel."""
    multiplied = texturing.forward

    @wp.func
    def aggregate(
        column: wp.int32,
        row: wp.int32,
        pixel: wp.int32,
        source: wp.int32,
        first_face: wp.int32,
        begin: wp.int32,
        end: wp.int32,
        lists: wp.bool,
        view: View,
        faces: wp.array2d(dtype=wp.vec4),
        bounds: wp.array(dtype=wp.vec4i),
        listed: wp.array(dtype=wp.int32),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        background: wp.array(dtype=vec),
        background_step: wp.int32,
        layers: wp.array2d(dtype=wp.int32),
        face_layers: wp.array(dtype=wp.vec2i),
        texels: wp.array(dtype=wp.float32),
        image: wp.array(dtype=vec),
        alpha: wp.array(dtype=wp.float32),
        state: wp.array(dtype=wp.vec4),
        rast: wp.array(dtype=wp.vec4),
    ):
        x = centre(column, view.width, view)
        y = centre(row, view.height, view)
        total = vec(0.0)
        weights = wp.float32(0.0)
        top = FAR_AWAY
        if background_step >= 0:
            total = background[pixel * background_step]
            weights = 1.0
            top = wp.where(view.hard != 0, FAR_AWAY, BEHIND)
        through = wp.float32(1.0)
        best = wp.float32(0.0)
        chosen = wp.int32(-1)
        u = wp.float32(0.0)
        v = wp.float32(0.0)
        seen = wp.float32(0.0)
        for k in range(begin, end):
            f = k
            if lists:
                f = listed[k]
            b = bounds[f]
            if column >= b[0] and column <= b[1] and row >= b[2] and row <= b[3]:
                s = fragment(faces, f, x, y)
                logit = s.inner * view.per_sigma
                za = faces[f, 2]
                zc = faces[f, 3]
                z = s.b0 * za[2] + s.b1 * za[3] + s.b2 * zc[0]
                if logit >= view.lowest and z >= view.depth_low and z <= view.depth_high:
                    d = coverage(logit)
                    through *= 1.0 - d
                    through = wp.where(through > OPAQUE, through, 0.0)
                    weighed = weigh(s.inner, d, z, top, view)
                    weight = weighed[0]
                    kept = weighed[1]
                    top = weighed[2]
                    if weight > 0.0:
                        c0 = s.b0 * zc[1]
                        c1 = s.b1 * zc[2]
                        inverse = 1.0 / (c0 + c1 + s.b2 * zc[3])
                        c0 *= inverse
                        c1 *= inverse
                        t = tri[f - first_face]
                        value = attr[source, t[0]] * c0 + attr[source, t[1]] * c1
                        value += attr[source, t[2]] * (1.0 - c0 - c1)
                        value = multiplied(value, face_layers[f], layers, texels)
                        weights = weights * kept + weight
                        total = total * kept + value * weight
                        best *= kept
                        if weight > best:
                            best = weight
                            chosen = f - first_face
                            u = c0
                            v = c1
                            seen = z
        share = wp.where(weights > 0.0, 1.0 / wp.max(weights, 1.0e-37), 0.0)
        depth = 1.0 - 2.0 * (seen - view.depth_low) / (view.depth_high - view.depth_low)
        image[pixel] = total * share
        alpha[pixel] = 1.0 - through
        state[pixel] = wp.vec4(through, top, weights, wp.float32(chosen + 1))
        rast[pixel] = wp.vec4(u, v, wp.where(chosen >= 0, depth, 0.0), wp.float32(chosen + 1))

    return aggregate


def _make_forward(module, vec, texturing):
    aggregate = _make_pixel(vec, texturing)

    @wp.kernel(enable_backward=False, module=module)
    def softras(
        begin: wp.int32,
        run: wp.int32,
        width: wp.int32,
        height: wp.int32,
        hard: wp.int32,
        numbers: wp.array(dtype=wp.float32),
        faces: wp.array2d(dtype=wp.vec4),
        bounds: wp.array(dtype=wp.vec4i),
        ends: wp.array(dtype=wp.int32),
        listed: wp.array(dtype=wp.int32),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        background: wp.array(dtype=vec),
        background_step: wp.int32,
        layers: wp.array2d(dtype=wp.int32),
        face_layers: wp.array(dtype=wp.vec2i),
        texels: wp.array(dtype=wp.float32),
        image: wp.array(dtype=vec),
        alpha: wp.array(dtype=wp.float32),
        state: wp.array(dtype=wp.vec4),
        rast: wp.array(dtype=wp.vec4),
    ):
        """A run of pixels, counted tile by tile. With a step below 0 there is no background.

        state, for the adjoint: product of 1 - D, largest depth, sum of weights, chosen face + 1.
        rast: of the face of most weight.
        """
        view = view_of(width, height, hard, numbers)
        across = tiles_along(width)
        down = tiles_along(height)
        start = (begin + wp.tid()) * run
        for i in range(start, start + run):
            tile = i // (SIZE * SIZE)
            n = tile // (across * down)
            within = i - tile * (SIZE * SIZE)
            place = tile - n * (across * down)
            column = (place % across) * SIZE + within % SIZE
            row = (place // across) * SIZE + within // SIZE
            if column < width and row < height:
                lists = ends[tile] <= listed.shape[0]
                first = n * tri.shape[0]
                from_k = wp.where(lists, wp.where(tile > 0, ends[wp.max(tile - 1, 0)], 0), first)
                to_k = wp.where(lists, ends[tile], first + tri.shape[0])
                aggregate(
                    column, row, (n * height + row) * width + column,
                    wp.min(n, attr.shape[0] - 1), first, from_k, to_k, lists,
                    view, faces, bounds, listed, tri, attr, background, background_step,
                    layers, face_layers, texels, image, alpha, state, rast,
                )  # fmt: skip

    return softras
