// A picture at halving sizes; the twin of studio/core/ops/pyramid.py.

ivec2 clamped(sampler2D image, ivec2 p) {
    return clamp(p, ivec2(0), textureSize(image, 0) - 1);
}

// The mean of the 2 x 2 texels below texel p; an odd last row or column counts twice.
vec4 halved(sampler2D image, ivec2 p) {
    vec4 sum = texelFetch(image, 2 * p, 0);
    sum += texelFetch(image, clamped(image, 2 * p + ivec2(1, 0)), 0);
    sum += texelFetch(image, clamped(image, 2 * p + ivec2(0, 1)), 0);
    sum += texelFetch(image, clamped(image, 2 * p + ivec2(1, 1)), 0);
    return 0.25 * sum;
}

// Bilinear value of a level at a position in full pixels.
vec4 level_at(sampler2D image, int level, vec2 xy) {
    vec2 x = xy / float(1 << level) - 0.5;
    vec2 f = x - floor(x);
    ivec2 p = ivec2(floor(x));
    vec4 low = mix(texelFetch(image, clamped(image, p), 0), texelFetch(image, clamped(image, p + ivec2(1, 0)), 0), f.x);
    vec4 high = mix(texelFetch(image, clamped(image, p + ivec2(0, 1)), 0), texelFetch(image, clamped(image, p + ivec2(1, 1)), 0), f.x);
    return mix(low, high, f.y);
}
