"""Antialiasing: silhouette edges walked across the image, pixel by pixel, by exact coverage.

An edge is a silhouette if only one triangle has it, or if one of its two triangles shows its front
and the other its back. Each silhouette is cut at the pixels' borders, and every piece says how much of
its pixel's area it adds to, or takes from, the surface that ends there. Only pixels on an outline
are worked on, so the cost follows the outline and not the image.

Four things differ from the pair search of Laine et al. 2020, section 3.6:
- Triangles at a smooth silhouette are foreshortened to less than a pixel and own no pixel; a
  search through triangle ids misses them, a walk along edges does not.
- The weight is the covered area of the pixel, not where an edge crosses the line between two
  pixel centres: no choice between horizontal and vertical pairs, no jump where the end of an
  edge passes a row, and the derivative is the integral of the edge's motion within the pixel.
- A pixel is drawn towards the other side of the edge and, by the same amount, towards its
  neighbour on its own side. When the edge reaches its centre nothing is left of its own colour,
  so nothing jumps when the pixel changes sides.
- What is seen is decided from the planes of the triangles around the edge, and of several
  outlines within a pixel the one that covers most wins: what is covered is the union.

This file has the first of two passes: it cuts edges into pieces. `coverage` has the second, which
makes records of them.
"""

import warp as wp

from studio.core.kernels.relation import PIECE_WORDS

wp.set_module_options({"enable_backward": False})

# Pixels from the image at which an edge is given up: double precision ends there.
FARTHEST = wp.constant(wp.float64(1.0e12))


@wp.struct
class View:
    """One image of the batch: what is drawn and where."""

    pos: wp.array2d(dtype=wp.vec4)
    screen: wp.array2d(dtype=wp.vec4)
    width: wp.int32
    height: wp.int32
    image: wp.int32


@wp.struct
class Edge:
    """A silhouette from p to q in pixels, the surface on its left."""

    number: wp.int32  # -1 - number where the first triangle shows its back
    vertex_p: wp.int32
    vertex_q: wp.int32
    p: wp.vec3d  # visible part: x, y, z/w
    d: wp.vec3d  # q - p
    # Weight of the vertices at either end, over w, linear in between: 1/w_p to 0 and 0 to 1/w_q,
    # if nothing is cut off.
    weight_p: wp.vec2d
    weight_q: wp.vec2d
    # Pixels of area per unit of x, y and w of a vertex of weight 1 along the whole edge.
    slope: wp.vec3d


@wp.struct
class Output:
    """Where a thread puts its pieces; those that do not fit are only counted."""

    counts: wp.array2d(dtype=wp.int32)
    slot: wp.int32
    begin: wp.int32
    end: wp.int32
    pieces: wp.array2d(dtype=wp.int32)


@wp.func
def narrow(span: wp.vec2d, fa: wp.float64, fb: wp.float64) -> wp.vec2d:
    """What of the parameter interval keeps f(t) = fa + t (fb - fa) >= 0."""
    low = span[0]
    high = span[1]
    zero = wp.float64(0.0)
    if fa < zero and fb < zero:
        high = low
    elif fa < zero:
        low = wp.max(low, fa / (fa - fb))
    elif fb < zero:
        high = wp.min(high, fa / (fa - fb))
    return wp.vec2d(low, high)


@wp.func
def visible_span(p: wp.vec4, q: wp.vec4) -> wp.vec2d:
    """What of an edge in clip space lies before the camera and the near plane."""
    pw = wp.float64(p[3])
    qw = wp.float64(q[3])
    # A millionth keeps the division finite where the near plane does not cut first.
    least = wp.float64(1.0e-6) * wp.max(wp.abs(pw), wp.abs(qw))
    span = narrow(wp.vec2d(wp.float64(0.0), wp.float64(1.0)), pw - least, qw - least)
    return narrow(span, pw + wp.float64(p[2]), qw + wp.float64(q[2]))


@wp.func
def to_screen(view: View, p: wp.vec4, q: wp.vec4, t: wp.float64) -> wp.vec3d:
    """Pixel position and z/w of the point t along p -> q."""
    one = wp.float64(1.0)
    half = wp.float64(0.5)
    s = one - t
    r = one / (s * wp.float64(p[3]) + t * wp.float64(q[3]))
    return wp.vec3d(
        ((s * wp.float64(p[0]) + t * wp.float64(q[0])) * r + one) * half * wp.float64(view.width) - half,
        ((s * wp.float64(p[1]) + t * wp.float64(q[1])) * r + one) * half * wp.float64(view.height) - half,
        (s * wp.float64(p[2]) + t * wp.float64(q[2])) * r,
    )


@wp.func_native(
    f"""
    int* to = (int*)pieces.data + {PIECE_WORDS} * (size_t)i;
    memcpy(to, &names, 16);
    memcpy(to + 4, &at_p, 16);
    memcpy(to + 8, &at_q, 16);
    memcpy(to + 12, &ends, 16);
"""
)
def store(
    pieces: wp.array2d(dtype=wp.int32), i: int, names: wp.vec4i, at_p: wp.vec4, at_q: wp.vec4, ends: wp.vec4
):
    """As a Piece; see `relation`."""
    ...


@wp.func
def put_piece(
    view: View, edge: Edge, out: Output, x: wp.int32, y: wp.int32, begin: wp.float64, end: wp.float64
):
    """The part [begin, end] of an edge, which lies in pixel (x, y); its ends relative to the centre."""
    one = wp.float64(1.0)
    middle = wp.float64(0.5) * (begin + end)
    z = edge.p[2] + middle * edge.d[2]
    if not (z >= -one and z <= one):
        return
    i = out.begin + wp.atomic_add(out.counts, out.slot, 0, 1)
    if i >= out.end:
        return
    length = end - begin
    p = length * (edge.weight_p[0] * (one - middle) + edge.weight_p[1] * middle)
    q = length * (edge.weight_q[0] * (one - middle) + edge.weight_q[1] * middle)
    s = edge.slope
    depth = wp.float32(z)
    pixel = (view.image * view.height + y) * view.width + x
    store(
        out.pieces,
        i,
        wp.vec4i(edge.number, pixel, edge.vertex_p, edge.vertex_q),
        wp.vec4(depth, wp.float32(p * s[0]), wp.float32(p * s[1]), wp.float32(p * s[2])),
        wp.vec4(0.0, wp.float32(q * s[0]), wp.float32(q * s[1]), wp.float32(q * s[2])),
        wp.vec4(
            wp.float32(edge.p[0] + begin * edge.d[0] - wp.float64(x)),
            wp.float32(edge.p[1] + begin * edge.d[1] - wp.float64(y)),
            wp.float32(edge.p[0] + end * edge.d[0] - wp.float64(x)),
            wp.float32(edge.p[1] + end * edge.d[1] - wp.float64(y)),
        ),
    )


@wp.func
def walk(view: View, edge: Edge, out: Output):
    """Cut an edge at the borders of pixels (Amanatides and Woo 1987)."""
    zero = wp.float64(0.0)
    one = wp.float64(1.0)
    half = wp.float64(0.5)
    p = edge.p
    d = edge.d
    width = wp.float64(view.width)
    height = wp.float64(view.height)
    span = narrow(wp.vec2d(zero, one), p[0] + half, p[0] + d[0] + half)
    span = narrow(span, width - half - p[0], width - half - p[0] - d[0])
    span = narrow(span, p[1] + half, p[1] + d[1] + half)
    span = narrow(span, height - half - p[1], height - half - p[1] - d[1])
    t = span[0]
    if not (t < span[1]):
        return
    x = wp.clamp(wp.int32(wp.floor(p[0] + t * d[0] + half)), 0, view.width - 1)
    y = wp.clamp(wp.int32(wp.floor(p[1] + t * d[1] + half)), 0, view.height - 1)
    never = wp.float64(2.0)
    to_right = wp.where(d[0] > zero, 1, -1)
    to_top = wp.where(d[1] > zero, 1, -1)
    while t < span[1]:
        next_x = never
        if d[0] != zero:
            next_x = (wp.float64(x) + half * wp.float64(to_right) - p[0]) / d[0]
        next_y = never
        if d[1] != zero:
            next_y = (wp.float64(y) + half * wp.float64(to_top) - p[1]) / d[1]
        end = wp.min(wp.min(next_x, next_y), span[1])
        if end > t:
            put_piece(view, edge, out, x, y, t, end)
            t = end
        if end == span[1] or x < 0 or y < 0 or x >= view.width or y >= view.height:
            return
        if next_x <= next_y:
            x += to_right
        else:
            y += to_top


@wp.func
def silhouette(view: View, edge: Edge, out: Output):
    """Bring an edge to the screen and walk it."""
    zero = wp.float64(0.0)
    one = wp.float64(1.0)
    half = wp.float64(0.5)
    p = view.pos[view.image, edge.vertex_p]
    q = view.pos[view.image, edge.vertex_q]
    p_screen = view.screen[view.image, edge.vertex_p]
    q_screen = view.screen[view.image, edge.vertex_q]
    if p_screen[3] > 0.0 and q_screen[3] > 0.0:
        edge.p = wp.vec3d(wp.float64(p_screen[0]), wp.float64(p_screen[1]), wp.float64(p_screen[2]))
        end = wp.vec3d(wp.float64(q_screen[0]), wp.float64(q_screen[1]), wp.float64(q_screen[2]))
        edge.d = end - edge.p
        edge.weight_p = wp.vec2d(one / wp.float64(p[3]), zero)
        edge.weight_q = wp.vec2d(zero, one / wp.float64(q[3]))
    else:
        if not (p[3] > 0.0 or q[3] > 0.0):
            return
        span = visible_span(p, q)
        if not (span[0] < span[1]):
            return
        edge.p = to_screen(view, p, q, span[0])
        edge.d = to_screen(view, p, q, span[1]) - edge.p
        w0 = (one - span[0]) * wp.float64(p[3]) + span[0] * wp.float64(q[3])
        w1 = (one - span[1]) * wp.float64(p[3]) + span[1] * wp.float64(q[3])
        edge.weight_p = wp.vec2d((one - span[0]) / w0, (one - span[1]) / w1)
        edge.weight_q = wp.vec2d(span[0] / w0, span[1] / w1)
    # False for NaN and infinity, which would never leave the image.
    if not (wp.abs(edge.p[0]) + wp.abs(edge.p[1]) + wp.abs(edge.d[0]) + wp.abs(edge.d[1]) < FARTHEST):
        return
    # A displacement in pixels covers d[1] * dx - d[0] * dy; a vertex moves by (dx - X dw) / w.
    half_width = half * wp.float64(view.width)
    half_height = half * wp.float64(view.height)
    to_x = edge.d[1] * half_width
    to_y = -edge.d[0] * half_height
    ndc_x = (edge.p[0] + half) / half_width - one
    ndc_y = (edge.p[1] + half) / half_height - one
    edge.slope = wp.vec3d(to_x, to_y, -(to_x * ndc_x + to_y * ndc_y))
    walk(view, edge, out)


# C++ because the loop runs over all edges: in Warp's dialect it took four times as long.
_NEXT = """
    const int* E = (const int*)edges.data;
    const signed char* F = (const signed char*)facing.data + (size_t)image * facing.shape[1];
    const unsigned count = (unsigned)vertices;
    for (int e = begin; e < end; ++e) {
        const int* edge = E + 6 * (size_t)e;
        const int code = edge[3], own = F[edge[2]];
        const bool front = own == 1;
        // Wound alike, both show the same side at a silhouette.
        if (code != -1 && (front == (F[code < -1 ? -2 - code : code] == 1)) != (code < -1)) continue;
        if (own > 1 || (unsigned)edge[0] >= count || (unsigned)edge[1] >= count) continue;
        return 2 * e + (front ? 1 : 0);
    }
    return -1;
"""


@wp.func_native(_NEXT)
def next_silhouette(
    begin: int,
    end: int,
    image: int,
    vertices: int,
    facing: wp.array2d(dtype=wp.int8),
    edges: wp.array2d(dtype=wp.int32),
) -> int:
    """Twice the number of the next silhouette, plus 1 if its first triangle shows its front; or -1."""
    ...


@wp.func
def find_pieces(
    first: wp.int32,
    last: wp.int32,
    capacity: wp.int32,
    slot: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    facing: wp.array2d(dtype=wp.int8),
    edges: wp.array2d(dtype=wp.int32),
    width: wp.int32,
    height: wp.int32,
    counts: wp.array2d(dtype=wp.int32),
    pieces: wp.array2d(dtype=wp.int32),
):
    """Pieces of the edges [first, last), of all images one after another."""
    view = View()
    view.pos = pos
    view.screen = screen
    view.width = width
    view.height = height
    out = Output()
    out.counts = counts
    out.slot = slot
    out.begin = slot * capacity
    out.end = (slot + 1) * capacity
    out.pieces = pieces
    per_image = edges.shape[0]
    for n in range(first // per_image, (last + per_image - 1) // per_image):
        view.image = n
        e = wp.max(first - n * per_image, 0)
        stop = wp.min(last - n * per_image, per_image)
        while e < stop:
            found = next_silhouette(e, stop, n, pos.shape[1], facing, edges)
            if found < 0:
                e = stop
            else:
                e = found // 2
                front = found % 2 == 1
                edge = Edge()
                edge.number = wp.where(front, e, -1 - e)
                edge.vertex_p = wp.where(front, edges[e, 0], edges[e, 1])
                edge.vertex_q = wp.where(front, edges[e, 1], edges[e, 0])
                silhouette(view, edge, out)
                e += 1


@wp.kernel(enable_backward=False)
def find(
    begin: wp.int32,
    chunk: wp.int32,
    limit: wp.int32,
    capacity: wp.int32,
    slot: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    facing: wp.array2d(dtype=wp.int8),
    edges: wp.array2d(dtype=wp.int32),
    width: wp.int32,
    height: wp.int32,
    counts: wp.array2d(dtype=wp.int32),
    pieces: wp.array2d(dtype=wp.int32),
):
    """Pieces of `chunk` edges from `begin` on (below `limit`); images count one after another."""
    first = begin + wp.tid() * chunk
    last = wp.min(first + chunk, limit)
    find_pieces(first, last, capacity, slot, pos, screen, facing, edges, width, height, counts, pieces)
