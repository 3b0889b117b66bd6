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

// The maps of lights that have one, by light; cubes are in arrays.
uniform mat4 u_shadow_matrix_0, u_shadow_matrix_1, u_shadow_matrix_2, u_shadow_matrix_3;
uniform vec4 u_shadow_place_0, u_shadow_place_1, u_shadow_place_2, u_shadow_place_3;
uniform vec4 u_shadow_lens_0, u_shadow_lens_1, u_shadow_lens_2, u_shadow_lens_3;
uniform vec4 u_shadow_range_0, u_shadow_range_1, u_shadow_range_2, u_shadow_range_3;
uniform float u_shadow_sizes[4];

vec4 shadow = vec4(1.0);
vec4 thickness = vec4(0.0);

// What arrives of a light that has its map in a tile.
void shade(int light, Tile tile, float size, vec3 p, vec3 n) {
    Receiver at = receive(tile, p, n, u_bias);
#ifndef SPREAD
#if MODE == 2
    float seen = soft_visibility(tile, at, size, u_light_bleeding);
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
#ifdef MAP_0
    shade(0, Tile(u_shadow_matrix_0, u_shadow_place_0, u_shadow_lens_0, u_shadow_range_0), u_shadow_sizes[0], p, n);
#elif defined(CUBE_0)
    shade(0, face_of(CUBE_0, p), u_shadow_sizes[0], p, n);
#endif
#ifdef MAP_1
    shade(1, Tile(u_shadow_matrix_1, u_shadow_place_1, u_shadow_lens_1, u_shadow_range_1), u_shadow_sizes[1], p, n);
#elif defined(CUBE_1)
    shade(1, face_of(CUBE_1, p), u_shadow_sizes[1], p, n);
#endif
#ifdef MAP_2
    shade(2, Tile(u_shadow_matrix_2, u_shadow_place_2, u_shadow_lens_2, u_shadow_range_2), u_shadow_sizes[2], p, n);
#elif defined(CUBE_2)
    shade(2, face_of(CUBE_2, p), u_shadow_sizes[2], p, n);
#endif
#ifdef MAP_3
    shade(3, Tile(u_shadow_matrix_3, u_shadow_place_3, u_shadow_lens_3, u_shadow_range_3), u_shadow_sizes[3], p, n);
#elif defined(CUBE_3)
    shade(3, face_of(CUBE_3, p), u_shadow_sizes[3], p, n);
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
