// Shadows of direct lights; the twin of studio/core/effects/shadows.py.
#include "common/frame.glsl"
#include "common/shadow.glsl"

uniform int u_mode;  // 0 hard, 1 pcf, 2 vssm
uniform float u_bias;
uniform float u_light_bleeding;
uniform int u_pcf_radius;

#ifdef WRITE_SHADOW
layout(location = WRITE_SHADOW) out vec4 f_shadow;
#endif
#ifdef WRITE_THICKNESS
layout(location = WRITE_THICKNESS) out vec4 f_thickness;
#endif

void main() {
    vec3 p = texelFetch(u_gbuffer_position, pixel(), 0).xyz;
    vec3 n = texelFetch(u_gbuffer_normal, pixel(), 0).xyz;
    vec4 shadow = vec4(1.0);
    vec4 thickness = vec4(0.0);
    for (int light = 0; light < 4; light++) {
        int first = u_shadow_first[light];
        if (first < 0) continue;
        int number = choose_tile(first, u_shadow_faces[light], p);
        Tile tile = Tile(u_shadow_places[number], u_shadow_lenses[number], u_shadow_ranges[number]);
        Receiver at = receive(number, tile, p, n, u_bias);
        if (!at.inside) continue;
        shadow[light] = u_mode == 2
            ? soft_visibility(tile, at, u_shadow_sizes[light], u_light_bleeding)
            : hard_visibility(tile, at, u_mode == 1 ? u_pcf_radius : 0);
#ifdef WRITE_THICKNESS
        float slant = sqrt(1.0 + tile.range.x * dot(at.xy, at.xy));
        thickness[light] = max(at.t - moments(tile, 0, at.uv).x, 0.0) * tile.lens.z * slant;
#endif
    }
#ifdef WRITE_SHADOW
    f_shadow = shadow;
#endif
#ifdef WRITE_THICKNESS
    f_thickness = thickness;
#endif
}
