// Lookups of the prefiltered environment; the twins of studio/core/kernels/octahedral.py and
// environment.py. The levels lie one above the other in one texture.

uniform sampler2D u_environment_map;
uniform vec3 u_levels[6];      // perceptual roughness, texels along a side, first row
uniform mat4 u_light_to_map;

float side(float value) {
    return value < 0.0 ? -1.0 : 1.0;
}

// Place of direction d in the square, 0..1; the length of d does not matter.
vec2 octahedral(vec3 d) {
    vec2 p = d.xz / max(abs(d.x) + abs(d.y) + abs(d.z), 1.0e-20);
    if (d.y < 0.0) p = (1.0 - abs(p.yx)) * vec2(side(p.x), side(p.y));
    return 0.5 + 0.5 * p;
}

// Texel p of a level, at most one beyond the border: there the map goes on at the other end of the
// same side, mirrored.
vec3 map_texel(ivec2 p, int size, int row) {
    if (p.x < 0 || p.x >= size) p = ivec2(clamp(p.x, 0, size - 1), size - 1 - p.y);
    if (p.y < 0 || p.y >= size) p = ivec2(size - 1 - p.x, clamp(p.y, 0, size - 1));
    return texelFetch(u_environment_map, p + ivec2(0, row), 0).rgb;
}

vec3 map_bilinear(vec2 place, int level) {
    int size = int(u_levels[level].y), row = int(u_levels[level].z);
    vec2 xy = place * float(size) - 0.5;
    vec2 corner = floor(xy), f = xy - corner;
    ivec2 p = ivec2(corner);
    vec3 low = mix(map_texel(p, size, row), map_texel(p + ivec2(1, 0), size, row), f.x);
    vec3 high = mix(map_texel(p + ivec2(0, 1), size, row), map_texel(p + ivec2(1, 1), size, row), f.x);
    return mix(low, high, f.y);
}

// Radiance from direction d seen by the lobe of a perceptual roughness, between two levels.
vec3 map_lobe(vec3 d, float roughness) {
    vec2 place = octahedral(d);
    int k = 0;
    for (int i = 1; i < u_levels.length() - 1; i++)
        if (roughness >= u_levels[i].x) k = i;
    float f = clamp((roughness - u_levels[k].x) / (u_levels[k + 1].x - u_levels[k].x), 0.0, 1.0);
    return mix(map_bilinear(place, k), map_bilinear(place, k + 1), f);
}

// Irradiance over pi: the lobe of roughness 1 is the cosine.
vec3 map_irradiance(vec3 n) {
    return map_bilinear(octahedral(n), u_levels.length() - 1);
}
