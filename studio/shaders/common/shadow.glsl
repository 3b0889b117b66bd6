// Visibility of lights from the shadow atlas; the twin of studio/core/kernels/shadow.py and
// shadow_map.py, where the formulas are explained. All tables and constants come as uniforms.
const int MAX_TILES = 24;
const int SEARCH_TAPS = 4;
const int FILTER_TAPS = 8;

// Depth and its square, then those of the texel to the right. Box means over 2 x 2, 4 x 4, ... texels
// stand right of the maps, one above the other.
uniform sampler2D u_shadow_atlas;
uniform vec4 u_shadow_extent;  // width and height of the maps; one over those of the whole image
// The tiles of cubes, six after the other.
uniform mat4 u_shadow_matrices[MAX_TILES];
uniform vec4 u_shadow_places[MAX_TILES];
uniform vec4 u_shadow_lenses[MAX_TILES];
uniform vec4 u_shadow_ranges[MAX_TILES];
uniform vec2 u_shadow_variances;   // hard, soft
uniform vec2 u_shadow_footprints;  // search, filter
uniform vec4 u_shadow_limits;      // grazing, no blocker, foot, spare

struct Tile {
    mat4 matrix;
    vec4 place;  // left, bottom, side (texels), world size of a texel at w = 1
    vec4 lens;   // reach, plane, length, perspective
    vec4 range;  // perspective / scale^2, nearest
};

struct Receiver {
    bool inside;
    vec2 xy;
    float t;
    vec2 uv;
    vec2 slope;
};

// The face of a cube whose axis p is farthest along.
Tile face_of(int first, vec3 p) {
    int best = first;
    float most = -1.0e30;
    for (int f = first; f < first + 6; f++) {
        float along = (u_shadow_matrices[f] * vec4(p, 1.0)).w;
        if (along > most) {
            most = along;
            best = f;
        }
    }
    return Tile(u_shadow_matrices[best], u_shadow_places[best], u_shadow_lenses[best], u_shadow_ranges[best]);
}

Receiver receive(Tile tile, vec3 p, vec3 n, float bias) {
    mat4 m = tile.matrix;
    float weight = (m * vec4(p, 1.0)).w;
    vec4 q = m * vec4(p + n * (bias * tile.place.w * weight), 1.0);
    Receiver out_;
    out_.inside = q.w > 1.0e-6 && q.z > 0.0 && q.z < 1.0;
    out_.xy = out_.inside ? q.xy / q.w : vec2(0.0);
    out_.inside = out_.inside && abs(out_.xy.x) < 1.0 && abs(out_.xy.y) < 1.0;
    out_.t = q.z;
    float side = 0.5 * tile.place.z;
    out_.uv = (out_.xy + 1.0) * side;
    vec3 along = (m * vec4(n, 0.0)).xyz;
    float c = tile.lens.z * along.z + tile.range.x * dot(out_.xy, along.xy);
    float grazing = u_shadow_limits.x;
    out_.slope = along.xy * (-q.w * tile.lens.y / side * c / (c * c + grazing * grazing));
    return out_;
}

vec2 moments(Tile tile, float level, vec2 place) {
    float scale = exp2(-level), last = tile.place.z * scale - 1.0;
    vec2 maps = level > 0.0 ? u_shadow_extent.xy * vec2(1.0, 1.0 - 2.0 * scale) : vec2(0.0);
    vec2 first = maps + tile.place.xy * scale + 0.5;
    vec2 at = clamp(place * scale - 0.5, vec2(0.0), vec2(last));
    vec2 low = floor(at), f = at - low;
    vec2 above = vec2(low.x, min(low.y + 1.0, last));
    vec4 a = textureLod(u_shadow_atlas, (first + low) * u_shadow_extent.zw, 0.0);
    vec4 b = textureLod(u_shadow_atlas, (first + above) * u_shadow_extent.zw, 0.0);
    vec4 c = a + (b - a) * f.y;
    return c.xy + (c.zw - c.xy) * f.x;
}

vec2 filtered_moments(Tile tile, float lod, vec2 place) {
    float level = floor(lod);
    vec2 a = moments(tile, level, place);
    return a + (moments(tile, level + 1.0, place) - a) * (lod - level);
}

float share(float variance, float behind) {
    return behind > 0.0 ? variance / (variance + behind * behind) : 1.0;
}

vec2 held(vec2 uv, vec2 offset, float side) {
    return clamp(uv + offset, vec2(0.5), vec2(side - 0.5)) - uv;
}

float lod_of(float radius, float footprint) {
    float s = footprint * radius;
    return 0.5 * log2(1.0 + s * s);
}

float search_radius(Tile tile, float size, float t) {
    float reach = tile.lens.x * size;
    float near = tile.range.y;
    float r = reach * max(t - near, 0.0);
    if (tile.lens.w > 0.0) r = t < 4.0 * near ? r / (t * near) : 3.0 * reach / t;
    return min(r, 0.25 * tile.place.z);
}

float penumbra(Tile tile, float size, float t, float gap) {
    float r = tile.lens.x * size * gap;
    if (tile.lens.w > 0.0) r /= t * max(t - gap, tile.range.y);
    return min(r, 0.25 * tile.place.z);
}

float unbleed(float p, float bleeding) {
    float foot = u_shadow_limits.z;
    float s = (p - bleeding) / (1.0 - bleeding);
    if (s <= -foot) return 0.0;
    if (s >= foot) return s;
    return (s + foot) * (s + foot) / (4.0 * foot);
}

// Whether a blocker `away` texels off is inside the receiver's cone to the light.
float within(Tile tile, float size, float t, float behind, float shift, float blocked, float away) {
    float own = penumbra(tile, size, t, max(behind - shift * blocked, 0.0) / max(blocked, 1.0e-4)) + 1.0;
    float x = clamp(2.0 * (away / own - 1.0), 0.0, 1.0);
    return 1.0 - x * x * (3.0 - 2.0 * x);
}

// Tap i of a disc with `count` of them, of which `turn` is the direction: a Vogel spiral, drawn in by
// what the taps' own footprints add to the spread (disc_taps in studio/core/ops/shadow.py).
vec2 tap(int i, int count, float footprint, inout vec2 turn) {
    const vec2 GOLDEN = vec2(-0.73736888, 0.67549029);  // cosine and sine of pi (3 - sqrt 5)
    vec2 at = turn * sqrt((float(i) + 0.5) / float(count) * (1.0 - footprint * footprint));
    turn = vec2(turn.x * GOLDEN.x - turn.y * GOLDEN.y, turn.x * GOLDEN.y + turn.y * GOLDEN.x);
    return at;
}

// Sums over a disc: how far behind blockers the receiver is, and how much of it they take.
vec2 look(Tile tile, Receiver at, float radius, int count) {
    float lod = lod_of(radius, u_shadow_footprints.x);
    vec2 sums = vec2(0.0), turn = vec2(1.0, 0.0);
    for (int i = 0; i < count; i++) {
        vec2 offset = tap(i, SEARCH_TAPS, u_shadow_footprints.x, turn) * radius;
        offset = held(at.uv, offset, tile.place.z);
        vec2 m = filtered_moments(tile, lod, at.uv + offset);
        float shift = dot(at.slope, offset);
        float behind = at.t + shift - m.x;
        if (behind > 0.0) {
            float blocked = 1.0 - share(m.y - m.x * m.x + u_shadow_variances.y, behind);
            sums += vec2(behind - shift * blocked, blocked);
        }
    }
    return sums;
}

float gap_of(vec2 sums) {
    return max(sums.x, 0.0) / (sums.y + float(SEARCH_TAPS) * u_shadow_limits.y);
}

// Loops end when no pixel beside has anything left to do, while software OpenGL runs both sides of
// a branch: so what a pixel does not need is a loop of no steps.
float soft_visibility(Tile tile, Receiver at, float size, float bleeding) {
    float radius = search_radius(tile, size, at.t);
    vec2 sums = look(tile, at, radius, at.inside ? SEARCH_TAPS : 0);
    float narrow = u_shadow_limits.w * penumbra(tile, size, at.t, gap_of(sums)) + 1.0;
    bool again = sums.y > 0.0 && narrow < radius;
    vec2 closer = look(tile, at, narrow, again ? SEARCH_TAPS : 0);
    if (again) sums = closer;
    int count = sums.y > 0.0 ? FILTER_TAPS : 0;
    radius = penumbra(tile, size, at.t, gap_of(sums));
    float lod = lod_of(radius, u_shadow_footprints.y);
    float total = 0.0;
    vec2 turn = vec2(1.0, 0.0);
    for (int i = 0; i < count; i++) {
        vec2 offset = tap(i, FILTER_TAPS, u_shadow_footprints.y, turn) * radius;
        offset = held(at.uv, offset, tile.place.z);
        vec2 m = filtered_moments(tile, lod, at.uv + offset);
        float shift = dot(at.slope, offset);
        float behind = at.t + shift - m.x;
        float p = share(m.y - m.x * m.x + u_shadow_variances.y, behind);
        float w = within(tile, size, at.t, behind, shift, 1.0 - p, length(offset));
        total += 1.0 - w * (1.0 - unbleed(p, bleeding));
    }
    return count > 0 ? total / float(FILTER_TAPS) : 1.0;
}

float box_weight(int i, int radius, float f) {
    float scale = 1.0 / float(2 * radius + 1);
    return scale * (i == 0 ? 1.0 - f : i == 2 * radius + 1 ? f : 1.0);
}

float hard_visibility(Tile tile, Receiver at, int radius) {
    float last = tile.place.z - 1.0;
    vec2 corner = floor(at.uv - 0.5);
    vec2 f = at.uv - 0.5 - corner;
    float dark = 0.0;
    for (int j = 0; j < 2 * radius + 2; j++) {
        for (int i = 0; i < 2 * radius + 2; i++) {
            vec2 texel = corner + vec2(i, j) - float(radius);
            vec2 offset = texel + 0.5 - at.uv;
            vec2 held_texel = clamp(texel, vec2(0.0), vec2(last)) + tile.place.xy + 0.5;
            vec2 m = textureLod(u_shadow_atlas, held_texel * u_shadow_extent.zw, 0.0).rg;
            float behind = at.t + dot(at.slope, offset) - m.x;
            float p = share(m.y - m.x * m.x + u_shadow_variances.x, behind);
            dark += box_weight(i, radius, f.x) * box_weight(j, radius, f.y) * (1.0 - p);
        }
    }
    return 1.0 - dark;
}
