// World-space geometry into the G-buffer. What a mesh does not have is not interpolated.
in vec3 in_position;
in vec3 in_normal;
out vec3 v_position;
out vec3 v_normal;
#ifdef HAS_UV
in vec2 in_uv;
out vec2 v_uv;
#endif
#ifdef HAS_COLOR
in vec3 in_color;
out vec3 v_color;
#endif
#ifdef HAS_ROUGHNESS
in float in_roughness;
out float v_roughness;
#endif
#ifdef HAS_METALLIC
in float in_metallic;
out float v_metallic;
#endif
uniform mat4 u_world_to_clip;

void main() {
    v_position = in_position;
    v_normal = in_normal;
#ifdef HAS_UV
    v_uv = in_uv;
#endif
#ifdef HAS_COLOR
    v_color = in_color;
#endif
#ifdef HAS_ROUGHNESS
    v_roughness = in_roughness;
#endif
#ifdef HAS_METALLIC
    v_metallic = in_metallic;
#endif
    gl_Position = u_world_to_clip * vec4(in_position, 1.0);
}
