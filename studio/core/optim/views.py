"""What belongs to each photo and not to the object: exposure, white balance, and a pose to refine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.gbuffer import CameraBatch
from studio.core.optim.materials import fresh
from studio.core.scene import Camera


@dataclass(eq=False)
class ViewVariables:
    """Leaves of N training photos. Means over the photos are held at zero.

    So overall brightness and tint stay with light and base colour, and the object stays where it is.

    Attributes:
        exposure: [N] stops.
        balance: [N, 3] stops of the channels; their mean in each photo is held at zero too.
        pose: [N, 6] how the object seems to be moved in each photo: rotation vector (radians) about
            `center`, then translation, world axes and units.
        center: [3] world.
    """

    exposure: Tensor
    balance: Tensor
    pose: Tensor
    center: Tensor
    _standing: tuple[int, bool] = (-1, False)
    """Version of `pose` that was looked at last, and whether anything in it differed from 0."""

    @classmethod
    def create(cls, count: int, center: Tensor) -> ViewVariables:
        """Photos as they are taken to be at first."""
        exposure, balance, pose = (
            center.new_zeros(shape, requires_grad=True) for shape in ((count,), (count, 3), (count, 6))
        )
        return cls(exposure, balance, pose, center)

    def tensors(self, group: str) -> list[Tensor]:
        """The leaves of a group of messages.GROUPS."""
        named = {"exposure": [self.exposure], "white_balance": [self.balance], "pose": [self.pose]}
        return named.get(group, [])

    def clone(self) -> ViewVariables:
        """Independent leaves with the same values."""
        return replace(
            self,
            exposure=fresh(self.exposure),
            balance=fresh(self.balance),
            pose=fresh(self.pose),
            _standing=(-1, False),
        )

    def stops(self) -> Tensor:
        """[N, 3] exposure of the channels. Gradients: to exposure and balance."""
        tint = self.balance - self.balance.mean(dim=1, keepdim=True)
        return (self.exposure - self.exposure.mean())[:, None] + tint - tint.mean(dim=0)

    def moves(self) -> Tensor:
        """[N, 6] poses without the motion that all share. Gradients: to pose."""
        return self.pose - self.pose.mean(dim=0)

    @property
    def moving(self) -> bool:
        """Whether any pose may differ from what the photos came with."""
        if self.pose.requires_grad:
            return True
        if self._standing[0] != self.pose._version:  # looking waits for the GPU
            self._standing = self.pose._version, bool((self.pose != 0).any())
        return self._standing[1]


def moved_cameras(cameras: CameraBatch, moves: Tensor, center: Tensor) -> CameraBatch:
    """Cameras that see the object turned and shifted.

    Args:
        cameras: N.
        moves: [N, 6] rotation vectors about `center` and translations, in the world.
        center: [3].
    Gradients:
        To: moves, through world_to_view, world_to_clip and position.
    """
    turn = _rotation(moves[:, :3])
    shift = moves[:, 3:] + center - (turn @ center)
    top = torch.cat([turn, shift[:, :, None]], dim=2)
    last = constant((0.0, 0.0, 0.0, 1.0), moves.dtype, moves.device).expand(len(moves), 1, 4)
    world_to_view = cameras.world_to_view @ torch.cat([top, last], dim=1)
    rotation, offset = world_to_view[:, :3, :3], world_to_view[:, :3, 3:]
    return replace(
        cameras,
        world_to_view=world_to_view,
        world_to_clip=cameras.view_to_clip @ world_to_view,
        position=-(rotation.transpose(1, 2) @ offset)[:, :, 0],
    )


def _rotation(vector: Tensor) -> Tensor:
    """[N, 3, 3] rotations by [N, 3] vectors, Rodrigues' formula.

    torch's matrix_exp looks at its numbers on the host, which would wait for the GPU. Below a
    hundredth of a radian both factors come from their series, right to 1e-10.
    """
    square = vector.square().sum(dim=1)[:, None, None]
    small = square < 1e-4
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6 + square.square() / 120, torch.sin(angle) / angle)
    cosine = torch.where(small, 0.5 - square / 24 + square.square() / 720, (1 - torch.cos(angle)) / angle**2)
    cross = _cross_matrix(vector)
    eye = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return eye + sine * cross + cosine * (cross @ cross)


def _cross_matrix(vector: Tensor) -> Tensor:
    """[N, 3, 3] matrices that take x to vector x x."""
    x, y, z = vector.unbind(dim=1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=1).view(-1, 3, 3)


def refined(camera: Camera, move: np.ndarray, center: np.ndarray) -> Camera:
    """A camera as `moved_cameras` makes it; `move` is [6]."""
    batch = CameraBatch.from_cameras([camera])
    moved = moved_cameras(batch, torch.tensor(move[None]).float(), torch.tensor(center).float())
    pose = np.linalg.inv(moved.world_to_view[0].double().numpy())
    left, _, right = np.linalg.svd(pose[:3, :3])  # float32 leaves it a little off a rotation
    pose[:3, :3] = left @ right
    return replace(camera, view_to_world=pose)
