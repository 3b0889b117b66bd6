"""Photos with cameras: one door for NeRF, COLMAP, LLFF and Middlebury captures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from studio.core.errors import InputError
from studio.core.io import colmap, llff, middlebury, nerf
from studio.core.io.check import check_photos
from studio.core.io.cores import Progress, on_all_cores
from studio.core.io.formats import on_one_format, same_format
from studio.core.io.frames import FrameSet, list_images
from studio.core.io.masking import MASK_SOURCES, MaskSource, find_masks
from studio.core.io.normalize import normalisation, object_sphere, with_clip_range
from studio.core.io.photo_reader import MaskUse, PhotoReader
from studio.core.io.sfm import place_cameras
from studio.core.scene.photo import PhotoSet, Reading
from studio.core.scene.similarity import Similarity

KNOWN = (
    "transforms*.json (NeRF), a COLMAP model (sparse/0), poses_bounds.npy with images/ (LLFF) "
    "or *_par.txt (Middlebury)"
)


def load_photos(
    source: Path | str,
    max_size: int | None = None,
    masks: MaskSource = "auto",
    background: Literal["auto"] | tuple[float, float, float] = "auto",
    mask_threshold: float | None = None,
    mask_files: MaskUse = "object",
    progress: Progress | None = None,
    cameras: Path | None = None,
    world: Similarity | None = None,
) -> PhotoSet:
    """Read photos, their cameras and masks into one normalised world.

    Args:
        source: a folder, also of photos alone, or a transforms*.json, COLMAP model,
            poses_bounds.npy or *_par.txt.
        max_size: longest side in pixels; larger photos are averaged down in linear light.
        masks: where masks come from, a key of MASK_SOURCES.
        background: "auto" finds the colour of a plain background at the borders of the photos and
            gives up where they are not plain; an sRGB triple 0..1 states it.
        mask_threshold: distance from the background colour, 0..1 in sRGB values, at which the
            object begins; None finds it.
        mask_files: "object" cuts the object out; "ignore" means that black pixels say nothing.
        progress: called with (0..1, what is done) from the calling thread; may raise Cancelled.
        cameras: folder in which cameras found for a plain folder of photos are kept; None keeps
            them in its `colmap/`.
        world: from the coordinates of the files to the studio's; None finds it.
    Returns:
        PhotoSet: object near the origin, mean camera distance 3, +Y up. Transparent photos keep
        straight (not premultiplied) colour; premultiplied files are noticed and divided.
    Raises:
        InputError: one line naming the file, the frame and the key.
    """
    source = Path(source)
    if max_size is not None and max_size < 1:
        raise InputError(f"max_size must be at least 1 pixel, got {max_size}")
    if masks not in MASK_SOURCES:
        raise InputError(f"masks is {masks!r}, expected one of {', '.join(MASK_SOURCES)}")
    frames = read_frames(source, cameras, masks in ("auto", "files", "plain"), progress)
    to_world, notes = normalisation(frames) if world is None else (world, [])
    notes = frames.notes + notes
    use_files, look = masks in ("auto", "files"), masks in ("auto", "plain")
    reader = PhotoReader(frames.frames, to_world, max_size, mask_files if use_files else "none", keep=look)
    photos = on_all_cores(reader.read, frames.frames, progress, "Loading photos")
    notes += reader.notes(frames.frames, photos)
    if progress is not None:
        progress(0.0, "Finding masks")
    notes += find_masks(photos, frames, to_world, reader, masks, background, mask_threshold)
    center, radius = object_sphere(photos)
    for photo in photos:
        photo.camera = with_clip_range(photo.camera, center, radius)
    x, y, z = (float(v) for v in center)
    how = Reading(
        max_size, masks, background, mask_threshold, mask_files, "" if cameras is None else str(cameras)
    )
    out = PhotoSet(photos, to_world, str(source), (x, y, z), radius, notes, reading=how)
    out.findings = [str(finding) for finding in check_photos(out, frames.frames)]
    if not same_format(photos):
        out.photos = on_one_format(photos)
        out.notes.append("photos of several formats lie on canvases of one, whose edges say nothing")
    return out


def read_frames(
    source: Path, cameras: Path | None = None, use_masks: bool = True, progress: Progress | None = None
) -> FrameSet:
    """Cameras and file names of a capture, without its pixels; arguments as in `load_photos`.

    Photos without cameras are placed by COLMAP, which takes a while.
    """
    if source.is_file():
        return _read_file(source)
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder; expected a folder with {KNOWN}")
    transforms, notes = nerf.find_transforms(source)
    if transforms is not None:
        frames = nerf.read_nerf(transforms)
        frames.notes[:0] = notes
        return frames
    model = colmap.find_model(source)
    if model is not None and not (model / colmap.MARK).is_file():
        return colmap.read_colmap(model)
    if (source / "poses_bounds.npy").exists():
        return llff.read_llff(source)
    par = middlebury.find_par(source)
    if par is not None:
        return middlebury.read_middlebury(par)
    images = next((source / n for n in colmap.PHOTO_FOLDERS if list_images(source / n)), None)
    if images is None:
        raise InputError(f"{source}: no cameras found; expected {KNOWN}, or photos")
    store = model.parents[1] if model is not None else cameras or source / "colmap"
    model = place_cameras(images, store, use_masks, progress)
    return colmap.read_colmap(model, images)


def _read_file(source: Path) -> FrameSet:
    """The capture that a camera file belongs to."""
    if source.suffix.lower() == ".json":
        return nerf.read_nerf(source)
    if source.name == "poses_bounds.npy":
        return llff.read_llff(source.parent)
    if source.stem in ("cameras", "images", "points3D"):
        return colmap.read_colmap(source.parent)
    if source.name.endswith("_par.txt"):
        return middlebury.read_middlebury(source)
    raise InputError(f"{source}: not a camera file; expected a folder with {KNOWN}")
