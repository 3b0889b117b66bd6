"""The resolve pass: barycentrics of the triangles that visibility found, and their adjoint.

Barycentrics come from homogeneous edge functions relative to the pixel, so that small triangles
keep their precision: q_i = (x_i - X w_i, y_i - Y w_i, w_i), e = q_j x q_k,
u = e_0 / (e_0 + e_1 + e_2) (Olano and Greer 1997, "Triangle Scan Conversion using 2D
Homogeneous Coordinates"). The cross product also holds the derivatives along X and Y.
"""

import warp as wp

from studio.core.kernels.visibility import key_depth, key_triangle, least, most

wp.set_module_options({"enable_backward": False})


@wp.func
def relative(p: wp.vec4, fx: wp.float32, fy: wp.float32) -> wp.vec3:
    """q = (x - X w, y - Y w, w): relative to the pixel, so that small triangles keep precision."""
    return wp.vec3(p[0] - fx * p[3], p[1] - fy * p[3], p[3])


@wp.func
def edge_functions(q0: wp.vec3, q1: wp.vec3, q2: wp.vec3) -> wp.vec3:
    """e_i of the pixel at the origin."""
    return wp.vec3(
        q1[0] * q2[1] - q1[1] * q2[0],
        q2[0] * q0[1] - q2[1] * q0[0],
        q0[0] * q1[1] - q0[1] * q1[0],
    )


@wp.func
def barycentrics(e: wp.vec3) -> wp.vec3:
    """Normalised and clamped to [0, 1]: a pixel on an edge may be outside by a rounding error."""
    total = e[0] + e[1] + e[2]
    # No branch around a vector: it would go through memory and cost more than the arithmetic.
    r = wp.where(total == 0.0, 0.0, 1.0 / total)
    u = most(least(e[0] * r, 1.0), 0.0)
    v = most(least(e[1] * r, 1.0 - u), 0.0)
    return wp.vec3(u, v, 1.0 - u - v)


@wp.func
def barycentric_derivatives(
    q0: wp.vec3, q1: wp.vec3, q2: wp.vec3, b: wp.vec3, step_x: wp.float32, step_y: wp.float32
) -> wp.vec4:
    """du/dX, du/dY, dv/dX, dv/dY per pixel; the cross product q_j x q_k is (de/dX, de/dY, e)."""
    n0 = wp.cross(q1, q2)
    n1 = wp.cross(q2, q0)
    total = n0 + n1 + wp.cross(q0, q1)
    r = wp.where(total[2] == 0.0, 0.0, 1.0 / total[2])
    return wp.vec4(
        (n0[0] - b[0] * total[0]) * r * step_x,
        (n0[1] - b[0] * total[1]) * r * step_y,
        (n1[0] - b[1] * total[0]) * r * step_x,
        (n1[1] - b[1] * total[1]) * r * step_y,
    )


@wp.kernel(enable_backward=False)
def resolve(
    begin: wp.int32,
    run: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    keys: wp.array(dtype=wp.int64),
    width: wp.int32,
    height: wp.int32,
    with_db: wp.int32,
    rast: wp.array(dtype=wp.vec4),
    rast_db: wp.array(dtype=wp.vec4),
):
    """Keys to (u, v, z/w, id + 1) and derivatives, a run of pixels of one row per thread."""
    first = (begin + wp.tid()) * run
    n = wp.min(first // (width * height), pos.shape[0] - 1)  # one set of positions may serve all
    y = (first // width) % height
    x = first % width
    step_x = 2.0 / wp.float32(width)
    step_y = 2.0 / wp.float32(height)
    fy = (wp.float32(y) + 0.5) * step_y - 1.0
    last = wp.int32(-1)
    p0 = wp.vec4(0.0)
    p1 = wp.vec4(0.0)
    p2 = wp.vec4(0.0)
    for k in range(run):
        key = keys[first + k]
        triangle = key_triangle(key)
        if triangle >= 0:
            if triangle != last:
                t = tri[triangle]
                p0 = pos[n, t[0]]
                p1 = pos[n, t[1]]
                p2 = pos[n, t[2]]
                last = triangle
            fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
            q0 = relative(p0, fx, fy)
            q1 = relative(p1, fx, fy)
            q2 = relative(p2, fx, fy)
            b = barycentrics(edge_functions(q0, q1, q2))
            rast[first + k] = wp.vec4(b[0], b[1], key_depth(key), wp.float32(triangle + 1))
            if with_db != 0:
                rast_db[first + k] = barycentric_derivatives(q0, q1, q2, b, step_x, step_y)
        else:
            rast[first + k] = wp.vec4(0.0)
            if with_db != 0:
                rast_db[first + k] = wp.vec4(0.0)


@wp.func
def to_clip(g: wp.vec3, fx: wp.float32, fy: wp.float32) -> wp.vec4:
    """Gradient of q as gradient of (x, y, z, w)."""
    return wp.vec4(g[0], g[1], 0.0, g[2] - fx * g[0] - fy * g[1])


@wp.func
def pull_barycentrics(
    q0: wp.vec3, q1: wp.vec3, q2: wp.vec3, e: wp.vec3, gu: wp.float32, gv: wp.float32
) -> wp.mat33:
    """Gradient of q_0, q_1, q_2 (rows) from that of u and v; the third component stays 0."""
    total = e[0] + e[1] + e[2]
    r = wp.where(total == 0.0, 0.0, 1.0 / total)
    shared = (gu * e[0] + gv * e[1]) * r
    g0 = (gu - shared) * r
    g1 = (gv - shared) * r
    g2 = -shared * r
    return wp.mat33(
        q1[1] * g2 - q2[1] * g1,
        q2[0] * g1 - q1[0] * g2,
        0.0,
        q2[1] * g0 - q0[1] * g2,
        q0[0] * g2 - q2[0] * g0,
        0.0,
        q0[1] * g1 - q1[1] * g0,
        q1[0] * g0 - q0[0] * g1,
        0.0,
    )


@wp.func
def pull_derivatives(
    q0: wp.vec3,
    q1: wp.vec3,
    q2: wp.vec3,
    g: wp.vec4,
    g_db: wp.vec4,
    step_x: wp.float32,
    step_y: wp.float32,
) -> wp.mat33:
    """As `pull_barycentrics`, with the gradient of the four derivatives too."""
    n0 = wp.cross(q1, q2)
    n1 = wp.cross(q2, q0)
    s = n0 + n1 + wp.cross(q0, q1)
    r = wp.where(s[2] == 0.0, 0.0, 1.0 / s[2])
    u = n0[2] * r
    v = n1[2] * r
    # u_x = (n0_x - u s_x) / s_z and so on: quotient rule, from the outside in.
    ux = g_db[0] * step_x * r
    uy = g_db[1] * step_y * r
    vx = g_db[2] * step_x * r
    vy = g_db[3] * step_y * r
    gu = g[0] - ux * s[0] - uy * s[1]
    gv = g[1] - vx * s[0] - vy * s[1]
    quotient = (
        ux * (n0[0] - u * s[0]) + uy * (n0[1] - u * s[1]) + vx * (n1[0] - v * s[0]) + vy * (n1[1] - v * s[1])
    )
    gs = wp.vec3(-(ux * u + vx * v), -(uy * u + vy * v), -(quotient + gu * u + gv * v) * r)
    g0 = gs + wp.vec3(ux, uy, gu * r)
    g1 = gs + wp.vec3(vx, vy, gv * r)
    # c = a x b pulls back as (b x g, g x a).
    d0 = wp.cross(g1, q2) + wp.cross(q1, gs)
    d1 = wp.cross(q2, g0) + wp.cross(gs, q0)
    d2 = wp.cross(g0, q1) + wp.cross(q0, g1)
    return wp.mat33(d0[0], d0[1], d0[2], d1[0], d1[1], d1[2], d2[0], d2[1], d2[2])


@wp.func
def add_corners(
    grad_pos: wp.array2d(dtype=wp.vec4),
    n: wp.int32,
    t: wp.vec3i,
    to_0: wp.vec4,
    to_1: wp.vec4,
    to_2: wp.vec4,
):
    """Add the gradient of a triangle to its three vertices."""
    wp.atomic_add(grad_pos, n, t[0], to_0)
    wp.atomic_add(grad_pos, n, t[1], to_1)
    wp.atomic_add(grad_pos, n, t[2], to_2)


@wp.kernel(enable_backward=False)
def resolve_backward(
    begin: wp.int32,
    run: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    rast: wp.array(dtype=wp.vec4),
    width: wp.int32,
    height: wp.int32,
    with_db: wp.int32,
    grad_rast: wp.array(dtype=wp.vec4),
    grad_db: wp.array(dtype=wp.vec4),
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """Gradient of u, v and their derivatives to clip positions; sums in registers along a run."""
    first = (begin + wp.tid()) * run
    n = wp.min(first // (width * height), pos.shape[0] - 1)  # one set of positions may serve all
    y = (first // width) % height
    x = first % width
    step_x = 2.0 / wp.float32(width)
    step_y = 2.0 / wp.float32(height)
    fy = (wp.float32(y) + 0.5) * step_y - 1.0
    last = wp.int32(-1)
    t = wp.vec3i(0)
    p0 = wp.vec4(0.0)
    p1 = wp.vec4(0.0)
    p2 = wp.vec4(0.0)
    s0 = wp.vec4(0.0)
    s1 = wp.vec4(0.0)
    s2 = wp.vec4(0.0)
    for k in range(run):
        triangle = wp.int32(rast[first + k][3]) - 1
        if triangle >= 0:
            if triangle != last:
                if last >= 0:
                    add_corners(grad_pos, n, t, s0, s1, s2)
                t = tri[triangle]
                p0 = pos[n, t[0]]
                p1 = pos[n, t[1]]
                p2 = pos[n, t[2]]
                s0 = wp.vec4(0.0)
                s1 = wp.vec4(0.0)
                s2 = wp.vec4(0.0)
                last = triangle
            fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
            q0 = relative(p0, fx, fy)
            q1 = relative(p1, fx, fy)
            q2 = relative(p2, fx, fy)
            g = grad_rast[first + k]
            if with_db != 0:
                d = pull_derivatives(q0, q1, q2, g, grad_db[first + k], step_x, step_y)
                s0 += to_clip(d[0], fx, fy)
                s1 += to_clip(d[1], fx, fy)
                s2 += to_clip(d[2], fx, fy)
            else:
                h = pull_barycentrics(q0, q1, q2, edge_functions(q0, q1, q2), g[0], g[1])
                s0 += to_clip(h[0], fx, fy)
                s1 += to_clip(h[1], fx, fy)
                s2 += to_clip(h[2], fx, fy)
    if last >= 0:
        add_corners(grad_pos, n, t, s0, s1, s2)
