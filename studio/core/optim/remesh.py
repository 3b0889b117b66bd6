"""Isotropic remeshing: triangles of one edge length everywhere, in whole-array passes.

Botsch and Kobbelt 2004, "A Remeshing Approach to Multiresolution Modeling": split long
edges, collapse short ones, flip towards six neighbours, relax in the tangent plane. Every
pass works on an independent set of edges at once: an edge wins if its rank is the lowest
in its neighbourhood, so that no other edge reads what it changes. Closed meshes stay
closed; borders are split but otherwise left alone.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from studio.core.optim.largesteps import edges_of
from studio.core.optim.surface import SurfacePoints

_SPLIT = 4 / 3
_COLLAPSE = 4 / 5
"""Of the wished length: the factors for which a split or collapse never calls for its undoing."""

_COLLAPSE_ROUNDS = 8
"""One independent set removes up to a seventh of the vertices; eight leave a third."""


class _Topology:
    """Edges of a triangle mesh with the two triangles and opposite corners on each."""

    def __init__(self, faces: np.ndarray, vertex_count: int):
        self.faces = faces
        self.vertex_count = vertex_count
        starts, ends = faces.ravel(), faces[:, [1, 2, 0]].ravel()
        opposite = faces[:, [2, 0, 1]].ravel()
        keys = np.minimum(starts, ends) * np.int64(vertex_count) + np.maximum(starts, ends)
        order = np.argsort(keys, kind="stable")
        unique, first, counts = np.unique(keys[order], return_index=True, return_counts=True)
        self.edges = np.stack([unique // vertex_count, unique % vertex_count], axis=1)
        self.keys = unique
        self.paired = counts == 2
        second = np.minimum(first + 1, len(order) - 1)
        self.sides = np.stack([order[first] // 3, order[second] // 3], axis=1)
        self.opposite = np.stack([opposite[order[first]], opposite[order[second]]], axis=1)
        self.valence = np.bincount(self.edges.ravel(), minlength=vertex_count)
        locked = np.zeros(vertex_count, bool)
        locked[self.edges[~self.paired].ravel()] = True  # borders and edges of three triangles
        self.locked = locked

    def has_edges(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """[N] bool: whether an edge joins a and b."""
        keys = np.minimum(a, b) * np.int64(self.vertex_count) + np.maximum(a, b)
        found = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.asarray(self.keys[found] == keys)

    def adjacency(self) -> sp.csr_matrix:
        ones = np.ones(len(self.edges), np.int32)
        shape = (self.vertex_count, self.vertex_count)
        half = sp.coo_matrix((ones, (self.edges[:, 0], self.edges[:, 1])), shape=shape)
        return (half + half.T).tocsr()


def remesh(
    vertices: np.ndarray, faces: np.ndarray, edge_length: float, iterations: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """The surface again with edges near `edge_length`.

    Args:
        vertices: [V, 3] float.
        faces: [T, 3] int.
        edge_length: wished length, in the unit of the vertices.
        iterations: rounds of split, collapse, flip, relax; 5 even out a hull.
    Returns:
        ([V2, 3] float32, [T2, 3] int32); attributes move over by `transfer`.
    """
    points, triangles = vertices.astype(np.float64), faces.astype(np.int64)
    closest = SurfacePoints(vertices, faces)
    for _ in range(iterations):
        points, triangles = _split(points, triangles, _SPLIT * edge_length)
        for _ in range(_COLLAPSE_ROUNDS):
            count = len(triangles)
            points, triangles = _collapse(points, triangles, edge_length)
            if len(triangles) == count:
                break
        triangles = _flip(points, triangles)
        points = _relax(points, triangles)
        points = closest.project(points)
    return points.astype(np.float32), triangles.astype(np.int32)


def _split(points: np.ndarray, faces: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Halve every edge above `longest`; triangles follow in 2, 3 or 4 pieces."""
    for _ in range(8):  # each pass halves; 2^8 is more than any start mesh needs
        topology = _Topology(faces, len(points))
        a, b = points[topology.edges[:, 0]], points[topology.edges[:, 1]]
        long = np.linalg.norm(a - b, axis=1) > longest
        if not long.any():
            break
        middle = np.full(len(long), -1)
        middle[long] = len(points) + np.arange(int(long.sum()))
        points = np.concatenate([points, 0.5 * (a + b)[long]])
        faces = _subdivide(faces, topology, middle, points)
    return points, faces


def _subdivide(faces: np.ndarray, topology: _Topology, middle: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Faces after the edges with middle >= 0 got that vertex in their middle."""
    starts, ends = faces, faces[:, [1, 2, 0]]
    keys = np.minimum(starts, ends) * np.int64(topology.vertex_count) + np.maximum(starts, ends)
    mids = middle[np.searchsorted(topology.keys, keys)]  # [T, 3], of the edges 01, 12, 20
    count = (mids >= 0).sum(axis=1)
    pieces = [faces[count == 0]]
    for shift in range(3):
        # Rolled so that the first edge is split (1), or the first two are (2).
        f, m = np.roll(faces, -shift, axis=1), np.roll(mids, -shift, axis=1)
        one = (count == 1) & (m[:, 0] >= 0)
        v, w = f[one], m[one]
        pieces += [_stack(v[:, 0], w[:, 0], v[:, 2]), _stack(w[:, 0], v[:, 1], v[:, 2])]
        two = (count == 2) & (m[:, 0] >= 0) & (m[:, 1] >= 0)
        v, w = f[two], m[two]
        pieces.append(_stack(w[:, 0], v[:, 1], w[:, 1]))
        # The remaining quad 0, w0, w1, 2 is cut along its shorter diagonal.
        first = np.linalg.norm(points[w[:, 0]] - points[v[:, 2]], axis=1)
        other = np.linalg.norm(points[v[:, 0]] - points[w[:, 1]], axis=1)
        s = first <= other
        pieces += [_stack(v[s, 0], w[s, 0], v[s, 2]), _stack(w[s, 0], w[s, 1], v[s, 2])]
        s = ~s
        pieces += [_stack(v[s, 0], w[s, 0], w[s, 1]), _stack(v[s, 0], w[s, 1], v[s, 2])]
    v, w = faces[count == 3], mids[count == 3]
    pieces += [
        _stack(v[:, 0], w[:, 0], w[:, 2]),
        _stack(w[:, 0], v[:, 1], w[:, 1]),
        _stack(w[:, 2], w[:, 1], v[:, 2]),
        w,
    ]
    return np.concatenate(pieces)


def _stack(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.stack([a, b, c], axis=1)


def _collapse(points: np.ndarray, faces: np.ndarray, wished: float) -> tuple[np.ndarray, np.ndarray]:
    """Merge the ends of edges that are too short, an independent set of them."""
    topology = _Topology(faces, len(points))
    a, b = topology.edges.T
    length = np.linalg.norm(points[a] - points[b], axis=1)
    candidate = (length < _COLLAPSE * wished) & ~topology.locked[a] & ~topology.locked[b]
    # The two opposite corners lose a neighbour each; below three a mesh folds flat.
    candidate &= (topology.valence[topology.opposite] > 3).all(axis=1) & topology.paired
    index = np.flatnonzero(candidate)
    if len(index) == 0:
        return points, faces
    adjacency = topology.adjacency()
    a, b = topology.edges[index].T
    shared = np.asarray(adjacency[a].multiply(adjacency[b]).sum(axis=1)).ravel()
    index = index[shared == 2]  # the link condition: the surface keeps its topology
    chosen = index[_independent(topology, index, length[index])]
    a, b = topology.edges[chosen].T
    middle = 0.5 * (points[a] + points[b])
    keep = _collapse_is_sound(points, faces, topology, a, b, middle, _SPLIT * wished)
    a, b, middle = a[keep], b[keep], middle[keep]
    points = points.copy()
    points[a] = middle
    target = np.arange(len(points))
    target[b] = a
    faces = target[faces]
    alive = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return _compact(points, faces[alive])


def _independent(topology: _Topology, index: np.ndarray, priority: np.ndarray) -> np.ndarray:
    """Positions in `index` of edges that may collapse together.

    An edge wins if no candidate that touches its ends' neighbours, and none that shares an
    opposite corner, has a lower rank: then neither reads a vertex that the other moves, and
    no corner loses two neighbours at once.
    """
    worst = len(index)
    rank = np.empty(worst, np.int64)
    rank[np.argsort(priority, kind="stable")] = np.arange(worst)
    ends, corners = topology.edges[index], topology.opposite[index]
    at_vertex = np.full(topology.vertex_count, worst)
    np.minimum.at(at_vertex, ends.ravel(), np.repeat(rank, 2))
    nearby = at_vertex.copy()
    np.minimum.at(nearby, topology.edges[:, 0], at_vertex[topology.edges[:, 1]])
    np.minimum.at(nearby, topology.edges[:, 1], at_vertex[topology.edges[:, 0]])
    at_corner = np.full(topology.vertex_count, worst)
    np.minimum.at(at_corner, corners.ravel(), np.repeat(rank, 2))
    wins = (nearby[ends] == rank[:, None]).all(axis=1) & (at_corner[corners] == rank[:, None]).all(axis=1)
    return np.flatnonzero(wins)


def _collapse_is_sound(
    points: np.ndarray,
    faces: np.ndarray,
    topology: _Topology,
    a: np.ndarray,
    b: np.ndarray,
    middle: np.ndarray,
    longest: float,
) -> np.ndarray:
    """[C] bool: collapses that turn no triangle over and leave no edge above `longest`."""
    owner = np.full(len(points), -1)
    owner[a], owner[b] = np.arange(len(a)), np.arange(len(a))
    moved = owner[faces]
    touched = np.flatnonzero((moved >= 0).any(axis=1) & ((moved >= 0).sum(axis=1) == 1))
    who = moved[touched].max(axis=1)
    before = points[faces[touched]]
    after = np.where((moved[touched] >= 0)[..., None], middle[who][:, None], before)
    normal_before = np.cross(before[:, 1] - before[:, 0], before[:, 2] - before[:, 0])
    normal_after = np.cross(after[:, 1] - after[:, 0], after[:, 2] - after[:, 0])
    dot = (normal_before * normal_after).sum(axis=1)
    lengths = np.linalg.norm(normal_before, axis=1) * np.linalg.norm(normal_after, axis=1)
    edge = np.linalg.norm(after - after[:, [1, 2, 0]], axis=2).max(axis=1)
    bad = (dot < 0.3 * lengths) | (edge > longest)  # 0.3: a triangle may tilt by 70 degrees
    sound = np.ones(len(a), bool)
    sound[who[bad]] = False
    return sound


def _flip(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Turn edges where that brings the four corners nearer to six neighbours each."""
    for _ in range(3):
        topology = _Topology(faces, len(points))
        (a, b), (c, d) = topology.edges.T, topology.opposite.T
        valence = topology.valence
        ideal = 6 - 2 * topology.locked  # four on a border

        def off(
            v: np.ndarray, change: int, valence: np.ndarray = valence, ideal: np.ndarray = ideal
        ) -> np.ndarray:
            return np.asarray((valence[v] + change - ideal[v]) ** 2)

        now = off(a, 0) + off(b, 0) + off(c, 0) + off(d, 0)
        then = off(a, -1) + off(b, -1) + off(c, 1) + off(d, 1)
        index = np.flatnonzero(
            topology.paired & (then < now) & (valence[a] > 3) & (valence[b] > 3) & (c != d)
        )
        index = index[~topology.has_edges(c[index], d[index])]
        corners = np.stack([a[index], b[index], c[index], d[index]], axis=1)
        index = index[_flip_is_sound(points, faces, topology, index)]
        corners = np.stack([a[index], b[index], c[index], d[index]], axis=1)
        gain = (now - then)[index]
        rank = np.empty(len(index), np.int64)
        rank[np.argsort(-gain, kind="stable")] = np.arange(len(index))
        lowest = np.full(len(points), len(index))
        np.minimum.at(lowest, corners.ravel(), np.repeat(rank, 4))
        chosen = index[(lowest[corners] == rank[:, None]).all(axis=1)]
        if len(chosen) == 0:
            break
        faces = faces.copy()
        for side, triangle in enumerate(_flipped(faces, topology, chosen)):
            faces[topology.sides[chosen, side]] = triangle
    return faces


def _flipped(faces: np.ndarray, topology: _Topology, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two triangles of each edge after its flip, wound as before."""
    (a, b), (c, d) = topology.edges[index].T, topology.opposite[index].T
    first = faces[topology.sides[index, 0]]
    # In the first triangle the edge runs a -> b or b -> a; name it so that it runs a -> b.
    follows = np.take_along_axis(first, ((np.argmax(first == a[:, None], axis=1) + 1) % 3)[:, None], axis=1)[
        :, 0
    ]
    swap = follows != b
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    return _stack(a, d, c), _stack(d, b, c)


def _flip_is_sound(
    points: np.ndarray, faces: np.ndarray, topology: _Topology, index: np.ndarray
) -> np.ndarray:
    """[N] bool: flips on nearly flat pairs that turn nothing over."""
    old = [_normals(points, faces[topology.sides[index, side]]) for side in range(2)]
    new = [_normals(points, triangle) for triangle in _flipped(faces, topology, index)]
    mean = old[0] + old[1]
    mean = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-30)
    sound = np.ones(len(index), bool)
    for normal in new:  # 0.5: within 60 degrees of the pair's mean
        sound &= (normal * mean).sum(axis=1) > 0.5 * np.maximum(np.linalg.norm(normal, axis=1), 1e-30)
    return sound


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corner = points[faces]
    return np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])


def _relax(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Move every free vertex towards its neighbours' mean within its tangent plane."""
    topology = _Topology(faces, len(points))
    adjacency = topology.adjacency()
    mean = (adjacency @ points) / np.maximum(topology.valence, 1)[:, None]
    face_normal = _normals(points, faces)
    normal = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(face_normal[:, k], 3), minlength=len(points))
            for k in range(3)
        ],
        axis=1,
    )
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    move = mean - points
    move -= (move * normal).sum(axis=1, keepdims=True) * normal
    move[topology.locked] = 0
    return np.asarray(points + 0.5 * move)  # half way keeps triangles from turning over


def _compact(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the vertices that no face uses."""
    used = np.zeros(len(points), bool)
    used[faces.ravel()] = True
    renumber = np.cumsum(used) - 1
    return points[used], renumber[faces]


def mean_edge_length(vertices: np.ndarray, faces: np.ndarray) -> float:
    edges = edges_of(faces)
    return float(np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1).mean())


def mean_thickness(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Twice the volume per area of a closed mesh: about the thickness of its parts.

    A plate gives its thickness, a ball a third of its diameter. inf for open meshes, which
    have no volume.
    """
    topology = _Topology(faces.astype(np.int64), len(vertices))
    if not topology.paired.all():
        return float("inf")
    corner = vertices[faces].astype(np.float64)
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    volume = abs(float((corner[:, 0] * cross).sum())) / 6
    return 4 * volume / max(float(np.linalg.norm(cross, axis=1).sum()), 1e-30)
