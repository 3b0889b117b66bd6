// A photo on the image plane of its frustum; one instance per photo.
in vec3 in_corner0;
in vec3 in_corner1;
in vec3 in_corner2;
in vec3 in_corner3;
in float in_photo;
out vec2 v_uv;
flat out float v_photo;
uniform mat4 u_world_to_clip;
uniform int u_hidden;

void main() {
    v_uv = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
    v_photo = in_photo;
    vec3 corner = gl_VertexID == 0 ? in_corner0
                : gl_VertexID == 1 ? in_corner1
                : gl_VertexID == 2 ? in_corner3 : in_corner2;
    gl_Position = u_world_to_clip * vec4(corner, 1.0);
    gl_Position.z = 0.0;  // the depth test is done by hand against the G-buffer
    if (int(in_photo) == u_hidden) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}
