// A half-size picture at full size, from neighbours on the same surface; the twin of spread in
// studio/core/ops/halves.py, where the weights are explained. Wants common/frame.glsl and u_depth.
vec4 spread(sampler2D low, ivec2 p) {
    const float DEPTH_SCALE = 0.02, NORMAL_FLOOR = 0.01;
    ivec2 last = (p & 1) + p / 2;  // the second neighbour counts for odd pixels only
    last = min(last, textureSize(low, 0) - 1);
    float z = depth_at(p);
    vec3 n = texelFetch(u_gbuffer_normal, p, 0).xyz;
    vec4 total = vec4(0.0);
    float weights = 0.0;
    for (int j = p.y / 2; j <= last.y; j++) {
        for (int i = p.x / 2; i <= last.x; i++) {
            ivec2 q = 2 * ivec2(i, j);
            float away = (depth_at(q) - z) / (DEPTH_SCALE * z);
            float same = max(0.0, dot(n, texelFetch(u_gbuffer_normal, q, 0).xyz));
            float weight = (NORMAL_FLOOR + same * same * same * same) / (1.0 + away * away);
            total += weight * texelFetch(low, ivec2(i, j), 0);
            weights += weight;
        }
    }
    return total / weights;
}
