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

// Split-sum terms (A, B): the lobe's directional albedo is f0 * A + B. The fit is described in brdf.py.
vec2 dfg(float NoV, float alpha) {
    float x = NoV, y = alpha, a2 = alpha * alpha;
    float g = 2.0 * x / (x + sqrt(x * x * (1.0 - a2) + a2));  // Smith's masking
    vec3 r = vec3(0.0532134, 0.939816, 1.0) +
             vec3(23.9215, -0.750637, 56.4013) * x +
             vec3(11.2644, -1.36556, 9.64118) * y +
             vec3(-0.116597, 1.19298, 1.25593) * g +
             vec3(15.4453, -13.5522, 1.86652) * (x * x) +
             vec3(-60.0, 7.46351, 2.13129) * (x * y) +
             vec3(1.89238, 2.2136, 4.52841) * (y * y) +
             vec3(-23.9153, 12.9799, -55.5436) * (x * g) +
             vec3(5.53989, -1.33376, -13.6725) * (y * g) +
             vec3(0.142235, -2.28699, -1.88999) * (g * g) +
             vec3(-0.0074846, 0.160448, 0.0) * (x * x * x) +
             vec3(6.28986, -6.99106, 0.0) * (x * x * y) +
             vec3(-25.0476, 10.0886, 0.0) * (x * y * y) +
             vec3(0.828822, -1.06549, 0.0) * (y * y * y) +
             vec3(-14.1103, 13.9466, 0.0) * (x * x * g) +
             vec3(52.6672, 1.71691, 0.0) * (x * y * g) +
             vec3(22.72, -10.789, 0.0) * (y * y * g) +
             vec3(1.75263, -13.1143, 0.0) * (x * g * g) +
             vec3(-17.4393, -0.0165225, 0.0) * (y * g * g) +
             vec3(-0.0755501, 0.512701, 0.0) * (g * g * g);
    return r.xy / r.z;
}

// What scatters more than once between microfacets, as a part of what scatters once: a lobe of
// reflectance f0 is compensated by 1 + f0 * lost. Lagarde and Golubev 2018 after Kulla and Conty 2017.
float lost(vec2 ab) {
    return 1.0 / (ab.x + ab.y) - 1.0;
}

// f0 * p + q, compensated, mixed from a dielectric's f0 and a metal's, each with its own compensation.
vec3 specular(float f0, vec3 albedo, float metallic, vec2 ab, vec3 p, vec3 q) {
    float more = lost(ab);
    vec3 dielectric = (1.0 + f0 * more) * (f0 * p + q);
    vec3 metal = (1.0 + albedo * more) * (albedo * p + q);
    return mix(dielectric, metal, metallic);
}

// Part of the light that a dielectric does not reflect; it feeds the diffuse part.
float entering(float f0, vec2 ab) {
    return 1.0 - (f0 * ab.x + ab.y) * (1.0 + f0 * lost(ab));
}

// Share of the lobe's environment that ambient occlusion leaves: Lagarde and de Rousiers 2014, 4.10.
float specular_occlusion(float NoV, float ao, float alpha) {
    return clamp(pow(max(NoV + ao, 1.0e-6), exp2(-16.0 * alpha - 1.0)) - 1.0 + ao, 0.0, 1.0);
}
