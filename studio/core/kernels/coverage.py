"""Antialiasing, second pass: the pieces of silhouettes within a pixel become records.

The coverage of a pixel is its centre's, 0 or 1, plus a sum over the pieces within it. With (u, v)
relative to the centre and g(u) = u + 1/2 left of it, u - 1/2 right of it, a piece that has the
surface on its left adds the integral of g(u) dv, and g(v) where it crosses u = 0 (minus that if
the surface is above). The jumps of g undo those of the centre.

Pieces whose edges share a vertex are one outline. On fine or noisy meshes several may pass a
pixel, one sheet of the surface before the other; their sum would count sheets, so the outline that
covers most is taken, one for what the pixel loses and one for what it gains.
"""

import warp as wp

from studio.core.kernels.relation import HIDDEN, INSIDE, OUTSIDE, Pieces, Scene, relation, seen_at

wp.set_module_options({"enable_backward": False})

# Pixels within which an edge counts as passing through a pixel's centre: where the rasterizer's
# answer counts, not the arithmetic's.
TIE = wp.constant(1.0e-5)


# Pieces in a pixel from which it pays to look first which of them can be seen: comparing pieces
# with each other takes the square of their number.
CROWD = wp.constant(16)


@wp.struct
class Outline:
    """Joined pieces within a pixel, and what they do to it."""

    state: wp.int32
    covered: wp.float32
    source: wp.int32
    mirror: wp.bool


@wp.func
def stay(u: wp.float32, beyond: wp.bool) -> wp.float32:
    """g: how far an edge at u is from covering or leaving half the pixel; beyond: right of 0."""
    return wp.where(beyond, u - 0.5, u + 0.5)


@wp.func
def coverage(p: wp.vec4, inside: wp.bool) -> wp.float32:
    """What a piece adds to the coverage of its pixel's centre; p = both ends relative to that.

    An edge at 0 is left of the centre, or below it, as it is for the rasterizer.
    """
    middle = 0.5 * (p[0] + p[2])
    total = stay(middle, middle > 0.0) * (p[3] - p[1])
    if (p[0] > 0.0) != (p[2] > 0.0):
        v = p[1] + (p[3] - p[1]) * p[0] / (p[0] - p[2])
        first = wp.where(p[0] > 0.0, -0.5, 0.5)
        total = (0.5 * p[0] + first) * (v - p[1]) + (0.5 * p[2] - first) * (p[3] - v)
        below = p[2] < p[0]
        above_centre = v > 0.0
        if wp.abs(v) < TIE:
            above_centre = inside == below
        crossing = stay(v, above_centre)
        total += wp.where(below, crossing, -crossing)
    return total


@wp.func
def middle_of(pieces: Pieces, i: wp.int32, x: wp.int32, y: wp.int32) -> wp.vec3:
    """Where a piece is on screen: x, y, z/w."""
    p = pieces.ends[i]
    return wp.vec3(
        wp.float32(x) + 0.5 * (p[0] + p[2]), wp.float32(y) + 0.5 * (p[1] + p[3]), pieces.amount_a[i][0]
    )


@wp.func
def join(pieces: Pieces, head: wp.int32) -> wp.bool:
    """Number the outlines in a pixel: pieces whose edges share a vertex are one. True if one is all."""
    i = head
    while i > 0:
        pieces.outline[i - 1] = i - 1
        i = pieces.next[i - 1]
    changed = wp.bool(True)
    while changed:
        changed = wp.bool(False)
        i = head
        while i > 0:
            p = pieces.pixels[i - 1]
            j = pieces.next[i - 1]
            while j > 0:
                q = pieces.pixels[j - 1]
                own = pieces.outline[i - 1]
                other = pieces.outline[j - 1]
                if own != other and (p[2] == q[2] or p[2] == q[3] or p[3] == q[2] or p[3] == q[3]):
                    least = wp.min(own, other)
                    pieces.outline[i - 1] = least
                    pieces.outline[j - 1] = least
                    changed = wp.bool(True)
                j = pieces.next[j - 1]
            i = pieces.next[i - 1]
    single = wp.bool(True)
    number = pieces.outline[head - 1]
    i = pieces.next[head - 1]
    while i > 0:
        single = single and pieces.outline[i - 1] == number
        i = pieces.next[i - 1]
    return single


@wp.func
def find_source(
    scene: Scene,
    pieces: Pieces,
    out: Outline,
    i: wp.int32,
    n: wp.int32,
    x: wp.int32,
    y: wp.int32,
    right: wp.float32,
    above: wp.float32,
) -> Outline:
    """A pixel on the other side of the outline, and whether the one opposite is on this side.

    (right, above) points to the other side. Upright edges look sideways first; at the end of an
    edge the other side may be found only diagonally, on a zigzag only against the direction.
    """
    inside = out.state == INSIDE
    wanted = wp.where(inside, OUTSIDE, INSIDE)
    at = middle_of(pieces, i, x, y)
    upright = wp.abs(right) >= wp.abs(above)
    to_x = wp.where(right != 0.0, right, at[0] - wp.float32(x))
    to_y = wp.where(above != 0.0, above, at[1] - wp.float32(y))
    target = (n * scene.height + y) * scene.width + x
    for attempt in range(6):
        if out.source < 0:
            kind = attempt % 3
            sign = wp.where(attempt < 3, 1, -1)
            dx = wp.where(kind == 2 or (kind == 0) == upright, wp.where(to_x > 0.0, sign, -sign), 0)
            dy = wp.where(kind == 2 or (kind == 0) != upright, wp.where(to_y > 0.0, sign, -sign), 0)
            if relation(scene, pieces, i, n, x + dx, y + dy, at) == wanted:
                step = dy * scene.width + dx
                out.source = target + step
                out.mirror = relation(scene, pieces, i, n, x - dx, y - dy, at) == out.state
                if out.mirror and not inside:
                    # Background is not continued by a surface, nor a surface by background.
                    own = seen_at(scene, target) < 0
                    out.mirror = own == (seen_at(scene, target - step) < 0)
    return out


@wp.func
def judge(
    scene: Scene, pieces: Pieces, head: wp.int32, number: wp.int32, n: wp.int32, x: wp.int32, y: wp.int32
) -> Outline:
    """What one outline does to its pixel; `source` is -1 if it is not to be seen there."""
    out = Outline()
    out.state = OUTSIDE
    out.source = -1
    hidden = wp.bool(False)
    right = wp.float32(0.0)
    above = wp.float32(0.0)
    longest = wp.float32(-1.0)
    main = wp.int32(0)
    i = head
    while i > 0:
        if pieces.outline[i - 1] == number:
            state = relation(scene, pieces, i - 1, n, x, y, middle_of(pieces, i - 1, x, y))
            hidden = hidden or state == HIDDEN
            if state == INSIDE:
                out.state = INSIDE
            p = pieces.ends[i - 1]
            du = p[2] - p[0]
            dv = p[3] - p[1]
            right += dv
            above -= du
            if du * du + dv * dv > longest:
                longest = du * du + dv * dv
                main = i - 1
        i = pieces.next[i - 1]
    if hidden:
        return out
    inside = out.state == INSIDE
    i = head
    while i > 0:
        if pieces.outline[i - 1] == number:
            out.covered += coverage(pieces.ends[i - 1], inside)
        i = pieces.next[i - 1]
    # Covered more than wholly or less than not at all: the centre belongs to another surface.
    if (inside and out.covered > 0.0) or (not inside and out.covered < 0.0):
        return out
    turn = wp.where(inside, 1.0, -1.0)
    return find_source(scene, pieces, out, main, n, x, y, right * turn, above * turn)


@wp.func
def erase(pieces: Pieces, k: wp.int32, target: wp.int32):
    """Make a piece a record that does nothing."""
    p = pieces.pixels[k]
    pieces.pixels[k] = wp.vec4i(target, target, p[2], p[3])
    pieces.amount_a[k] = wp.vec4(0.0, 0.0, 0.0, 0.0)
    pieces.amount_b[k] = wp.vec4(0.0, 0.0, 0.0, 0.0)


@wp.func
def write(
    pieces: Pieces, head: wp.int32, number: wp.int32, target: wp.int32, out: Outline, total: wp.float32
):
    """Turn the pieces of an outline into records; without a source they come to nothing.

    `total` is how much of the pixel its outlines take away or add: what is left of its own colour
    must not be negative.
    """
    most = wp.max(total, 1.0)
    share = wp.where(out.mirror and total < 1.0, wp.min((1.0 - total) / wp.max(total, 1.0e-6), 1.0), 0.0)
    inside = out.state == INSIDE
    sign = wp.where(inside, -1.0, 1.0) / most
    i = head
    while i > 0:
        k = i - 1
        if pieces.outline[k] == number:
            a = pieces.amount_a[k]
            b = pieces.amount_b[k]
            p = pieces.pixels[k]
            if out.source < 0:
                erase(pieces, k, target)
            else:
                amount = sign * coverage(pieces.ends[k], inside)
                pieces.pixels[k] = wp.vec4i(out.source, target, p[2], p[3])
                pieces.amount_a[k] = wp.vec4(amount, sign * a[1], sign * a[2], sign * a[3])
                pieces.amount_b[k] = wp.vec4(share * amount, sign * b[1], sign * b[2], sign * b[3])
        i = pieces.next[k]


@wp.func
def crowded(pieces: Pieces, head: wp.int32) -> wp.bool:
    count = wp.int32(0)
    i = head
    while i > 0 and count < CROWD:
        count += 1
        i = pieces.next[i - 1]
    return count == CROWD


@wp.func
def leave_hidden(
    scene: Scene, pieces: Pieces, head: wp.int32, target: wp.int32, n: wp.int32, x: wp.int32, y: wp.int32
) -> wp.int32:
    """The chain's new head, without pieces whose surface is seen neither here nor beside; 0: none."""
    kept = wp.int32(0)
    i = head
    while i > 0:
        k = i - 1
        following = pieces.next[k]
        at = middle_of(pieces, k, x, y)
        seen = wp.bool(False)
        for side in range(5):
            dx = wp.where(side == 1, 1, 0) - wp.where(side == 2, 1, 0)
            dy = wp.where(side == 3, 1, 0) - wp.where(side == 4, 1, 0)
            if not seen:
                seen = relation(scene, pieces, k, n, x + dx, y + dy, at) == INSIDE
        if seen:
            pieces.next[k] = kept
            kept = i
        else:
            erase(pieces, k, target)
        i = following
    return kept


@wp.func
def settle_pixel(scene: Scene, pieces: Pieces, first: wp.int32):
    """Records of one pixel, whose pieces begin with number first - 1."""
    target = pieces.pixels[first - 1][1]
    head = first
    n = target // (scene.width * scene.height)
    x = target % scene.width
    y = (target // scene.width) % scene.height
    if crowded(pieces, head):
        head = leave_hidden(scene, pieces, head, target, n, x, y)
        if head == 0:
            return
    if join(pieces, head):
        number = pieces.outline[head - 1]
        only = judge(scene, pieces, head, number, n, x, y)
        write(pieces, head, number, target, only, wp.abs(only.covered))
        return
    # Of the outlines that the pixel lies within, and of those it lies outside of, the one each
    # that covers most; -1: none.
    lost = wp.int32(-1)
    won = wp.int32(-1)
    most_lost = wp.float32(-2.0)
    most_won = wp.float32(-2.0)
    i = head
    while i > 0:
        if pieces.outline[i - 1] == i - 1:
            found = judge(scene, pieces, head, i - 1, n, x, y)
            if found.source >= 0 and found.state == INSIDE and found.covered > most_lost:
                most_lost = found.covered
                lost = i - 1
            if found.source >= 0 and found.state == OUTSIDE and found.covered > most_won:
                most_won = found.covered
                won = i - 1
        i = pieces.next[i - 1]
    nothing = Outline()
    nothing.source = -1
    found_lost = Outline()
    found_won = Outline()
    if lost >= 0:
        found_lost = judge(scene, pieces, head, lost, n, x, y)
    if won >= 0:
        found_won = judge(scene, pieces, head, won, n, x, y)
    total = wp.abs(found_lost.covered) + wp.abs(found_won.covered)
    i = head
    while i > 0:
        if pieces.outline[i - 1] == i - 1 and i - 1 != lost and i - 1 != won:
            write(pieces, head, i - 1, target, nothing, total)
        i = pieces.next[i - 1]
    if lost >= 0:
        write(pieces, head, lost, target, found_lost, total)
    if won >= 0:
        write(pieces, head, won, target, found_won, total)


@wp.kernel(enable_backward=False)
def link(
    row_begin: wp.int32,
    row_end: wp.int32,
    chunk: wp.int32,
    capacity: wp.int32,
    width: wp.int32,
    counts: wp.array(dtype=wp.int32),
    pixels: wp.array(dtype=wp.vec4i),
    next: wp.array(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
):
    """Chain up the pieces of each pixel in rows [row_begin, row_end) of all images end to end."""
    first = wp.tid() * chunk
    for slot in range(counts.shape[0]):
        for j in range(first, wp.min(first + chunk, wp.min(counts[slot], capacity))):
            i = slot * capacity + j
            pixel = pixels[i][1]
            row = pixel // width
            if row >= row_begin and row < row_end:
                next[i] = wp.atomic_exch(heads, pixel, i + 1)


@wp.kernel(enable_backward=False)
def settle(
    row_begin: wp.int32,
    row_end: wp.int32,
    chunk: wp.int32,
    capacity: wp.int32,
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    edges: wp.array2d(dtype=wp.int32),
    rast: wp.array(dtype=wp.vec4),
    keys: wp.array(dtype=wp.int64),
    width: wp.int32,
    height: wp.int32,
    counts: wp.array(dtype=wp.int32),
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    ends: wp.array(dtype=wp.vec4),
    next: wp.array(dtype=wp.int32),
    outline: wp.array(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
):
    """Make records of linked pieces in place, and leave `heads` empty for the next call."""
    scene = Scene()
    scene.screen = screen
    scene.tri = tri
    scene.edges = edges
    scene.rast = rast
    scene.keys = keys
    scene.width = width
    scene.height = height
    pieces = Pieces()
    pieces.pixels = pixels
    pieces.amount_a = amount_a
    pieces.amount_b = amount_b
    pieces.ends = ends
    pieces.next = next
    pieces.outline = outline
    first = wp.tid() * chunk
    for slot in range(counts.shape[0]):
        for j in range(first, wp.min(first + chunk, wp.min(counts[slot], capacity))):
            i = slot * capacity + j
            pixel = pixels[i][1]
            row = pixel // width
            if row >= row_begin and row < row_end:
                # The last piece linked works for its whole pixel; the others find nothing to do.
                if heads[pixel] == i + 1:
                    settle_pixel(scene, pieces, i + 1)
                    heads[pixel] = 0
