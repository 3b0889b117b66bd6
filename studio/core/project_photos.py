"""A project's photos: where they are and how they were read, so that they are read alike again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import InputError
from studio.core.scene import PhotoSet, Reading, Similarity
from studio.core.tree import Arrays, pack, unpack

ASSETS = Path(__file__).resolve().parents[2] / "assets"
"""Photos in here belong to the program: projects name them by their place in it."""


@dataclass(frozen=True, eq=False)
class PhotoReference:
    """Photos by where they are.

    Attributes:
        source: the folder or camera file, absolute.
        reading: the choices they were read with.
        world: from the coordinates of their files to the studio's, in which the project's mesh
            stands; it holds even if photos are added or taken away.
        names: of the photos at the time, in order.
        masks: those that were corrected by hand, [H, W] uint8 0 to 255, by the photo's name.
    """

    source: Path
    reading: Reading = field(default_factory=Reading)
    world: Similarity | None = None
    names: list[str] = field(default_factory=list)
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, photos: PhotoSet) -> PhotoReference:
        """What is needed to read these again."""
        names = [photo.name for photo in photos.photos]
        painted = {p.name: p.mask for p in photos.photos if p.painted and p.mask is not None}
        masks = {name: np.round(255 * mask).astype(np.uint8) for name, mask in painted.items()}
        return cls(Path(os.path.abspath(photos.source)), photos.reading, photos.input_to_world, names, masks)

    @property
    def missing(self) -> bool:
        return not self.source.exists()

    def moved(self, source: Path) -> PhotoReference:
        """The same photos in another place; cameras that were found for them are found there."""
        return replace(self, source=Path(os.path.abspath(source)), reading=replace(self.reading, cameras=""))

    def read(self, progress: Callable[[float, str], None] | None = None) -> PhotoSet:
        """Read the photos as they were read before, into the same world.

        Raises:
            InputError: they are not there, saying where they were, or cannot be read.
        """
        from studio.core.io.photos import load_photos

        if self.missing:
            raise InputError(f"{self.source}: the project's photos are not there; expected {self.described}")
        how = self.reading
        photos = load_photos(
            self.source,
            max_size=how.max_size,
            masks=how.masks,  # type: ignore[arg-type]  # load_photos names the choices if it is none
            background=how.background,
            mask_threshold=how.mask_threshold,
            mask_files=how.mask_files,
            progress=progress,
            cameras=Path(how.cameras) if how.cameras else None,
            world=self.world,
        )
        for photo in photos.photos:
            mask = self.masks.get(photo.name)
            if mask is not None and mask.shape == photo.image.shape[:2]:
                photo.mask, photo.painted = mask.astype(np.float32) / 255, True
        return photos

    @property
    def described(self) -> str:
        """The photos in words, e.g. "24 photos, r_0 to r_23"."""
        count = len(self.names)
        if count < 2:
            return f"photo {self.names[0]}" if self.names else "photos"
        return f"{count} photos, {self.names[0]} to {self.names[-1]}"

    def changes(self, photos: PhotoSet) -> list[str]:
        """What differs from when the project was saved, one line each."""
        now = {photo.name for photo in photos.photos}
        gone = [name for name in self.names if name not in now]
        added = [name for name in now if name not in set(self.names)]
        out = []
        if gone:
            out.append(f"{len(gone)} of {len(self.names)} photos are gone, the first is {gone[0]}")
        if added:
            out.append(f"{len(added)} photos were added since the project was saved")
        return out

    def pack(self, folder: Path, arrays: Arrays) -> dict[str, Any]:
        """The JSON node, for a project in `folder`: paths also as seen from there."""
        node = {
            "reading": pack(self.reading, arrays),
            "world": pack(self.world, arrays),
            "names": list(self.names),
            "masks": pack(self.masks, arrays),
        }
        if self.source.is_relative_to(ASSETS):
            return {**node, "built_in": self.source.relative_to(ASSETS).as_posix()}
        try:
            relative = Path(os.path.relpath(self.source, folder)).as_posix()
        except ValueError:  # another drive
            relative = ""
        return {**node, "relative": relative, "absolute": str(self.source)}

    @classmethod
    def unpack(cls, node: Any, folder: Path, arrays: dict[str, np.ndarray], where: str) -> PhotoReference:
        """From the JSON node of a project in `folder`; what is found from there comes first.

        Raises:
            InputError: a damaged node. Photos that are not there are no error here.
        """
        read = unpack(dict[str, Any], node, {}, where)
        text = {key: unpack(str, read.get(key, ""), {}, f"{where}.{key}") for key in _PLACES}
        if not any(text.values()):
            raise InputError(f"{where}: says no place, expected one of {', '.join(_PLACES)}")
        world = unpack(Similarity | None, node.get("world"), arrays, f"{where}.world")
        if world is not None:
            _check_world(world, f"{where}.world")
        reading = unpack(Reading, node.get("reading"), arrays, f"{where}.reading")
        names = unpack(list[str], node.get("names"), arrays, f"{where}.names")
        masks = unpack(dict[str, np.ndarray], node.get("masks", {}), arrays, f"{where}.masks")
        places = [ASSETS / text["built_in"]] if text["built_in"] else []
        places += [folder / text["relative"]] if text["relative"] else []
        places += [Path(text["absolute"])] if text["absolute"] else []
        found = next((place for place in places if place.exists()), places[-1])
        return cls(Path(os.path.abspath(found)), reading, world, names, masks)


_PLACES = ("built_in", "relative", "absolute")


def _check_world(world: Similarity, where: str) -> None:
    rotation = world.rotation
    fits = rotation.shape == (3, 3) and world.translation.shape == (3,)
    if not fits or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6) or not world.scale > 0:
        raise InputError(f"{where}: expected a rotation, a translation and a positive scale")
