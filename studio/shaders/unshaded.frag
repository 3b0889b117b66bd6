// Colour when no effect shades: the albedo itself, over the background.
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_gbuffer_albedo;
uniform vec3 u_background;

void main() {
    vec4 albedo = texture(u_gbuffer_albedo, v_uv);
    f_color = vec4(mix(u_background, albedo.rgb, albedo.a), 1.0);
}
