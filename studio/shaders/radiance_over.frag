// Volume and points over the shaded surfaces; points are laid over as display values, as meant. With
// OWN the background is already in the colour, without it rgb is not premultiplied.
#include "common/display.glsl"
in vec2 v_uv;
out vec4 f_color;  // alpha: share of the pixel that anything covers
uniform sampler2D u_color;
uniform sampler2D u_gbuffer_albedo;
#ifdef VOLUME
uniform sampler2D u_volume;  // linear, premultiplied
#endif
#ifdef POINTS
uniform sampler2D u_points;  // display values, premultiplied
#endif

void main() {
    float alpha = texture(u_gbuffer_albedo, v_uv).a;
    vec3 color = texture(u_color, v_uv).rgb;
#ifndef OWN
    color *= alpha;
#endif
#ifdef VOLUME
    vec4 fog = texture(u_volume, v_uv);
    color = fog.rgb + (1.0 - fog.a) * color;
    alpha = fog.a + (1.0 - fog.a) * alpha;
#endif
#ifdef POINTS
    vec4 dots = texture(u_points, v_uv);
#ifdef OWN
    color = display_decode(dots.rgb + (1.0 - dots.a) * display_encode(color));
#else
    color = dots.a * display_decode(dots.rgb / max(dots.a, 1.0 / 512.0)) + (1.0 - dots.a) * color;
#endif
    alpha = dots.a + (1.0 - dots.a) * alpha;
#endif
#ifndef OWN
    color /= max(alpha, 1.0 / 512.0);
#endif
    f_color = vec4(color, alpha);
}
