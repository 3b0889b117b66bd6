"""Volumes as safetensors files: the two grids as tensors, everything else as JSON in the header."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from studio.core.errors import InputError
from studio.core.io.files import check_readable, write_bytes
from studio.core.scene import Similarity, Volume

VERSION = 1
"""Grows when a file of an earlier version can no longer be read."""

SUFFIX = ".safetensors"

_WHAT = "a volume that `fit --representation volume` left"


def save_volume(volume: Volume, path: Path | str) -> None:
    """Write a volume: tensors `density` and `colors`, see studio/core/scene/volume.py.

    Raises:
        InputError: the volume cannot be rendered, or the place cannot be written.
        WorkError: the disk filled up; an earlier file is unchanged.
    """
    path = Path(path)
    volume.check(str(path))
    out = volume.world_to_input
    header = {
        "version": VERSION,
        "name": volume.name,
        "low": volume.low.tolist(),
        "voxel": float(volume.voxel),
        "base_voxel": volume.unit,
        "world_to_input": {
            "scale": float(out.scale),
            "rotation": np.asarray(out.rotation).tolist(),
            "translation": np.asarray(out.translation).tolist(),
        },
    }
    grids = {name: np.ascontiguousarray(getattr(volume, name)) for name in ("density", "colors")}
    write_bytes(path, save(grids, {"studio_volume": json.dumps(header)}))


def load_volume(path: Path | str) -> Volume:
    """Read a volume.

    Raises:
        InputError: not a volume, a damaged one, or one of a newer version.
    """
    path = Path(path)
    check_readable(path, _WHAT)
    try:
        with safe_open(path, "np") as file:
            header = json.loads((file.metadata() or {})["studio_volume"])
            if header["version"] != VERSION:
                raise InputError(f"{path}: is of version {header['version']}, expected {VERSION}")
            similar = header["world_to_input"]
            volume = Volume(
                file.get_tensor("density"),
                file.get_tensor("colors"),
                np.array(header["low"], np.float64),
                float(header["voxel"]),
                float(header["base_voxel"]),
                str(header["name"]),
                Similarity(
                    float(similar["scale"]), np.array(similar["rotation"]), np.array(similar["translation"])
                ),
            )
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: is damaged or no volume ({error}), expected {_WHAT}") from None
    volume.check(str(path))
    return volume
