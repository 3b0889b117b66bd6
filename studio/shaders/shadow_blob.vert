// The scene seen straight from below, for the contact shadow.
in vec3 in_position;
out float v_height;
uniform mat4 u_world_to_clip;

void main() {
    v_height = in_position.y;
    gl_Position = u_world_to_clip * vec4(in_position, 1.0);
}
