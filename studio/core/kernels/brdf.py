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


vec10 = wp.types.vector(length=10, dtype=wp.float32)
vec20 = wp.types.vector(length=20, dtype=wp.float32)

# Coefficients of dfg over the monomials of dfg_parts; made by assets/fit_dfg.py.
# fmt: off
DFG_A = wp.constant(vec20(
    0.0532134, 23.9215, 11.2644, -0.116597, 15.4453, -60.0, 1.89238, -23.9153, 5.53989, 0.142235,
    -0.0074846, 6.28986, -25.0476, 0.828822, -14.1103, 52.6672, 22.72, 1.75263, -17.4393, -0.0755501,
))
DFG_B = wp.constant(vec20(
    0.939816, -0.750637, -1.36556, 1.19298, -13.5522, 7.46351, 2.2136, 12.9799, -1.33376, -2.28699,
    0.160448, -6.99106, 10.0886, -1.06549, 13.9466, 1.71691, -10.789, -13.1143, -0.0165225, 0.512701,
))
DFG_BELOW = wp.constant(vec10(
    1.0, 56.4013, 9.64118, 1.25593, 1.86652, 2.13129, 4.52841, -55.5436, -13.6725, -1.88999,
))
# fmt: on


@wp.func
def dfg_parts(x: float, y: float, g: float) -> wp.vec3:
    """Numerators of A and B and their common denominator."""
    xx = x * x
    yy = y * y
    gg = g * g
    low = vec10(1.0, x, y, g, xx, x * y, yy, x * g, y * g, gg)
    high = vec10(x * xx, xx * y, x * yy, y * yy, xx * g, x * y * g, yy * g, x * gg, y * gg, g * gg)
    a = float(0.0)
    b = float(0.0)
    below = float(0.0)
    for i in range(10):
        a += DFG_A[i] * low[i] + DFG_A[10 + i] * high[i]
        b += DFG_B[i] * low[i] + DFG_B[10 + i] * high[i]
        below += DFG_BELOW[i] * low[i]
    return wp.vec3(a, b, below)


@wp.func
def dfg_masking(nov: float, alpha: float) -> float:
    """Smith's masking of the view direction, Walter et al. 2007: what makes the fit smooth."""
    a2 = alpha * alpha
    return 2.0 * nov / (nov + wp.sqrt(nov * nov * (1.0 - a2) + a2))


@wp.func
def dfg(nov: float, alpha: float) -> wp.vec2:
    """Split-sum terms (A, B): the lobe's directional albedo is f0 * A + B.

    Minimax rational fit to quadrature of GGX with height-correlated Smith and Schlick's
    Fresnel over nov 0.02..1 and perceptual roughness 0.045..1: A and B within 0.009, their sum
    within 0.9 % of itself; nearer to grazing within 0.03 (tests/property/test_furnace.py).
    """
    r = dfg_parts(nov, alpha, dfg_masking(nov, alpha))
    return wp.vec2(r[0] / r[2], r[1] / r[2])


@wp.func
def dfg_quadratic_gradient(c: vec10, x: float, y: float, g: float) -> wp.vec3:
    """Gradient along (x, y, g) of a polynomial over `low` of dfg_parts."""
    return wp.vec3(
        c[1] + 2.0 * c[4] * x + c[5] * y + c[7] * g,
        c[2] + c[5] * x + 2.0 * c[6] * y + c[8] * g,
        c[3] + c[7] * x + c[8] * y + 2.0 * c[9] * g,
    )


@wp.func
def dfg_polynomial_gradient(c: vec20, x: float, y: float, g: float) -> wp.vec3:
    """Gradient along (x, y, g) of one over `low` and `high`."""
    quadratic = vec10(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9])
    cubic = wp.vec3(
        3.0 * c[10] * x * x
        + 2.0 * x * (c[11] * y + c[14] * g)
        + c[12] * y * y
        + c[15] * y * g
        + c[17] * g * g,
        c[11] * x * x
        + 2.0 * y * (c[12] * x + c[16] * g)
        + 3.0 * c[13] * y * y
        + c[15] * x * g
        + c[18] * g * g,
        c[14] * x * x
        + c[15] * x * y
        + c[16] * y * y
        + 2.0 * g * (c[17] * x + c[18] * y)
        + 3.0 * c[19] * g * g,
    )
    return dfg_quadratic_gradient(quadratic, x, y, g) + cubic


@wp.func
def dfg_slopes(nov: float, alpha: float) -> wp.vec4:
    """(dA/dnov, dB/dnov, dA/dalpha, dB/dalpha) of dfg."""
    x = nov
    y = alpha
    a2 = y * y
    z = wp.sqrt(x * x * (1.0 - a2) + a2)
    g = 2.0 * x / (x + z)
    r = dfg_parts(x, y, g)
    below = r[2]
    a = r[0] / below
    b = r[1] / below
    # Gradient of each of the three polynomials along x, y and g.
    na = dfg_polynomial_gradient(DFG_A, x, y, g)
    nb = dfg_polynomial_gradient(DFG_B, x, y, g)
    d = dfg_quadratic_gradient(DFG_BELOW, x, y, g)
    da = (na - a * d) / below
    db = (nb - b * d) / below
    g_x = 2.0 * a2 / (z * (x + z) * (x + z))
    g_y = -2.0 * x * y * (1.0 - x * x) / (z * (x + z) * (x + z))
    return wp.vec4(da[0] + g_x * da[2], db[0] + g_x * db[2], da[1] + g_y * da[2], db[1] + g_y * db[2])


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


@wp.func
def specular_occlusion(nov: float, ao: float, alpha: float) -> float:
    """Share of the lobe's environment that ambient occlusion leaves.

    Lagarde and de Rousiers 2014, "Moving Frostbite to Physically Based Rendering", section 4.10.
    """
    base = wp.max(nov + ao, 1.0e-6)
    return wp.clamp(wp.pow(base, wp.pow(2.0, -16.0 * alpha - 1.0)) - 1.0 + ao, 0.0, 1.0)


@wp.func
def specular_occlusion_slopes(nov: float, ao: float, alpha: float) -> wp.vec3:
    """(d/dnov, d/dao, d/dalpha) of specular_occlusion."""
    base = wp.max(nov + ao, 1.0e-6)
    t = wp.pow(2.0, -16.0 * alpha - 1.0)
    power = wp.pow(base, t)
    value = power - 1.0 + ao
    if value <= 0.0 or value >= 1.0:
        return wp.vec3(0.0, 0.0, 0.0)
    slope = t * power / base
    return wp.vec3(slope, slope + 1.0, power * wp.log(base) * t * (-16.0 * 0.6931472))
