// Exposure, tone curve and gamma; the twin of studio/core/effects/tonemap.py, which defines CURVE,
// and GAMMA where it is not 1.
#include "common/color.glsl"

in vec2 v_uv;
out vec4 f_color;

uniform sampler2D u_color;
uniform float u_exposure;  // stops
uniform float u_gamma;
uniform float u_toe;

void main() {
    vec4 color = texture(u_color, v_uv);
    vec3 x = toned(color.rgb * exp2(u_exposure), CURVE);
#ifdef GAMMA
    float exponent = 1.0 / u_gamma;
    vec3 line = x * pow(u_toe, exponent - 1.0);
    x = mix(pow(max(x, u_toe), vec3(exponent)), line, lessThan(x, vec3(u_toe)));
#endif
    f_color = vec4(x, color.a);
}
