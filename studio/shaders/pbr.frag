// Metallic-roughness shading; the twin of studio/core/effects/pbr.py and kernels/shade.py.
#include "common/frame.glsl"
#include "common/lights.glsl"
#include "common/brdf.glsl"
#include "common/area.glsl"
#include "common/sh.glsl"

#ifdef WRITE_COLOR
layout(location = WRITE_COLOR) out vec4 f_color;
#endif
#ifdef WRITE_IRRADIANCE
layout(location = WRITE_IRRADIANCE) out vec4 f_irradiance;
#endif
#ifdef WRITE_DIFFUSE_ALBEDO
layout(location = WRITE_DIFFUSE_ALBEDO) out vec4 f_diffuse_albedo;
#endif
#ifdef WRITE_REFLECTANCE
layout(location = WRITE_REFLECTANCE) out vec4 f_reflectance;
#endif
#ifdef WRITE_REFLECTION
layout(location = WRITE_REFLECTION) out vec4 f_reflection;
#endif
#ifdef HAS_ENVIRONMENT_DIFFUSE
uniform sampler2D u_environment_diffuse, u_environment_specular;
#endif
#ifdef HAS_SHADOW
uniform sampler2D u_shadow;  // component i: how much of light i arrives
#endif
#ifdef HAS_AO
uniform sampler2D u_ao;
#endif

uniform float u_light_gain;
uniform float u_environment_gain;
uniform float u_specular_f0;

// The surface, in the space of the lights.
struct Surface {
    vec3 n, v, p;
    float rough, alpha, NoV;
};

// Sums over lights: of light that arrives, of the lobe's share of it by powers of Fresnel's weight,
// and of what area lights send into the lobe.
struct Light {
    vec3 diffuse, s0, s1, panels;
};

// Share of a spot's light in a direction: smooth between its outer and inner angle.
float spot(Lamp lamp, vec3 l) {
    vec2 cosines = lamp.shape.xy;
    float t = clamp((dot(lamp.axis, l) - cosines.x) / max(cosines.y - cosines.x, 1.0e-6), 0.0, 1.0);
    return t * t * (3.0 - 2.0 * t);
}

// A light of which `seen` arrives. The kind is a constant: software OpenGL runs both sides of a branch.
void shine(Lamp lamp, int kind, float seen, Surface at, inout Light sum) {
    vec3 e = lamp.radiance * (seen * u_light_gain);
    if (kind == 3) {
        vec2 filled = area_light(lamp, at.n, at.v, at.p, at.rough);
        sum.diffuse += e * filled.x;
        sum.panels += e * filled.y;
        return;
    }
    vec3 to_light = lamp.vector - (kind == 0 ? vec3(0.0) : at.p);
    float d2 = dot(to_light, to_light);
    vec3 l = to_light * inversesqrt(max(d2, 1.0e-24));
    // A point light closer than 0.01 units does not get brighter.
    if (kind != 0) e *= 1.0 / max(d2, 1.0e-4);
    if (kind == 2) e *= spot(lamp, l);
    float NoL = max(dot(at.n, l), 0.0);
    vec3 h = l + at.v;
    h *= inversesqrt(max(dot(h, h), 1.0e-24));
    vec3 nxh = cross(at.n, h);
    float lobe = D_GGX(max(dot(at.n, h), 0.0), dot(nxh, nxh), at.alpha) * V_SmithGGXCorrelated(at.NoV, NoL, at.alpha) * NoL;
    float fresnel = F_Schlick_weight(clamp(dot(l, h), 0.0, 1.0));
    sum.diffuse += e * NoL;
    sum.s0 += e * (lobe * (1.0 - fresnel));
    sum.s1 += e * (lobe * fresnel);
}

void main() {
    vec2 at = gl_FragCoord.xy;
    vec3 albedo = texel(u_gbuffer_albedo, at).rgb;
    vec4 normal = texel(u_gbuffer_normal, at);
    vec3 position = texel(u_gbuffer_position, at).xyz;
    vec2 material = texel(u_gbuffer_material, at).rg;
    float metallic = material.r;

    vec3 n = normal.xyz, p = position, v = normalize(u_camera_position - position);
#ifdef LIGHTS_TURN
    mat3 rotation = mat3(u_world_to_light);
    n = rotation * n;
    v = rotation * v;
    p = (u_world_to_light * vec4(position, 1.0)).xyz;
#endif
    float rough = max(normal.w, MIN_PERCEPTUAL_ROUGHNESS);
    float alpha = rough * rough;
    float raw_NoV = dot(n, v);
    float NoV = clamp(raw_NoV, MIN_NOV, 1.0);
    vec4 seen = vec4(1.0);
#ifdef HAS_SHADOW
    seen = texel(u_shadow, at);
#endif

    Surface surface = Surface(n, v, p, rough, alpha, NoV);
    Light light = Light(vec3(0.0), vec3(0.0), vec3(0.0), vec3(0.0));
#ifdef LIGHT_0
    shine(lamp_0(), LIGHT_0, seen.x, surface, light);
#endif
#ifdef LIGHT_1
    shine(lamp_1(), LIGHT_1, seen.y, surface, light);
#endif
#ifdef LIGHT_2
    shine(lamp_2(), LIGHT_2, seen.z, surface, light);
#endif
#ifdef LIGHT_3
    shine(lamp_3(), LIGHT_3, seen.w, surface, light);
#endif

    float ao = 1.0;
#ifdef HAS_OCCLUSION
    ao = material.g;
#endif
#ifdef HAS_AO
    ao *= texel(u_ao, at).r;
#endif
    float so = 1.0;
#if defined(HAS_AO) || defined(HAS_OCCLUSION)
    so = specular_occlusion(NoV, ao, alpha);
#endif
#ifdef HAS_ENVIRONMENT_DIFFUSE
    vec3 around = texel(u_environment_diffuse, at).rgb;
    vec3 mirrored = texel(u_environment_specular, at).rgb;
#else
    vec3 mean = 0.28209479 * u_sh[0];
    vec3 around = soft_clamp(sh_diffuse(n), mean);
    vec3 mirrored = soft_clamp(sh_specular(2.0 * raw_NoV * n - v, alpha), mean);
#endif
    vec3 irradiance = light.diffuse + around * (u_environment_gain * ao);
    vec3 reflection = mirrored * (u_environment_gain * so);

    vec2 ab = dfg(NoV, alpha);
    vec3 base = (1.0 - metallic) * entering(u_specular_f0, ab) * albedo;
    vec3 reflectance = specular(u_specular_f0, albedo, metallic, ab, vec3(ab.x), vec3(ab.y));
    vec3 direct = specular(u_specular_f0, albedo, metallic, ab, light.s0, light.s1);
    vec3 color = base * irradiance + direct + reflectance * (reflection + light.panels);
#ifdef HAS_EMISSIVE
    color += texel(u_gbuffer_emission, at).rgb;
#endif
#ifdef WRITE_COLOR
    f_color = vec4(color, 1.0);
#endif
#ifdef WRITE_IRRADIANCE
    f_irradiance = vec4(irradiance, 1.0);
#endif
#ifdef WRITE_DIFFUSE_ALBEDO
    f_diffuse_albedo = vec4(base, 1.0);
#endif
#ifdef WRITE_REFLECTANCE
    f_reflectance = vec4(reflectance, 1.0);
#endif
#ifdef WRITE_REFLECTION
    f_reflection = vec4(reflection, 1.0);
#endif
}
