"""The adjoint of SoftRas: a listed face walks its tile's pixels."""

import warp as wp

from studio.core.kernels.channels import corner_adder, dot_product
from studio.core.kernels.softras_faces import (
    SIZE,
    View,
    centre,
    coverage,
    fragment,
    push_corners,
    tiles_along,
    to_clip,
    vec6,
    view_of,
)

wp.set_module_options({"enable_backward": False})

NEGLIGIBLE = wp.constant(-30.0)
"""Logarithm of a depth weight that float32 sums no longer feel."""


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


def make_backward(module, vec, texturing):
    """The kernel `softras_backward` of a module."""
    add = corner_adder(vec)
    dot = dot_product(vec)
    pull = texturing.backward

    @wp.kernel(enable_backward=False, module=module)
    def softras_backward(
        begin: wp.int32,
        width: wp.int32,
        height: wp.int32,
        hard: wp.int32,
        numbers: wp.array(dtype=wp.float32),
        faces: wp.array2d(dtype=wp.vec4),
        bounds: wp.array(dtype=wp.vec4i),
        ends: wp.array(dtype=wp.int32),
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
        (1 / sigma, 1 / gamma). Threads beyond the lists, of which a CPU has none, take a face each in all
        tiles whose lists did not fit. mean: image times its gradient, summed over the channels."""
        view = view_of(width, height, hard, numbers)
        entry = begin + wp.tid()
        room = listed.shape[0]
        across = tiles_along(width)
        down = tiles_along(height)
        total = ends[ends.shape[0] - 1]
        alone = entry >= room
        if (alone and total <= room) or (not alone and entry >= total):
            return
        f = entry - room
        bound = bounds[wp.max(f, 0)]
        if not alone:
            tile = owner[entry]
            if ends[tile] > room:
                return
            f = listed[entry]
            place = tile % (across * down)
            left = (place % across) * SIZE
            low = (place // across) * SIZE
            bound = bounds[f]
            bound = wp.vec4i(
                wp.max(bound[0], left), wp.min(bound[1], left + SIZE - 1),
                wp.max(bound[2], low), wp.min(bound[3], low + SIZE - 1),
            )  # fmt: skip
        n = f // tri.shape[0]
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
        for row in range(bound[2], bound[3] + 1):
            y = centre(row, height, view)
            tiles = (n * down + row // SIZE) * across
            for column in range(bound[0], bound[1] + 1):
                x = centre(column, width, view)
                s = fragment(faces, f, x, y)
                drawn = bool(True)
                if alone:
                    drawn = ends[tiles + column // SIZE] > room
                logit = s.inner * view.per_sigma
                z = s.b0 * za[2] + s.b1 * za[3] + s.b2 * zc[0]
                if drawn and logit >= view.lowest and z >= view.depth_low and z <= view.depth_high:
                    pixel = (n * height + row) * width + column
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
