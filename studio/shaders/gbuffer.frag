// Fills the four targets that effect shaders read (see studio/gl/targets.py for the contract).
in vec3 v_position;
in vec3 v_normal;
#ifdef HAS_UV
in vec2 v_uv;
#endif
#ifdef HAS_COLOR
in vec3 v_color;
#endif
#ifdef HAS_ROUGHNESS
in float v_roughness;
#endif
#ifdef HAS_METALLIC
in float v_metallic;
#endif
layout(location = 0) out vec4 f_albedo;    // rgb linear albedo, a covered
layout(location = 1) out vec4 f_normal;    // xyz world normal, w perceptual roughness
layout(location = 2) out vec4 f_position;  // xyz world position, w linear view depth
layout(location = 3) out vec4 f_material;  // r metallic, g occlusion, b part id, a triangle id if asked for
#ifdef EMISSION
layout(location = 4) out vec4 f_emission;  // rgb emitted radiance, a subsurface
uniform vec3 u_emissive;
uniform float u_subsurface;
#endif

uniform vec3 u_base_color;
uniform float u_perceptual_roughness;
uniform float u_metallic;
uniform float u_part;
#ifdef HAS_UV
#include "common/texture.glsl"
#endif
#ifdef BASE_COLOR_TEXTURE
uniform sampler2D u_base_color_texture;
#endif
#ifdef ORM_TEXTURE
uniform sampler2D u_orm_texture;
#endif
#ifdef OCCLUSION_TEXTURE
uniform sampler2D u_occlusion_texture;
#endif
#if defined(EMISSION) && defined(EMISSIVE_TEXTURE)
uniform sampler2D u_emissive_texture;
#endif
#ifdef NORMAL_TEXTURE
uniform sampler2D u_normal_texture;

// The tangent is where u grows on the triangle, as in studio/core/geometry.py. Screen differences
// of position and uv span the triangle's plane whatever they are, so the mesh needs no tangents.
vec3 mapped_normal(vec3 n, vec4 uv_da) {
    vec3 dp_x = dFdx(v_position), dp_y = dFdy(v_position);
    vec2 uv_x = dFdx(v_uv), uv_y = dFdy(v_uv);
    float turn = sign(uv_x.x * uv_y.y - uv_y.x * uv_x.y);
    if (turn == 0.0) return n;  // uv stand still: nothing to tilt along
    vec3 along = turn * (dp_x * uv_y.y - dp_y * uv_x.y);
    vec3 tangent = normalize(along - n * dot(along, n));
    vec3 bitangent = (gl_FrontFacing ? turn : -turn) * cross(n, tangent);
    vec3 sampled = sample_texture(u_normal_texture, v_uv, uv_da).xyz * 2.0 - 1.0;
    return normalize(tangent * sampled.x + bitangent * sampled.y + n * sampled.z);
}
#endif

void main() {
    vec3 albedo = u_base_color;
    float roughness = u_perceptual_roughness;
    float metallic = u_metallic;
    float occlusion = 1.0;
#ifdef HAS_UV
    vec4 uv_da = screen_derivatives(v_uv);
#endif
#ifdef HAS_COLOR
    albedo *= v_color;
#endif
#ifdef HAS_ROUGHNESS
    roughness = v_roughness;
#endif
#ifdef HAS_METALLIC
    metallic = v_metallic;
#endif
#ifdef BASE_COLOR_TEXTURE
    albedo *= sample_texture(u_base_color_texture, v_uv, uv_da).rgb;
#endif
#ifdef ORM_TEXTURE
    vec3 orm = sample_texture(u_orm_texture, v_uv, uv_da).rgb;
    roughness *= orm.g;
    metallic *= orm.b;
#endif
#ifdef OCCLUSION_TEXTURE
    occlusion = sample_texture(u_occlusion_texture, v_uv, uv_da).r;
#endif
    vec3 normal = normalize(v_normal);
#ifdef NORMAL_TEXTURE
    normal = mapped_normal(normal, uv_da);
#endif
#ifdef SHOW_UV
#ifdef HAS_UV
    albedo = vec3(fract(v_uv), 0.0);
#else
    albedo = vec3(0.0);
#endif
#endif
    f_albedo = vec4(albedo, 1.0);
    f_normal = vec4(normal, roughness);
    f_position = vec4(v_position, 1.0 / gl_FragCoord.w);  // clip w is the distance along -Z
#ifdef EMISSION
    f_emission = vec4(u_emissive, u_subsurface);
#ifdef EMISSIVE_TEXTURE
    f_emission.rgb *= sample_texture(u_emissive_texture, v_uv, uv_da).rgb;
#endif
#endif
#ifdef TRIANGLE_ID
    f_material = vec4(metallic, occlusion, u_part, float(gl_PrimitiveID));
#else
    f_material = vec4(metallic, occlusion, u_part, 0.0);
#endif
}
