"""The resolve pass: barycentrics of the triangles that visibility found, and their adjoint.

Barycentrics come from homogeneous edge functions (Olano and Greer 1997, "Triangle Scan Conversion
using 2D Homogeneous Coordinates"): with q_i = (x_i - X w_i, y_i - Y w_i, w_i) relative to a pixel,
n_i = q_j x q_k holds the edge function e_i in its third component and its derivatives along X and
Y in the others; u = e_0 / (e_0 + e_1 + e_2). Along a row the derivatives stay and e changes by
the first: only the pixel where a run of one triangle begins needs the vertices. Measured from
there, and not from the image's centre, small triangles keep their precision.

The loops over a row are C++ that Warp compiles for CPU and CUDA alike: without branches and over
plain memory, they run in vectors. On CUDA a thread's row is a single pixel.
"""

import warp as wp

from studio.core.kernels.packs import PACKS, TO_POSITIONS, TRIANGLES
from studio.core.kernels.rows import BARYCENTRICS, SKIP_EMPTY, TRIANGLE, ZEROS, native

wp.set_module_options({"enable_backward": False})

_RESOLVE = (
    ZEROS
    + """
    const long long* K = (const long long*)keys.data + first;
    const float* P = (const float*)pos.data + 4 * (size_t)n * pos.shape[1];
    float* R = (float*)rast.data + 4 * (size_t)first;
    float* D = (float*)rast_db.data + 4 * (size_t)first;
    const bool with_db = rast_db.shape[0] > 0;
    int* S = (int*)spans.data + 2 * (size_t)(first / length);
    const int run = bounded ? S[1] : length;
    const bool huge = 16 * (size_t)rast.shape[0] >= HUGE_IMAGE;
    auto clear = [=](int from, int to) {
        zeros(R + 4 * (size_t)from, 4 * (size_t)(to - from), huge);
        if (with_db) zeros(D + 4 * (size_t)from, 4 * (size_t)(to - from), huge);
    };
    int low = run, high = 0;
    int k = bounded ? S[0] : 0;
    clear(0, k);
    while (k < run) {
        const long long key = K[k];
        int end = k + 1;
        if (key == NOTHING) {
"""
    + SKIP_EMPTY
    + """
            clear(k, end);
            k = end;
            continue;
        }
        const int id = (int)key;
        while (end < run && (int)K[end] == id) ++end;
        const float number = (wp::float32)(id + 1);
        low = k < low ? k : low;
        high = end;
"""
    + TRIANGLE
    + """
        if (with_db) {
            VECTORS
            for (int i = k; i < end; ++i) {
"""
    + BARYCENTRICS
    + """
                float* db = D + 4 * (size_t)i;
                db[0] = (ax - u * total_x) * r * step_x;
                db[1] = (ay - u * total_y) * r * step_y;
                db[2] = (bx - v * total_x) * r * step_x;
                db[3] = (by - v * total_y) * r * step_y;
            }
        } else {
            int i = k;
            EIGHT_PIXELS
            for (; i < end; ++i) {
"""
    + BARYCENTRICS
    + """
            }
        }
        k = end;
    }
    clear(run, length);
    if (spans.shape[0] > 0) {
        S[0] = low < high ? low : 0;
        S[1] = high;
    }
"""
)

# BARYCENTRICS of eight pixels at a time, as far as the row goes: what a run's last ones have too much,
# the next ones overwrite. Loops that leave them over spend most of their time on what is left over, since
# runs are seldom longer than eight. One or two pixels are less than the vectors.
_EIGHT_PIXELS = """
            #if !defined(__CUDA_ARCH__)
            typedef float eight __attribute__((ext_vector_type(8)));
            typedef int eight_bits __attribute__((ext_vector_type(8)));
            typedef long long eight_keys __attribute__((ext_vector_type(8)));
            const eight zero = 0.0f, one = 1.0f, numbers = number;
            for (; i + 2 < end && i + 8 <= length; i += 8) {
                const eight steps = {0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f};
                const eight d = ((wp::float32)(i - k) + steps) * step_x;
                const eight sum = total + d * total_x;
                const eight r = sum == zero ? zero : one / sum;
                eight u = (e + d * ax) * r, v = (f + d * bx) * r;
                u = u < one ? u : one;
                u = u > zero ? u : zero;
                v = v < one - u ? v : one - u;
                v = v > zero ? v : zero;
                eight_keys key;
                memcpy(&key, K + i, sizeof(key));
                eight_bits bits = __builtin_convertvector(key >> 32, eight_bits);
                bits ^= (bits >> 31) & 0x7fffffff;
                eight z;
                memcpy(&z, &bits, sizeof(z));
                const auto uv = __builtin_shufflevector(u, v, UV);
                const auto zn = __builtin_shufflevector(z, numbers, UV);
                const auto pixels = __builtin_shufflevector(uv, zn, UVZN);
                memcpy(R + 4 * (size_t)i, &pixels, sizeof(pixels));
            }
            #endif
"""
_RESOLVE = (
    _RESOLVE.replace("EIGHT_PIXELS", _EIGHT_PIXELS)
    .replace("UVZN", ", ".join(f"{2 * i}, {2 * i + 1}, {16 + 2 * i}, {17 + 2 * i}" for i in range(8)))
    .replace("UV)", ", ".join(f"{i}, {8 + i}" for i in range(8)) + ")")
)

# Short runs eight at a time, a pixel of each: what they cost is the triangle.
_PULL_PACK = (
    """
    Runs runs;
    int waiting = 0;
    auto pull = [&](const int count) PACK_CALL {
        int longest = 0;
        for (int lane = 0; lane < PACK; ++lane) {
            if (lane >= count) {
                runs.pixel[lane] = runs.pixel[0], runs.id[lane] = runs.id[0], runs.x[lane] = runs.x[0];
                runs.length[lane] = 0;
            }
            runs.y[lane] = y, runs.image[lane] = n;
            longest = runs.length[lane] > longest ? runs.length[lane] : longest;
        }
"""
    + TRIANGLES
    + """
        struct {
            pack g0, g1, g2, m0, m1, m2;
        } sums = {};
        pack length;
        EACH_LANE LANE(length, lane) = (wp::float32)runs.length[lane];
        for (int j = 0; j < longest; ++j) {
            pack gu, gv;
            EACH_LANE {
                const float* from = R_GRAD + 4 * (size_t)(runs.pixel[lane] + (j < runs.length[lane] ? j : 0));
                LANE(gu, lane) = from[0], LANE(gv, lane) = from[1];
            }
            const pack d = (wp::float32)j * step_x;
            const pack sum = total + d * total_x;
            const auto there = (length > (wp::float32)j) & (sum != zero);
            const pack r = one / (there ? sum : one);
            gu = there ? gu * r : zero, gv = there ? gv * r : zero;
            const pack sz = -(gu * (e + d * ax) + gv * (f + d * bx)) * r;
            sums.g0 += gu, sums.g1 += gv, sums.g2 += sz;
            sums.m0 += gu * d, sums.m1 += gv * d, sums.m2 += sz * d;
        }
        const auto sound = zero == zero;
"""
    + TO_POSITIONS
    + """
        waiting = 0;
    };
"""
).replace("R_GRAD", "G")

_RESOLVE_BACKWARD = (
    PACKS
    + """
    const float* P = (const float*)pos.data + 4 * (size_t)n * pos.shape[1];
    const float* R = (const float*)rast.data + 4 * (size_t)first;
    const float* G = (const float*)grad_rast.data + 4 * (size_t)first;
    const float* D = (const float*)grad_db.data + 4 * (size_t)first;
    float* to_pos = (float*)grad_pos.data + 4 * (size_t)n * pos.shape[1];
    const bool with_db = grad_db.shape[0] > 0, with_pos = true;
    const int* S = (const int*)spans.data + 2 * (size_t)(first / run);
    const int stop = spans.shape[0] > 0 ? S[1] : run;
    int k = spans.shape[0] > 0 ? S[0] : 0;
"""
    + _PULL_PACK
    + """
    while (k < stop) {
        const float number = R[4 * (size_t)k + 3];
        int end = k + 1;
        while (end < stop && R[4 * (size_t)end + 3] == number) ++end;
        if (number == 0.0f) {
            k = end;
            continue;
        }
        if (!with_db && end - k <= 2 * PACK) {
            runs.pixel[waiting] = k, runs.length[waiting] = end - k, runs.id[waiting] = (int)number - 1;
            runs.x[waiting] = x + k;
            if (++waiting == PACK) pull(PACK);
            k = end;
            continue;
        }
        const int id = (int)number - 1;
"""
    + TRIANGLE
    + """
        // Sums of the gradients of a, b and their total, by component.
        float gax = 0.0f, gay = 0.0f, gaz = 0.0f;
        float gbx = 0.0f, gby = 0.0f, gbz = 0.0f;
        float gsx = 0.0f, gsy = 0.0f, gsz = 0.0f;
        if (with_db) {
            VECTORS
            for (int i = k; i < end; ++i) {
                const float d = (wp::float32)(i - k) * step_x;
                const float sum = total + d * total_x;
                const float r = sum == 0.0f ? 0.0f : 1.0f / sum;
                const float u = (e + d * ax) * r;
                const float v = (f + d * bx) * r;
                // u_x = (a_x - u s_x) / s_z and so on: quotient rule, from the outside in.
                const float ux = D[4 * (size_t)i] * step_x * r;
                const float uy = D[4 * (size_t)i + 1] * step_y * r;
                const float vx = D[4 * (size_t)i + 2] * step_x * r;
                const float vy = D[4 * (size_t)i + 3] * step_y * r;
                const float gu = G[4 * (size_t)i] - ux * total_x - uy * total_y;
                const float gv = G[4 * (size_t)i + 1] - vx * total_x - vy * total_y;
                const float quotient = ux * (ax - u * total_x) + uy * (ay - u * total_y)
                                     + vx * (bx - v * total_x) + vy * (by - v * total_y);
                const float sz = -(quotient + gu * u + gv * v) * r;
                // e moves by d along the first component.
                gax += ux + d * gu * r;
                gay += uy;
                gaz += gu * r;
                gbx += vx + d * gv * r;
                gby += vy;
                gbz += gv * r;
                gsx += d * sz - (ux * u + vx * v);
                gsy -= uy * u + vy * v;
                gsz += sz;
            }
        } else {
            VECTORS
            for (int i = k; i < end; ++i) {
                const float d = (wp::float32)(i - k) * step_x;
                const float sum = total + d * total_x;
                const float r = sum == 0.0f ? 0.0f : 1.0f / sum;
                const float gu = G[4 * (size_t)i] * r;
                const float gv = G[4 * (size_t)i + 1] * r;
                const float sz = -(gu * (e + d * ax) + gv * (f + d * bx)) * r;
                gax += d * gu;
                gaz += gu;
                gbx += d * gv;
                gbz += gv;
                gsx += d * sz;
                gsz += sz;
            }
        }
        gax += gsx, gay += gsy, gaz += gsz;
        gbx += gsx, gby += gsy, gbz += gsz;
        // A cross product p x q pulls g back as (q x g, g x p).
        const float to[3][3] = {
            {gby * w2 - gbz * y2 + y1 * gsz - w1 * gsy,
             gbz * x2 - gbx * w2 + w1 * gsx - x1 * gsz,
             gbx * y2 - gby * x2 + x1 * gsy - y1 * gsx},
            {y2 * gaz - w2 * gay + gsy * w0 - gsz * y0,
             w2 * gax - x2 * gaz + gsz * x0 - gsx * w0,
             x2 * gay - y2 * gax + gsx * y0 - gsy * x0},
            {gay * w1 - gaz * y1 + y0 * gbz - w0 * gby,
             gaz * x1 - gax * w1 + w0 * gbx - x0 * gbz,
             gax * y1 - gay * x1 + x0 * gby - y0 * gbx}};
        for (int c = 0; c < 3; ++c) {
            float* vertex = to_pos + 4 * (size_t)t[c];
            wp::atomic_add(vertex, to[c][0]);
            wp::atomic_add(vertex + 1, to[c][1]);
            wp::atomic_add(vertex + 3, to[c][2] - fx * to[c][0] - fy * to[c][1]);
        }
        k = end;
    }
    if (waiting > 0) pull(waiting);
"""
)


@native(_RESOLVE)
def resolve_row(
    n: wp.int32,
    first: wp.int32,
    length: wp.int32,
    x: wp.int32,
    fy: wp.float32,
    step_x: wp.float32,
    step_y: wp.float32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    keys: wp.array(dtype=wp.int64),
    rast: wp.array(dtype=wp.vec4),
    rast_db: wp.array(dtype=wp.vec4),
    spans: wp.array2d(dtype=wp.int32),
    bounded: wp.int32,
): ...


@native(_RESOLVE_BACKWARD, CHANNELS=1)
def pull_row(
    n: wp.int32,
    first: wp.int32,
    run: wp.int32,
    x: wp.int32,
    y: wp.int32,
    fy: wp.float32,
    step_x: wp.float32,
    step_y: wp.float32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    rast: wp.array(dtype=wp.vec4),
    spans: wp.array2d(dtype=wp.int32),
    grad_rast: wp.array(dtype=wp.vec4),
    grad_db: wp.array(dtype=wp.vec4),
    grad_pos: wp.array2d(dtype=wp.vec4),
): ...


@wp.kernel(enable_backward=False)
def resolve(
    begin: wp.int32,
    run: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    keys: wp.array(dtype=wp.int64),
    width: wp.int32,
    height: wp.int32,
    rast: wp.array(dtype=wp.vec4),
    rast_db: wp.array(dtype=wp.vec4),
    spans: wp.array2d(dtype=wp.int32),
    bounded: wp.int32,
):
    """Keys to (u, v, z/w, id + 1) and derivatives, a run of pixels of one row per thread.

    `spans`: the first pixel of each run that is not empty and the one after the last, so that the
    backward pass need not look at the rest; if bounded, they have bounds of that before, without which
    there are no keys. An empty rast_db is left out, and so are empty spans.
    """
    first = (begin + wp.tid()) * run
    n = wp.min(first // (width * height), pos.shape[0] - 1)  # one set of positions may serve all
    step_x = 2.0 / wp.float32(width)
    step_y = 2.0 / wp.float32(height)
    fy = (wp.float32((first // width) % height) + 0.5) * step_y - 1.0
    resolve_row(
        n, first, run, first % width, fy, step_x, step_y, pos, tri, keys, rast, rast_db, spans, bounded
    )


@wp.kernel(enable_backward=False)
def resolve_backward(
    begin: wp.int32,
    run: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    rast: wp.array(dtype=wp.vec4),
    spans: wp.array2d(dtype=wp.int32),
    width: wp.int32,
    height: wp.int32,
    grad_rast: wp.array(dtype=wp.vec4),
    grad_db: wp.array(dtype=wp.vec4),
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """Gradient of u, v and their derivatives (unless grad_db is empty) to clip positions."""
    first = (begin + wp.tid()) * run
    n = wp.min(first // (width * height), pos.shape[0] - 1)  # one set of positions may serve all
    step_x = 2.0 / wp.float32(width)
    step_y = 2.0 / wp.float32(height)
    x = first % width
    y = (first // width) % height
    fy = (wp.float32(y) + 0.5) * step_y - 1.0
    pull_row(n, first, run, x, y, fy, step_x, step_y, pos, tri, rast, spans, grad_rast, grad_db, grad_pos)
