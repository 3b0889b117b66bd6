"""SoftRas kernels: soft coverage and depth softmax over every face whose blur reaches a pixel.

Faces are set up once per image and listed by tile (see softras_faces). A pixel walks its tile's
list forward, a listed face walks its tile's pixels backward, so that neither has to store
anything per pair of face and pixel. A module per channel count; adjoints are written out.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import corner_adder, dot_product, variant
from studio.core.kernels.softras_faces import (
    SIZE,
    View,
    centre,
    coverage,
    fragment,
    push_corners,
    tiles_across,
    tiles_down,
    to_clip,
    vec6,
)
from studio.core.kernels.softras_texture import make_texturing

NEGLIGIBLE = wp.constant(-30.0)
"""Logarithm of a depth weight that float32 sums no longer feel."""
OPAQUE = wp.constant(1.0e-30)
"""What passes less than this passes nothing; products go on towards denormal numbers, which
are thirty times slower."""
FAR_AWAY = wp.constant(-1.0e30)
"""Depth that any face beats."""


def kernels(channels: int, textured: bool = False) -> SimpleNamespace:
    """`forward` and `backward` for a number of channels, with or without texture layers."""
    name = f"{__name__}_textured" if textured else __name__
    return variant(name, channels, lambda module, vec: _make(module, vec, textured))


def warp_modules() -> list:
    """The ones worth compiling ahead: what a fit needs, unlit and shaded, and textures."""
    return [kernels(3).module, kernels(11).module, kernels(5, True).module]


def _make(module, vec, textured: bool) -> dict:
    texturing = make_texturing(vec, textured)
    return {
        "forward": _make_forward(module, vec, texturing),
        "backward": _make_backward(module, vec, texturing),
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


@wp.func
def final_weight(d: wp.float32, z: wp.float32, state: wp.vec4, number: wp.int32, view: View):
    """The weight of face `number` in a pixel whose aggregation is done."""
    weight = wp.float32(0.0)
    exponent = (z - state[1]) * view.per_gamma
    if view.hard != 0:
        weight = wp.where(state[3] == wp.float32(number + 1), 1.0, 0.0)
    elif exponent > NEGLIGIBLE:
        weight = d * wp.exp(exponent) / state[2]
    return weight


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
            top = wp.where(view.hard != 0, FAR_AWAY, view.background)
        through = wp.float32(1.0)
        best = wp.float32(0.0)
        chosen = wp.int32(-1)
        u = wp.float32(0.0)
        v = wp.float32(0.0)
        seen = wp.float32(0.0)
        for k in range(begin, end):
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
        view: View,
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
        across = tiles_across(view)
        down = tiles_down(view)
        start = (begin + wp.tid()) * run
        for i in range(start, start + run):
            tile = i // (SIZE * SIZE)
            n = tile // (across * down)
            within = i - tile * (SIZE * SIZE)
            place = tile - n * (across * down)
            column = (place % across) * SIZE + within % SIZE
            row = (place // across) * SIZE + within // SIZE
            if column < view.width and row < view.height:
                aggregate(
                    column, row, (n * view.height + row) * view.width + column,
                    wp.min(n, attr.shape[0] - 1), n * tri.shape[0],
                    wp.where(tile > 0, ends[wp.max(tile - 1, 0)], 0), ends[tile],
                    view, faces, bounds, listed, tri, attr, background, background_step,
                    layers, face_layers, texels, image, alpha, state, rast,
                )  # fmt: skip

    return softras


def _make_backward(module, vec, texturing):
    add = corner_adder(vec)
    dot = dot_product(vec)
    pull = texturing.backward

    @wp.kernel(enable_backward=False, module=module)
    def softras_backward(
        begin: wp.int32,
        view: View,
        faces: wp.array2d(dtype=wp.vec4),
        bounds: wp.array(dtype=wp.vec4i),
        listed: wp.array(dtype=wp.int32),
        owner: wp.array(dtype=wp.int32),
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        layers: wp.array2d(dtype=wp.int32),
        face_layers: wp.array(dtype=wp.vec2i),
        texels: wp.array(dtype=wp.float32),
        state: wp.array(dtype=wp.vec4),
        mean: wp.array(dtype=wp.float32),
        grad_image: wp.array(dtype=vec),
        grad_alpha: wp.array(dtype=wp.float32),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
        grad_texels: wp.array(dtype=wp.float32),
        grad_sharpness: wp.array(dtype=wp.vec2),
    ):
        """One face in one tile: adds to the gradients of its corners, of the texels and of
        (1 / sigma, 1 / gamma). mean: image times its gradient, summed over the channels."""
        entry = begin + wp.tid()
        f = listed[entry]
        across = tiles_across(view)
        n = owner[entry] // (across * tiles_down(view))
        place = owner[entry] % (across * tiles_down(view))
        left = (place % across) * SIZE
        low = (place // across) * SIZE
        bound = bounds[f]
        number = f % tri.shape[0]
        t = tri[number]
        source = wp.min(n, attr.shape[0] - 1)
        za = faces[f, 2]
        zc = faces[f, 3]
        # Gradients of the corners on screen, of their depths, of 1 / w; and of the sharpness.
        corners = vec6(0.0)
        depths = wp.vec3(0.0)
        inverses = wp.vec3(0.0)
        sharpness = wp.vec2(0.0)
        s0 = vec(0.0)
        s1 = vec(0.0)
        s2 = vec(0.0)
        for row in range(wp.max(bound[2], low), wp.min(bound[3], low + SIZE - 1) + 1):
            y = centre(row, view.height, view)
            for column in range(wp.max(bound[0], left), wp.min(bound[1], left + SIZE - 1) + 1):
                x = centre(column, view.width, view)
                s = fragment(faces, f, x, y)
                logit = s.inner * view.per_sigma
                z = s.b0 * za[2] + s.b1 * za[3] + s.b2 * zc[0]
                if logit >= view.lowest and z >= view.depth_low and z <= view.depth_high:
                    pixel = (n * view.height + row) * view.width + column
                    now = state[pixel]
                    d = coverage(logit)
                    to_logit = grad_alpha[pixel] * now[0] * d
                    weight = final_weight(d, z, now, number, view)
                    h = wp.vec3(0.0)  # gradient of the screen barycentrics
                    if weight > 0.0:
                        i = wp.vec3(zc[1], zc[2], zc[3]) / (s.b0 * zc[1] + s.b1 * zc[2] + s.b2 * zc[3])
                        c0 = s.b0 * i[0]
                        c1 = s.b1 * i[1]
                        c2 = 1.0 - c0 - c1
                        a0 = attr[source, t[0]]
                        a1 = attr[source, t[1]]
                        a2 = attr[source, t[2]]
                        pulled = pull(
                            a0 * c0 + a1 * c1 + a2 * c2, grad_image[pixel], weight,
                            face_layers[f], layers, texels, grad_texels,
                        )  # fmt: skip
                        g = pulled.gradient
                        s0 += g * (weight * c0)
                        s1 += g * (weight * c1)
                        s2 += g * (weight * c2)
                        e = wp.vec3(dot(g, a0), dot(g, a1), dot(g, a2))
                        along = c0 * e[0] + c1 * e[1] + c2 * e[2]
                        if view.hard == 0:
                            to_weight = weight * (along + pulled.beyond - mean[pixel])
                            to_logit += to_weight * (1.0 - d)
                            sharpness += wp.vec2(0.0, to_weight * (z - now[1]))
                            to_z = to_weight * view.per_gamma
                            depths += to_z * wp.vec3(s.b0, s.b1, s.b2)
                            h = to_z * wp.vec3(za[2], za[3], zc[0])
                        r = weight * wp.vec3(e[0] - along, e[1] - along, e[2] - along)
                        h += wp.cw_mul(r, i)
                        # c_k = b_k i_k before division, i_k = 1 / w_k; the sum is divided out.
                        inverses += wp.cw_mul(r, wp.vec3(c0 / zc[1], c1 / zc[2], c2 / zc[3]))
                    sharpness += wp.vec2(to_logit * s.inner, 0.0)
                    to_square = to_logit * wp.where(s.inner >= 0.0, view.per_sigma, -view.per_sigma)
                    corners += push_corners(faces, f, s, x, y, to_square, h[0], h[1], h[2])
        for k in range(3):
            moved = to_clip(pos[n, t[k]], corners[2 * k], corners[2 * k + 1], depths[k], inverses[k], view)
            wp.atomic_add(grad_pos, n, t[k], moved)
        add(grad_attr, source, t, s0, s1, s2)
        wp.atomic_add(grad_sharpness, 0, sharpness)

    return softras_backward
