"""The exact closest point of a mesh, and what lies on lines and between points, by its tree of boxes."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def closest_points(
    begin: int,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    reach: float,
    faces: wp.array(dtype=int),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=float),
):
    """One point: triangle, barycentrics of its corners and distance; -1 beyond `reach`."""
    i = begin + wp.tid()
    found = wp.mesh_query_point_no_sign(mesh, points[i], reach)
    if found.result:
        faces[i] = found.face
        weights[i] = wp.vec3(found.u, found.v, 1.0 - found.u - found.v)
        distances[i] = wp.length(wp.mesh_eval_position(mesh, found.face, found.u, found.v) - points[i])
    else:
        faces[i] = -1
        weights[i] = wp.vec3(0.0, 0.0, 0.0)
        distances[i] = reach


@wp.kernel
def across(
    begin: int,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    lift: float,
    reach: float,
    faces: wp.array(dtype=int),
    weights: wp.array(dtype=wp.vec3),
):
    """One point beside the mesh: the triangle on the line along its normal, and barycentrics; -1 for none.

    Of the first hits either way the nearer one that faces as the normal does; where both turn away
    or there is none, the closest point, if that does.

    Args:
        lift: overlap of the lines in both directions, so that a point on the surface finds it.
    """
    i = begin + wp.tid()
    n = normals[i]
    nearest = float(reach)
    faces[i] = -1
    weights[i] = wp.vec3(0.0, 0.0, 0.0)
    for side in range(2):
        way = n
        if side == 1:
            way = -n
        hit = wp.mesh_query_ray(mesh, points[i] - lift * way, way, reach + lift)
        if hit.result and wp.dot(hit.normal, n) > 0.0 and wp.abs(hit.t - lift) < nearest:
            nearest = wp.abs(hit.t - lift)
            faces[i] = hit.face
            weights[i] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)
    if faces[i] < 0:
        found = wp.mesh_query_point_no_sign(mesh, points[i], reach)
        if found.result and wp.dot(wp.mesh_eval_face_normal(mesh, found.face), n) > 0.0:
            faces[i] = found.face
            weights[i] = wp.vec3(found.u, found.v, 1.0 - found.u - found.v)


@wp.kernel
def free_lines(
    begin: int,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    eyes: wp.array(dtype=wp.vec3),
    lift: float,
    seen: wp.array(dtype=int),
):
    """One point: how many eyes see its front past the mesh.

    Args:
        lift: distance along the normal from which lines start, so that the point's own triangle
            does not count.
    """
    i = begin + wp.tid()
    start = points[i] + lift * normals[i]
    count = wp.int32(0)
    for k in range(eyes.shape[0]):
        line = eyes[k] - start
        far = wp.length(line)
        if wp.dot(line, normals[i]) > 0.0:
            hit = wp.mesh_query_ray(mesh, start, line / far, far)
            if not hit.result:
                count += 1
    seen[i] = count
