// Colour when no effect shades: the albedo itself.
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_gbuffer_albedo;

void main() {
    f_color = vec4(texture(u_gbuffer_albedo, v_uv).rgb, 1.0);
}
