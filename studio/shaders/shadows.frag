// Shadows of direct lights; the twin of studio/core/effects/shadows.py.
#include "common/frame.glsl"
#include "common/shadow.glsl"
#if defined(HALF) && defined(PASS_MAIN)
#define SPREAD  // what the pass at half size has found; the thickness is not worth a pass of its own
#include "common/spread.glsl"
uniform sampler2D u_dark;
#endif

uniform float u_bias;
uniform float u_light_bleeding;
uniform int u_pcf_radius;

#ifdef WRITE_DARK
layout(location = WRITE_DARK) out vec4 f_dark;  // 1 - shadow: 0 where nothing is
#endif
#ifdef WRITE_SHADOW
layout(location = WRITE_SHADOW) out vec4 f_shadow;
#endif
#ifdef WRITE_THICKNESS
layout(location = WRITE_THICKNESS) out vec4 f_thickness;
#endif

vec4 shadow = vec4(1.0);
vec4 thickness = vec4(0.0);

// What arrives of a light whose map is `faces` tiles from `first` on.
void shade(int light, int first, int faces, vec3 p, vec3 n) {
    int number = choose_tile(first, faces, p);
    Tile tile = Tile(u_shadow_places[number], u_shadow_lenses[number], u_shadow_ranges[number]);
    Receiver at = receive(number, tile, p, n, u_bias);
#ifndef SPREAD
#if MODE == 2
    float seen = soft_visibility(tile, at, u_shadow_sizes[light], u_light_bleeding);
#elif MODE == 1
    float seen = hard_visibility(tile, at, u_pcf_radius);
#else
    float seen = hard_visibility(tile, at, 0);
#endif
    shadow[light] = at.inside ? seen : 1.0;
#endif
#ifdef WRITE_THICKNESS
    float slant = sqrt(1.0 + tile.range.x * dot(at.xy, at.xy));
    float behind = max(at.t - moments(tile, 0.0, at.uv).x, 0.0) * tile.lens.z * slant;
    thickness[light] = at.inside ? behind : 0.0;
#endif
}

// Software OpenGL runs both sides of a branch, so lights without a map are left out by name.
void main() {
    vec2 xy = vec2(pixel()) + 0.5;
    vec4 position = texel(u_gbuffer_position, xy);
    vec3 p = position.xyz, n = texel(u_gbuffer_normal, xy).xyz;
#ifdef SHADOW_0
    shade(0, SHADOW_0, p, n);
#endif
#ifdef SHADOW_1
    shade(1, SHADOW_1, p, n);
#endif
#ifdef SHADOW_2
    shade(2, SHADOW_2, p, n);
#endif
#ifdef SHADOW_3
    shade(3, SHADOW_3, p, n);
#endif
#ifdef SPREAD
    shadow = 1.0 - spread(u_dark, xy, n, position.w);
#endif
#ifdef WRITE_DARK
    f_dark = 1.0 - shadow;
#endif
#ifdef WRITE_SHADOW
    f_shadow = shadow;
#endif
#ifdef WRITE_THICKNESS
    f_thickness = thickness;
#endif
}
