#include "common/overlay.glsl"
in float v_across;
flat in float v_current;
out vec4 f_color;
uniform float u_line_width;
uniform vec3 u_accent;
uniform float u_length;  // of a frustum

void main() {
    float half_width = 0.5 * u_line_width * (1.0 + 0.6 * v_current);
    float inside = clamp(half_width + 0.5 - abs(v_across), 0.0, 1.0);
    vec3 color = mix(vec3(0.72, 0.75, 0.80), u_accent, v_current);
    f_color = vec4(color, inside * overlay_opacity(1.2 * u_length) * mix(0.55, 1.0, v_current));
}
