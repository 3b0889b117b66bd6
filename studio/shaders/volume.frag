// Emission and absorption along the ray of every pixel; studio/core/scene/volume.py says what the
// values mean, studio/core/kernels/volume_ray.py is the same walk. Textures have z along their width.
// DEGREE is that of the harmonics, 0 or 1. With SLICE what lies before a plane is cut away.
#include "common/display.glsl"
in vec2 v_uv;
layout(location = 0) out vec4 f_radiance;  // linear rgb times alpha, alpha
layout(location = 1) out float f_depth;    // alpha times the distance along the camera's -Z

uniform sampler2D u_gbuffer_position;  // w: where meshes end the ray, 0 where none does
uniform sampler3D u_density;
uniform sampler3D u_color_a;           // degree 0: rgb; else the first four of twelve numbers
#if DEGREE > 0
uniform sampler3D u_color_b;
uniform sampler3D u_color_c;
#endif
uniform sampler3D u_free;              // of bricks: 0 holds something, else bricks to the nearest that does, / 255

uniform vec4 u_lens;        // P00, P11, P02, P12 of view_to_clip
uniform mat4 u_view_to_world;
uniform vec3 u_origin;      // of the rays, in voxels from the first grid point
uniform vec3 u_last;        // of the last grid point
uniform float u_per_voxel;  // voxels per world unit
uniform float u_step;       // world units
uniform float u_exponent;   // density scale * step / base voxel
uniform float u_least;      // density less SHIFT below which there is nothing
uniform float u_rest;       // a ray ends where less than this would be seen
uniform float u_shift;
#ifdef SLICE
uniform int u_axis;
uniform float u_place;        // voxels
uniform float u_slice_depth;  // density scale * voxel / base voxel
#endif

const float BRICK = 4.0;

float softplus2(float v) {  // log2 of 1 + e^v
    return log2(1.0 + exp2(min(v, 80.0) * 1.44269504));
}

void main() {
    vec3 view = vec3((2.0 * v_uv - 1.0 + u_lens.zw) / u_lens.xy, -1.0);
    vec3 along = mat3(u_view_to_world) * view;  // unit depth
    float stretch = length(along);
    vec3 d = along / stretch;
    vec3 r = d * u_per_voxel;
    r = mix(r, vec3(1e-9), lessThan(abs(r), vec3(1e-9)));
    vec3 inverse = 1.0 / r;
    vec3 a = -u_origin * inverse, b = (u_last - u_origin) * inverse;
    vec3 near = min(a, b), far = max(a, b);
    float from = max(max(near.x, near.y), max(near.z, 0.0));
    float to = min(far.x, min(far.y, far.z));
    float surface = texture(u_gbuffer_position, v_uv).w * stretch;
    if (surface > 0.0) to = min(to, surface);

    vec3 color = vec3(0.0);
    float rest = 1.0, depth = 0.0;
#ifdef SLICE
    float cut = (u_place - u_origin[u_axis]) * inverse[u_axis];
    if (cut <= 0.0) to = -1.0;  // all of the ray is on the eye's side
    if (cut > from && cut < to) {
        vec3 p = u_origin + cut * r;
        float value = textureLod(u_density, ((p + 0.5) / (u_last + 1.0)).zyx, 0.0).r - u_shift;
        float thick = u_slice_depth * 0.69314718 * softplus2(value);
        float alpha = mix(0.3, 1.0, smoothstep(0.0, 0.1, thick));
        color = alpha * display_decode(colormap(1.0 - exp(-thick)));
        depth = alpha * cut;
        rest = 1.0 - alpha;
    }
    from = max(from, cut);
#endif
    float i = max(ceil(from / u_step - 0.5), 0.0);
    float last = to >= from ? floor(to / u_step - 0.5) : -1.0;
    vec3 towards = step(0.0, r), cells = u_last - 1.0;
    while (i <= last) {
        float t = (i + 0.5) * u_step;
        vec3 p = clamp(u_origin + t * r, vec3(0.0), u_last);
        vec3 brick = floor(min(p, cells) / BRICK);
        float n = floor(texelFetch(u_free, ivec3(brick.zyx), 0).r * 255.0 + 0.5);
        if (n > 0.0) {  // all bricks nearer than n are empty: on to where their box ends
            vec3 side = (mix(brick + 1.0 - n, brick + n, towards) * BRICK - u_origin) * inverse;
            i = max(i + 1.0, ceil(min(side.x, min(side.y, side.z)) / u_step - 0.5));
            continue;
        }
        i += 1.0;
        vec3 at = ((p + 0.5) / (u_last + 1.0)).zyx;
        float value = textureLod(u_density, at, 0.0).r - u_shift;
        if (value < u_least) continue;
        float alpha = 1.0 - exp2(-u_exponent * softplus2(value));
        float weight = rest * alpha;
        vec4 ca = textureLod(u_color_a, at, 0.0);
#if DEGREE > 0
        vec4 cb = textureLod(u_color_b, at, 0.0), cc = textureLod(u_color_c, at, 0.0);
        vec4 basis = vec4(0.28209479, 0.48860251 * d.yzx);
        vec3 sum = vec3(dot(basis, vec4(ca.x, ca.w, cb.z, cc.y)), dot(basis, vec4(ca.y, cb.x, cb.w, cc.z)),
                        dot(basis, vec4(ca.z, cb.y, cc.x, cc.w)));
#else
        vec3 sum = 0.28209479 * ca.rgb;
#endif
        vec3 root = 1.0 / (1.0 + exp2(-1.44269504 * max(sum, -80.0)));
        color += weight * root * root;
        depth += weight * t;
        rest -= weight;
        if (rest < u_rest) break;
    }
    f_radiance = vec4(color, 1.0 - rest);
    f_depth = depth / stretch;
}
