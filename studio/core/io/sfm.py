"""Cameras for a plain folder of photos, found by COLMAP (the optional package pycolmap)."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from studio.core.errors import InputError, WorkError, describe
from studio.core.io.colmap import MARK, PHOTO_FOLDERS
from studio.core.io.colmap_model import is_model
from studio.core.io.cores import Progress, on_all_cores
from studio.core.io.files import natural_key, write_bytes
from studio.core.io.frames import find_mask, list_images
from studio.core.io.images import load_image, read_samples, to_bytes
from studio.core.io.masks import extract, find_background, load_mask
from studio.core.io.resample import fitted_size, shrink

INSTALL = 'pip install "pycolmap>=4.0"'

_EXHAUSTIVE = 60
"""Photos up to which every pair is matched; above, each with its neighbours in the order of names."""

_NEIGHBOURS = 12
_SIFT_SIZE = 1600
"""Long side at which features are found; twice that takes four times as long and places no better."""

_FAINTEST = 0.003
"""Contrast of features, half of COLMAP's: dark metal has few that are stronger."""

_AS_THEY_ARE = (".jpg", ".jpeg", ".png")
_WAIT = 0.2
"""Seconds between looks at whether the user wants to stop."""


@dataclass(frozen=True)
class _Kind:
    """What photos of one camera have in common."""

    width: int
    height: int
    maker: str
    focal: float | None


def place_cameras(
    images: Path, store: Path, use_masks: bool = True, progress: Progress | None = None
) -> Path:
    """The folder of a COLMAP model of the photos; an earlier one of the same photos is used again.

    Of several processes that ask at the same time one does the work, and the others wait for it.

    Features are taken inside the masks only (alpha, mask files, a plain background): on a turntable
    the background stands still. Photos of one camera and size share their intrinsics, which start
    from the focal length in the EXIF data.

    Args:
        images: folder of the photos.
        store: folder for the model, made if missing.
        use_masks: False takes features everywhere.
        progress: may raise Cancelled, which stops the work within moments.
    Raises:
        InputError: pycolmap is missing, fewer than 3 photos, or nothing that can be placed.
    """
    photos = sorted(list_images(images), key=lambda p: natural_key(p.name))
    if len(photos) < 3:
        raise InputError(f"{images}: {len(photos)} photos, expected at least 3 to find their cameras")
    model = store / "sparse/0"
    mark = {"photos": {p.name: p.stat().st_size for p in photos}, "masks": use_masks}
    report = progress or (lambda _share, _what: None)
    with _one_at_a_time(model, report):
        if not _is_of(model, mark):
            _place_anew(photos, images, model, mark, report)
    return model


def _is_of(model: Path, mark: dict[str, Any]) -> bool:
    """Whether a model of these very photos is there."""
    try:
        return bool(is_model(model) and json.loads((model / MARK).read_text("utf-8")) == mark)
    except (OSError, ValueError):
        return False


@contextmanager
def _one_at_a_time(model: Path, report: Progress) -> Iterator[None]:
    """Hold the place of a model: processes that share a fit would all do the work, and write over it."""
    name = hashlib.sha256(f"{Path.home()}\n{model.resolve()}".encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"studio-colmap-{name}.lock")
    while True:
        try:
            lock.acquire(timeout=_WAIT)
            break
        except Timeout:
            report(0.0, "Waiting for another process that places the cameras")
    try:
        yield
    finally:
        lock.release()


def _place_anew(
    photos: list[Path], images: Path, model: Path, mark: dict[str, Any], report: Progress
) -> None:
    """Have COLMAP make the model, and leave it in its folder when it is complete."""
    try:
        import pycolmap
    except ImportError:
        raise InputError(
            f"{images}: photos without cameras; finding them needs pycolmap; run: {INSTALL}"
        ) from None
    store = model.parents[1]
    write_bytes(store / MARK, b"{}")  # better to learn now that nothing can be written
    (store / MARK).unlink()
    with suppress(OSError):
        store.rmdir()  # it comes back with the model
    pycolmap.logging.minloglevel = 3
    with tempfile.TemporaryDirectory(prefix="studio-colmap-") as text:
        work = Path(text)
        names = _copies(photos, work / "images", report)
        masked = mark["masks"] and _write_masks(images, photos, names, work / "masks", report)
        found = _reconstruct(pycolmap, work, names, work / "masks" if masked else None, report)
        back = {copy: photo for photo, copy in names.items()}
        for image in found.images.values():
            image.name = back[image.name]
        made = work / "model"
        made.mkdir()
        found.write_binary(str(made))
        (made / MARK).write_text(json.dumps(mark), "utf-8")
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(made, model)


def _copies(photos: list[Path], folder: Path, report: Progress) -> dict[str, str]:
    """Copies that COLMAP can read, upright and with 8 bits; {photo's name: copy's name}."""
    folder.mkdir(parents=True)

    def copy(photo: Path) -> str:
        if photo.suffix.lower() in _AS_THEY_ARE:
            with Image.open(photo) as picture:
                plain = picture.mode in ("RGB", "L") and picture.getexif().get(0x112, 1) == 1
            if plain:
                shutil.copyfile(photo, folder / photo.name)
                return photo.name
        image = load_image(photo)[::-1]
        samples = to_bytes(image[..., :3], color=True)
        name = photo.name + ".jpg"
        out = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
        out.save(folder / name, quality=95, subsampling=0, exif=_upright_exif(photo))
        return name

    names = on_all_cores(copy, photos, lambda share, what: report(0.05 * share, what), "Reading photos")
    return {photo.name: name for photo, name in zip(photos, names, strict=True)}


def _upright_exif(photo: Path) -> Image.Exif:
    """The EXIF data of a photo that was turned; empty where it has none."""
    exif = Image.Exif()
    with suppress(OSError):  # EXR and HDR are no pictures to Pillow
        with Image.open(photo) as picture:
            exif = picture.getexif()
        exif.get_ifd(0x8769)  # loads the focal length, which would else not be written
        exif[0x112] = 1
    return exif


def _write_masks(
    root: Path, photos: list[Path], names: dict[str, str], folder: Path, report: Progress
) -> bool:
    """Masks of alpha, files or a plain background, as COLMAP wants them; False where there are none."""
    report(0.05, "Finding masks")
    folder.mkdir()
    parents = root.parent if root.name in PHOTO_FOLDERS else root

    def known(photo: Path) -> np.ndarray | None:
        file = find_mask(parents, photo)
        if file is not None:
            return load_mask(file)[::-1] > 0.5
        if photo.suffix.lower() not in (".png", ".webp", ".tif", ".tiff"):
            return None
        samples = read_samples(photo)
        if samples.shape[2] < 4 or samples[..., 3].min() > 0.99 * np.iinfo(samples.dtype).max:
            return None
        return np.asarray(samples[..., 3] > 0.5 * np.iinfo(samples.dtype).max)

    masks = on_all_cores(known, photos)
    if not any(mask is not None for mask in masks):
        pictures = on_all_cores(_working, photos)
        background = find_background(pictures)
        if background is None:
            return False
        masks = [extract(picture, background) for picture in pictures]
    for photo, mask in zip(photos, masks, strict=True):
        if mask is not None:
            size = Image.open(folder.parent / "images" / names[photo.name]).size
            picture = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
            picture.save(folder / f"{names[photo.name]}.png", compress_level=1)
    return True


def _working(photo: Path) -> np.ndarray:
    """[h, w, 3] uint8 sRGB, row 0 at the top, small enough to find a background in."""
    image = load_image(photo)[::-1]
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    return to_bytes(shrink(image, *fitted_size(image.shape[0], image.shape[1], 800)), color=True)


def _reconstruct(
    pycolmap: Any, work: Path, names: dict[str, str], masks: Path | None, report: Progress
) -> Any:
    """The largest reconstruction of the copies."""
    database = work / "database.db"
    copies = list(names.values())
    _extract(pycolmap, database, work / "images", copies, masks, report)
    count = len(copies)
    if count <= _EXHAUSTIVE:
        match: Callable[..., Any] = pycolmap.match_exhaustive
        options = pycolmap.ExhaustivePairingOptions()
    else:
        match = pycolmap.match_sequential
        options = pycolmap.SequentialPairingOptions()
        options.overlap, options.loop_detection = _NEIGHBOURS, False  # that needs a tree to download
    _waited(pycolmap, report, 0.4, "Matching photos", match, database, pairing_options=options)
    placed = [0]
    mapping = pycolmap.IncrementalPipelineOptions()
    mapping.min_model_size = 3
    mapping.mapper.abs_pose_min_num_inliers = 15  # of 30: 22 degrees apart, photos have little in common
    mapping.random_seed = 0
    (work / "models").mkdir()

    def next_image() -> None:
        placed[0] += 1

    found = _waited(
        pycolmap,
        lambda share, what: report(share + 0.3 * min(placed[0] / count, 1), f"{what}: {placed[0] + 2}"),
        0.7,
        "Placing cameras",
        pycolmap.incremental_mapping,
        database,
        work / "images",
        work / "models",
        options=mapping,
        next_image_callback=next_image,
    )
    if not found:
        raise InputError(
            "the photos could not be placed: they have too little in common; expected sharp photos that "
            "overlap by two thirds, or masks if the object turned before a still background"
        )
    return max(found.values(), key=lambda model: model.num_reg_images())


def _extract(
    pycolmap: Any, database: Path, images: Path, copies: list[str], masks: Path | None, report: Progress
) -> None:
    """Features of all copies, a few at a time; one camera for each kind of photo."""
    kinds: dict[_Kind, list[str]] = {}
    for name in copies:
        kinds.setdefault(_kind(images / name), []).append(name)
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = _SIFT_SIZE
    extraction.sift.peak_threshold = _FAINTEST
    done = 0
    for number, (kind, members) in enumerate(kinds.items(), 1):
        reading = pycolmap.ImageReaderOptions()
        reading.camera_model = "SIMPLE_RADIAL"
        if masks is not None:
            reading.mask_path = str(masks)
        if kind.focal is not None:
            reading.camera_params = f"{kind.focal},{kind.width / 2},{kind.height / 2},0"
        for first in range(0, len(members), 4):
            if first:
                reading.existing_camera_id = number  # as the database counts them
            chunk = members[first : first + 4]
            share, what = 0.05 + 0.35 * done / len(copies), f"Finding features: {done} of {len(copies)}"
            _waited(
                pycolmap,
                report,
                share,
                what,
                pycolmap.extract_features,
                database,
                images,
                chunk,
                pycolmap.CameraMode.SINGLE,
                reading,
                extraction,
            )
            done += len(chunk)


def _kind(photo: Path) -> _Kind:
    """Size, maker and focal length in pixels as EXIF tells them."""
    with Image.open(photo) as picture:
        width, height = picture.size
        exif = picture.getexif()
        details = exif.get_ifd(0x8769)
    maker = f"{exif.get(0x10F, '')} {exif.get(0x110, '')}".strip()
    focal = None
    with suppress(TypeError, ValueError, ZeroDivisionError):
        of_film = float(details.get(0xA405) or 0)  # FocalLengthIn35mmFilm: 36 mm wide
        focal = of_film / 36 * max(width, height) if 5 < of_film < 2000 else None
    return _Kind(width, height, maker, focal)


def _waited(
    pycolmap: Any, report: Progress, share: float, what: str, function: Any, *args: Any, **kwargs: Any
) -> Any:
    """What a long call returns; while it runs, `report` is asked whether to stop."""
    token, outcome = pycolmap.CancellationToken(), {}

    def run() -> None:
        try:
            outcome["value"] = function(*args, cancellation_token=token, **kwargs)
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, name="studio-colmap", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            report(share, what)
            thread.join(_WAIT)
    finally:  # also when the user stopped: the folder must not vanish under the work
        if thread.is_alive():
            token.cancel()
            thread.join()
    if "error" in outcome:
        raise WorkError(f"{what}: COLMAP failed ({describe(outcome['error'])})") from None
    return outcome["value"]
