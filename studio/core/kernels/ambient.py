"""What rays from the hemisphere above a point meet: the mesh itself, or the environment."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def first_hits(
    begin: int,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    around: wp.array(dtype=wp.vec3),
    lift: float,
    hits: wp.array(dtype=int, ndim=2),
    directions: wp.array(dtype=wp.vec3, ndim=2),
):
    """One point: the triangle that each ray meets first, or -1, and the ray's direction.

    Args:
        around: directions around +Z, spread as the cosine: every ray counts the same.
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
    for k in range(around.shape[0]):
        d = around[k]
        direction = d[0] * t + d[1] * s + d[2] * n
        directions[i, k] = direction
        hit = wp.mesh_query_ray(mesh, start, direction, 1.0e6)
        if hit.result:
            hits[i, k] = hit.face
        else:
            hits[i, k] = -1
