// Fast approximate antialiasing; the twin of studio/core/kernels/fxaa.py.
out vec4 f_color;

uniform sampler2D u_color;
uniform float u_threshold;
uniform float u_threshold_dark;
uniform float u_subpixel;

const int STEPS = 12;  // pixels an edge is followed to either side

ivec2 nearest(ivec2 p) {
    return clamp(p, ivec2(0), textureSize(u_color, 0) - 1);
}

// Luma of linear light, its square root standing for what a display encodes.
float at(ivec2 p) {
    return sqrt(max(dot(texelFetch(u_color, nearest(p), 0).rgb, vec3(0.299, 0.587, 0.114)), 0.0));
}

// Pixels to the end of the edge between p and p + across, and brightness against its mean there.
vec2 followed(ivec2 p, ivec2 along, ivec2 across, float mean, float enough) {
    float end = 0.0;
    for (int k = 1; k <= STEPS; k++) {
        ivec2 q = p + k * along;
        end = 0.5 * (at(q) + at(q + across)) - mean;
        if (abs(end) >= enough) return vec2(float(k), end);
    }
    return vec2(float(STEPS), end);
}

void main() {
    ivec2 p = ivec2(gl_FragCoord.xy);
    vec4 color = texelFetch(u_color, p, 0);
    f_color = color;
    float m = at(p), s = at(p - ivec2(0, 1)), n = at(p + ivec2(0, 1));
    float w = at(p - ivec2(1, 0)), e = at(p + ivec2(1, 0));
    float most = max(m, max(max(s, n), max(w, e)));
    float contrast = most - min(m, min(min(s, n), min(w, e)));
    if (contrast < max(u_threshold_dark, most * u_threshold)) return;

    float sw = at(p + ivec2(-1, -1)), se = at(p + ivec2(1, -1));
    float nw = at(p + ivec2(-1, 1)), ne = at(p + ivec2(1, 1));
    float around = (2.0 * (s + n + w + e) + sw + se + nw + ne) / 12.0;
    float single = smoothstep(0.0, 1.0, abs(around - m) / contrast);
    float along_x = 2.0 * abs(n + s - 2.0 * m) + abs(ne + se - 2.0 * e) + abs(nw + sw - 2.0 * w);
    float along_y = 2.0 * abs(e + w - 2.0 * m) + abs(ne + nw - 2.0 * n) + abs(se + sw - 2.0 * s);
    bool level = along_x >= along_y;  // the edge runs along x: its other side is below or above
    float first = level ? s : w, second = level ? n : e;
    bool up = abs(second - m) > abs(first - m);
    float other = up ? second : first;
    ivec2 along = level ? ivec2(1, 0) : ivec2(0, 1);
    ivec2 across = (up ? 1 : -1) * (level ? ivec2(0, 1) : ivec2(1, 0));
    float mean = 0.5 * (m + other), enough = 0.25 * abs(other - m);
    vec2 back = followed(p, -along, across, mean, enough);
    vec2 forth = followed(p, along, across, mean, enough);
    vec2 near = forth.x < back.x ? forth : back;
    float edge = (near.y < 0.0) != (m < mean) ? 0.5 - near.x / (back.x + forth.x) : 0.0;
    float weight = max(edge, u_subpixel * single * single);
    vec3 beside = texelFetch(u_color, nearest(p + across), 0).rgb;
    f_color = vec4(mix(color.rgb, beside, weight), color.a);
}
