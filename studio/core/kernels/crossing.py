"""Antialiasing where surfaces pass through each other: the line between two depth planes.

The depth z/w of a triangle is linear on screen, so between two neighbouring pixel centres, each
with its own triangle, the two depths cross at most once. With (alpha, beta, gamma) the solution of
z_k = alpha x_k + beta y_k + gamma w_k for the three vertices and lambda the solution of
(X, Y, 1) = sum of lambda_k (x_k, y_k, w_k), the depth at (X, Y) is the sum of lambda_k z_k, and
its derivative to a vertex is lambda_k (-alpha, -beta, 1, -gamma). Vertices may be behind the camera.
"""

import warp as wp

from studio.core.kernels.visibility import doubled_area

wp.set_module_options({"enable_backward": False})

# Doubled area in pixels from which two triangles of one connected surface are taken to cross
# where their planes do: those of a fine hollow surface do so everywhere.
LARGE = wp.constant(wp.float64(8.0))


@wp.struct
class Plane:
    """Depth of a triangle on screen."""

    inverse: wp.mat33d  # columns of (x, y, w) per vertex, inverted: gives lambda
    slope: wp.vec3d  # alpha, beta, gamma
    good: wp.bool


@wp.func
def row(p: wp.vec4) -> wp.vec3d:
    return wp.vec3d(wp.float64(p[0]), wp.float64(p[1]), wp.float64(p[3]))


@wp.func
def plane(pos: wp.array2d(dtype=wp.vec4), n: wp.int32, t: wp.vec3i) -> Plane:
    """Of triangle t; not good if it is seen edge-on."""
    a = pos[n, t[0]]
    b = pos[n, t[1]]
    c = pos[n, t[2]]
    m = wp.matrix_from_cols(row(a), row(b), row(c))
    det = wp.determinant(m)
    out = Plane()
    out.good = det != wp.float64(0.0) and det == det
    if out.good:
        out.inverse = wp.inverse(m)
        z = wp.vec3d(wp.float64(a[2]), wp.float64(b[2]), wp.float64(c[2]))
        out.slope = wp.transpose(out.inverse) * z
    return out


@wp.func
def centre(pixel: wp.int32, width: wp.int32, height: wp.int32) -> wp.vec3d:
    """(X, Y, 1) of a pixel in normalised device coordinates."""
    one = wp.float64(1.0)
    two = wp.float64(2.0)
    x = wp.float64(pixel % width)
    y = wp.float64((pixel // width) % height)
    return wp.vec3d(
        (two * x + one) / wp.float64(width) - one, (two * y + one) / wp.float64(height) - one, one
    )


@wp.func
def is_joined(t: wp.vec3i, u: wp.vec3i) -> wp.bool:
    """Whether two triangles share a vertex."""
    out = wp.bool(False)
    for i in range(3):
        for j in range(3):
            out = out or t[i] == u[j]
    return out


@wp.kernel(enable_backward=False)
def find(
    begin: wp.int32,
    pairs: wp.array2d(dtype=wp.int32),
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    surface: wp.array(dtype=wp.int32),
    rast: wp.array(dtype=wp.vec4),
    width: wp.int32,
    height: wp.int32,
    amount: wp.array(dtype=wp.float32),
    slope: wp.array(dtype=wp.float32),
):
    """How much of the first pixel spills into the second (negative: the other way round).

    `slope` is the derivative of the amount to where the depths cross, 0 where they do not: the
    share of horizontal pairs is 1 for a line steeper than 60 degrees, 0 below 30.
    """
    i = begin + wp.tid()
    p = pairs[i, 0]
    q = pairs[i, 1]
    n = p // (width * height)
    first = wp.int32(rast[p][3]) - 1
    second = wp.int32(rast[q][3]) - 1
    t = tri[first]
    u = tri[second]
    amount[i] = 0.0
    slope[i] = 0.0
    if is_joined(t, u):
        return
    if surface[first] == surface[second]:
        one_area = doubled_area(screen[n, t[0]], screen[n, t[1]], screen[n, t[2]])
        other_area = doubled_area(screen[n, u[0]], screen[n, u[1]], screen[n, u[2]])
        if wp.abs(one_area) < LARGE or wp.abs(other_area) < LARGE:
            return
    one = plane(pos, n, t)
    other = plane(pos, n, u)
    if not (one.good and other.good):
        return
    difference = other.slope - one.slope
    before = wp.dot(difference, centre(p, width, height))
    after = -wp.dot(difference, centre(q, width, height))
    zero = wp.float64(0.0)
    if before <= zero or after <= zero:
        return
    across = wp.float32(difference[0]) / wp.float32(width)
    up = wp.float32(difference[1]) / wp.float32(height)
    share = wp.clamp(0.5 + (across * across - up * up) / (across * across + up * up), 0.0, 1.0)
    if q != p + 1:
        share = 1.0 - share
    amount[i] = share * (wp.float32(before / (before + after)) - 0.5)
    slope[i] = share


@wp.func
def pull(
    pos: wp.array2d(dtype=wp.vec4),
    n: wp.int32,
    t: wp.vec3i,
    p: wp.vec3d,
    q: wp.vec3d,
    to_p: wp.float64,
    to_q: wp.float64,
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """Gradients to_p and to_q of a triangle's depth at two pixels, to its vertices."""
    own = plane(pos, n, t)
    weight = own.inverse * (to_p * p + to_q * q)
    for k in range(3):
        g = wp.float32(weight[k])
        wp.atomic_add(
            grad_pos,
            n,
            t[k],
            wp.vec4(
                -g * wp.float32(own.slope[0]),
                -g * wp.float32(own.slope[1]),
                g,
                -g * wp.float32(own.slope[2]),
            ),
        )


@wp.kernel(enable_backward=False)
def find_backward(
    pairs: wp.array2d(dtype=wp.int32),
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    rast: wp.array(dtype=wp.vec4),
    width: wp.int32,
    height: wp.int32,
    slope: wp.array(dtype=wp.float32),
    grad_amount: wp.array(dtype=wp.float32),
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """Gradient of the amounts to all six vertices."""
    i = wp.tid()
    p = pairs[i, 0]
    q = pairs[i, 1]
    n = p // (width * height)
    t = tri[wp.int32(rast[p][3]) - 1]
    u = tri[wp.int32(rast[q][3]) - 1]
    one = plane(pos, n, t)
    other = plane(pos, n, u)
    at_p = centre(p, width, height)
    at_q = centre(q, width, height)
    before = wp.dot(other.slope - one.slope, at_p)
    after = wp.dot(one.slope - other.slope, at_q)
    total = before + after
    g = wp.float64(grad_amount[i] * slope[i]) / (total * total)
    # s = before / (before + after)
    pull(pos, n, t, at_p, at_q, -g * after, -g * before, grad_pos)
    pull(pos, n, u, at_p, at_q, g * after, g * before, grad_pos)
