// Metallic-roughness shading; the twin of studio/core/effects/pbr.py and kernels/shade.py.
#include "common/brdf.glsl"
#include "common/sh.glsl"

in vec2 v_uv;
out vec4 f_color;

uniform sampler2D u_gbuffer_albedo;    // rgb linear albedo, a covered
uniform sampler2D u_gbuffer_normal;    // xyz world normal, w perceptual roughness
uniform sampler2D u_gbuffer_position;  // xyz world position, w linear view depth
uniform sampler2D u_gbuffer_material;  // r metallic
uniform vec3 u_camera_position;
uniform mat4 u_world_to_light;
uniform vec3 u_background;
uniform int u_light_count;
uniform int u_light_kind[4];  // 0 directional, 1 point
uniform vec3 u_light_vector[4];
uniform vec3 u_light_radiance[4];

uniform float u_light_exposure;        // stops
uniform float u_environment_exposure;  // stops
uniform float u_specular_f0;

void main() {
    vec4 albedo = texture(u_gbuffer_albedo, v_uv);
    if (albedo.a == 0.0) {
        f_color = vec4(u_background, 1.0);
        return;
    }
    vec4 normal = texture(u_gbuffer_normal, v_uv);
    vec3 position = texture(u_gbuffer_position, v_uv).xyz;
    float metallic = texture(u_gbuffer_material, v_uv).r;

    mat3 rotation = mat3(u_world_to_light);
    vec3 n = rotation * normal.xyz;
    vec3 v = normalize(rotation * (u_camera_position - position));
    vec3 p = (u_world_to_light * vec4(position, 1.0)).xyz;
    float rough = max(normal.w, MIN_PERCEPTUAL_ROUGHNESS);
    float alpha = rough * rough;
    float raw_NoV = dot(n, v);
    float NoV = clamp(raw_NoV, MIN_NOV, 1.0);

    vec3 diffuse = vec3(0.0), s0 = vec3(0.0), s1 = vec3(0.0);
    for (int i = 0; i < u_light_count; i++) {
        vec3 to_light = u_light_vector[i] - (u_light_kind[i] == 1 ? p : vec3(0.0));
        float d2 = dot(to_light, to_light);
        vec3 l = to_light * inversesqrt(max(d2, 1.0e-24));
        float NoL = dot(n, l);
        if (NoL <= 0.0) continue;
        // A point light closer than 0.01 units does not get brighter.
        float attenuation = u_light_kind[i] == 1 ? 1.0 / max(d2, 1.0e-4) : 1.0;
        vec3 e = u_light_radiance[i] * (attenuation * exp2(u_light_exposure));
        vec3 h = normalize(l + v);
        vec3 nxh = cross(n, h);
        float lobe = D_GGX(max(dot(n, h), 0.0), dot(nxh, nxh), alpha) * V_SmithGGXCorrelated(NoV, NoL, alpha) * NoL;
        float fresnel = F_Schlick_weight(clamp(dot(l, h), 0.0, 1.0));
        diffuse += e * NoL;
        s0 += e * (lobe * (1.0 - fresnel));
        s1 += e * (lobe * fresnel);
    }
    float environment = exp2(u_environment_exposure);
    vec3 mean = 0.28209479 * u_sh[0];
    diffuse += environment * soft_clamp(sh_diffuse(n), mean);
    vec3 mirrored = environment * soft_clamp(sh_specular(2.0 * raw_NoV * n - v, alpha), mean);

    vec2 ab = dfg(NoV, alpha);
    vec3 base = (1.0 - metallic) * entering(u_specular_f0, ab) * albedo.rgb;
    vec3 shine = specular(u_specular_f0, albedo.rgb, metallic, ab, s0 + ab.x * mirrored, s1 + ab.y * mirrored);
    f_color = vec4(base * diffuse + shine, 1.0);
}
