"""Photo loss and its gradient in one pass over the pixels."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

L1 = wp.constant(0)
L2 = wp.constant(1)
LINEAR_LIMIT = wp.constant(0.0031308)
ENCODED_LIMIT = wp.constant(0.04045)


@wp.func
def srgb_encode(x: float) -> wp.vec2:
    """(value, derivative) of the sRGB curve, continued beyond 0 and 1 (see core/color.py)."""
    if x <= LINEAR_LIMIT:
        return wp.vec2(12.92 * x, 12.92)
    p = wp.pow(x, 1.0 / 2.4)
    return wp.vec2(1.055 * p - 0.055, (1.055 / 2.4) * p / x)


@wp.func
def srgb_decode(e: float) -> float:
    if e <= ENCODED_LIMIT:
        return e / 12.92
    return wp.pow((e + 0.055) / 1.055, 2.4)


@wp.func
def target_over(e: float, mask: float, background: float) -> float:
    """Encoded target over a linear background; the mask is the target's coverage."""
    if mask >= 1.0:
        return e
    if mask <= 0.0:
        return srgb_encode(background)[0]
    return srgb_encode(mask * srgb_decode(e) + (1.0 - mask) * background)[0]


@wp.func
def penalty(error: float, kind: int, delta: float) -> wp.vec2:
    """(value, derivative) of L1, L2, or Huber with corner at delta (unit slope beyond it)."""
    size = wp.abs(error)
    if kind == L2:
        return wp.vec2(error * error, 2.0 * error)
    if kind == L1 or size > delta:
        offset = float(0.0)
        if kind != L1:
            offset = 0.5 * delta
        return wp.vec2(size - offset, wp.sign(error))
    return wp.vec2(0.5 * error * error / delta, error / delta)


@wp.kernel
def image_loss(
    begin: int,
    width: int,
    height: int,
    stride: int,
    rgba: wp.array(dtype=wp.vec4),
    target: wp.array(dtype=wp.vec3),
    mask: wp.array(dtype=float),
    with_mask: int,
    weight: wp.array(dtype=float),
    with_weight: int,
    gain: wp.array(dtype=wp.vec3),
    background: wp.array(dtype=wp.vec3),
    background_stride: int,
    composite: int,
    kind: int,
    delta: float,
    color_scale: float,
    mask_scale: float,
    grad: wp.array(dtype=wp.vec4),
    g_gain: wp.array(dtype=wp.vec3),
    sums: wp.array(dtype=wp.vec4),
):
    """A thread takes every `stride`-th pixel of a row.

    Args:
        sums: per view (colour penalty, mask penalty, squared colour error, weight).
    """
    band_row, first = wp.tid()
    row = begin + band_row
    view = row // height
    exposure = gain[view]
    total = wp.vec4()
    total_gain = wp.vec3()
    for column in range(first, width, stride):
        i = row * width + column
        w = float(1.0)
        if with_weight != 0:
            w = weight[i]
        pixel = rgba[i]
        m = float(1.0)
        if with_mask != 0:
            m = mask[i]
        if w == 0.0:
            grad[i] = wp.vec4()
        elif composite != 0 and pixel[3] == 0.0 and m == 0.0:
            # Background against the same background: most pixels, and their error is exactly 0.
            grad[i] = wp.vec4()
            total += wp.vec4(0.0, 0.0, 0.0, w)
        else:
            t = target[i]
            b = background[i * background_stride]
            behind = (1.0 - pixel[3]) * float(composite)
            g = wp.vec4()
            value = float(0.0)
            square = float(0.0)
            for c in range(3):
                object_only = pixel[c] - behind * b[c]
                seen = srgb_encode(exposure[c] * object_only + behind * b[c])
                wanted = t[c]
                if composite != 0:
                    wanted = target_over(t[c], m, b[c])
                error = seen[0] - wanted
                p = penalty(error, kind, delta)
                value += p[0]
                square += error * error
                slope = p[1] * seen[1] * color_scale * w
                g[c] = slope * exposure[c]
                g[3] = g[3] + float(composite) * slope * (exposure[c] - 1.0) * b[c]
                total_gain[c] = total_gain[c] + slope * object_only
            off = float(0.0)
            if with_mask != 0:
                off = pixel[3] - m
                g[3] = g[3] + 2.0 * off * mask_scale * w
            grad[i] = g
            total += w * wp.vec4(value, off * off, square, 1.0)
    wp.atomic_add(sums, view, total)
    wp.atomic_add(g_gain, view, total_gain)


@wp.kernel
def numbers_of(
    pixels: float,
    color_weight: float,
    mask_weight: float,
    sums: wp.array(dtype=wp.vec4),
    numbers: wp.array(dtype=float),
):
    """What `image_loss` summed up as means, by one thread: there are a few views.

    Args:
        numbers: [3 + 2 N] the whole loss, its colour, its mask; mean squared errors of colour of
            each view; those of alpha.
    """
    views = sums.shape[0]
    color = float(0.0)
    mask = float(0.0)
    for view in range(views):
        s = sums[view]
        color += s[0]
        mask += s[1]
        weight = wp.max(s[3], 1.0e-12)
        numbers[3 + view] = s[2] / (3.0 * weight)
        numbers[3 + views + view] = s[1] / weight
    color = color / (3.0 * pixels)
    mask = mask / pixels
    numbers[0] = color_weight * color + mask_weight * mask
    numbers[1] = color
    numbers[2] = mask
