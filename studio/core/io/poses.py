"""How far two sets of camera poses are from each other, whatever world each lives in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.core.errors import InputError


@dataclass(frozen=True)
class PoseErrors:
    """After the best similarity.

    Attributes:
        degrees: [N] angle between orientations.
        shares: [N] distance between positions, in mean distances of the cameras from the point
            that they look at.
    """

    degrees: np.ndarray
    shares: np.ndarray


def compare_poses(poses: list[np.ndarray], truth: list[np.ndarray]) -> PoseErrors:
    """Errors of camera-to-world poses against the truth, in the same order.

    The rotation between the worlds is the mean of those of the cameras, so that cameras on one
    line are no trouble; scale and shift are the least squares of the positions.

    Raises:
        InputError: fewer than 2 cameras, or numbers that differ.
    Reference:
        Umeyama 1991, "Least-squares estimation of transformation parameters between two point
        patterns", with the rotation taken from the orientations.
    """
    from studio.core.io.normalize import nearest_point

    if len(poses) != len(truth) or len(poses) < 2:
        raise InputError(f"poses: {len(poses)} against {len(truth)}, expected two or more of each")
    ours, true = np.stack(poses), np.stack(truth)
    u, _, vt = np.linalg.svd((true[:, :3, :3] @ ours[:, :3, :3].transpose(0, 2, 1)).sum(axis=0))
    rotation = u @ np.diag((1, 1, np.linalg.det(u @ vt))) @ vt
    turned, places = ours[:, :3, 3] @ rotation.T, true[:, :3, 3]
    a, b = turned - turned.mean(axis=0), places - places.mean(axis=0)
    scale = (a * b).sum() / max((a * a).sum(), 1e-30)
    shift = np.linalg.norm(scale * a - b, axis=1)
    center, _ = nearest_point(places, -true[:, :3, 2])
    distance = np.linalg.norm(places - center, axis=1).mean()
    relative = (rotation @ ours[:, :3, :3]).transpose(0, 2, 1) @ true[:, :3, :3]
    # The sine keeps small angles exact, where the cosine has lost them.
    axis = np.stack([relative[:, i, j] - relative[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], axis=1)
    sine, cosine = np.linalg.norm(axis, axis=1) / 2, (np.trace(relative, axis1=1, axis2=2) - 1) / 2
    return PoseErrors(np.degrees(np.arctan2(sine, cosine)), shift / distance)
