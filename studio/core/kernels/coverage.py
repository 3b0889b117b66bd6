"""Antialiasing, second pass: the pieces of silhouettes within a pixel become records.

The coverage of a pixel is its centre's, 0 or 1, plus a sum over the pieces within it. With (u, v)
relative to the centre and g(u) = u + 1/2 left of it, u - 1/2 right of it, a piece that has the
surface on its left adds the integral of g(u) dv, and g(v) where it crosses u = 0 (minus that if
the surface is above). The jumps of g undo those of the centre.

Pieces whose edges share a vertex are one outline. On fine or noisy meshes several may pass a
pixel, one sheet of the surface before the other; their sum would count sheets, so the outline that
covers most is taken, one for what the pixel loses and one for what it gains.

The work is C++ (see `relation` for the question it asks most): in Warp's dialect, which cannot keep
what it knows of a pixel for the next piece, it took twice as long.
"""

import warp as wp

from studio.core.kernels.relation import PART, PIECE, RELATION

wp.set_module_options({"enable_backward": False})

# What a piece adds to the coverage of its pixel's centre; p = both ends relative to that. An edge
# at 0 is left of the centre, or below it, as it is for the rasterizer. Edges that pass the centre
# within a hundred thousandth of a pixel are where its answer counts, not the arithmetic's.
_COVERAGE = """
    // g: how far an edge at u is from covering or leaving half the pixel; beyond: right of 0.
    auto stay = [](float u, bool beyond) -> float { return beyond ? u - 0.5f : u + 0.5f; };
    auto coverage = [=](const float* p, bool inside) -> float {
        if ((p[0] > 0.0f) == (p[2] > 0.0f)) {
            const float middle = 0.5f * (p[0] + p[2]);
            return stay(middle, middle > 0.0f) * (p[3] - p[1]);
        }
        const float v = p[1] + (p[3] - p[1]) * p[0] / (p[0] - p[2]);
        const float first = p[0] > 0.0f ? -0.5f : 0.5f;
        const float total = (0.5f * p[0] + first) * (v - p[1]) + (0.5f * p[2] - first) * (p[3] - v);
        const bool below = p[2] < p[0];
        const float crossing = stay(v, fabsf(v) < 1.0e-5f ? inside == below : v > 0.0f);
        return total + (below ? crossing : -crossing);
    };
"""

# Most outlines of a rough mesh lie well behind what is seen: nothing to look at more closely where
# the pixel and those around it are all nearer, by more than what is seen there differs in depth.
_BURIED = """
        float nearest = all[i].z, low = 2.0f, high = -2.0f;
        for (int k = all[i].next; k > 0; k = all[k - 1].next) nearest = smaller(nearest, all[k - 1].z);
        bool buried = true;
        for (int dy = y > 0 ? -1 : 0; buried && dy <= 1 && y + dy < height; ++dy)
            for (int dx = x > 0 ? -1 : 0; dx <= 1 && x + dx < width; ++dx) {
                const int beside = target + dy * width + dx;
                if (seen_at(beside) < 0) buried = false;
                else {
                    const float z = depth_at(beside);
                    low = smaller(low, z);
                    high = larger(high, z);
                }
            }
        if (buried && high + 2.0f * (high - low) + 1.0e-6f < nearest) continue;
"""

# The parts of a pixel: `count` of them from the chain that begins with piece `head` - 1.
_GATHER = """
        int count = 0;
        for (int i = head; i > 0; i = all[i - 1].next) ++count;
    #if defined(__CUDA_ARCH__)
        Part* parts = (Part*)scratch.data + wp::atomic_add((int*)used.data + used.shape[1] * band + 1, count);
    #else
        Part* parts = (Part*)scratch.data + (size_t)room * band;
    #endif
        count = 0;
        for (int i = head; i > 0; i = all[i - 1].next) {
            const Piece& piece = all[i - 1];
            const int* e = E + 6 * (size_t)(piece.number < 0 ? -1 - piece.number : piece.number);
            Part& part = parts[count];
            part.piece = &piece;
            part.first = e[2];
            part.second = e[3] < -1 ? -2 - e[3] : e[3];
            part.own = T + 3 * (size_t)(piece.number < 0 && part.second >= 0 ? part.second : part.first);
            part.outline = count++;
            part.x = (float)x + 0.5f * (piece.ends[0] + piece.ends[2]);
            part.y = (float)y + 0.5f * (piece.ends[1] + piece.ends[3]);
            part.z = piece.z;
        }
        auto relation = [&](const Part& part, int dx, int dy, bool ask) -> int {
            const int column = x + dx, row = y + dy;
            if (column < 0 || row < 0 || column >= width || row >= height) return NOWHERE;
            return relation_to(part, P, target + dy * width + dx, column, row, ask);
        };
"""

# Comparing parts with each other takes the square of their number: of a crowd those stay whose
# surface is seen here or beside.
_LEAVE_HIDDEN = """
        if (count >= 16) {
            int kept = 0;
            for (int i = 0; i < count; ++i) {
                const Part& part = parts[i];
                bool seen = relation(part, 0, 0, true) == INSIDE;
                for (int side = -1; side < 2; side += 2)
                    seen = seen || relation(part, side, 0, true) == INSIDE
                        || relation(part, 0, side, true) == INSIDE;
                if (seen) {
                    parts[kept] = part;
                    parts[kept].outline = kept;
                    ++kept;
                }
            }
            count = kept;
        }
"""

# Parts that share a vertex get the number of the first of them.
_JOIN = """
        for (int j = 1; j < count; ++j)
            for (int i = 0; i < j; ++i) {
                const Piece &a = *parts[i].piece, &b = *parts[j].piece;
                const int own = parts[i].outline, other = parts[j].outline;
                if (own == other || !(a.p == b.p || a.p == b.q || a.q == b.p || a.q == b.q)) continue;
                const int least = own < other ? own : other, most = own < other ? other : own;
                for (int k = 0; k <= j; ++k)
                    if (parts[k].outline == most) parts[k].outline = least;
            }
"""

# What an outline does to its pixel; `source` is -1 if it is not to be seen there. Else it is a
# pixel on the other side, and `mirror` says whether the one opposite is on this side. Upright edges
# look sideways first; at the end of an edge the other side may be found only diagonally, on a
# zigzag only against the direction.
_JUDGE = """
        struct Outline {
            int number, state, source;
            float covered;
            bool mirror;
        };
        auto find_source = [&](Outline& out, const Part& part, float right, float above) {
            const bool inside = out.state == INSIDE, upright = fabsf(right) >= fabsf(above);
            const float to_x = right != 0.0f ? right : part.x - (float)x;
            const float to_y = above != 0.0f ? above : part.y - (float)y;
            for (int attempt = 0; attempt < 6 && out.source < 0; ++attempt) {
                const int kind = attempt % 3, sign = attempt < 3 ? 1 : -1;
                const int dx = kind == 2 || (kind == 0) == upright ? (to_x > 0.0f ? sign : -sign) : 0;
                const int dy = kind == 2 || (kind == 0) != upright ? (to_y > 0.0f ? sign : -sign) : 0;
                if (relation(part, dx, dy, !inside) != (inside ? OUTSIDE : INSIDE)) continue;
                const int step = dy * width + dx;
                out.source = target + step;
                out.mirror = relation(part, -dx, -dy, inside) == out.state;
                // Background is not continued by a surface, nor a surface by background.
                if (out.mirror && !inside) out.mirror = (seen_at(target) < 0) == (seen_at(target - step) < 0);
            }
        };
        auto judge = [&](int number) -> Outline {
            Outline out = {number, OUTSIDE, -1, 0.0f, false};
            float right = 0.0f, above = 0.0f, longest = -1.0f;
            int main = 0;
            for (int i = number; i < count; ++i) {
                if (parts[i].outline != number) continue;
                const int state = relation(parts[i], 0, 0, true);
                if (state == HIDDEN) return out;
                if (state == INSIDE) out.state = INSIDE;
                const float* p = parts[i].piece->ends;
                const float du = p[2] - p[0], dv = p[3] - p[1], length = du * du + dv * dv;
                right += dv;
                above -= du;
                if (length > longest) {
                    longest = length;
                    main = i;
                }
            }
            const bool inside = out.state == INSIDE;
            for (int i = number; i < count; ++i)
                if (parts[i].outline == number)
                    out.covered += parts[i].covered = coverage(parts[i].piece->ends, inside);
            // Covered more than wholly or less than not at all: the centre belongs to another surface.
            if (inside ? out.covered > 0.0f : out.covered < 0.0f) return out;
            const float turn = inside ? 1.0f : -1.0f;
            find_source(out, parts[main], right * turn, above * turn);
            return out;
        };
"""

# Turns the parts of an outline into records. `total` is how much of the pixel its outlines take
# away or add: what is left of its own colour must not be negative.
_WRITE = """
        auto write = [&](const Outline& out, float total) {
            const float most = total > 1.0f ? total : 1.0f;
            float share = 0.0f;
            if (out.mirror && total < 1.0f) {
                share = (1.0f - total) / (total > 1.0e-6f ? total : 1.0e-6f);
                share = share < 1.0f ? share : 1.0f;
            }
            const float sign = (out.state == INSIDE ? -1.0f : 1.0f) / most;
            for (int i = out.number; i < count; ++i) {
                if (parts[i].outline != out.number) continue;
                const Piece& piece = *parts[i].piece;
                const int number = wp::atomic_add((int*)used.data + used.shape[1] * band, 1);
                const size_t to = 4 * ((size_t)room * band + number);
                int* pixel = (int*)pixels.data + to;
                float *a = (float*)amount_a.data + to, *b = (float*)amount_b.data + to;
                pixel[0] = out.source;
                pixel[1] = target;
                pixel[2] = piece.p;
                pixel[3] = piece.q;
                a[0] = sign * parts[i].covered;
                b[0] = share * a[0];
                for (int k = 0; k < 3; ++k) {
                    a[1 + k] = sign * piece.slope_p[k];
                    b[1 + k] = sign * piece.slope_q[k];
                }
            }
        };
"""

# Of the outlines that the pixel lies within, and of those it lies outside of, the one each that
# covers most.
_CHOOSE = """
        Outline lost = {}, won = {};
        lost.source = won.source = -1;
        for (int i = 0; i < count; ++i) {
            if (parts[i].outline != i) continue;
            const Outline found = judge(i);
            Outline& best = found.state == INSIDE ? lost : won;
            if (found.source >= 0 && (best.source < 0 || found.covered > best.covered)) best = found;
        }
        const float total = (lost.source < 0 ? 0.0f : fabsf(lost.covered))
            + (won.source < 0 ? 0.0f : fabsf(won.covered));
        if (lost.source >= 0) write(lost, total);
        if (won.source >= 0) write(won, total);
"""

_SETTLE = (
    PIECE
    + PART
    + RELATION
    + _COVERAGE
    + """
    const Piece* all = (const Piece*)pieces.data;
    int* H = (int*)heads.data;
    const int pixels_begin = row_begin * width, pixels_end = row_end * width;
    for (int i = first; i < last; ++i) {
    #if !defined(__CUDA_ARCH__)
        // Outlines run through the image and the mesh: what a pixel asks for is in no cache by itself.
        if (i + AHEAD < last) {
            const Piece& later = all[i + AHEAD];
            __builtin_prefetch(H + later.pixel);
            __builtin_prefetch(E + 6 * (size_t)(later.number < 0 ? -1 - later.number : later.number));
            if (with_keys) __builtin_prefetch(K + later.pixel);
        }
    #endif
        // The last piece linked works for its whole pixel; the others find nothing to do.
        const int target = all[i].pixel, head = i + 1;
        if (target < pixels_begin || target >= pixels_end || H[target] != head) continue;
        H[target] = 0;
        const int row = target / width, n = row / height, x = target - row * width, y = row - n * height;
        const float* P = S + 4 * (size_t)n * screen.shape[1];
"""
    + _BURIED
    + _GATHER
    + _LEAVE_HIDDEN
    + _JOIN
    + _JUDGE
    + _WRITE
    + _CHOOSE
    + """
    }
"""
).replace("AHEAD", "8")


@wp.func_native(_SETTLE)
def settle_range(
    row_begin: int,
    row_end: int,
    first: int,
    last: int,
    band: int,
    room: int,
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    edges: wp.array2d(dtype=wp.int32),
    rast: wp.array(dtype=wp.vec4),
    keys: wp.array(dtype=wp.int64),
    spans: wp.array2d(dtype=wp.int32),
    width: int,
    height: int,
    pieces: wp.array2d(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
    scratch: wp.array2d(dtype=wp.int64),
    used: wp.array2d(dtype=wp.int32),
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
):
    """Settle the pixels of pieces [first, last) whose chains begin with one of them."""
    ...


@wp.func_native(
    PIECE
    + """
    Piece* all = (Piece*)pieces.data;
    for (int i = first; i < last; ++i) {
        const int pixel = all[i].pixel;
        if (pixel >= row_begin * width && pixel < row_end * width)
            all[i].next = wp::atomic_exch((int*)heads.data + pixel, i + 1);
    }
"""
)
def link_range(
    row_begin: int,
    row_end: int,
    first: int,
    last: int,
    width: int,
    pieces: wp.array2d(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
): ...


@wp.kernel(enable_backward=False)
def link(
    row_begin: wp.int32,
    row_end: wp.int32,
    chunk: wp.int32,
    capacity: wp.int32,
    width: wp.int32,
    counts: wp.array2d(dtype=wp.int32),
    pieces: wp.array2d(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
):
    """Chain up the pieces of each pixel in rows [row_begin, row_end) of all images end to end."""
    first = wp.tid() * chunk
    for slot in range(counts.shape[0]):
        last = wp.min(first + chunk, wp.min(counts[slot, 0], capacity))
        begin = slot * capacity
        link_range(row_begin, row_end, begin + first, begin + last, width, pieces, heads)


@wp.kernel(enable_backward=False)
def settle(
    row_begin: wp.int32,
    row_end: wp.int32,
    chunk: wp.int32,
    capacity: wp.int32,
    band: wp.int32,
    room: wp.int32,
    linked: wp.bool,
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    edges: wp.array2d(dtype=wp.int32),
    rast: wp.array(dtype=wp.vec4),
    keys: wp.array(dtype=wp.int64),
    spans: wp.array2d(dtype=wp.int32),
    width: wp.int32,
    height: wp.int32,
    counts: wp.array2d(dtype=wp.int32),
    pieces: wp.array2d(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
    scratch: wp.array2d(dtype=wp.int64),
    used: wp.array2d(dtype=wp.int32),
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
):
    """Make records of linked pieces, and leave `heads` empty for the next call.

    A band puts its records, used[band, 0] of them, from band * room on. A thread that takes all
    pieces can link them itself.
    """
    first = wp.tid() * chunk
    if not linked:
        for slot in range(counts.shape[0]):
            end = slot * capacity + wp.min(counts[slot, 0], capacity)
            link_range(row_begin, row_end, slot * capacity, end, width, pieces, heads)
    for slot in range(counts.shape[0]):
        last = wp.min(first + chunk, wp.min(counts[slot, 0], capacity))
        begin = slot * capacity
        settle_range(
            row_begin, row_end, begin + first, begin + last, band, room,
            screen, tri, edges, rast, keys, spans, width, height, pieces, heads, scratch, used,
            pixels, amount_a, amount_b,
        )  # fmt: skip
