// Vertex normals as lines: one instance per vertex, two ends.
in vec3 in_position;
in vec3 in_normal;
out vec3 v_direction;
uniform mat4 u_world_to_clip;
uniform float u_length;

void main() {
    v_direction = in_normal;
    gl_Position = u_world_to_clip * vec4(in_position + in_normal * (u_length * float(gl_VertexID)), 1.0);
    gl_Position.z -= 2e-4 * gl_Position.w;  // as for wires: the own surface does not hide the foot
}
