"""On which side of a silhouette's piece a pixel is, from what the rasterizer saw there."""

import warp as wp

from studio.core.kernels.visibility import depth_slopes, doubled_area, key_depth

wp.set_module_options({"enable_backward": False})

OUTSIDE = wp.constant(0)
"""Behind the surface that an edge ends, or empty."""
INSIDE = wp.constant(1)
"""A triangle of the edge, or another at least as near: more of its surface, or what is before it."""
HIDDEN = wp.constant(2)
"""Something before the edge's own triangle."""
NOWHERE = wp.constant(3)
"""Out of the image."""

# Depth within which two surfaces touch, and pixels by which either may be off: coplanar triangles
# differ by what single precision leaves of their vertices' positions.
TOUCH = wp.constant(1.0e-6)
TOUCH_PIXELS = wp.constant(1.0e-4)
# Doubled area in pixels from which a triangle's plane is trusted.
SMALL_AREA = wp.constant(wp.float64(4.0))


@wp.struct
class Scene:
    """What is drawn, as `rast` or as `keys` with the other empty, and the edges of the mesh."""

    screen: wp.array2d(dtype=wp.vec4)
    tri: wp.array(dtype=wp.vec3i)
    edges: wp.array2d(dtype=wp.int32)
    rast: wp.array(dtype=wp.vec4)
    keys: wp.array(dtype=wp.int64)
    width: wp.int32
    height: wp.int32


@wp.struct
class Pieces:
    """See `silhouette.put_piece`; `next` links the pieces of a pixel, number + 1, 0 at the end."""

    pixels: wp.array(dtype=wp.vec4i)
    amount_a: wp.array(dtype=wp.vec4)
    amount_b: wp.array(dtype=wp.vec4)
    ends: wp.array(dtype=wp.vec4)
    next: wp.array(dtype=wp.int32)
    outline: wp.array(dtype=wp.int32)  # number of the first piece of the same outline


@wp.func
def seen_at(scene: Scene, pixel: wp.int32) -> wp.int32:
    """Number of the triangle seen in a pixel, or -1."""
    if scene.keys.shape[0] > 0:
        return wp.int32(scene.keys[pixel])  # the lower half: -1 of an empty key, too
    return wp.int32(scene.rast[pixel][3]) - 1


@wp.func
def depth_at(scene: Scene, pixel: wp.int32) -> wp.float32:
    """Its depth z/w."""
    if scene.keys.shape[0] > 0:
        return key_depth(scene.keys[pixel])
    return scene.rast[pixel][2]


@wp.func
def covers(a: wp.vec4, b: wp.vec4, c: wp.vec4, x: wp.int32, y: wp.int32) -> wp.bool:
    """Whether a pixel's centre is within a triangle."""
    centre = wp.vec4(wp.float32(x), wp.float32(y), 0.0, 1.0)
    zero = wp.float64(0.0)
    ab = doubled_area(a, b, centre)
    bc = doubled_area(b, c, centre)
    ca = doubled_area(c, a, centre)
    same = (ab > zero and bc > zero and ca > zero) or (ab < zero and bc < zero and ca < zero)
    return same and a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0


@wp.func
def has(t: wp.vec3i, vertex: wp.int32) -> wp.bool:
    """Whether a triangle has a vertex."""
    return t[0] == vertex or t[1] == vertex or t[2] == vertex


@wp.func
def relation(
    scene: Scene, pieces: Pieces, i: wp.int32, n: wp.int32, x: wp.int32, y: wp.int32, at: wp.vec3
) -> wp.int32:
    """On which side of a piece a pixel's centre is, from what is seen there.

    `at` is the piece's middle: the depth of the triangle seen is continued to it along its plane.
    """
    if x < 0 or y < 0 or x >= scene.width or y >= scene.height:
        return NOWHERE
    pixel = (n * scene.height + y) * scene.width + x
    triangle = seen_at(scene, pixel)
    if triangle < 0:
        return OUTSIDE
    number = pieces.pixels[i][0]
    e = wp.where(number < 0, -1 - number, number)
    first = scene.edges[e, 2]
    code = scene.edges[e, 3]
    second = wp.where(code < -1, -2 - code, code)
    if triangle == first or triangle == second:
        return INSIDE
    f = scene.tri[wp.where(number < 0 and second >= 0, second, first)]
    t = scene.tri[triangle]
    a = scene.screen[n, t[0]]
    b = scene.screen[n, t[1]]
    c = scene.screen[n, t[2]]
    z = depth_at(scene, pixel)
    touch = TOUCH
    area = doubled_area(a, b, c)
    if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0 and area != wp.float64(0.0):
        large = wp.abs(area) >= SMALL_AREA
        if large and (has(f, t[0]) or has(f, t[1]) or has(f, t[2])):
            # Joined to the edge's own triangle: the two may be level, so depth says nothing.
            p = pieces.ends[i]
            du = p[2] - p[0]
            dv = p[3] - p[1]
            left = du * (wp.float32(y) - at[1]) - dv * (wp.float32(x) - at[0])
            if wp.abs(left) > 1.0e-4 * (wp.abs(du) + wp.abs(dv)):
                return wp.where(left > 0.0, INSIDE, OUTSIDE)
        slopes = depth_slopes(a, b, c, area)
        lowest = wp.min(a[2], wp.min(b[2], c[2]))
        highest = wp.max(a[2], wp.max(b[2], c[2]))
        z = a[2] + slopes[0] * (wp.float32(x) - a[0]) + slopes[1] * (wp.float32(y) - a[1])
        z = wp.clamp(z, lowest, highest)
        # A triangle far smaller than a pixel says nothing about the depth a pixel away.
        most = 2.0 * (highest - lowest)
        change = slopes[0] * (at[0] - wp.float32(x)) + slopes[1] * (at[1] - wp.float32(y))
        change = wp.clamp(change, -most, most)
        touch += TOUCH_PIXELS * (wp.abs(slopes[0]) + wp.abs(slopes[1]))
        # The plane of a foreshortened triangle says little about its surface even within a pixel.
        if not large:
            change = wp.min(change, 0.0)
        z += change
    if z > at[2] + touch:
        return OUTSIDE
    # If the edge's own triangle covers the centre and something else is seen, that is before it.
    if covers(scene.screen[n, f[0]], scene.screen[n, f[1]], scene.screen[n, f[2]], x, y):
        return HIDDEN
    return INSIDE
