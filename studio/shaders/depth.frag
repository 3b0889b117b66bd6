// The G-buffer's depth alone, for effects that look around a pixel: a quarter of the memory.
in vec2 v_uv;
out float f_depth;
uniform sampler2D u_gbuffer_position;

void main() {
    f_depth = texture(u_gbuffer_position, v_uv).w;
}
