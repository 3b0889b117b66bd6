"""Pictures that are kept to compare with, and what they show, as a project holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from studio.core.errors import InputError
from studio.core.project_check import check_scene
from studio.core.scene import Photo, Scene

NAMES = ("a", "b")


@dataclass(eq=False)
class KeptPicture:
    """A picture, and the state that it was drawn of.

    Attributes:
        values: effect -> parameter -> value.
        on: which effects were on.
    """

    picture: Photo
    scene: Scene
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    on: dict[str, bool] = field(default_factory=dict)


def check_kept(kept: dict[str, KeptPicture], where: str) -> None:
    """InputError, beginning with `where`, unless the pictures can be shown."""
    for name, entry in kept.items():
        if name not in NAMES:
            raise InputError(f"{where}: there is no {name!r}; expected {', '.join(NAMES)}")
        camera, image, mask = entry.picture.camera, entry.picture.image, entry.picture.mask
        shape = (camera.height, camera.width)
        if image.shape != (*shape, 3) or not _finite(image):
            raise InputError(f"{where}.{name}: expected a picture of {camera.width}x{camera.height} numbers")
        if mask is not None and (mask.shape != shape or not _finite(mask)):
            raise InputError(f"{where}.{name}: expected a mask of {camera.width}x{camera.height} numbers")
        check_scene(Scene(cameras=[camera]), f"{where}.{name}")
        check_scene(entry.scene, f"{where}.{name}")


def _finite(values: np.ndarray) -> bool:
    return values.dtype == np.float32 and bool(np.isfinite(values).all())
