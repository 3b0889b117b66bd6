"""Ellipses laid over each other front to back, tile by tile, and the adjoint.

On CPU a thread takes a tile of TILE x TILE pixels, eight side by side; on CUDA one pixel of it. The
adjoint goes front to back as well: what lies behind a splat is the whole pixel less what came so far.
"""

import warp as wp

from studio.core.kernels.lanes import LANES

wp.set_module_options({"enable_backward": False})

TILE = 16
"""Side of a tile in pixels."""

NUMBERS = 10
"""Of a splat: x, y, inverse covariance xx, xy, yy, opacity, red, green, blue, distance."""

LEAST_ALPHA = 1.0 / 255.0
"""Where a splat covers less, it is left out."""

_LEAST = wp.constant(LEAST_ALPHA)
_SIDE = wp.constant(float(TILE))

MOST_ALPHA = 0.99
"""No splat covers more: what is behind keeps a gradient."""

_HEAD = (
    LANES
    + f"""
    constexpr int TILE = {TILE}, ROWS = WIDE == 1 ? 1 : TILE, ACROSS = WIDE == 1 ? 1 : TILE / WIDE;
    constexpr int PER_TILE = WIDE == 1 ? TILE * TILE : 1, N = ROWS * ACROSS;
    constexpr float LEAST = {LEAST_ALPHA}f, MOST = {MOST_ALPHA}f, LOG2E = 1.44269504f;
"""
    + """
    const int tile = ((const int*)order.data)[item / PER_TILE], sub = item % PER_TILE;
    const int in_view = tile % (tiles_x * tiles_y), picture = tile / (tiles_x * tiles_y);
    const int x0 = in_view % tiles_x * TILE + (WIDE == 1 ? sub % TILE : 0);
    const int y0 = in_view / tiles_x * TILE + (WIDE == 1 ? sub / TILE : 0);
    if (x0 >= width || y0 >= height) return;
    const int rows = height - y0 < ROWS ? height - y0 : ROWS;
    int begin = ((const int*)offsets.data)[tile], end = ((const int*)offsets.data)[tile + 1];
    const int* L = (const int*)members.data;
    const bool all = end > members.shape[0];  // no room for the lists: then all splats of the view
    if (all) {
        begin = picture * per_view;
        end = begin + per_view;
        L = (const int*)ranked.data;
    }
    const float* S = (const float*)splats.data;
    const size_t first = ((size_t)picture * height + y0) * width + x0;
    F lane = 0.5f;
    for (int k = 0; k < WIDE; ++k) ((float*)&lane)[k] += k;
    F rest[N];
    for (int k = 0; k < N; ++k)  // beyond the picture nothing is left to be seen
        rest[k] = lane + (float)(k % ACROSS * WIDE + x0) < F(width) ? F(1.0f) : F(0.0f);
    auto done = [&](int member) {  // asked now and then: it takes as long as a splat
        if ((member - begin) % 8 != 7) return false;
        F most = rest[0];
        for (int k = 1; k < rows * ACROSS; ++k) most = Each::max(most, rest[k]);
        return !Each::any(most >= least_rest);
    };
"""
)

# For each splat of the list: its numbers, and the rows it can reach with an alpha of LEAST.
_EACH_SPLAT = """
    for (int member = begin; member < end; ++member) {
        const float* s = S + 10 * (size_t)L[member];
        if (all && ((const int*)boxes.data)[4 * L[member]] >= ((const int*)boxes.data)[4 * L[member] + 2])
            continue;
        const float mx = s[0] - x0, my = s[1] - y0, a = s[2], b = s[3], c = s[4], opacity = s[5];
        const float reach = 2.0f * logf(opacity / LEAST) / (a * c - b * b);
        const float reach_x = sqrtf(reach * c), reach_y = sqrtf(reach * a);
        int row = (int)ceilf(my - reach_y - 0.5f), last_row = (int)floorf(my + reach_y - 0.5f);
        int group = (int)floorf((mx - reach_x - 0.5f) / WIDE);
        int last_group = (int)floorf((mx + reach_x) / WIDE);
        row = row < 0 ? 0 : row, last_row = last_row >= rows ? rows - 1 : last_row;
        group = group < 0 ? 0 : group, last_group = last_group >= ACROSS ? ACROSS - 1 : last_group;
        for (int y = row; y <= last_row; ++y) {
            const float dy = y + 0.5f - my;
            for (int g = group; g <= last_group; ++g) {
                const int k = y * ACROSS + g;
                const F dx = lane + (float)(g * WIDE) - mx;
                const F power = -0.5f * (a * dx * dx + c * dy * dy) - b * dx * dy;
                const F shape = Each::exp2(LOG2E * power), full = opacity * shape;
                const Bits counts = (full >= LEAST) & (rest[k] >= least_rest);
                const F alpha = counts ? Each::min(full, F(MOST)) : F(0.0f);
                const F weight = rest[k] * alpha;
"""

_FORWARD = (
    _HEAD
    + """
    F out[5][N];
    for (int c = 0; c < 5; ++c)
        for (int k = 0; k < N; ++k) out[c][k] = 0.0f;
"""
    + _EACH_SPLAT
    + """
                for (int channel = 0; channel < 3; ++channel) out[channel][k] += weight * s[6 + channel];
                out[3][k] += weight;
                out[4][k] += weight * s[9];
                rest[k] -= weight;
            }
        }
        if (done(member)) break;
    }
    float* O = (float*)pictures.data;
    for (int y = 0; y < rows; ++y)
        for (int x = 0; x < ACROSS * WIDE && x0 + x < width; ++x)
            for (int c = 0; c < 5; ++c) {
                const float* lanes = (const float*)&out[c][y * ACROSS + x / WIDE];
                O[5 * (first + (size_t)y * width + x) + c] = lanes[x % WIDE];
            }
"""
)

_BACKWARD = (
    _HEAD
    + """
    const float* O = (const float*)pictures.data;
    const float* U = (const float*)grads.data;
    float* G = (float*)grad_splats.data;
    F up[5][N], behind[N];
    for (int k = 0; k < N; ++k) {
        behind[k] = 0.0f;
        for (int c = 0; c < 5; ++c) up[c][k] = 0.0f;
    }
    for (int y = 0; y < rows; ++y)
        for (int x = 0; x < ACROSS * WIDE && x0 + x < width; ++x)
            for (int c = 0; c < 5; ++c) {
                const size_t at = 5 * (first + (size_t)y * width + x) + c;
                const int k = y * ACROSS + x / WIDE;
                ((float*)&up[c][k])[x % WIDE] = U[at];
                ((float*)&behind[k])[x % WIDE] += U[at] * O[at];
            }
    F sums[10];
"""
    + _EACH_SPLAT.replace(
        "for (int y = row; y",
        "for (int n = 0; n < 10; ++n) sums[n] = 0.0f;\n        for (int y = row; y",
    )
    + """
                F seen = up[3][k] + up[4][k] * s[9];
                for (int channel = 0; channel < 3; ++channel) {
                    seen += up[channel][k] * s[6 + channel];
                    sums[6 + channel] += weight * up[channel][k];
                }
                sums[9] += weight * up[4][k];
                behind[k] -= weight * seen;
                const F to_alpha = rest[k] * seen - behind[k] / (1.0f - alpha);
                const F to_full = ((alpha > 0.0f) & (full < MOST)) ? to_alpha : F(0.0f);
                const F to_power = full * to_full;
                sums[5] += shape * to_full;
                sums[0] += to_power * (a * dx + b * dy);
                sums[1] += to_power * (c * dy + b * dx);
                sums[2] -= 0.5f * dx * dx * to_power;
                sums[3] -= dx * dy * to_power;
                sums[4] -= 0.5f * dy * dy * to_power;
                rest[k] -= weight;
            }
        }
        float* to = G + 10 * (size_t)L[member];
        for (int n = 0; n < 10; ++n) wp::atomic_add(to + n, Each::sum(sums[n]));
        if (done(member)) break;
    }
"""
)


@wp.func_native(_FORWARD)
def _over(
    item: int,
    tiles_x: int,
    tiles_y: int,
    width: int,
    height: int,
    least_rest: float,
    per_view: int,
    ranked: wp.array(dtype=int),
    boxes: wp.array2d(dtype=int),
    order: wp.array(dtype=int),
    offsets: wp.array(dtype=int),
    members: wp.array(dtype=int),
    splats: wp.array2d(dtype=float),
    pictures: wp.array2d(dtype=float),
): ...


@wp.func_native(_BACKWARD)
def _over_backward(
    item: int,
    tiles_x: int,
    tiles_y: int,
    width: int,
    height: int,
    least_rest: float,
    per_view: int,
    ranked: wp.array(dtype=int),
    boxes: wp.array2d(dtype=int),
    order: wp.array(dtype=int),
    offsets: wp.array(dtype=int),
    members: wp.array(dtype=int),
    splats: wp.array2d(dtype=float),
    pictures: wp.array2d(dtype=float),
    grads: wp.array2d(dtype=float),
    grad_splats: wp.array2d(dtype=float),
): ...


@wp.kernel
def over(
    begin: int,
    tiles_x: int,
    tiles_y: int,
    width: int,
    height: int,
    least_rest: float,
    per_view: int,
    ranked: wp.array(dtype=int),
    boxes: wp.array2d(dtype=int),
    order: wp.array(dtype=int),
    offsets: wp.array(dtype=int),
    members: wp.array(dtype=int),
    splats: wp.array2d(dtype=float),
    pictures: wp.array2d(dtype=float),
):
    """(red, green, blue, alpha, distance times alpha) of a tile, or on CUDA of a pixel."""
    _over(
        begin + wp.tid(), tiles_x, tiles_y, width, height, least_rest, per_view, ranked, boxes,
        order, offsets, members, splats, pictures,
    )  # fmt: skip


@wp.kernel
def over_backward(
    begin: int,
    tiles_x: int,
    tiles_y: int,
    width: int,
    height: int,
    least_rest: float,
    per_view: int,
    ranked: wp.array(dtype=int),
    boxes: wp.array2d(dtype=int),
    order: wp.array(dtype=int),
    offsets: wp.array(dtype=int),
    members: wp.array(dtype=int),
    splats: wp.array2d(dtype=float),
    pictures: wp.array2d(dtype=float),
    grads: wp.array2d(dtype=float),
    grad_splats: wp.array2d(dtype=float),
):
    """Adds to the splats' gradients."""
    _over_backward(
        begin + wp.tid(), tiles_x, tiles_y, width, height, least_rest, per_view, ranked, boxes,
        order, offsets, members, splats, pictures, grads, grad_splats,
    )  # fmt: skip


@wp.kernel
def find_boxes(
    begin: int,
    tiles_x: int,
    tiles_y: int,
    splats: wp.array2d(dtype=float),
    drawn: wp.array(dtype=bool),
    boxes: wp.array2d(dtype=int),
):
    """Tiles that a splat can reach: first x, first y, one past the last x and y; none if it is not drawn."""
    i = begin + wp.tid()
    for k in range(4):
        boxes[i, k] = 0
    xx, xy, yy = splats[i, 2], splats[i, 3], splats[i, 4]
    reach = 2.0 * wp.log(splats[i, 5] / _LEAST) / (xx * yy - xy * xy)
    if drawn[i] and reach > 0.0:
        x, y = splats[i, 0] / _SIDE, splats[i, 1] / _SIDE
        wide, high = wp.sqrt(reach * yy) / _SIDE, wp.sqrt(reach * xx) / _SIDE
        boxes[i, 0] = wp.clamp(int(wp.floor(x - wide)), 0, tiles_x)
        boxes[i, 1] = wp.clamp(int(wp.floor(y - high)), 0, tiles_y)
        boxes[i, 2] = wp.clamp(int(wp.floor(x + wide)) + 1, 0, tiles_x)
        boxes[i, 3] = wp.clamp(int(wp.floor(y + high)) + 1, 0, tiles_y)


@wp.kernel
def list_members(
    tiles_x: int,
    tiles_y: int,
    per_view: int,
    counting: int,
    ranked: wp.array(dtype=int),
    boxes: wp.array2d(dtype=int),
    slots: wp.array(dtype=int),
    members: wp.array(dtype=int),
):
    """One thread: every splat, nearest first, into the lists of the tiles that its box meets.

    Slots are where each tile's list goes on; or, counting, how long it is.
    """
    for i in range(ranked.shape[0]):
        splat = ranked[i]
        view = i // per_view
        for ty in range(boxes[splat, 1], boxes[splat, 3]):
            for tx in range(boxes[splat, 0], boxes[splat, 2]):
                tile = (view * tiles_y + ty) * tiles_x + tx
                if counting == 0:
                    members[slots[tile]] = splat
                slots[tile] = slots[tile] + 1
