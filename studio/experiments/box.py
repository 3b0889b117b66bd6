"""The unit cube of the cube and pose experiments."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def corners() -> Tensor:
    """[8, 3] corners of the unit cube around the origin; corner i has bit k of i set where x_k > 0."""
    return torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=torch.float32) - 0.5


def quads() -> Tensor:
    """[6, 4] corners of each face, counter-clockwise from outside; faces -x, +x, -y, +y, -z, +z."""
    out = []
    for axis, side in itertools.product(range(3), (0, 1)):
        b, c = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        first = side << axis
        ring = [first, first + b, first + b + c, first + c]
        out.append(ring if side else ring[::-1])
    return torch.tensor(out)


def triangles() -> Tensor:
    """[12, 3] int32 into `corners`; triangles 2 f and 2 f + 1 are face f."""
    return _halves(quads())


def face_triangles() -> Tensor:
    """[12, 3] int32 into 24 corners, four of each face in the order of `quads().flatten()`."""
    return _halves(torch.arange(24).reshape(6, 4))


def _halves(faces: Tensor) -> Tensor:
    return torch.stack([faces[:, (0, 1, 2)], faces[:, (0, 2, 3)]], dim=1).reshape(-1, 3).int()


def symmetries() -> Tensor:
    """[24, 4] unit quaternions: the rotations that map the cube to itself.

    They are the units with integer components, half-integer ones and (+-1, +-1, 0, 0) / sqrt 2,
    one of each pair q, -q.
    """
    found: list[Tensor] = []
    for values in itertools.product((-1.0, 0.0, 1.0), repeat=4):
        q = torch.tensor(values)
        if int(q.abs().sum()) not in (1, 2, 4):
            continue
        q = q / q.norm()
        if all(abs(float(q @ other)) < 0.99 for other in found):
            found.append(q)
    return torch.stack(found)
