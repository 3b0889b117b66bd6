// Screen-space reflections; the twin of studio/core/effects/ssr.py and kernels/ssr.py.
#include "common/frame.glsl"
#include "common/pyramid.glsl"
#include "common/ssr.glsl"
#include "common/spread.glsl"

uniform sampler2D u_reflectance, u_reflection;
uniform sampler2D u_level1, u_level2, u_level3, u_level4, u_level5;
uniform sampler2D u_trace;  // rgb radiance times weight, a weight

uniform float u_strength;
uniform int u_steps;
uniform int u_bisections;
uniform float u_surface_thickness;        // of the depth
uniform float u_edge_fade;        // of the picture's side
uniform float u_roughness_limit;
uniform float u_firefly_limit;

// Colour and coverage of a full pixel: level 0 of the pyramid.
vec4 finest(vec2 p) {
    return min(texel(u_color, p + 0.5), vec4(vec3(u_firefly_limit), 1.0));
}

vec4 finest_at(vec2 xy) {
    vec2 p = floor(xy - 0.5), f = xy - 0.5 - p;
    vec4 low = mix(finest(p), finest(p + vec2(1, 0)), f.x);
    return mix(low, mix(finest(p + vec2(0, 1)), finest(p + vec2(1, 1)), f.x), f.y);
}

// The pyramid between two of its levels. All are looked up, each once: branches would save none.
vec4 pyramid_at(float level, vec2 xy) {
    vec4 low = clamp(1.0 - abs(level - vec4(0.0, 1.0, 2.0, 3.0)), 0.0, 1.0);
    vec2 high = clamp(1.0 - abs(level - vec2(4.0, 5.0)), 0.0, 1.0);
    vec4 sum = low.x * finest_at(xy) + low.y * level_at(u_level1, 1, xy) + low.z * level_at(u_level2, 2, xy);
    sum += low.w * level_at(u_level3, 3, xy);
    return sum + high.x * level_at(u_level4, 4, xy) + high.y * level_at(u_level5, 5, xy);
}

// Radiance times weight, and weight, that pixel p mirrors.
vec4 trace(ivec2 p) {
    float d = depth_at(p);
    vec2 own = vec2(p) + 0.5;
    vec4 normal = texel(u_gbuffer_normal, own);
    float rough = normal.w;
    if (rough >= u_roughness_limit) return vec4(0.0);
    vec3 from = view_point(own, d);
    vec3 v = normalize(view_point(own, 1.0));
    vec3 n = mat3(u_world_to_view) * normal.xyz;
    float cosine = -dot(v, n);
    vec3 r = v + 2.0 * cosine * n;
    if (cosine <= 0.0 || r.z >= AWAY_FADE.y) return vec4(0.0);
    float t = march(own, from, r, u_steps, u_bisections, u_surface_thickness);
    if (t <= 0.0) return vec4(0.0);
    vec3 q = from + t * r;
    float z = -q.z;
    vec2 xy = to_pixel(q);
    float weight = agreement(cell_at(xy), z, u_surface_thickness * z);
    weight *= border_fade(xy.x, u_size.x, u_edge_fade) * border_fade(xy.y, u_size.y, u_edge_fade);
    weight *= smoothstep(NEAR_FADE.x, NEAR_FADE.y, length(xy - own));
    weight *= smoothstep(0.0, GRAZING, cosine);
    weight *= 1.0 - smoothstep(AWAY_FADE.x, AWAY_FADE.y, r.z);
    weight *= 1.0 - smoothstep(ROUGH_FADE * u_roughness_limit, u_roughness_limit, rough);
    return weight * pyramid_at(min(level_of(rough * rough, t, z), 5.0), xy);
}

#if defined(PASS_LEVEL1)
layout(location = WRITE_LEVEL1) out vec4 f_out;
void main() {
    vec2 p = 2.0 * gl_FragCoord.xy - 1.0;
    f_out = 0.25 * (finest(p) + finest(p + vec2(1, 0)) + finest(p + vec2(0, 1)) + finest(p + vec2(1, 1)));
}
#elif defined(PASS_LEVEL2)
layout(location = WRITE_LEVEL2) out vec4 f_out;
void main() { f_out = halved(u_level1, ivec2(gl_FragCoord.xy)); }
#elif defined(PASS_LEVEL3)
layout(location = WRITE_LEVEL3) out vec4 f_out;
void main() { f_out = halved(u_level2, ivec2(gl_FragCoord.xy)); }
#elif defined(PASS_LEVEL4)
layout(location = WRITE_LEVEL4) out vec4 f_out;
void main() { f_out = halved(u_level3, ivec2(gl_FragCoord.xy)); }
#elif defined(PASS_LEVEL5)
layout(location = WRITE_LEVEL5) out vec4 f_out;
void main() { f_out = halved(u_level4, ivec2(gl_FragCoord.xy)); }
#elif defined(PASS_TRACE)
layout(location = WRITE_TRACE) out vec4 f_out;
void main() {
    f_out = trace(pixel());
}
#else
layout(location = WRITE_COLOR) out vec4 f_color;
void main() {
#ifdef HALF
    vec4 seen = spread(u_trace, gl_FragCoord.xy);
#else
    vec4 seen = texture(u_trace, v_uv);
#endif
    vec3 added = seen.rgb - seen.a * texture(u_reflection, v_uv).rgb;
    f_color = vec4(u_strength * texture(u_reflectance, v_uv).rgb * added, 0.0);
}
#endif
