"""Photos with cameras: one door for NeRF, COLMAP, LLFF and Middlebury captures."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

from studio.core.errors import InputError
from studio.core.io import colmap, llff, middlebury, nerf
from studio.core.io.frames import FrameSet
from studio.core.io.normalize import normalisation, object_sphere, with_clip_range
from studio.core.io.photo_reader import MaskUse, PhotoReader
from studio.core.io.plain import mask_plain_background
from studio.core.scene.photo import PhotoSet

Progress = Callable[[int, int], None]
A = TypeVar("A")
B = TypeVar("B")

KNOWN = (
    "transforms*.json (NeRF), a COLMAP model (sparse/0), poses_bounds.npy with images/ (LLFF) "
    "or *_par.txt (Middlebury)"
)


def load_photos(
    source: Path | str,
    max_size: int | None = None,
    background: Literal["auto"] | tuple[float, float, float] | None = "auto",
    mask_threshold: float | None = None,
    mask_files: MaskUse = "object",
    progress: Progress | None = None,
) -> PhotoSet:
    """Read photos, their cameras and masks into one normalised world.

    Args:
        source: a folder, a transforms*.json, a COLMAP model, a poses_bounds.npy or a *_par.txt.
        max_size: longest side in pixels; larger photos are averaged down in linear light.
        background: where neither alpha nor mask files exist, masks come from a plain background:
            "auto" finds its colour at the borders of the photos and gives up where they are not
            plain; an sRGB triple 0..1 states it; None makes no masks.
        mask_threshold: distance from the background colour, 0..1 in sRGB values, at which the
            object begins; None finds it.
        mask_files: "object" cuts the object out; "ignore" means that black pixels say nothing.
        progress: called with (photos done, photos in all) from the calling thread.
    Returns:
        PhotoSet: object near the origin, mean camera distance 3, +Y up. Transparent photos keep
        straight (not premultiplied) colour; premultiplied files are noticed and divided.
    Raises:
        InputError: one line naming the file, the frame and the key.
    """
    source = Path(source)
    if max_size is not None and max_size < 1:
        raise InputError(f"max_size must be at least 1 pixel, got {max_size}")
    frames = read_frames(source)
    to_world, notes = normalisation(frames)
    notes = frames.notes + notes
    reader = PhotoReader(frames.frames, to_world, max_size, mask_files, keep=background is not None)
    photos = on_all_cores(reader.read, frames.frames, progress)
    notes += reader.notes(frames.frames, photos)
    if background is not None and reader.all_opaque():
        pictures = [reader.pictures[str(f.image)] for f in frames.frames]
        notes += mask_plain_background(
            photos, pictures, frames, to_world, background, mask_threshold, on_all_cores
        )
    center, radius = object_sphere(photos)
    for photo in photos:
        photo.camera = with_clip_range(photo.camera, center, radius)
    x, y, z = (float(v) for v in center)
    return PhotoSet(photos, to_world, str(source), (x, y, z), radius, notes)


def read_frames(source: Path) -> FrameSet:
    """Cameras and file names of a capture, without its pixels; raises as `load_photos`."""
    if source.is_file():
        if source.suffix.lower() == ".json":
            return nerf.read_nerf(source)
        if source.name == "poses_bounds.npy":
            return llff.read_llff(source.parent)
        if source.stem in ("cameras", "images", "points3D"):
            return colmap.read_colmap(source.parent)
        if source.name.endswith("_par.txt"):
            return middlebury.read_middlebury(source)
        raise InputError(f"{source}: not a camera file; expected a folder with {KNOWN}")
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder; expected a folder with {KNOWN}")
    transforms, notes = nerf.find_transforms(source)
    if transforms is not None:
        frames = nerf.read_nerf(transforms)
        frames.notes[:0] = notes
        return frames
    model = colmap.find_model(source)
    if model is not None:
        return colmap.read_colmap(model)
    if (source / "poses_bounds.npy").exists():
        return llff.read_llff(source)
    par = middlebury.find_par(source)
    if par is not None:
        return middlebury.read_middlebury(par)
    raise InputError(f"{source}: no cameras found; expected {KNOWN}")


def on_all_cores(function: Callable[[A], B], items: list[A], progress: Progress | None = None) -> list[B]:
    """The function over all items on all cores, in order; the first error stops the rest."""
    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="photos")
    try:
        out: list[B] = []
        for item in pool.map(function, items):
            out.append(item)
            if progress is not None:
                progress(len(out), len(items))
        return out
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
