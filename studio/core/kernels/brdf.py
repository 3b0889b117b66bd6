"""Terms of the glTF metallic-roughness BRDF and their derivatives, as C++ of lanes (see lanes.py).

The same names and formulas stand in studio/shaders/common/brdf.glsl; change both together.
Derivatives are written out: the callers' adjoints are by hand (see kernels/shade_adjoint.py).
"""

from __future__ import annotations

MIN_PERCEPTUAL_ROUGHNESS = 0.045
"""Below, GGX's peak overflows what a picture can show (Filament 2018, §4.8.3.3, float32)."""
MIN_NOV = 1.0e-4
"""Keeps the visibility term finite where an interpolated normal looks away from the viewer."""
SOFT_CLAMP = 0.02
"""Width of the soft clamp at zero as a part of the environment's mean radiance: what it adds
to a lit pixel stays below half a step of an 8-bit picture."""

# Coefficients of dfg over the monomials of dfg_parts; made by assets/fit_dfg.py.
# fmt: off
DFG_A = (
    0.0532134, 23.9215, 11.2644, -0.116597, 15.4453, -60.0, 1.89238, -23.9153, 5.53989, 0.142235,
    -0.0074846, 6.28986, -25.0476, 0.828822, -14.1103, 52.6672, 22.72, 1.75263, -17.4393, -0.0755501,
)
DFG_B = (
    0.939816, -0.750637, -1.36556, 1.19298, -13.5522, 7.46351, 2.2136, 12.9799, -1.33376, -2.28699,
    0.160448, -6.99106, 10.0886, -1.06549, 13.9466, 1.71691, -10.789, -13.1143, -0.0165225, 0.512701,
)
DFG_BELOW = (
    1.0, 56.4013, 9.64118, 1.25593, 1.86652, 2.13129, 4.52841, -55.5436, -13.6725, -1.88999,
)
# fmt: on


def numbers(values: tuple[float, ...]) -> str:
    """Python numbers as a C++ list."""
    return ", ".join(f"{v!r}f" for v in values)


LIMITS = f"""
    constexpr float MIN_ROUGHNESS = {MIN_PERCEPTUAL_ROUGHNESS}f, MIN_NOV = {MIN_NOV}f;
    constexpr float SOFT_CLAMP = {SOFT_CLAMP}f;
"""

# max(x, 0) with a rounded corner as wide as SOFT_CLAMP * mean; 0 in the dark.
_SOFT_CLAMP = """
    struct SoftClamp {
        static F root(F x, float mean) {
            const float t = SOFT_CLAMP * mean;
            return Each::sqrt(x * x + t * t);
        }
        static V value(V x, const float* mean) {
            const V r = {root(x.x, mean[0]), root(x.y, mean[1]), root(x.z, mean[2])};
            return (x + r) * F(0.5f);
        }
        struct Slope { F x, mean; };
        static Slope slope(F x, float mean) {
            const F r = root(x, mean);
            const auto dark = r < 1.0e-20f;  // no environment at all: the slope at the corner
            const F inverse = 1.0f / (dark ? F(1.0f) : r);
            const F along = 0.5f + 0.5f * x * inverse;
            const F of_mean = (0.5f * SOFT_CLAMP * SOFT_CLAMP * mean) * inverse;
            return {dark ? F(0.5f) : along, dark ? F(0.0f) : of_mean};
        }
    };
"""

# Split-sum terms (A, B): the lobe's directional albedo is f0 * A + B. Minimax rational fit to
# quadrature of GGX with height-correlated Smith and Schlick's Fresnel over nov 0.02..1 and
# perceptual roughness 0.045..1: A and B within 0.009, their sum within 0.9 % of itself; nearer to
# grazing within 0.03 (tests/property/test_furnace.py). x is nov, y alpha, g Smith's masking of the
# view direction (Walter et al. 2007), which makes the fit smooth.
_DFG = f"""
    struct Dfg {{
        F a, b;
        struct Coefficients {{
            float a[20] = {{{numbers(DFG_A)}}};
            float b[20] = {{{numbers(DFG_B)}}};
            float below[10] = {{{numbers(DFG_BELOW)}}};
        }};
        struct Parts {{ F a, b, below; }};
        // Numerators of A and B and their common denominator.
        static Parts parts(F x, F y, F g) {{
            const Coefficients c;
            const F xx = x * x, yy = y * y, gg = g * g;
            const F m[20] = {{F(1.0f), x, y, g, xx, x * y, yy, x * g, y * g, gg, x * xx, xx * y, x * yy,
                             y * yy, xx * g, x * y * g, yy * g, x * gg, y * gg, g * gg}};
            Parts out = {{F(0.0f), F(0.0f), F(0.0f)}};
            for (int i = 0; i < 20; ++i) {{
                out.a += c.a[i] * m[i];
                out.b += c.b[i] * m[i];
            }}
            for (int i = 0; i < 10; ++i) out.below += c.below[i] * m[i];
            return out;
        }}
        static F root(F nov, F alpha) {{
            const F a2 = alpha * alpha;
            return Each::sqrt(nov * nov * (1.0f - a2) + a2);
        }}
        static Dfg of(F nov, F alpha) {{
            const Parts r = parts(nov, alpha, 2.0f * nov / (nov + root(nov, alpha)));
            const F inverse = 1.0f / r.below;
            return {{r.a * inverse, r.b * inverse}};
        }}
"""

_DFG_SLOPES = """
        // Gradient along (x, y, g) of a polynomial over the first ten monomials, and over all.
        static V quadratic(const float* c, F x, F y, F g) {
            return {c[1] + 2.0f * c[4] * x + c[5] * y + c[7] * g,
                    c[2] + c[5] * x + 2.0f * c[6] * y + c[8] * g,
                    c[3] + c[7] * x + c[8] * y + 2.0f * c[9] * g};
        }
        static V polynomial(const float* c, F x, F y, F g) {
            const V cubic = {
                3.0f * c[10] * x * x + 2.0f * x * (c[11] * y + c[14] * g) + c[12] * y * y + c[15] * y * g
                    + c[17] * g * g,
                c[11] * x * x + 2.0f * y * (c[12] * x + c[16] * g) + 3.0f * c[13] * y * y + c[15] * x * g
                    + c[18] * g * g,
                c[14] * x * x + c[15] * x * y + c[16] * y * y + 2.0f * g * (c[17] * x + c[18] * y)
                    + 3.0f * c[19] * g * g};
            return quadratic(c, x, y, g) + cubic;
        }
        // Along nov and along alpha.
        struct Slopes { F a_nov, b_nov, a_alpha, b_alpha; };
        static Slopes slopes(F x, F y) {
            const Coefficients c;
            const F z = root(x, y), g = 2.0f * x / (x + z);
            const Parts r = parts(x, y, g);
            const F inverse = 1.0f / r.below;
            const V d = quadratic(c.below, x, y, g);
            const V da = (polynomial(c.a, x, y, g) - d * (r.a * inverse)) * inverse;
            const V db = (polynomial(c.b, x, y, g) - d * (r.b * inverse)) * inverse;
            const F steep = 2.0f * y / (z * (x + z) * (x + z));
            const F g_x = steep * y, g_y = -steep * x * (1.0f - x * x);
            return {da.x + g_x * da.z, db.x + g_x * db.z, da.y + g_y * da.z, db.y + g_y * db.z};
        }
    };
"""

# k of the GGX lobe's zonal harmonics exp(-l (l + 1) k), the heat kernel on the sphere.
#
# Least-squares fit over perceptual roughness 0.045..1 and bands 0..4 to the numeric
# convolution of D_GGX * NoL around the reflection vector (view along the normal, as in
# the split sum, Karis 2013); worst 0.054, mean 0.012 (tests/unit/test_shading.py).
LOBE_BLUR = """
    struct LobeBlur {
        static F value(F alpha) { return alpha * alpha / (0.255f + alpha * (2.494f + 1.338f * alpha)); }
        static F slope(F alpha) {
            const F q = 0.255f + alpha * (2.494f + 1.338f * alpha);
            return alpha * (0.51f + 2.494f * alpha) / (q * q);
        }
    };
"""

# Share of the lobe's environment that ambient occlusion leaves: Lagarde and de Rousiers 2014,
# "Moving Frostbite to Physically Based Rendering", section 4.10. pow(nov + ao, t) - 1 + ao.
_OCCLUSION = """
    struct SpecularOcclusion {
        static F exponent(F alpha) { return Each::exp2(-16.0f * alpha - 1.0f); }
        static F value(F nov, F ao, F alpha) {
            const F base = Each::max(nov + ao, F(1.0e-6f));
            return Each::clamp(Each::exp2(exponent(alpha) * Each::log2(base)) - 1.0f + ao, 0.0f, 1.0f);
        }
        struct Slopes { F nov, ao, alpha; };
        static Slopes slopes(F nov, F ao, F alpha) {
            const F base = Each::max(nov + ao, F(1.0e-6f)), t = exponent(alpha), log = Each::log2(base);
            const F power = Each::exp2(t * log), raw = power - 1.0f + ao, none = F(0.0f);
            const F slope = t * power / base;
            const F of_alpha = power * log * t * (-16.0f * 0.48045301f);  // ln(2)^2
            const auto clamped = (raw <= 0.0f) | (raw >= 1.0f);
            return {clamped ? none : slope, clamped ? none : slope + 1.0f, clamped ? none : of_alpha};
        }
    };
"""

BRDF = LIMITS + _SOFT_CLAMP + _DFG + _DFG_SLOPES + LOBE_BLUR + _OCCLUSION
