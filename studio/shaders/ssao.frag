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

float depth_here(ivec2 p) {
    return texelFetch(u_depth, p, 0).r;
}

#ifdef PASS_OCCLUDE
layout(location = WRITE_OCCLUDED) out vec4 f_occluded;

// Of texels no further than `limit`, at pixel coordinates with centres at whole numbers.
float mixed(vec2 xy, float limit) {
    xy = clamp(xy, vec2(0.0), u_size - 1.0);
    ivec2 p = ivec2(xy), last = min(p + 1, ivec2(u_size) - 1);
    vec2 f = xy - vec2(p);
    float a = min(depth_here(p), limit), b = min(depth_here(ivec2(last.x, p.y)), limit);
    float c = min(depth_here(ivec2(p.x, last.y)), limit), e = min(depth_here(last), limit);
    float low = a + f.x * (b - a), high = c + f.x * (e - c);
    return low + f.y * (high - low);
}

void main() {
    ivec2 here = ivec2(gl_FragCoord.xy), p = pixel();
    f_occluded = vec4(0.0);
    if (!covered(p)) return;
    float d = depth_here(p);
    vec3 point = view_point(vec2(p) + 0.5, d), n = view_normal(p);
    float s = n.z < 0.0 ? -1.0 : 1.0;
    float a = -1.0 / (s + n.z), b = n.x * n.y * a;
    vec3 t0 = vec3(1.0 + s * n.x * n.x * a, s * b, -s * n.x);
    vec3 b0 = vec3(b, s + n.y * n.y * a, -n.y);
    vec2 turn = u_rotations[4 * (here.y & 3) + (here.x & 3)];
    vec3 tangent = turn.x * t0 + turn.y * b0, bitangent = turn.x * b0 - turn.y * t0;
    float sum = 0.0;
    for (int i = 0; i < u_taps; i++) {
        vec3 o = u_offsets[i];
        vec3 q = point + u_radius * (o.x * tangent + o.y * bitangent + o.z * n);
        float at = max(-q.z, 0.1 * d);
        float hit = mixed(to_pixel(vec3(q.xy, -at)) - 0.5, d + 2.0 * u_radius);
        float t = clamp(((at - hit) / u_radius - u_bias) / u_softness, 0.0, 1.0);
        float e = clamp(abs(hit - d) / u_radius - 1.0, 0.0, 1.0);
        sum += t * t * (3.0 - 2.0 * t) * (1.0 - e * e * (3.0 - 2.0 * e));
    }
    f_occluded = vec4(sum / float(u_taps));
}

#else
uniform sampler2D u_occluded;

// What light the mean occlusion over 4 x 4 pixels of the same surface leaves.
float blurred() {
    ivec2 here = ivec2(gl_FragCoord.xy), p = pixel();
    vec3 n = view_normal(p);
    float own = dot(n, view_point(vec2(p) + 0.5, depth_here(p)));
    vec3 world = texelFetch(u_gbuffer_normal, p, 0).xyz;
    ivec2 low = max(here - 2, ivec2(0)), high = min(here + 1, textureSize(u_occluded, 0) - 1);
    float total = 0.0, weights = 0.0;
    for (int j = low.y; j <= high.y; j++) {
        for (int i = low.x; i <= high.x; i++) {
            ivec2 q = u_step * ivec2(i, j);
            float off = (dot(n, view_point(vec2(q) + 0.5, depth_here(q))) - own) / (0.25 * u_radius);
            // 0 where nothing is, as normals are there.
            float same = max(0.0, dot(world, texelFetch(u_gbuffer_normal, q, 0).xyz));
            float near = max(0.0, 1.0 - off * off);
            float weight = near * near * same * same * same * same;
            total += weight * texelFetch(u_occluded, ivec2(i, j), 0).r;
            weights += weight;
        }
    }
    float c = total / weights;
    return (1.0 - c) / max(1.0 + (u_strength - 1.0) * c, 1.0e-4);
}

#ifdef PASS_BLUR
layout(location = WRITE_BLURRED) out vec4 f_blurred;

void main() {
    f_blurred = vec4(covered(pixel()) ? blurred() : 1.0);
}

#else
layout(location = WRITE_AO) out vec4 f_ao;

#ifdef HALF
uniform sampler2D u_blurred;

void main() {
    f_ao = vec4(spread(u_blurred, pixel()).r);
}
#else
void main() {
    f_ao = vec4(blurred());
}
#endif
#endif
#endif
