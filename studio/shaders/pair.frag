// Both pictures of a comparison as numbers: sRGB values over the same background, and the weight.
#include "common/sides.glsl"
in vec2 v_uv;
layout(location = 0) out vec4 f_left;
layout(location = 1) out vec4 f_right;

// IEC 61966-2-1; what is brighter than white keeps its value.
vec3 encode(vec3 linear_rgb) {
    vec3 x = max(linear_rgb, vec3(0.0));
    return mix(1.055 * pow(x, vec3(1.0 / 2.4)) - 0.055, 12.92 * x, lessThanEqual(x, vec3(0.0031308)));
}

void main() {
    vec4 a = left_compared(v_uv), b = right_compared(v_uv);
    f_left = vec4(encode(a.rgb), pair_weight(a, b));
    f_right = vec4(encode(b.rgb), 1.0);
}
