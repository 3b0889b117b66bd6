// A half-size picture at full size, from neighbours on the same surface; the twin of spread in
// studio/core/ops/halves.py, where the weights are explained. Wants common/frame.glsl and u_depth.
uniform sampler2D u_half;  // of every second pixel: xyz world normal, w depth; (0, 0, 0, u_far) where nothing is

// A texel of a picture of half size, the nearest one inside.
vec4 half_texel(sampler2D low, vec2 at) {
    return textureLod(low, at / ceil(0.5 * u_size), 0.0);
}

// Weight of a neighbour at `at`, with what lies there for a surface of this normal and depth.
float spread_weight(vec2 at, vec3 n, float z) {
    const float DEPTH_SCALE = 0.02, NORMAL_FLOOR = 0.01;
    vec4 there = half_texel(u_half, at);
    float away = (there.w - z) / (DEPTH_SCALE * z);
    float same = max(0.0, dot(n, there.xyz));
    same *= same;
    return (NORMAL_FLOOR + same * same) / (1.0 + away * away);
}

// To a surface of normal n at distance z.
vec4 spread(sampler2D low, vec2 xy, vec3 n, float z) {
    vec2 odd = mod(floor(xy), 2.0), at = floor(0.5 * floor(xy)) + 0.5;
    odd *= vec2(lessThan(at + 1.0, ceil(0.5 * u_size)));  // even pixels and the last have no second neighbour
    vec4 w = vec4(1.0, odd, odd.x * odd.y);
    vec2 right = at + vec2(1, 0), up = at + vec2(0, 1), both = at + 1.0;
    w *= vec4(spread_weight(at, n, z), spread_weight(right, n, z), spread_weight(up, n, z), spread_weight(both, n, z));
    w /= w.x + w.y + w.z + w.w;
    vec4 total = w.x * half_texel(low, at) + w.y * half_texel(low, right);
    return total + w.z * half_texel(low, up) + w.w * half_texel(low, both);
}

vec4 spread(sampler2D low, vec2 xy) {
    return spread(low, xy, texel(u_gbuffer_normal, xy).xyz, texel(u_depth, xy).r);
}
