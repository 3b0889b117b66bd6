// Lookups of the prefiltered environment; the twins of studio/core/kernels/octahedral.py and
// environment.py. The levels lie one above the other in one texture, each in a frame of one texel:
// beyond the border the map goes on at the other end of the same side, mirrored. Indices are numbers,
// so that software OpenGL can carry the uniforms (carry_uniforms in gl/program.py).

uniform sampler2D u_environment_map;
uniform vec3 u_levels[6];  // perceptual roughness, texels along a side, row of the first texel
uniform vec2 u_map_scale;       // one over the texture's width and height
uniform mat4 u_world_to_map;

float side(float value) {
    return value < 0.0 ? -1.0 : 1.0;
}

// Place of direction d in the square, 0..1; the length of d does not matter.
vec2 octahedral(vec3 d) {
    vec2 p = d.xz / max(abs(d.x) + abs(d.y) + abs(d.z), 1.0e-20);
    if (d.y < 0.0) p = (1.0 - abs(p.yx)) * vec2(side(p.x), side(p.y));
    return 0.5 + 0.5 * p;
}

vec3 map_texel(vec2 at) {
    return textureLod(u_environment_map, at * u_map_scale, 0.0).rgb;
}

vec3 map_bilinear(vec2 place, vec3 level) {
    vec2 xy = place * level.y + 0.5;  // of the frame, whose texels begin at -1
    vec2 p = floor(xy), f = xy - p;
    p += vec2(0.5, level.z - 0.5);
    vec3 low = mix(map_texel(p), map_texel(p + vec2(1.0, 0.0)), f.x);
    vec3 high = mix(map_texel(p + vec2(0.0, 1.0)), map_texel(p + 1.0), f.x);
    return mix(low, high, f.y);
}

// Radiance from direction d seen by the lobe of a perceptual roughness, between two levels.
vec3 map_lobe(vec3 d, float roughness) {
    vec2 place = octahedral(d);
    vec3 fine = u_levels[4], coarse = u_levels[5];
    if (roughness < u_levels[4].x) fine = u_levels[3], coarse = u_levels[4];
    if (roughness < u_levels[3].x) fine = u_levels[2], coarse = u_levels[3];
    if (roughness < u_levels[2].x) fine = u_levels[1], coarse = u_levels[2];
    if (roughness < u_levels[1].x) fine = u_levels[0], coarse = u_levels[1];
    float f = clamp((roughness - fine.x) / (coarse.x - fine.x), 0.0, 1.0);
    return mix(map_bilinear(place, fine), map_bilinear(place, coarse), f);
}

// Irradiance over pi: the lobe of roughness 1 is the cosine.
vec3 map_irradiance(vec3 n) {
    return map_bilinear(octahedral(n), u_levels[5]);
}

// The map itself.
vec3 map_radiance(vec3 d) {
    return map_bilinear(octahedral(d), u_levels[0]);
}
