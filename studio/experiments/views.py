"""Rotations as quaternions, random viewpoints, and the cameras of the experiments."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """[count, 4] unit quaternions (w, x, y, z), uniform over all rotations (Shoemake 1992)."""
    return unit(torch.randn(count, 4, generator=generator))


def unit(quaternion: Tensor) -> Tensor:
    """Quaternions of length one."""
    return torch.nn.functional.normalize(quaternion, dim=-1)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """[..., 4] Hamilton product: the rotation b, then a."""
    w, x, y, z = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            w * bw - x * bx - y * by - z * bz,
            w * bx + x * bw + y * bz - z * by,
            w * by - x * bz + y * bw + z * bx,
            w * bz + x * by - y * bx + z * bw,
        ],
        dim=-1,
    )


def slerp(a: Tensor, b: Tensor, share: Tensor | float) -> Tensor:
    """The rotation that lies `share` of the shorter way from a to b (Shoemake 1985)."""
    dot = (a * b).sum(-1, keepdim=True)
    b = torch.where(dot < 0, -b, b)
    # Short of 1, where the derivative of acos is infinite; below 1e-3 rad the arc is a chord.
    angle = torch.acos(dot.abs().clamp(max=1 - 1e-7))
    return unit(torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b)


def matrices(quaternion: Tensor) -> Tensor:
    """[..., 3, 3] rotation matrices, for column vectors, of unit quaternions."""
    w, x, y, z = quaternion.unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def angle_degrees(a: Tensor, b: Tensor) -> Tensor:
    """[...] angle of the rotation between two unit quaternions, 0 to 180 degrees."""
    # From the vector part: acos of a float32 near 1 would not tell 0.02 degrees from none.
    difference = multiply(a.double() * a.new_tensor([1, -1, -1, -1]), b.double())
    return torch.rad2deg(2 * torch.atan2(difference[..., 1:].norm(dim=-1), difference[..., 0].abs()))


def to_clip(points: Tensor, rotation: Tensor, distance: Tensor | float, slope: float) -> Tensor:
    """Clip positions of an object turned in front of a camera.

    Args:
        points: [N, V, 3] or [V, 3], within 0.999 of `distance` from the object's origin.
        rotation: [N, 3, 3] turns the object; the camera stays on +Z and looks at the origin.
        distance: from the camera to the origin; [N] or one number.
        slope: tangent of half the field of view of a square picture.
    Returns:
        [N, V, 4]; z/w runs from -1 to 1 between 0.001 and 2 times the distance.
    """
    x, y, z = (points @ rotation.transpose(-1, -2)).unbind(-1)
    far_away = torch.as_tensor(distance, dtype=points.dtype, device=points.device).reshape(-1, 1)
    depth = far_away - z
    near, far = 0.001 * far_away, 2 * far_away
    ndc_z = ((far + near) * depth - 2 * far * near) / (far - near)
    return torch.stack([x / slope, y / slope, ndc_z, depth], dim=-1)


def geometric(first: float, last: float, fraction: float) -> float:
    """A value that falls exponentially from `first` at fraction 0 to `last` at 1."""
    return first * math.exp(fraction * math.log(last / first))
