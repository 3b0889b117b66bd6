// One channel of the G-buffer as a picture. Written in linear light such that encoding for the
// screen gives back the intended value, so data views share accumulation with shaded ones.
#include "common/display.glsl"
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_gbuffer_albedo;
uniform sampler2D u_gbuffer_normal;
uniform sampler2D u_gbuffer_position;
uniform sampler2D u_gbuffer_material;
uniform int u_channel;     // index in studio.gl.options.AOVS
uniform vec3 u_low;        // what maps to 0: a corner of the scene's box, or the nearest depth in x
uniform vec3 u_high;       // what maps to 1
uniform vec3 u_background;

// Hues a golden angle apart: neighbours in number differ most in colour.
vec3 part_color(float id) {
    float hue = fract(0.08 + id * 0.61803399);
    vec3 rgb = clamp(abs(fract(hue + vec3(0.0, 2.0 / 3.0, 1.0 / 3.0)) * 6.0 - 3.0) - 1.0, 0.0, 1.0);
    return mix(vec3(0.75), rgb, 0.6) * 0.9;
}

void main() {
    vec4 albedo = texture(u_gbuffer_albedo, v_uv);
    vec4 normal = texture(u_gbuffer_normal, v_uv);
    vec4 position = texture(u_gbuffer_position, v_uv);
    vec4 material = texture(u_gbuffer_material, v_uv);
    vec3 shown = vec3(0.0);
    if (u_channel == 2) shown = normal.xyz * 0.5 + 0.5;
    if (u_channel == 3) shown = colormap(1.0 - (position.w - u_low.x) / max(u_high.x - u_low.x, 1e-6));
    if (u_channel == 4) shown = (position.xyz - u_low) / max(u_high - u_low, vec3(1e-6));
    if (u_channel == 5) shown = vec3(normal.w);
    if (u_channel == 6) shown = vec3(material.r);
    if (u_channel == 7) shown = albedo.rgb;  // the geometry pass wrote uv there
    if (u_channel == 8) shown = part_color(material.b);
    vec3 color = u_channel == 1 ? albedo.rgb : display_decode(clamp(shown, 0.0, 1.0));
    f_color = vec4(mix(u_background, color, albedo.a), 1.0);
}
