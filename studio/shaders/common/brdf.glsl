// Terms of the glTF metallic-roughness BRDF. The same names and formulas stand in
// studio/core/kernels/brdf.py and ggx.py; change both together.

const float PI = 3.14159265358979;
// Below, GGX's peak overflows what a picture can show (Filament 2018, 4.8.3.3, float32).
const float MIN_PERCEPTUAL_ROUGHNESS = 0.045;
// Keeps visibility finite where an interpolated normal looks away from the viewer.
const float MIN_NOV = 1.0e-4;

// pi * D, Walter et al. 2007; nxh2 = |n x h|^2 stays exact where 1 - NoH^2 cancels.
float D_GGX(float NoH, float nxh2, float alpha) {
    float k = alpha / (nxh2 + alpha * alpha * NoH * NoH);
    return k * k;
}

// Height-correlated Smith visibility, Heitz 2014.
float V_SmithGGXCorrelated(float NoV, float NoL, float alpha) {
    float a2 = alpha * alpha;
    float gv = NoL * sqrt(NoV * NoV * (1.0 - a2) + a2);
    float gl = NoV * sqrt(NoL * NoL * (1.0 - a2) + a2);
    return 0.5 / (gv + gl);
}

// (1 - LoH)^5: F = f0 + (1 - f0) * weight, Schlick 1994.
float F_Schlick_weight(float LoH) {
    float u = 1.0 - LoH;
    float u2 = u * u;
    return u2 * u2 * u;
}

// Split-sum terms (A, B): the lobe's directional albedo is f0 * A + B.
// Rational fit of MaterialX 1.38, mx_ggx_dir_albedo_analytic.
vec2 dfg(float NoV, float alpha) {
    float x = NoV, y = alpha, x2 = x * x, y2 = y * y;
    vec4 r = vec4(0.1003, 0.9345, 1.0, 1.0) + vec4(-0.6303, -2.323, -1.765, 0.2281) * x +
             vec4(9.748, 2.229, 8.263, 15.94) * y + vec4(-2.038, -3.748, 11.53, -55.83) * (x * y) +
             vec4(29.34, 1.424, 28.96, 13.08) * x2 + vec4(-8.245, -0.7684, -7.507, 41.26) * y2 +
             vec4(-26.44, 1.436, -36.11, 54.9) * (x2 * y) + vec4(19.99, 0.2913, 15.86, 300.2) * (x * y2) +
             vec4(-5.448, 0.6286, 33.37, -285.1) * (x2 * y2);
    return r.xy / r.zw;
}

// Factor for light scattered more than once between microfacets.
// Lagarde and Golubev 2018 after Kulla and Conty 2017: 1 + f0 (1 / E - 1).
vec3 compensation(vec3 f0, vec2 ab) {
    return 1.0 + f0 * (1.0 / (ab.x + ab.y) - 1.0);
}

// What a dielectric reflects without entering; the rest feeds the diffuse part.
float dielectric_reflectance(float f0, vec2 ab) {
    return (f0 * ab.x + ab.y) * (1.0 + f0 * (1.0 / (ab.x + ab.y) - 1.0));
}
