"""Form factors of a rectangle of light and their adjoints, as C++ of lanes (see lanes.py).

The lobe is a linearly transformed cosine: Heitz, Dupuy, Hill and Neubelt 2016, "Real-Time
Polygonal-Light Shading with Linearly Transformed Cosines", with a share of the plain cosine for
GGX's tail (see assets/fit_ltc.py). The rectangle is cut off at the horizon exactly: a convex
polygon has at most one side along it, from where it goes down to where it comes up.

The same formulas stand in studio/shaders/common/area.glsl; change both together.
"""

from __future__ import annotations

# The integral along the great circle from unit a to unit b: z of angle times unit a x b.
# With acos(c) = sqrt(1 - c) p(c), Abramowitz and Stegun 4.4.46 (2e-8), angle over sine is
# p(c) / sqrt(1 + c), which has nothing singular for short arcs. Arcs near half a circle end at
# LEAST; their direction is anyone's guess.
_ARC = """
    struct Arc {
        F ratio, slope, w;  // angle / sine, its derivative along a . b, and z of a x b
        static Arc of(V a, V b) {
            constexpr float LEAST = -0.9999f, PI = 3.14159265f;
            const F raw = a.dot(b), c = Each::clamp(raw, LEAST, 1.0f), s = Each::max(c, -c);
            const float k[8] = {1.5707963050f, -0.2145988016f, 0.0889789874f, -0.0501743046f,
                                0.0308918810f, -0.0170881256f, 0.0066700901f, -0.0012624911f};
            F p = F(k[7]), steep = F(0.0f);
            for (int i = 6; i >= 0; --i) {
                steep = steep * s + p;
                p = p * s + k[i];
            }
            const F inverse = 1.0f / (1.0f + s), root = Each::sqrt(inverse);
            Arc o;
            o.ratio = p * root;
            o.slope = (steep - 0.5f * p * inverse) * root;
            const auto wide = c < 0.0f;
            const F sine2 = 1.0f / Each::max(1.0f - s * s, F(1.0e-6f)), sine = Each::sqrt(sine2);
            o.ratio = wide ? PI * sine - o.ratio : o.ratio;
            o.slope = wide ? PI * c * sine * sine2 + o.slope : o.slope;
            o.slope = raw > LEAST ? o.slope : F(0.0f);
            o.w = a.x * b.y - a.y * b.x;
            return o;
        }
        void pull(V a, V b, F g, V& g_a, V& g_b) const {
            const F g_c = g * w * slope, g_w = g * ratio;
            g_a = V{b.x * g_c + b.y * g_w, b.y * g_c - b.x * g_w, b.z * g_c};
            g_b = V{a.x * g_c - a.y * g_w, a.y * g_c + a.x * g_w, a.z * g_c};
        }
    };
"""

# Where the side from a to b meets the horizon, as a unit vector; anything if it does not.
_CROSSING = """
    struct Crossing {
        V unit;
        F t, gap, inverse;
        static Crossing of(V a, V b, Bits meets) {
            Crossing o;
            o.gap = 1.0f / (meets ? a.z - b.z : F(1.0f));
            o.t = a.z * o.gap;
            const V p = {a.x + o.t * (b.x - a.x), a.y + o.t * (b.y - a.y), F(0.0f)};
            o.inverse = 1.0f / Each::sqrt(p.dot(p) + 1.0e-18f);
            o.unit = p * o.inverse;
            return o;
        }
        void pull(V a, V b, V g, V& g_a, V& g_b) const {
            const F along = unit.x * g.x + unit.y * g.y;
            const F x = (g.x - unit.x * along) * inverse, y = (g.y - unit.y * along) * inverse;
            const F g_t = x * (b.x - a.x) + y * (b.y - a.y);
            g_a += V{x * (1.0f - t), y * (1.0f - t), -g_t * b.z * gap * gap};
            g_b += V{x * t, y * t, g_t * a.z * gap * gap};
        }
    };
"""

# Cosine integral over pi of a convex polygon seen from the origin, normal +z. Positive if the
# corners run anticlockwise as seen from the origin.
_POLYGON = """
    struct Polygon {
        V c[4], unit[4], out, back;
        F inverse[4], value;
        Bits up[4], cut;
        bool clipped;
        struct Side { V from, to; Crossing crossing; Bits meets, shown; };
        Side side(int k) const {
            const int l = (k + 1) & 3;
            Side o;
            o.from = unit[k];
            o.to = unit[l];
            o.shown = up[k] | up[l];
            if (clipped) {
                o.meets = up[k] != up[l];
                o.crossing = Crossing::of(c[k], c[l], o.meets);
                o.from = V::pick(up[k], o.from, o.crossing.unit);
                o.to = V::pick(up[l], o.to, o.crossing.unit);
            }
            return o;
        }
        F see() {
            Bits any_below = Bits(0);
            for (int k = 0; k < 4; ++k) {
                inverse[k] = 1.0f / Each::sqrt(c[k].dot(c[k]) + 1.0e-18f);
                unit[k] = c[k] * inverse[k];
                up[k] = c[k].z >= 0.0f;
                any_below = any_below | (up[k] == 0);
            }
            clipped = Each::any(any_below);
            const V none = V::all(F(0.0f));
            out = back = none;
            F total = F(0.0f);
            for (int k = 0; k < 4; ++k) {
                const Side o = side(k);
                const Arc arc = Arc::of(o.from, o.to);
                total += o.shown ? arc.ratio * arc.w : F(0.0f);
                if (!clipped) continue;
                out += V::pick(o.meets & up[k], o.crossing.unit, none);
                back += V::pick(o.meets & (up[k] == 0), o.crossing.unit, none);
            }
            cut = (out.dot(out) > 0.5f) & (back.dot(back) > 0.5f);
            if (clipped) {
                const Arc arc = Arc::of(out, back);
                total += cut ? arc.ratio * arc.w : F(0.0f);
            }
            value = Each::max(total * 0.15915494f, F(0.0f));
            return value;
        }
"""

_POLYGON_ADJOINT = """
        // Gradients of the corners, for g at the value.
        void pull(F g, V* to) const {
            const V none = V::all(F(0.0f));
            g = value > 0.0f ? g * 0.15915494f : F(0.0f);
            V g_out = none, g_back = none, g_unit[4] = {none, none, none, none};
            if (clipped) Arc::of(out, back).pull(out, back, cut ? g : F(0.0f), g_out, g_back);
            for (int k = 0; k < 4; ++k) to[k] = none;
            for (int k = 0; k < 4; ++k) {
                const int l = (k + 1) & 3;
                const Side o = side(k);
                V g_from, g_to;
                Arc::of(o.from, o.to).pull(o.from, o.to, o.shown ? g : F(0.0f), g_from, g_to);
                if (clipped) {
                    const V of_crossing = V::pick(up[k], g_to + g_out, g_from + g_back);
                    o.crossing.pull(c[k], c[l], V::pick(o.meets, of_crossing, none), to[k], to[l]);
                    g_from = V::pick(up[k], g_from, none);
                    g_to = V::pick(up[l], g_to, none);
                }
                g_unit[k] += g_from;
                g_unit[l] += g_to;
            }
            for (int k = 0; k < 4; ++k) to[k] += (g_unit[k] - unit[k] * unit[k].dot(g_unit[k])) * inverse[k];
        }
    };
"""

# The lobe's transform between texels of its table (two squares of `size` texels, side by side of
# four numbers): elements 11, 13, 31, 33 of the inverse matrix, and the share of the plain cosine.
_TRANSFORM = """
    struct Transform {
        F texel[4][5], value[5], x, fx, fy;
        void at(F rough, F nov, const float* table, int size) {
            const float last = size - 1;
            const F y = Each::clamp(rough, 0.0f, 1.0f) * last;
            x = Each::sqrt(Each::max(1.0f - nov, F(1.0e-8f))) * last;
            for (int k = 0; k < WIDE; ++k) {
                const float in_x = ((const float*)&x)[k], in_y = ((const float*)&y)[k];
                const int column = in_x < last - 1.0f ? (int)in_x : size - 2;
                const int row = in_y < last - 1.0f ? (int)in_y : size - 2;
                ((float*)&fx)[k] = in_x - column;
                ((float*)&fy)[k] = in_y - row;
                for (int corner = 0; corner < 4; ++corner) {
                    const float* from = table + 4 * ((row + corner / 2) * size + column + corner % 2);
                    for (int c = 0; c < 4; ++c) ((float*)&texel[corner][c])[k] = from[c];
                    ((float*)&texel[corner][4])[k] = from[4 * size * size];
                }
            }
            for (int c = 0; c < 5; ++c) {
                const F low = texel[0][c] + (texel[1][c] - texel[0][c]) * fx;
                value[c] = low + (texel[2][c] + (texel[3][c] - texel[2][c]) * fx - low) * fy;
            }
        }
        V turned(V q) const {
            return {value[0] * q.x + value[1] * q.z, q.y, value[2] * q.x + value[3] * q.z};
        }
        V back(V g) const { return {value[0] * g.x + value[2] * g.z, g.y, value[1] * g.x + value[3] * g.z}; }
        // Gradients of roughness and NoV, for those of the five values.
        void pull(const F* g, F nov, int size, F& of_rough, F& of_nov) const {
            const float last = size - 1;
            F g_x = F(0.0f), g_y = F(0.0f);
            for (int c = 0; c < 5; ++c) {
                const F low = texel[1][c] - texel[0][c], high = texel[3][c] - texel[2][c];
                g_x += g[c] * (low + (high - low) * fy);
                g_y += g[c] * (texel[2][c] - texel[0][c] + (high - low) * fx);
            }
            of_rough = g_y * last;
            of_nov = 1.0f - nov > 1.0e-8f ? g_x * (-0.5f * last * last) / x : F(0.0f);
        }
    };
"""

FORM_FACTORS = _ARC + _CROSSING + _POLYGON + _POLYGON_ADJOINT + _TRANSFORM

# A surface that a panel shines on, in light space; t, b, n are its axes, `middle` leads to the
# panel's. Of the panel: its half sides X and Y and where it faces.
SURFACE = """
    struct Panel { V middle, axis, right, up, x, y; };
    const float* L = (const float*)light.data;
    const V axis = V::of(L + 3), right = V::of(L + 6), height = axis.cross(right);
    const Panel panel = {V::of(L), axis, right, height, right * F(L[9]), height * F(L[10])};
    struct Surface {
        V n, p, v, t, b, middle, aside;
        F rough, raw_rough, raw_nov, nov, distance, inverse;
        Bits facing, straight;
        // From n, p and raw_rough as they are in the picture.
        void place(const float* view, const Panel& panel) {
            const V d = (V::of(view + 9) - p).by(view);
            n = n.by(view);
            distance = Each::sqrt(d.dot(d) + 1.0e-18f);
            v = d * (1.0f / distance);
            middle = panel.middle - V::of(view + 12) + d;
            facing = panel.axis.dot(middle) > 0.0f;
            raw_nov = n.dot(v);
            nov = Each::clamp(raw_nov, MIN_NOV, 1.0f);
            rough = Each::max(raw_rough, F(MIN_ROUGHNESS));
            // Along v across n; anywhere across n, where v is along n.
            const V flat = v - n * raw_nov;
            const auto slanted = Each::max(n.x, -n.x) < 0.7f;
            aside = {slanted ? F(1.0f) : F(0.0f), slanted ? F(0.0f) : F(1.0f), F(0.0f)};
            straight = flat.dot(flat) <= 1.0e-8f;
            const V chosen = V::pick(straight, n.cross(aside), flat);
            inverse = 1.0f / Each::sqrt(chosen.dot(chosen) + 1.0e-18f);
            t = chosen * inverse;
            b = n.cross(t);
        }
        V local(V q) const { return {t.dot(q), b.dot(q), n.dot(q)}; }
        V world(V q) const { return t * q.x + b * q.y + n * q.z; }
        void corners(const Panel& panel, V* c) const {
            const V x = local(panel.x), y = local(panel.y), q = local(middle);
            c[0] = q - x - y;
            c[1] = q + x - y;
            c[2] = q + x + y;
            c[3] = q - x + y;
        }
    };
    Surface s[GROUPS];
    constexpr int STEP = sizeof(Surface) / sizeof(F);
"""

READ_BLOCK = """
        const float* view = (const float*)views.data + 15 * (where[0] / view_pixels);
        read(normal, &s[0].n.x, STEP, 3);
        read(position, &s[0].p.x, STEP, 3);
        read(roughness, &s[0].raw_rough, STEP, 1);
"""
