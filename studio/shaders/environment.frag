// Light and background from an environment map; the twin of studio/core/effects/environment.py.
#include "common/frame.glsl"
#include "common/environment.glsl"

#ifdef WRITE_ENVIRONMENT_DIFFUSE
layout(location = WRITE_ENVIRONMENT_DIFFUSE) out vec4 f_diffuse;
layout(location = WRITE_ENVIRONMENT_SPECULAR) out vec4 f_specular;
#endif
#ifdef WRITE_BACKGROUND
layout(location = WRITE_BACKGROUND) out vec4 f_background;
#endif

uniform float u_scale;
uniform float u_background_blur;

void main() {
#ifdef PASS_BACKGROUND
    vec3 d = mat3(u_world_to_map) * (mat3(u_view_to_world) * view_point(gl_FragCoord.xy, 1.0));
#ifdef BLURRED
    f_background = vec4(u_scale * map_lobe(d, u_background_blur), 1.0);
#else
    f_background = vec4(u_scale * map_radiance(d), 1.0);
#endif
#else
    vec4 normal = texel(u_gbuffer_normal, gl_FragCoord.xy);
    vec3 position = texel(u_gbuffer_position, gl_FragCoord.xy).xyz;
    vec3 n = mat3(u_world_to_map) * normal.xyz;
    vec3 v = mat3(u_world_to_map) * normalize(u_camera_position - position);
    f_diffuse = vec4(u_scale * map_irradiance(n), 1.0);
    f_specular = vec4(u_scale * map_lobe(2.0 * dot(n, v) * n - v, normal.w), 1.0);
#endif
}
