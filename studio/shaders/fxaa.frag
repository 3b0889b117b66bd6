// Fast approximate antialiasing; the twin of studio/core/kernels/fxaa.py. One pass finds the pixels
// on edges, the other works on those alone.
uniform sampler2D u_color;
uniform vec2 u_size;
uniform float u_threshold;
uniform float u_threshold_dark;

// The colour at the centre of a pixel, the nearest one inside the picture.
vec4 texel(vec2 xy) {
    return textureLod(u_color, xy / u_size, 0.0);
}

// Luma of linear light, its square root standing for what a display encodes.
float brightness(vec3 color) {
    return sqrt(max(dot(color, vec3(0.299, 0.587, 0.114)), 0.0));
}

float at(vec2 xy) {
    return brightness(texel(xy).rgb);
}

// Difference of the brightest and the darkest of a pixel and its neighbours m s n w e; 0 if too little.
float contrast_of(float m, float s, float n, float w, float e) {
    float most = max(m, max(max(s, n), max(w, e)));
    float contrast = most - min(m, min(min(s, n), min(w, e)));
    return contrast < max(u_threshold_dark, most * u_threshold) ? 0.0 : contrast;
}

#ifdef PASS_EDGES
void main() {
    vec2 p = gl_FragCoord.xy;
    float s = at(p - vec2(0, 1)), n = at(p + vec2(0, 1)), w = at(p - vec2(1, 0)), e = at(p + vec2(1, 0));
    if (contrast_of(at(p), s, n, w, e) <= 0.0) discard;
}

#else
layout(location = WRITE_COLOR) out vec4 f_color;

uniform float u_subpixel;
uniform int u_reach;  // pixels an edge is followed to either side; no constant, or loops are unrolled

// Pixels to the end of the edge between p and p + across, and brightness against its mean there.
vec2 followed(vec2 p, vec2 along, vec2 across, float mean, float enough) {
    vec2 found = vec2(0.0);
    for (int k = 1; k <= u_reach; k++) {
        vec2 q = p + float(k) * along;
        found = vec2(float(k), 0.5 * (at(q) + at(q + across)) - mean);
        if (abs(found.y) >= enough) break;
    }
    return found;
}

void main() {
    vec2 p = gl_FragCoord.xy;
    vec4 color = texel(p);
    f_color = color;
    float m = brightness(color.rgb), s = at(p - vec2(0, 1)), n = at(p + vec2(0, 1));
    float w = at(p - vec2(1, 0)), e = at(p + vec2(1, 0));
    float contrast = contrast_of(m, s, n, w, e);
    if (contrast <= 0.0) return;

    float sw = at(p + vec2(-1, -1)), se = at(p + vec2(1, -1));
    float nw = at(p + vec2(-1, 1)), ne = at(p + vec2(1, 1));
    float around = (2.0 * (s + n + w + e) + sw + se + nw + ne) / 12.0;
    float single = smoothstep(0.0, 1.0, abs(around - m) / contrast);
    float along_x = 2.0 * abs(n + s - 2.0 * m) + abs(ne + se - 2.0 * e) + abs(nw + sw - 2.0 * w);
    float along_y = 2.0 * abs(e + w - 2.0 * m) + abs(ne + nw - 2.0 * n) + abs(se + sw - 2.0 * s);
    bool level = along_x >= along_y;  // the edge runs along x: its other side is below or above
    float first = level ? s : w, second = level ? n : e;
    bool up = abs(second - m) > abs(first - m);
    float other = up ? second : first;
    vec2 along = level ? vec2(1, 0) : vec2(0, 1);
    vec2 across = (up ? 1.0 : -1.0) * (level ? vec2(0, 1) : vec2(1, 0));
    float mean = 0.5 * (m + other), enough = 0.25 * abs(other - m);
    vec2 back = followed(p, -along, across, mean, enough);
    vec2 forth = followed(p, along, across, mean, enough);
    vec2 near = forth.x < back.x ? forth : back;
    float edge = (near.y < 0.0) != (m < mean) ? 0.5 - near.x / (back.x + forth.x) : 0.0;
    float weight = max(edge, u_subpixel * single * single);
    f_color = vec4(mix(color.rgb, texel(p + across).rgb, weight), color.a);
}
#endif
