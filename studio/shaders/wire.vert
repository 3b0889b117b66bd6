// Triangle edges, pulled towards the eye by a hair so that their own surface does not hide them.
in vec3 in_position;
uniform mat4 u_world_to_clip;

void main() {
    gl_Position = u_world_to_clip * vec4(in_position, 1.0);
    gl_Position.z -= 2e-4 * gl_Position.w;  // about the depth of one pixel on a 45 degree slope
}
