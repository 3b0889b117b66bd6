// What a rectangle of light sends to a pixel, by linearly transformed cosines; the twin of
// studio/core/kernels/area_lanes.py, which tells the rest. Needs lights.glsl.
uniform sampler2D u_lobe;  // elements 11, 13, 31, 33 of the lobe's inverse matrix; then the plain cosine's share

// z of the integral along the great circle from unit a to unit b.
float arc(vec3 a, vec3 b) {
    float c = max(dot(a, b), -0.9999), t = 1.0 - c;
    float ratio = c > 0.98 ? 1.0 + t * (0.33333333 + t * (0.13333333 + t * 0.05714286)) : acos(c) / sqrt(1.0 - c * c);
    return ratio * (a.x * b.y - a.y * b.x);
}

vec3 towards_unit(vec3 a) {
    return a / sqrt(dot(a, a) + 1.0e-18);
}

// Where the side from a to b meets the horizon.
vec3 crossing(vec3 a, vec3 b) {
    float t = a.z / (a.z - b.z);
    return towards_unit(vec3(a.xy + t * (b.xy - a.xy), 0.0));
}

// Integral along what of a side is above the horizon.
float side(vec3 a, vec3 b) {
    if (a.z < 0.0 && b.z < 0.0) return 0.0;
    return arc(a.z >= 0.0 ? towards_unit(a) : crossing(a, b), b.z >= 0.0 ? towards_unit(b) : crossing(a, b));
}

// The crossing if the side goes below the horizon, else 0.
vec3 leaves(vec3 a, vec3 b) {
    return a.z >= 0.0 && b.z < 0.0 ? crossing(a, b) : vec3(0.0);
}

// Cosine integral over pi of a convex polygon seen from the origin, normal +z.
float form_factor(vec3 a, vec3 b, vec3 c, vec3 d) {
    float total = side(a, b) + side(b, c) + side(c, d) + side(d, a);
    vec3 away = leaves(a, b) + leaves(b, c) + leaves(c, d) + leaves(d, a);
    vec3 back = leaves(b, a) + leaves(c, b) + leaves(d, c) + leaves(a, d);
    if (dot(away, away) > 0.5 && dot(back, back) > 0.5) total += arc(away, back);
    return max(total * 0.15915494, 0.0);
}

// Between texels of the square from row `first` on.
vec4 lobe_transform(float rough, float NoV, float first) {
    vec2 size = vec2(textureSize(u_lobe, 0)), last = vec2(size.x - 1.0);
    vec2 at = vec2(sqrt(max(1.0 - NoV, 1.0e-8)), clamp(rough, 0.0, 1.0)) * last;
    vec2 i = clamp(floor(at), vec2(0.0), last - 1.0), f = at - i;
    i += vec2(0.5, first + 0.5);
    vec4 a = textureLod(u_lobe, i / size, 0.0), b = textureLod(u_lobe, (i + vec2(1.0, 0.0)) / size, 0.0);
    vec4 c = textureLod(u_lobe, (i + vec2(0.0, 1.0)) / size, 0.0), d = textureLod(u_lobe, (i + 1.0) / size, 0.0);
    return mix(mix(a, b, f.x), mix(c, d, f.x), f.y);
}

vec3 turned(vec4 m, vec3 q) {
    return vec3(m.x * q.x + m.y * q.z, q.y, m.z * q.x + m.w * q.z);
}

// Unit part of v across n; any, where v is along n.
vec3 tangent_towards(vec3 n, vec3 v, float raw_NoV) {
    vec3 across = v - n * raw_NoV;
    float length2 = dot(across, across);
    if (length2 > 1.0e-8) return across / sqrt(length2);
    return normalize(cross(n, abs(n.x) < 0.7 ? vec3(1.0, 0.0, 0.0) : vec3(0.0, 1.0, 0.0)));
}

// Shares of the hemisphere and of the lobe that a light fills, seen from p.
vec2 area_light(Lamp lamp, vec3 n, vec3 v, vec3 p, float rough) {
    vec3 middle = lamp.vector - p;
    if (dot(lamp.axis, middle) <= 0.0) return vec2(0.0);
    float raw_NoV = dot(n, v);
    float NoV = clamp(raw_NoV, MIN_NOV, 1.0);
    vec4 m = lobe_transform(rough, NoV, 0.0);
    float share = lobe_transform(rough, NoV, float(textureSize(u_lobe, 0).x)).x;
    vec3 t = tangent_towards(n, v, raw_NoV);
    mat3 to_local = transpose(mat3(t, cross(n, t), n));
    vec3 x = to_local * (lamp.right * lamp.shape.z);
    vec3 y = to_local * (cross(lamp.axis, lamp.right) * lamp.shape.w);
    vec3 q = to_local * middle;
    vec3 c0 = q - x - y, c1 = q + x - y, c2 = q + x + y, c3 = q - x + y;
    float plain = form_factor(c0, c1, c2, c3);
    float glossy = form_factor(turned(m, c0), turned(m, c1), turned(m, c2), turned(m, c3));
    return vec2(plain, mix(glossy, plain, share));
}
