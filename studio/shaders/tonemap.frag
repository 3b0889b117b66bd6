// Exposure and tone curve; the twin of studio/core/effects/tonemap.py.
#include "common/color.glsl"

in vec2 v_uv;
out vec4 f_color;

uniform sampler2D u_color;
uniform float u_exposure;  // stops
uniform int u_curve;       // 0 linear, 1 aces

void main() {
    vec4 color = texture(u_color, v_uv);
    vec3 exposed = color.rgb * exp2(u_exposure);
    f_color = vec4(u_curve == 1 ? aces(exposed) : exposed, color.a);
}
