// Linear gain before the tone map.
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_color;
uniform float u_gain;

void main() {
    vec4 color = texture(u_color, v_uv);
    f_color = vec4(color.rgb * u_gain, color.a);
}
