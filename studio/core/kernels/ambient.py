"""How much of the hemisphere above a point the mesh itself leaves open, by casting rays."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def visibility(
    begin: int,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    lift: float,
    share: wp.array(dtype=float),
):
    """One point.

    Args:
        directions: around +Z, spread as the cosine: every ray counts the same.
        lift: distance along the normal from which rays start.
    """
    i = begin + wp.tid()
    n = normals[i]
    # Duff et al. 2017: a basis without branches.
    sign = float(1.0)
    if n[2] < 0.0:
        sign = -1.0
    a = -1.0 / (sign + n[2])
    b = n[0] * n[1] * a
    t = wp.vec3(1.0 + sign * n[0] * n[0] * a, sign * b, -sign * n[0])
    s = wp.vec3(b, sign + n[1] * n[1] * a, -n[1])
    start = points[i] + lift * n
    free = wp.int32(0)
    for k in range(directions.shape[0]):
        d = directions[k]
        hit = wp.mesh_query_ray(mesh, start, d[0] * t + d[1] * s + d[2] * n, 1.0e6)
        if not hit.result:
            free += 1
    share[i] = float(free) / float(directions.shape[0])
