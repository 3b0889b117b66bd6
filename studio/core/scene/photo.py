"""Photos of a real object with their cameras and masks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from studio.core.scene.camera import Camera
from studio.core.scene.similarity import Similarity


@dataclass(eq=False)
class Photo:
    """One photo.

    Attributes:
        image: [H, W, 3] float32, linear light, row 0 at the bottom. Not premultiplied.
        mask: [H, W] float32 coverage of the object, 0..1, or None if unknown.
        ignore: [H, W] bool, pixels that say nothing (neither object nor background), or None.
        camera: its size is that of the image.
        path: file it came from, for messages.
        painted: the mask was corrected by hand; no file has it.
        window: rows and columns of the image that are the file's, if they were laid on a canvas.
    """

    name: str
    image: np.ndarray = field(repr=False)
    camera: Camera
    mask: np.ndarray | None = field(default=None, repr=False)
    ignore: np.ndarray | None = field(default=None, repr=False)
    path: str = ""
    painted: bool = False
    window: tuple[slice, slice] | None = None

    def without_canvas(self) -> Photo:
        """What the file shows, and its camera."""
        if self.window is None:
            return self
        return replace(
            self,
            image=self.image[self.window],
            mask=None if self.mask is None else self.mask[self.window],
            ignore=None if self.ignore is None else self.ignore[self.window],
            camera=self.camera.windowed(*self.window),
            window=None,
        )


@dataclass(frozen=True)
class Reading:
    """The choices a photo set was read with, see `io.photos.load_photos`."""

    max_size: int | None = None
    masks: str = "auto"
    background: tuple[float, float, float] | Literal["auto"] = "auto"
    mask_threshold: float | None = None
    mask_files: Literal["object", "ignore", "none"] = "object"
    cameras: str = ""


@dataclass(eq=False)
class PhotoSet:
    """Photos in one normalised world: object near the origin, mean camera distance 3, +Y up.

    Attributes:
        photos: in natural order of their names.
        input_to_world: maps the coordinates of the files to ours; export applies the inverse.
        source: folder or file, for the title bar and messages.
        object_center, object_radius: what the cameras look at, in world units (normalised).
        notes: things worth telling the user, one line each (e.g. "masks from alpha").
        findings: what seems wrong with the photos, one line each: what, which ones, what to do.
        reading: how they were read.
    """

    photos: list[Photo]
    input_to_world: Similarity
    source: str = ""
    object_center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    object_radius: float = 1.0
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    reading: Reading = field(default_factory=Reading)

    def shows_as(self, other: PhotoSet | None) -> bool:
        """Whether the other set has the same pictures from the same cameras: only masks may differ."""
        if other is None or len(self.photos) != len(other.photos):
            return False
        pairs = zip(self.photos, other.photos, strict=True)
        return all(a.image is b.image and a.camera is b.camera for a, b in pairs)
