// Rays in the depth buffer; the twin of studio/core/kernels/ssr_ray.py, names and numbers alike.
// Needs common/frame.glsl.
const float START = 0.5;                   // pixels
const vec2 NEAR_FADE = vec2(1.0, 3.0);     // pixels
const float GRAZING = 0.1;                 // cosine
const vec2 AWAY_FADE = vec2(0.2, 0.8);     // cosine
const float BEFORE_FAR = 0.98;             // of u_far
const float ROUGH_FADE = 0.75;             // of the roughness limit
const float LOBE = 2.0;

uniform vec4 u_box;       // pixels of the scene's box: left, bottom, width, height
uniform float u_nearest;  // depth of its nearest corner

struct Cell {
    vec4 depth;
    vec4 weight;
    vec4 weight_x;
    vec4 weight_y;
};

Cell cell_at(vec2 xy) {
    vec2 corner = floor(xy - 0.5);
    vec2 f = xy - 0.5 - corner;
    Cell c;
    c.depth = depths_around(corner + 1.0);
    c.weight = vec4((1.0 - f.x) * (1.0 - f.y), f.x * (1.0 - f.y), (1.0 - f.x) * f.y, f.x * f.y);
    c.weight_x = vec4(f.y - 1.0, 1.0 - f.y, -f.y, f.y);
    c.weight_y = vec4(f.x - 1.0, -f.x, 1.0 - f.x, f.x);
    return c;
}

// How much of the cell is a surface at depth z, give or take `reach`.
float agreement(Cell c, float z, float reach) {
    return dot(c.weight, 1.0 - smoothstep(0.5, 1.0, abs(c.depth - z) / reach));
}

// The part of a step from `at` that ends within [0, size].
float within(float at, float move, float size) {
    if (move > 0.0) return min(1.0, (size - at) / move);
    if (move < 0.0) return min(1.0, -at / move);
    return 1.0;
}

// Part of the segment (begin xy, k; extent run, dk) at which it meets the surface between lo and hi.
float crossing(vec2 xy, vec2 run, float k, float dk, float lo, float hi, int bisections, float one_pixel) {
    for (int i = 0; i < bisections; i++) {
        float u = 0.5 * (lo + hi);
        Cell c = cell_at(xy + u * run);
        if (dot(c.weight, 1.0 / c.depth) >= k + u * dk) hi = u;
        else lo = u;
    }
    float u = 0.5 * (lo + hi);
    for (int i = 0; i < 2; i++) {
        Cell c = cell_at(xy + u * run);
        vec4 inverse = 1.0 / c.depth;
        float value = dot(c.weight, inverse) - k - u * dk;
        float slope = dot(c.weight_x, inverse) * run.x + dot(c.weight_y, inverse) * run.y - dk;
        if (slope * one_pixel > 1.0e-5 * k) u -= clamp(value / slope, -one_pixel, one_pixel);
    }
    return clamp(u, 0.0, 1.0);
}

// Length of the ray p + t r from pixel position xy where it meets a surface; negative if it does not.
float march(vec2 xy, vec3 p, vec3 r, int steps, int bisections, float thickness) {
    float d = -p.z;
    float end = r.z > 0.0 ? 0.95 * d / max(r.z, 1.0e-6) : max(BEFORE_FAR * u_far - d, 0.0) / max(-r.z, 1.0e-6);
    end = min(end, 1.0e3 * d);
    vec3 tip = p + end * r;
    float k = 1.0 / d;
    float k_end = -1.0 / tip.z;
    vec2 whole = to_pixel(tip) - xy;
    float part = min(within(xy.x, whole.x, u_size.x), within(xy.y, whole.y, u_size.y));
    vec2 run = whole * part;
    float dk = (k_end - k) * part;
    float extent = length(run);
    if (extent < NEAR_FADE.x) return -1.0;
    int count = clamp(int(extent), 1, steps);
    float u = START / extent;
    float du = (1.0 - u) / float(count);
    // Rays that have left the scene's box to a side or to the front meet nothing.
    float last = min(within(xy.x - u_box.x, run.x, u_box.z), within(xy.y - u_box.y, run.y, u_box.w));
    last = min(last, dk > 0.0 ? (1.0 / u_nearest - k) / dk : 1.0);
    count = min(count, int(ceil((last - u) / du)) + 1);
    bool before = true;
    // Walk to the next candidate, then look at it closely: pixels side by side find theirs in
    // different steps, and would pay for one another's if that were one loop.
    for (int i = 0; i < count;) {
        float here = k;
        vec2 at = xy;
        bool met = false;
        while (i < count && !met) {
            i++;
            u += du;
            here = k + u * dk;
            at = xy + u * run;
            bool now = texel(u_depth, floor(at) + 0.5).r * here > 1.0;
            met = before && !now;
            before = now;
        }
        if (!met) break;
        Cell c = cell_at(at);
        before = dot(c.weight, 1.0 / c.depth) < here;  // the nearest pixel may belong to where it comes from
        if (before) continue;
        float found = crossing(xy, run, k, dk, u - du, u, bisections, 1.0 / extent);
        float k_found = k + found * dk;
        c = cell_at(xy + found * run);
        if (agreement(c, 1.0 / k_found, thickness / k_found) > 0.0 && found * extent > NEAR_FADE.x)
            return found * part * end * k_end / k_found;
    }
    return -1.0;
}

float level_of(float alpha, float t, float z) {
    float radius = LOBE * alpha * t / z * 0.5 * u_lens.y * u_size.y;
    return 0.5 * log2(1.0 + radius * radius);
}

float border_fade(float at, float size, float edge) {
    return smoothstep(0.0, edge, min(at, size - at) / size);
}
