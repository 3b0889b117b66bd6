"""Screen-space subsurface scattering: planes of what scatters, two blurs, composition.

Adjoints are by hand. A blur's adjoint adds into the taps of a pixel, which are all in its own row
(or column): a launch item is a whole row, or a strip of columns, so none adds into another's.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.rows import native
from studio.core.kernels.sss_loops import BLUR, BLUR_ADJOINT, SIDE, TAPS

wp.set_module_options({"enable_backward": False})

POST = wp.constant(0)
BOTH = wp.constant(1)
SMALLEST = 1.0e-3
FLOOR = wp.constant(SMALLEST)
"""Albedo below which its square root has no gradient."""

# A pixel writes what the next one in the loop does not read: vectors are safe.
_ALONE = "#pragma clang loop vectorize(assume_safety) vectorize_width(8) interleave_count(1)"


@native(BLUR, SIDE=SIDE, TAPS=TAPS)
def blur_part(
    source: wp.array(dtype=float),
    shape: wp.array(dtype=float),
    blurred: wp.array(dtype=float),
    total: wp.array(dtype=float),
    scales: wp.vec3,
    stop: float,
    plane: int,
    base: int,
    width: int,
    height: int,
    x0: int,
    x1: int,
    y0: int,
    y1: int,
    dx: int,
    dy: int,
): ...


@native(BLUR_ADJOINT.replace("ALONE", _ALONE), SIDE=SIDE, TAPS=TAPS)
def blur_adjoint_part(
    source: wp.array(dtype=float),
    shape: wp.array(dtype=float),
    blurred: wp.array(dtype=float),
    total: wp.array(dtype=float),
    grad: wp.array(dtype=float),
    g_source: wp.array(dtype=float),
    g_shape: wp.array(dtype=float),
    sums: wp.array(dtype=float),
    row: int,
    scales: wp.vec3,
    stop: float,
    plane: int,
    base: int,
    width: int,
    height: int,
    x0: int,
    x1: int,
    y0: int,
    y1: int,
    dx: int,
    dy: int,
): ...


@wp.func
def stop_of(distance: wp.array(dtype=float)) -> float:
    """1 / (2 s^2), s the mean distance."""
    mean = (distance[0] + distance[1] + distance[2]) / 3.0
    return 0.5 / (mean * mean)


@wp.func
def rectangle(item: int, width: int, height: int, strip: int) -> wp.vec4i:
    """(x0, x1, y, image) of an item: a row, or `strip` columns, whose y is -1."""
    if strip == 0:
        return wp.vec4i(0, width, item % height, item // height)
    strips = (width + strip - 1) // strip
    x = item % strips * strip
    return wp.vec4i(x, wp.min(x + strip, width), -1, item // strips)


@wp.func
def scales_of(apart: int, pixels: float, distance: wp.array(dtype=float)) -> wp.vec3:
    reach = float(apart) / pixels
    return wp.vec3(reach / distance[0], reach / distance[1], reach / distance[2])


@wp.kernel
def blur(
    begin: int,
    width: int,
    height: int,
    strip: int,
    plane: int,
    pixels: wp.array(dtype=wp.vec2),
    spacing: wp.array(dtype=wp.vec2i),
    distance: wp.array(dtype=float),
    source: wp.array(dtype=float),
    shape: wp.array(dtype=float),
    blurred: wp.array(dtype=float),
    total: wp.array(dtype=float),
):
    """Blur along rows, or along columns in strips; `blurred` comes as zeros.

    Args:
        strip: columns of a launch item; 0 makes an item a row.
        plane: pixels of all images.
        pixels: [N] size in pixels of a unit at depth 1, horizontally and vertically.
        spacing: [N] of the taps, in pixels.
        distance: [3] per channel.
    """
    r = rectangle(begin + wp.tid(), width, height, strip)
    image = r[3]
    axis = wp.where(strip == 0, 0, 1)
    y0 = wp.max(r[2], 0)
    y1 = wp.where(r[2] < 0, height, r[2] + 1)
    apart = spacing[image][axis]
    scales = scales_of(apart, pixels[image][axis], distance)
    blur_part(
        source, shape, blurred, total, scales, stop_of(distance), plane, image * width * height,
        width, height, r[0], r[1], y0, y1, apart * (1 - axis), apart * axis,
    )  # fmt: skip


@wp.kernel
def blur_adjoint(
    begin: int,
    width: int,
    height: int,
    strip: int,
    plane: int,
    pixels: wp.array(dtype=wp.vec2),
    spacing: wp.array(dtype=wp.vec2i),
    distance: wp.array(dtype=float),
    source: wp.array(dtype=float),
    shape: wp.array(dtype=float),
    blurred: wp.array(dtype=float),
    total: wp.array(dtype=float),
    grad: wp.array(dtype=float),
    g_source: wp.array(dtype=float),
    g_shape: wp.array(dtype=float),
    sums: wp.array(dtype=float),
):
    """Adds to g_source and g_shape; `sums` [items, 4]: of g_u 2 u per channel, of g_stop."""
    item = begin + wp.tid()
    r = rectangle(item, width, height, strip)
    image = r[3]
    axis = wp.where(strip == 0, 0, 1)
    y0 = wp.max(r[2], 0)
    y1 = wp.where(r[2] < 0, height, r[2] + 1)
    apart = spacing[image][axis]
    scales = scales_of(apart, pixels[image][axis], distance)
    blur_adjoint_part(
        source, shape, blurred, total, grad, g_source, g_shape, sums, item, scales, stop_of(distance),
        plane, image * width * height, width, height, r[0], r[1], y0, y1,
        apart * (1 - axis), apart * axis,
    )  # fmt: skip


@wp.func
def before(albedo: float, split: int) -> float:
    """The part of the albedo that light meets on its way in."""
    if split == POST:
        return 1.0
    if split == BOTH:
        return wp.sqrt(wp.max(albedo, FLOOR))
    return albedo


@wp.func
def before_slope(albedo: float, split: int) -> float:
    if split == POST:
        return 0.0
    if split == BOTH:
        if albedo <= FLOOR:
            return 0.0
        return 0.5 / wp.sqrt(albedo)
    return 1.0


@wp.func
def after(albedo: float, split: int) -> float:
    """The part that it meets on its way out."""
    if split == POST:
        return albedo
    if split == BOTH:
        return wp.sqrt(wp.max(albedo, FLOOR))
    return 1.0


@wp.func
def after_slope(albedo: float, split: int) -> float:
    if split == POST:
        return 1.0
    if split == BOTH:
        return before_slope(albedo, split)
    return 0.0


@wp.kernel
def planes(
    begin: int,
    split: int,
    plane: int,
    irradiance: wp.array(dtype=wp.vec3),
    albedo: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=float),
    normal: wp.array(dtype=wp.vec3),
    subsurface: wp.array(dtype=float),
    source: wp.array(dtype=float),
    shape: wp.array(dtype=float),
):
    """Into planes, where something scatters; the planes come as zeros."""
    i = begin + wp.tid()
    if subsurface[i] <= 0.0:
        return
    e = irradiance[i]
    a = albedo[i]
    n = normal[i]
    for c in range(3):
        source[c * plane + i] = e[c] * before(a[c], split)
        shape[(c + 1) * plane + i] = n[c]
    shape[i] = depth[i]


@wp.kernel
def compose(
    begin: int,
    split: int,
    plane: int,
    color: wp.array(dtype=wp.vec3),
    irradiance: wp.array(dtype=wp.vec3),
    albedo: wp.array(dtype=wp.vec3),
    subsurface: wp.array(dtype=float),
    strength: wp.array(dtype=float),
    blurred: wp.array(dtype=float),
    out: wp.array(dtype=wp.vec3),
):
    i = begin + wp.tid()
    value = color[i]
    if subsurface[i] > 0.0:
        k = strength[0] * subsurface[i]
        a = albedo[i]
        e = irradiance[i]
        for c in range(3):
            value[c] = value[c] + k * (after(a[c], split) * blurred[c * plane + i] - a[c] * e[c])
    out[i] = value


@wp.kernel
def compose_adjoint(
    begin: int,
    split: int,
    plane: int,
    irradiance: wp.array(dtype=wp.vec3),
    albedo: wp.array(dtype=wp.vec3),
    subsurface: wp.array(dtype=float),
    strength: wp.array(dtype=float),
    blurred: wp.array(dtype=float),
    grad: wp.array(dtype=wp.vec3),
    g_blurred: wp.array(dtype=float),
    g_weight: wp.array(dtype=float),
):
    """`g_weight`: gradient of strength times subsurface."""
    i = begin + wp.tid()
    if subsurface[i] <= 0.0:
        return
    k = strength[0] * subsurface[i]
    a = albedo[i]
    e = irradiance[i]
    g = grad[i]
    weight = float(0.0)
    for c in range(3):
        q = after(a[c], split)
        b = blurred[c * plane + i]
        weight += g[c] * (q * b - a[c] * e[c])
        g_blurred[c * plane + i] = k * q * g[c]
    g_weight[i] = weight


@wp.kernel
def planes_adjoint(
    begin: int,
    split: int,
    plane: int,
    irradiance: wp.array(dtype=wp.vec3),
    albedo: wp.array(dtype=wp.vec3),
    subsurface: wp.array(dtype=float),
    strength: wp.array(dtype=float),
    blurred: wp.array(dtype=float),
    grad: wp.array(dtype=wp.vec3),
    g_source: wp.array(dtype=float),
    g_shape: wp.array(dtype=float),
    g_irradiance: wp.array(dtype=wp.vec3),
    g_albedo: wp.array(dtype=wp.vec3),
    g_depth: wp.array(dtype=float),
    g_normal: wp.array(dtype=wp.vec3),
):
    """Gradients of the images: through the planes, and straight from the composition."""
    i = begin + wp.tid()
    if subsurface[i] <= 0.0:
        return
    k = strength[0] * subsurface[i]
    a = albedo[i]
    e = irradiance[i]
    g = grad[i]
    g_e = wp.vec3()
    g_a = wp.vec3()
    g_n = wp.vec3()
    for c in range(3):
        s = g_source[c * plane + i]
        b = blurred[c * plane + i]
        g_e[c] = s * before(a[c], split) - k * a[c] * g[c]
        g_a[c] = s * e[c] * before_slope(a[c], split) + k * g[c] * (after_slope(a[c], split) * b - e[c])
        g_n[c] = g_shape[(c + 1) * plane + i]
    g_irradiance[i] = g_e
    g_albedo[i] = g_a
    g_depth[i] = g_shape[i]
    g_normal[i] = g_n
