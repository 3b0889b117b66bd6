"""Where the masks of a set come from: files, a plain background, or a cut by colour or by a model."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from studio.core.errors import InputError
from studio.core.io.cores import on_all_cores
from studio.core.io.cutout import cut_out_all
from studio.core.io.frames import FrameSet
from studio.core.io.images import to_bytes
from studio.core.io.photo_reader import PhotoReader
from studio.core.io.plain import mask_plain_background
from studio.core.scene.photo import Photo
from studio.core.scene.similarity import Similarity

MaskSource = Literal["auto", "files", "plain", "grabcut", "rembg", "none"]

MASK_SOURCES = {
    "auto": "alpha or files, else a plain background that differs from the object, else cut by colour",
    "files": "alpha or mask files only",
    "plain": "a plain background",
    "grabcut": "cut by colour (GrabCut)",
    "rembg": "a trained model (pip install rembg)",
    "none": "no masks",
}


def find_masks(
    photos: list[Photo],
    frames: FrameSet,
    to_world: Similarity,
    reader: PhotoReader,
    source: MaskSource,
    background: Literal["auto"] | tuple[float, float, float],
    threshold: float | None,
) -> list[str]:
    """Set the masks that the files do not bring; returns notes. Arguments as in `load_photos`."""
    notes: list[str] = []
    if source in ("auto", "plain") and reader.all_opaque():
        pictures = [reader.pictures[str(f.image)] for f in frames.frames]

        def cut() -> list[str] | None:
            if source == "plain" or background != "auto" or threshold is not None:
                return None  # as was asked for
            notes, found_body = _cut_by_colour(photos)
            _forget_unseen(photos)
            return notes if found_body else None

        found = mask_plain_background(
            photos, pictures, frames, to_world, background, threshold, on_all_cores, cut
        )
        if found is not None:
            return found
        if source == "plain":
            notes = ["no masks: the photos have no plain background"]
    if source == "rembg":
        return _by_model(photos)
    if source == "grabcut" or (source == "auto" and all(photo.mask is None for photo in photos)):
        notes = _cut_by_colour(photos)[0]
    _forget_unseen(photos)
    return notes


def _cut_by_colour(photos: list[Photo]) -> tuple[list[str], bool]:
    """Set masks by GrabCut; (notes, whether it found a body)."""
    masks, notes = cut_out_all(photos, on_all_cores)
    for photo, mask in zip(photos, masks or [], strict=False):
        photo.mask = mask
    return notes, masks is not None


def _forget_unseen(photos: list[Photo]) -> None:
    """No object where a photo says nothing."""
    for photo in photos:
        if photo.mask is not None and photo.ignore is not None:
            photo.mask = np.where(photo.ignore, 0, photo.mask).astype(np.float32)


def _by_model(photos: list[Photo]) -> list[str]:
    """Masks by rembg's default model, which it fetches at its first use."""
    try:
        import rembg
    except ImportError:
        raise InputError(
            '--masks rembg: the package is missing; run: pip install "rembg[cpu]", or use --masks grabcut'
        ) from None
    session: Any = rembg.new_session()
    for photo in photos:
        picture = to_bytes(photo.image[::-1], color=True)
        mask = np.asarray(rembg.remove(picture, session=session, only_mask=True))
        mask = mask[..., 0] if mask.ndim == 3 else mask
        photo.mask = np.ascontiguousarray(mask[::-1], np.float32) / 255
    return ["masks by rembg's model"]
