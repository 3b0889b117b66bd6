// Ambient occlusion; the twin of studio/core/kernels/ssao_loops.py, formulas in studio/core/ops/ssao.py.
#include "common/frame.glsl"
#include "common/spread.glsl"

uniform float u_radius;
uniform float u_strength;
uniform float u_bias;
uniform float u_softness;
uniform int u_taps;
uniform vec3 u_offsets[32];
uniform vec2 u_rotations[16];  // cosine and sine

#ifdef PASS_OCCLUDE
layout(location = WRITE_OCCLUDED) out vec4 f_occluded;

// Of texels no further than `limit`, at pixel coordinates with centres at whole numbers.
float mixed(vec2 xy, float limit) {
    xy = clamp(xy, vec2(0.0), u_size - 1.0);
    vec2 corner = floor(xy), f = xy - corner;
    vec4 d = min(depths_around(corner + 1.0), limit);
    vec2 columns = d.xz + f.x * (d.yw - d.xz);
    return columns.x + f.y * (columns.y - columns.x);
}

void main() {
    ivec2 here = ivec2(gl_FragCoord.xy), p = pixel();
    float d = depth_at(p);
    vec3 point = view_point(vec2(p) + 0.5, d), n = view_normal(p);
    float s = n.z < 0.0 ? -1.0 : 1.0;
    float a = -1.0 / (s + n.z), b = n.x * n.y * a;
    vec3 t0 = vec3(1.0 + s * n.x * n.x * a, s * b, -s * n.x);
    vec3 b0 = vec3(b, s + n.y * n.y * a, -n.y);
    vec2 turn = u_rotations[4 * (here.y & 3) + (here.x & 3)];
    mat3 frame = u_radius * mat3(turn.x * t0 + turn.y * b0, turn.x * b0 - turn.y * t0, n);
    float sum = 0.0, inverse = 1.0 / u_radius;
    for (int i = 0; i < u_taps; i++) {
        vec3 q = point + frame * u_offsets[i];
        float at = max(-q.z, 0.1 * d);
        float hit = mixed(to_pixel(vec3(q.xy, -at)) - 0.5, d + 2.0 * u_radius);
        float t = clamp(((at - hit) * inverse - u_bias) / u_softness, 0.0, 1.0);
        float e = clamp(abs(hit - d) * inverse - 1.0, 0.0, 1.0);
        sum += t * t * (3.0 - 2.0 * t) * (1.0 - e * e * (3.0 - 2.0 * e));
    }
    f_occluded = vec4(sum / float(u_taps));
}

#else
uniform sampler2D u_occluded;

#ifdef HALF
#define SIZE ceil(0.5 * u_size)
#else
#define SIZE u_size
#endif

// World normal and depth of a pixel of the picture that is blurred.
vec4 surface(vec2 at) {
#ifdef HALF
    return half_texel(u_half, at);
#else
    return vec4(texel(u_gbuffer_normal, at).xyz, texel(u_depth, at).r);
#endif
}

// What light the mean occlusion over 4 x 4 pixels of the same surface leaves.
float blurred() {
    vec2 here = gl_FragCoord.xy;
    float apart = float(u_step);
    vec4 own = surface(here);
    vec3 n = mat3(u_world_to_view) * own.xyz;
    // n . (q - p) for a pixel q at distance z is z (n . ray) - n . p, with the ray of unit depth.
    vec3 ray = view_point(apart * (here - 0.5) + 0.5, 1.0);
    vec2 slope = 2.0 * apart / (u_size * u_lens.xy) * n.xy;
    float along = dot(n, ray), scale = 4.0 / u_radius;
    float total = 0.0, weights = 0.0;
    for (int j = -2; j < 2; j += 2) {
        for (int i = -2; i < 2; i += 2) {
            vec2 corner = here + vec2(i, j) + 0.5;
            vec4 occluded = textureGather(u_occluded, corner / SIZE).wzxy;
            for (int k = 0; k < 4; k++) {
                vec2 off = vec2(i + (k & 1), j + (k >> 1)), at = here + off;
                vec4 there = surface(at);
                float away = (there.w * (along + dot(slope, off)) - own.w * along) * scale;
                // 0 where nothing is, as normals are there.
                float same = max(0.0, dot(own.xyz, there.xyz)), near = max(0.0, 1.0 - away * away);
                near *= same * same;
                bool inside = all(greaterThan(at, vec2(0.0))) && all(lessThan(at, SIZE));
                float weight = inside ? near * near : 0.0;
                total += weight * occluded[k];
                weights += weight;
            }
        }
    }
    float c = total / weights;
    return (1.0 - c) / max(1.0 + (u_strength - 1.0) * c, 1.0e-4);
}

#ifdef PASS_BLUR
layout(location = WRITE_BLURRED) out vec4 f_blurred;

void main() {
    f_blurred = vec4(1.0 - blurred());  // 0 where nothing is, and where nothing is dimmed
}

#else
layout(location = WRITE_AO) out vec4 f_ao;

#ifdef HALF
uniform sampler2D u_blurred;

void main() {
    f_ao = vec4(1.0 - spread(u_blurred, gl_FragCoord.xy).r);
}
#else
void main() {
    f_ao = vec4(blurred());
}
#endif
#endif
#endif
