"""The adjoint of `fused` for small triangles, and for what antialiasing blends.

Eight runs of pixels are worked on at once, see `packs`; a pixel that an antialiasing record takes
colour from is a run, too, with a share of its target's gradient.
"""

import warp as wp

from studio.core.kernels.outline import PULL_ENDS, RECORD
from studio.core.kernels.packs import BEGINS, COLORS, PACKS, STEADY, TO_POSITIONS, TRIANGLES
from studio.core.kernels.rows import native

# A run's plane, and the sums over its pixels that the gradient is made of: at a distance d from the
# run's first pixel u = (e + d ax) r and v = (f + d bx) r with r = 1 / (total + d total_x). `add` adds
# a pixel of each run, or where they are long, neighbouring pixels of one.
_SUMS = """
    struct Line {
        pack e, ax, f, bx, total, total_x, from_0[C], from_1[C];
    };
    struct Sums {
        pack g0, g1, g2, m0, m1, m2, whole[C], first[C], second[C];
    };
    auto add = [&](Sums& s, const Line& q, const pack& d, const auto& there, pack* colors) {
        const pack r = one / (there ? q.total + d * q.total_x : one);
        const pack u = (q.e + d * q.ax) * r, v = (q.f + d * q.bx) * r;
        pack a = zero, b = zero;
        for (int c = 0; c < C; ++c) {
            const pack p = there ? colors[c] : zero;
            a += p * q.from_0[c], b += p * q.from_1[c];
            s.whole[c] += p, s.first[c] += p * u, s.second[c] += p * v;
        }
        a *= r, b *= r;
        const pack both = a * u + b * v;
        s.g0 += a, s.g1 += b, s.g2 -= both;
        s.m0 += a * d, s.m1 += b * d, s.m2 -= both * d;
    };
"""

# The short runs together, a pixel of each at a time, then the long ones.
_ADD_PIXELS = """
        Line line = {e, ax, f, bx, total, total_x};
        for (int c = 0; c < C; ++c) line.from_0[c] = from_0[c], line.from_1[c] = from_1[c];
        Sums sums = {};
        pack share;
        EACH_LANE LANE(share, lane) = runs.share[lane];
        const float nothing[SHORT * C] = {};
        const float* from[PACK];
        int together[PACK], longest = 0, shorts = 0;
        EACH_LANE {
            const int pixels = runs.length[lane], pixel = runs.pixel[lane];
            // All read as far as the longest: those that might read past the image's end, later.
            const bool is_short = pixels <= SHORT && pixel + SHORT <= keys.shape[0];
            from[lane] = is_short ? G + pixel * (size_t)C : nothing;
            together[lane] = is_short ? pixels : 0;
            shorts = together[lane] > shorts ? together[lane] : shorts;
            longest = is_short || pixels < longest ? longest : pixels;
        }
        pack ends;
        EACH_LANE LANE(ends, lane) = (wp::float32)together[lane];
        for (int j = 0; j < shorts; ++j) {
            pack colors[C];
            EACH_LANE _Pragma("unroll") for (int c = 0; c < C; ++c)
                LANE(colors[c], lane) = from[lane][j * C + c];
            for (int c = 0; c < C; ++c) colors[c] *= share;
            const pack d = (wp::float32)j * step_x;
            add(sums, line, d, ends > (wp::float32)j, colors);
        }
        #if !defined(__CUDA_ARCH__)
        if (longest > 0) add_long(sums, line, together);
        #endif
"""

_ADD_LONG = """
    #if !defined(__CUDA_ARCH__)
    const pack steps = {0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f};
    auto add_long = [&](Sums& sums, const Line& line, const int* done) {
        const int lines = sizeof(Line) / sizeof(pack), totals = sizeof(Sums) / sizeof(pack);
        float numbers[lines][PACK], found[totals][PACK];
        memcpy(numbers, &line, sizeof(Line));
        memcpy(found, &sums, sizeof(Sums));
        for (int lane = 0; lane < PACK; ++lane) {
            const int length = runs.length[lane];
            if (done[lane] == length) continue;
            pack one_line[lines];
            for (int i = 0; i < lines; ++i) one_line[i] = numbers[i][lane];
            Line own;
            memcpy(&own, one_line, sizeof(Line));
            Sums s = {};
            const float* from = G + runs.pixel[lane] * (size_t)C;
            for (int j = 0; j < length; j += PACK) {
                const int left = length - j < PACK ? length - j : PACK;
                const float* now = from + (size_t)j * C;
                pack colors[C];
                if (left == PACK) {
                    EACH_LANE _Pragma("unroll") for (int c = 0; c < C; ++c)
                        LANE(colors[c], lane) = now[lane * C + c];
                } else {
                    EACH_LANE _Pragma("unroll") for (int c = 0; c < C; ++c)
                        LANE(colors[c], lane) = now[(lane < left ? lane : 0) * C + c];
                }
                add(s, own, (steps + (wp::float32)j) * step_x, steps < (wp::float32)left, colors);
            }
            pack halves[totals];
            memcpy(halves, &s, sizeof(Sums));
            for (int i = 0; i < totals; ++i) {
                const auto four = halves[i].lo + halves[i].hi;
                const auto two = four.lo + four.hi;
                found[i][lane] = two.x + two.y;
            }
        }
        memcpy(&sums, found, sizeof(Sums));
    };
    #endif
"""

_TO_ATTRIBUTES = """
        if (with_attr) {
            pack to[3 * C];
            for (int c = 0; c < C; ++c) {
                to[c] = sums.first[c], to[C + c] = sums.second[c];
                to[2 * C + c] = sums.whole[c] - sums.first[c] - sums.second[c];
            }
            float parts[3 * C][PACK];
            memcpy(parts, to, sizeof(to));
            for (int lane = 0; lane < count; ++lane) {
                const int* t = (const int*)tri.data + 3 * (size_t)runs.id[lane];
                const int m = runs.image[lane] < attr.shape[0] ? runs.image[lane] : attr.shape[0] - 1;
                float* GA = (float*)grad_attr.data + C * (size_t)attr.shape[1] * m;
                _Pragma("unroll") for (int i = 0; i < 3; ++i)
                    for (int c = 0; c < C; ++c)
                        wp::atomic_add(GA + C * (size_t)t[i] + c, parts[i * C + c][lane]);
            }
        }
"""

_BACKWARD = (
    PACKS
    + BEGINS
    + """
    const long long* K = (const long long*)keys.data;
    const float* G = (const float*)grad_out.data;
    const float step_x = 2.0f / (wp::float32)width, step_y = 2.0f / (wp::float32)height;
    const int image_pixels = width * height;
    const int whole_row[2] = {0, width};
    auto span_of = [&](const int row) -> const int* {
        return spans.shape[0] > 0 ? (const int*)spans.data + 2 * (size_t)row : whole_row;
    };
    Runs runs;
    for (int lane = 0; lane < PACK; ++lane) runs.share[lane] = 1.0f;
"""
    + _SUMS
    + _ADD_LONG
    + """
    auto pull = [&](const int count) PACK_CALL {
        for (int lane = count; lane < PACK; ++lane) {
            runs.pixel[lane] = runs.pixel[0], runs.length[lane] = 0, runs.id[lane] = runs.id[0];
            runs.x[lane] = runs.x[0], runs.y[lane] = runs.y[0], runs.image[lane] = runs.image[0];
        }
"""
    + TRIANGLES
    + STEADY
    + COLORS
    + _ADD_PIXELS
    + TO_POSITIONS
    + _TO_ATTRIBUTES
    + """
    };
    int begins[SEGMENT + 1];
    int waiting = 0;
    for (int from = first; from < last;) {
        const int x = from % width, row = from / width, low = span_of(row)[0], high = span_of(row)[1];
        if (x < low || x >= high) {
            from += (x < low && low < high ? low : width) - x;
            continue;
        }
        int to = from + (high - x < SEGMENT ? high - x : SEGMENT);
        to = to < last ? to : last;
        const int count = find_begins(K, from, to, begins);
        for (int i = 0; i < count; ++i) {
            const int k = begins[i], id = (int)K[k];
            if (id < 0) continue;
            runs.pixel[waiting] = k, runs.length[waiting] = begins[i + 1] - k, runs.id[waiting] = id;
            runs.x[waiting] = x + k - from;
            runs.y[waiting] = row % height, runs.image[waiting] = row / height;
            if (++waiting == PACK) {
                pull(PACK);
                waiting = 0;
            }
        }
        from = to;
    }
    if (waiting > 0) pull(waiting);
    waiting = 0;
    for (int i = first_record; i < last_record; ++i) {
"""
    + RECORD
    + """
        const int part_pixel[3] = {t, s, b};
        const float part_share[3] = {-(amount + mirror), amount, mirror};
        for (int part = 0; part < 3; ++part) {
            const int pixel = part_pixel[part];
            if (part_share[part] == 0.0f || pixel < begin || pixel >= end) continue;
            const int* span = span_of(pixel / width);
            if (pixel % width < span[0] || pixel % width >= span[1]) continue;
            const int id = (int)K[pixel];
            if (id < 0) continue;
            runs.pixel[waiting] = t, runs.length[waiting] = 1, runs.id[waiting] = id;
            runs.share[waiting] = part_share[part], runs.image[waiting] = pixel / image_pixels;
            runs.x[waiting] = pixel % width, runs.y[waiting] = pixel / width % height;
            if (++waiting == PACK) {
                pull(PACK);
                waiting = 0;
            }
        }
        if (with_pos && difference.shape[0] > 0 && t >= begin && t < end) {
            const float* D = (const float*)difference.data + (size_t)i * C;
            float g = 0.0f;
            for (int c = 0; c < C; ++c) g += G[(size_t)t * C + c] * D[c];
"""
    + PULL_ENDS
    + """
        }
    }
    if (waiting > 0) pull(waiting);
"""
)


def run_adder(vec):
    """The function that takes the gradient of pixels [first, last) to vertices, and that of records.

    Of the pixels that the records blend, those of [begin, end).
    """

    @native(_BACKWARD, CHANNELS=vec._length_)
    def add_runs(
        begin: int,
        end: int,
        first: int,
        last: int,
        first_record: int,
        last_record: int,
        pixels: wp.array(dtype=wp.vec4i),
        amount_a: wp.array(dtype=wp.vec4),
        amount_b: wp.array(dtype=wp.vec4),
        difference: wp.array(dtype=vec),
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        spans: wp.array2d(dtype=wp.int32),
        width: int,
        height: int,
        with_pos: int,
        with_attr: int,
        grad_out: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
    ): ...

    return add_runs
