"""C++ that works on eight runs of pixels at once.

A run is neighbouring pixels of a row that show one triangle. On fine meshes it is a pixel or two
long, and what it costs is the triangle's edge functions: so eight runs are collected, from wherever
the next ones are, and their triangles prepared in vectors, a lane for each. On CUDA there is one
lane. Fragments share the names of `rows`, as packs; `total` is the sum of the edge functions.
"""

# `pack` has a number per run; LANE(x, i) is that of run i, EACH_LANE a loop over all.
PACKS = """
    const int C = CHANNELS;
    #if defined(__CUDA_ARCH__)
    const int PACK = 1, SHORT = 1;
    typedef float pack;
    #define LANE(x, lane) x
    #define PACK_CALL
    #else
    const int PACK = 8, SHORT = 8;
    typedef float pack __attribute__((ext_vector_type(8)));
    #define LANE(x, lane) x[lane]
    #define PACK_CALL __attribute__((noinline))
    #endif
    #define EACH_LANE _Pragma("unroll") for (int lane = 0; lane < PACK; ++lane)
    const pack zero = 0.0f, one = 1.0f;
    auto absolute = [&](const pack& x) -> pack { return x < zero ? -x : x; };
    struct Runs {
        int pixel[PACK], length[PACK], id[PACK], x[PACK], y[PACK], image[PACK];
        float share[PACK];
    };
"""

# Finds where runs begin: `begins` gets the first pixels of those in [from, to), and `to` at the end.
BEGINS = """
    const int SEGMENT = 256;
    auto find_begins = [&](const long long* K, const int from, const int to, int* begins) -> int {
        int count = 1, previous = (int)K[from];
        begins[0] = from;
        for (int k = from + 1; k < to;) {
            const int stop = k + 8 < to ? k + 8 : to;
            if (stop == k + 8) {
                int other = 0;
                for (int i = 0; i < 8; ++i) other |= (int)K[k + i] ^ previous;
                if (other == 0) {
                    k = stop;
                    continue;
                }
            }
            // Where runs are short nobody can foresee their ends: no branch.
            for (; k < stop; ++k) {
                const int id = (int)K[k];
                begins[count] = k;
                count += id != previous;
                previous = id;
            }
        }
        begins[count] = to;
        return count;
    };
"""

# Corners and edge functions, from the runs' first pixels.
TRIANGLES = """
        pack fx, fy, x0, y0, w0, x1, y1, w1, x2, y2, w2;
        EACH_LANE {
            const int* t = (const int*)tri.data + 3 * (size_t)runs.id[lane];
            const float* P = (const float*)pos.data + 4 * (size_t)pos.shape[1] * runs.image[lane];
            const float *p0 = P + 4 * (size_t)t[0], *p1 = P + 4 * (size_t)t[1], *p2 = P + 4 * (size_t)t[2];
            LANE(fx, lane) = (wp::float32)runs.x[lane];
            LANE(fy, lane) = (wp::float32)runs.y[lane];
            LANE(x0, lane) = p0[0], LANE(y0, lane) = p0[1], LANE(w0, lane) = p0[3];
            LANE(x1, lane) = p1[0], LANE(y1, lane) = p1[1], LANE(w1, lane) = p1[3];
            LANE(x2, lane) = p2[0], LANE(y2, lane) = p2[1], LANE(w2, lane) = p2[3];
        }
        fx = (fx + 0.5f) * step_x - 1.0f, fy = (fy + 0.5f) * step_y - 1.0f;
        x0 -= fx * w0, x1 -= fx * w1, x2 -= fx * w2;
        y0 -= fy * w0, y1 -= fy * w1, y2 -= fy * w2;
        pack ax = y1 * w2 - w1 * y2, e = x1 * y2 - y1 * x2;
        pack bx = y2 * w0 - w2 * y0, f = x2 * y0 - y2 * x0;
        const pack cx = y0 * w1 - w0 * y1, g = x0 * y1 - y0 * x1;
        pack total = e + f + g, total_x = ax + bx + cx;
"""

# Rounding may leave the pixels of a sliver outside of it, at worst far away. If both ends of a run
# are within the triangle, so is what lies between; a run of which that is not true keeps the values
# of its first pixel, clamped.
STEADY = """
        pack length;
        EACH_LANE LANE(length, lane) = (wp::float32)runs.length[lane];
        const pack reach = (length - 1.0f) * step_x;
        const auto sound =
            (absolute(e) + absolute(f) + absolute(g) <= 1.01f * absolute(total))
            & (absolute(e + reach * ax) + absolute(f + reach * bx) + absolute(g + reach * cx)
               <= 1.01f * absolute(total + reach * total_x));
        pack u = e / total, v = f / total;
        u = u < one ? u : one;
        u = u > zero ? u : zero;
        v = v < one - u ? v : one - u;
        v = v > zero ? v : zero;
        e = sound ? e : u, f = sound ? f : v, total = sound ? total : one;
        ax = sound ? ax : zero, bx = sound ? bx : zero, total_x = sound ? total_x : zero;
"""

# The attributes of the corners, the first two relative to the third.
COLORS = """
        pack from_0[C], from_1[C], third[C];
        EACH_LANE {
            const int* t = (const int*)tri.data + 3 * (size_t)runs.id[lane];
            const int m = runs.image[lane] < attr.shape[0] ? runs.image[lane] : attr.shape[0] - 1;
            const float* A = (const float*)attr.data + C * (size_t)attr.shape[1] * m;
            const float *a0 = A + C * (size_t)t[0], *a1 = A + C * (size_t)t[1], *a2 = A + C * (size_t)t[2];
            _Pragma("unroll") for (int c = 0; c < C; ++c) {
                LANE(from_0[c], lane) = a0[c], LANE(from_1[c], lane) = a1[c], LANE(third[c], lane) = a2[c];
            }
        }
        for (int c = 0; c < C; ++c) from_0[c] -= third[c], from_1[c] -= third[c];
"""

# At the run's first pixel e = x_1 y_2 - y_1 x_2, which gives (g_2 y_1 - g_1 y_2) to x_0 and
# (g_1 x_2 - g_2 x_1) to y_0; x_i = q_i.x - X q_i.w at a pixel X, so w gets minus X and Y times those.
# g_i is the gradient of e, f and g, m_i of their slopes. What is not sound moves nothing.
TO_POSITIONS = """
        if (with_pos) {
            const pack g2 = sound ? sums.g2 : zero, m2 = sound ? sums.m2 : zero;
            const pack g0 = sound ? sums.g0 + g2 : zero, g1 = sound ? sums.g1 + g2 : zero;
            const pack m0 = sound ? sums.m0 + m2 : zero, m1 = sound ? sums.m1 + m2 : zero;
            pack to[9] = {
                y1 * g2 - y2 * g1, (x2 * g1 - w2 * m1) - (x1 * g2 - w1 * m2), y1 * m2 - y2 * m1,
                y2 * g0 - y0 * g2, (x0 * g2 - w0 * m2) - (x2 * g0 - w2 * m0), y2 * m0 - y0 * m2,
                y0 * g1 - y1 * g0, (x1 * g0 - w1 * m0) - (x0 * g1 - w0 * m1), y0 * m1 - y1 * m0};
            for (int i = 0; i < 9; i += 3) to[i + 2] = -(fx * to[i] + fy * to[i + 1] + to[i + 2]);
            float parts[9][PACK];
            memcpy(parts, to, sizeof(to));
            for (int lane = 0; lane < count; ++lane) {
                const int* t = (const int*)tri.data + 3 * (size_t)runs.id[lane];
                float* GP = (float*)grad_pos.data + 4 * (size_t)pos.shape[1] * runs.image[lane];
                _Pragma("unroll") for (int i = 0; i < 3; ++i) {
                    float* vertex = GP + 4 * (size_t)t[i];
                    wp::atomic_add(vertex, parts[3 * i][lane]);
                    wp::atomic_add(vertex + 1, parts[3 * i + 1][lane]);
                    wp::atomic_add(vertex + 3, parts[3 * i + 2][lane]);
                }
            }
        }
"""
