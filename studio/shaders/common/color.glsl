// Tone curves on linear light; the twins of the functions in studio/core/effects/tonemap.py, which
// sends matrices and polynomials.

uniform mat4 u_into;
uniform mat4 u_out_of;
uniform vec2 u_agx_stops;
uniform float u_agx_sigmoid[7];

// Narkowicz 2015, "ACES Filmic Tone Mapping Curve", not clamped.
vec3 aces(vec3 x) {
    return (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
}

// Hill 2016: fit of RRT and ODT.
vec3 aces_fit(vec3 x) {
    return (x * (x + 0.0245786) - 0.000090537) / (x * (0.983729 * x + 0.4329510) + 0.238081);
}

// Sobotka's AgX as a polynomial of Wrensch 2023.
vec3 agx(vec3 x) {
    vec3 t = (log2(max(x, exp2(u_agx_stops.x))) - u_agx_stops.x) / (u_agx_stops.y - u_agx_stops.x);
    t = min(t, 1.0);
    vec3 sum = vec3(u_agx_sigmoid[6]);
    for (int i = 5; i >= 0; i--) sum = sum * t + u_agx_sigmoid[i];
    return sum;
}

// Khronos 2024, "Khronos PBR Neutral Tone Mapper".
vec3 neutral(vec3 x) {
    float least = min(x.r, min(x.g, x.b));
    vec3 color = x - (least < 0.08 ? least - 6.25 * least * least : 0.04);
    float peak = max(color.r, max(color.g, color.b));
    const float start = 0.8 - 0.04, room = 1.0 - start;
    if (peak < start) return color;
    float pressed = 1.0 - room * room / (peak + room - start);
    float grey = 1.0 - 1.0 / (0.15 * (peak - pressed) + 1.0);
    return mix(color * (pressed / peak), vec3(pressed), grey);
}

// Curve 0 linear, 1 aces, 2 aces_fit, 3 neutral, 4 agx.
vec3 toned(vec3 color, int curve) {
    if (curve == 0) return color;
    vec3 x = max(color, 0.0);
    if (curve == 1) return aces(x);
    if (curve == 3) return neutral(x);
    mat3 into = mat3(u_into), out_of = mat3(u_out_of);
    if (curve == 2) return out_of * aces_fit(into * x);
    return pow(max(out_of * agx(into * x), 0.0), vec3(2.2));
}
