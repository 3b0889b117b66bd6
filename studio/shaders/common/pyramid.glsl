// A picture at halving sizes; the twin of studio/core/ops/pyramid.py.

// Texel p, the nearest one inside.
vec4 level_texel(sampler2D image, vec2 p) {
    return textureLod(image, (p + 0.5) / vec2(textureSize(image, 0)), 0.0);
}

// The mean of the 2 x 2 texels below texel p; an odd last row or column counts twice.
vec4 halved(sampler2D image, ivec2 p) {
    vec2 q = 2.0 * vec2(p);
    vec4 sum = level_texel(image, q) + level_texel(image, q + vec2(1, 0));
    return 0.25 * (sum + level_texel(image, q + vec2(0, 1)) + level_texel(image, q + vec2(1, 1)));
}

// Bilinear value of a level at a position in full pixels.
vec4 level_at(sampler2D image, int level, vec2 xy) {
    vec2 x = xy / float(1 << level) - 0.5;
    vec2 p = floor(x), f = x - p;
    vec4 low = mix(level_texel(image, p), level_texel(image, p + vec2(1, 0)), f.x);
    return mix(low, mix(level_texel(image, p + vec2(0, 1)), level_texel(image, p + vec2(1, 1)), f.x), f.y);
}
