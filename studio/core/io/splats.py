"""Clouds of Gaussians as PLY, in the layout that programs for them share.

x y z                   centre
f_dc_0..2               colour of band 0, divided by its harmonic; display value less one half
f_rest_*                higher bands, all of red first, with the Condon-Shortley phase
opacity                 logit
scale_0..2, rot_0..3    logarithms of the standard deviations, quaternion (w, x, y, z)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement, PlyElementParseError, PlyHeaderParseError

from studio.core.errors import InputError
from studio.core.io.files import atomic_path, check_readable
from studio.core.scene.points import MAX_DEGREE, Points

SUFFIX = ".ply"

_WHAT = "a cloud of Gaussians (PLY with opacity, scale_0..2, rot_0..3 and f_dc_0..2)"
_NEEDED = (
    *("x", "y", "z", "opacity", "scale_0", "scale_1", "scale_2"),
    *("rot_0", "rot_1", "rot_2", "rot_3", "f_dc_0", "f_dc_1", "f_dc_2"),
)


_HEADER_BYTES = 1 << 16


def holds_gaussians(path: Path) -> bool:
    """Whether a PLY has the properties of Gaussians, by its header; false for what cannot be read."""
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES).partition(b"end_header")[0]
    except OSError:
        return False
    words = header.split()
    return header.startswith(b"ply") and all(name.encode() in words for name in _NEEDED)


def _phase(count: int) -> np.ndarray:
    """[K] signs by which the Condon-Shortley phase changes our harmonics: odd orders."""
    bands = [band for band in range(MAX_DEGREE + 2) for _ in range(2 * band + 1)][:count]
    orders = np.arange(count) - np.array([band * (band + 1) for band in bands])
    return np.where(orders % 2 == 0, 1.0, -1.0)


def save_points(points: Points, path: Path | str) -> None:
    """Write a cloud in the coordinates of the files it was made from.

    Raises:
        InputError: it cannot be drawn, or the place cannot be written.
        WorkError: the disk filled up; an earlier file is unchanged.
    """
    path = Path(path)
    points.check(str(path))
    cloud = points.moved(points.world_to_input)
    count = cloud.colors.shape[1]
    coefficients = cloud.colors * _phase(count)[:, None]
    rest = coefficients[:, 1:].transpose(0, 2, 1).reshape(len(cloud), -1)
    columns = {
        **dict(zip(("x", "y", "z"), cloud.centers.T)),
        **{name: np.zeros(len(cloud)) for name in ("nx", "ny", "nz")},
        **{f"f_dc_{c}": coefficients[:, 0, c] for c in range(3)},
        **{f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])},
        "opacity": cloud.opacity_logits,
        **{f"scale_{i}": cloud.log_sizes[:, i] for i in range(3)},
        **{f"rot_{i}": cloud.turns[:, i] for i in range(4)},
    }
    table = np.empty(len(cloud), dtype=[(name, "f4") for name in columns])
    for name, values in columns.items():
        table[name] = values
    with atomic_path(path) as temporary:
        PlyData([PlyElement.describe(table, "vertex")]).write(temporary)


def load_points(path: Path | str) -> Points:
    """Read a cloud; bands of colour above MAX_DEGREE are left out.

    Raises:
        InputError: not such a cloud, or a damaged one.
    """
    path = Path(path)
    check_readable(path, _WHAT)
    try:
        vertex = PlyData.read(path)["vertex"].data
    except (PlyHeaderParseError, PlyElementParseError, KeyError, ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: is damaged or no PLY ({error}), expected {_WHAT}") from None
    missing = [name for name in _NEEDED if name not in (vertex.dtype.names or ())]
    if missing:
        raise InputError(f"{path}: has no {', '.join(missing)}; expected {_WHAT}")
    rest = sum(1 for name in vertex.dtype.names if name.startswith("f_rest_")) // 3

    def columns(*names: str) -> np.ndarray:
        return np.stack([np.asarray(vertex[name], np.float32) for name in names], axis=-1)

    colors = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    kept = min(rest, (MAX_DEGREE + 1) ** 2 - 1)
    if kept:
        names = [f"f_rest_{c * rest + k}" for k in range(kept) for c in range(3)]
        absent = [name for name in names if name not in vertex.dtype.names]
        if absent or rest not in (3, 8, 15):
            raise InputError(f"{path}: has {3 * rest} values f_rest_*, expected 9, 24, 45 or none")
        higher = columns(*names).reshape(len(vertex), kept, 3)
        colors = np.concatenate([colors, higher], axis=1) * _phase(kept + 1)[:, None]
    points = Points(
        columns("x", "y", "z"),
        columns("scale_0", "scale_1", "scale_2"),
        columns("rot_0", "rot_1", "rot_2", "rot_3"),
        columns("opacity")[:, 0],
        colors.astype(np.float32),
        path.stem,
    )
    points.check(str(path))
    return points
