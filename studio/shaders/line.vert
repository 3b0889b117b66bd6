// A line segment as a quad a few pixels wide; one instance per segment.
in vec3 in_from;
in vec3 in_to;
in float in_photo;
out float v_across;
flat out float v_current;
uniform mat4 u_world_to_clip;
uniform vec2 u_size;
uniform float u_line_width;
uniform int u_hidden;
uniform int u_current;

void main() {
    vec4 a = u_world_to_clip * vec4(in_from, 1.0), b = u_world_to_clip * vec4(in_to, 1.0);
    const float NEAR = 1e-4;  // in front of the eye: a point behind it has no place on the screen
    if (a.w < NEAR && b.w < NEAR || int(in_photo) == u_hidden) {
        gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
        return;
    }
    if (a.w < NEAR) a = mix(a, b, (NEAR - a.w) / (b.w - a.w));
    if (b.w < NEAR) b = mix(b, a, (NEAR - b.w) / (a.w - b.w));
    vec2 along = (b.xy / b.w - a.xy / a.w) * u_size;
    vec2 direction = dot(along, along) > 1e-8 ? normalize(along) : vec2(1.0, 0.0);
    vec4 end = gl_VertexID < 2 ? a : b;
    float side = (gl_VertexID & 1) == 0 ? -1.0 : 1.0;
    v_current = int(in_photo) == u_current ? 1.0 : 0.0;
    // One pixel more on each side, over which the edge fades out.
    float half_width = 0.5 * u_line_width * (1.0 + 0.6 * v_current) + 1.0;
    v_across = side * half_width;
    gl_Position = vec4(end.xy + vec2(-direction.y, direction.x) * side * half_width * 2.0 / u_size * end.w,
                       0.0, end.w);
}
