// What a Gaussian covers of a pixel; blending lays it over what is farther.
in vec2 v_offset;
flat in vec3 v_conic;
flat in vec4 v_color;
flat in float v_depth;
layout(location = 0) out vec4 f_color;  // display rgb times alpha, alpha
layout(location = 1) out vec4 f_depth;  // r: alpha times the distance along the camera's -Z

void main() {
    float power = -0.5 * (v_conic.x * v_offset.x * v_offset.x + v_conic.z * v_offset.y * v_offset.y)
        - v_conic.y * v_offset.x * v_offset.y;
    float alpha = v_color.a * exp(power);
    alpha = alpha >= 1.0 / 255.0 ? min(alpha, 0.99) : 0.0;
    f_color = vec4(v_color.rgb * alpha, alpha);
    f_depth = vec4(v_depth * alpha, 0.0, 0.0, alpha);
}
