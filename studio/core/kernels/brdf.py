"""Terms of the glTF metallic-roughness BRDF and their derivatives, as Warp functions.

The same names and formulas stand in studio/shaders/common/brdf.glsl; change both together.
Derivatives are written out: the callers' adjoints are by hand (see kernels/shade.py).
"""

from __future__ import annotations

import warp as wp

MIN_PERCEPTUAL_ROUGHNESS = wp.constant(0.045)
"""Below, GGX's peak overflows what a picture can show (Filament 2018, §4.8.3.3, float32)."""
MIN_NOV = wp.constant(1.0e-4)
"""Keeps the visibility term finite where an interpolated normal looks away from the viewer."""
SOFT_CLAMP = wp.constant(0.02)
"""Width of the soft clamp at zero as a part of the environment's mean radiance: what it adds
to a lit pixel stays below half a step of an 8-bit picture."""


@wp.func
def soft_clamp(x: wp.vec3, mean: wp.vec3) -> wp.vec3:
    """max(x, 0) with a rounded corner as wide as SOFT_CLAMP * mean; 0 in the dark."""
    t = SOFT_CLAMP * mean
    root = wp.vec3(
        wp.sqrt(x[0] * x[0] + t[0] * t[0]),
        wp.sqrt(x[1] * x[1] + t[1] * t[1]),
        wp.sqrt(x[2] * x[2] + t[2] * t[2]),
    )
    return 0.5 * (x + root)


@wp.func
def soft_clamp_slopes(x: float, mean: float) -> wp.vec2:
    """(d/dx, d/dmean) of one component of soft_clamp."""
    t = SOFT_CLAMP * mean
    root = wp.sqrt(x * x + t * t)
    if root < 1.0e-20:  # no environment at all: the slope of the clamp at its corner
        return wp.vec2(0.5, 0.0)
    return wp.vec2(0.5 + 0.5 * x / root, 0.5 * SOFT_CLAMP * t / root)


@wp.func
def dfg_terms(nov: float, alpha: float) -> wp.vec4:
    """Numerators and denominators of the rational fit below, as (A, B, 1/A', 1/B') parts."""
    x = nov
    y = alpha
    r = wp.vec4(0.1003, 0.9345, 1.0, 1.0)
    r += wp.vec4(-0.6303, -2.323, -1.765, 0.2281) * x
    r += wp.vec4(9.748, 2.229, 8.263, 15.94) * y
    r += wp.vec4(-2.038, -3.748, 11.53, -55.83) * (x * y)
    r += wp.vec4(29.34, 1.424, 28.96, 13.08) * (x * x)
    r += wp.vec4(-8.245, -0.7684, -7.507, 41.26) * (y * y)
    r += wp.vec4(-26.44, 1.436, -36.11, 54.9) * (x * x * y)
    r += wp.vec4(19.99, 0.2913, 15.86, 300.2) * (x * y * y)
    r += wp.vec4(-5.448, 0.6286, 33.37, -285.1) * (x * x * y * y)
    return r


@wp.func
def dfg(nov: float, alpha: float) -> wp.vec2:
    """Split-sum terms (A, B): the lobe's directional albedo is f0 * A + B.

    Rational fit to GGX with height-correlated Smith: MaterialX 1.38,
    mx_ggx_dir_albedo_analytic; within 0.01 on average (tests/property/test_furnace.py).
    """
    r = dfg_terms(nov, alpha)
    return wp.vec2(r[0] / r[2], r[1] / r[3])


@wp.func
def dfg_slopes(nov: float, alpha: float) -> wp.vec4:
    """(dA/dnov, dB/dnov, dA/dalpha, dB/dalpha) of dfg."""
    x = nov
    y = alpha
    r = dfg_terms(x, y)
    rx = wp.vec4(-0.6303, -2.323, -1.765, 0.2281)
    rx += wp.vec4(-2.038, -3.748, 11.53, -55.83) * y
    rx += wp.vec4(29.34, 1.424, 28.96, 13.08) * (2.0 * x)
    rx += wp.vec4(-26.44, 1.436, -36.11, 54.9) * (2.0 * x * y)
    rx += wp.vec4(19.99, 0.2913, 15.86, 300.2) * (y * y)
    rx += wp.vec4(-5.448, 0.6286, 33.37, -285.1) * (2.0 * x * y * y)
    ry = wp.vec4(9.748, 2.229, 8.263, 15.94)
    ry += wp.vec4(-2.038, -3.748, 11.53, -55.83) * x
    ry += wp.vec4(-8.245, -0.7684, -7.507, 41.26) * (2.0 * y)
    ry += wp.vec4(-26.44, 1.436, -36.11, 54.9) * (x * x)
    ry += wp.vec4(19.99, 0.2913, 15.86, 300.2) * (2.0 * x * y)
    ry += wp.vec4(-5.448, 0.6286, 33.37, -285.1) * (2.0 * x * x * y)
    a = r[0] / r[2]
    b = r[1] / r[3]
    return wp.vec4(
        (rx[0] - a * rx[2]) / r[2],
        (rx[1] - b * rx[3]) / r[3],
        (ry[0] - a * ry[2]) / r[2],
        (ry[1] - b * ry[3]) / r[3],
    )


@wp.func
def lobe_blur(alpha: float) -> float:
    """k of the GGX lobe's zonal harmonics exp(-l (l + 1) k), the heat kernel on the sphere.

    Least-squares fit over perceptual roughness 0.045..1 and bands 0..4 to the numeric
    convolution of D_GGX * NoL around the reflection vector (view along the normal, as in
    the split sum, Karis 2013); worst 0.054, mean 0.012 (tests/unit/test_shading.py).
    """
    return alpha * alpha / (0.255 + 2.494 * alpha + 1.338 * alpha * alpha)


@wp.func
def lobe_blur_slope(alpha: float) -> float:
    """d lobe_blur / d alpha."""
    q = 0.255 + 2.494 * alpha + 1.338 * alpha * alpha
    return alpha * (2.0 * 0.255 + 2.494 * alpha) / (q * q)
