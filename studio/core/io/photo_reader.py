"""One photo at a time: pixels, alpha and mask file to the size wanted, with its camera."""

from __future__ import annotations

from typing import Literal

import numpy as np

from studio.core.errors import InputError
from studio.core.io.frames import Frame
from studio.core.io.images import image_size, load_image, read_samples, to_bytes, to_float
from studio.core.io.limits import machine_memory
from studio.core.io.masks import WORK_SIZE, load_mask
from studio.core.io.resample import fitted_size, shrink
from studio.core.io.undistort import Undistortion, undistortion
from studio.core.scene.camera import Camera
from studio.core.scene.photo import Photo
from studio.core.scene.similarity import Similarity

MaskUse = Literal["object", "ignore", "none"]
"""What mask files mean; "none" leaves alpha and files alone."""

_PROBES = 3
"""Photos looked at to tell premultiplied alpha from straight alpha."""


_BYTES_PER_PIXEL = 16
"""Three channels and a mask in float32."""


class PhotoReader:
    """Reads the photos of one set; `read` may run on many threads.

    Attributes:
        pictures: by file, small sRGB copies of opaque photos to find a plain background in;
            only with `keep` and where no mask files exist.
    Raises:
        InputError: photos of different sizes, unless each frame states its own size.
    """

    def __init__(
        self, frames: list[Frame], to_world: Similarity, max_size: int | None, mask_files: MaskUse, keep: bool
    ):
        self._count = len(frames)
        self._to_world = to_world
        self._max_size = max_size
        self._mask_files = mask_files
        self._keep = keep and (mask_files == "none" or not any(frame.mask for frame in frames))
        self.pictures: dict[str, np.ndarray] = {}
        self._check_sizes(frames)
        self._premultiplied = _is_premultiplied(frames[:_PROBES])

    def _check_sizes(self, frames: list[Frame]) -> None:
        """InputError for sizes that differ, or too much in all; only headers are read."""
        first: tuple[tuple[int, int], str] | None = None
        pixels = 0
        for frame in frames:
            if not frame.image.is_file():
                raise InputError(f"{frame.where}: photo {frame.image} does not exist")
            size = image_size(frame.image)
            height, width = fitted_size(size[1], size[0], self._max_size)
            pixels += height * width
            if frame.intrinsics.own:
                continue
            if first is None:
                first = (size, frame.image.name)
            elif sorted(size) != sorted(first[0]):  # a turned photo may be EXIF's doing
                raise InputError(
                    f"{frame.where}: {frame.image.name} has {size[0]}x{size[1]} pixels, {first[1]} has "
                    f"{first[0][0]}x{first[0][1]}; expected one size, or w and h for each frame"
                )

        self._check_memory(frames, pixels)

    def _check_memory(self, frames: list[Frame], pixels: int) -> None:
        """InputError if the photos alone would take more than half of the machine's memory."""
        needed, memory = pixels * _BYTES_PER_PIXEL, machine_memory()
        if memory and needed > memory / 2:
            raise InputError(
                f"{frames[0].image.parent}: {len(frames)} photos, {pixels / 1e6:.0f} megapixels in all, need "
                f"{needed / 2**30:.1f} GB, this machine has {memory / 2**30:.1f} GB; load them smaller"
            )

    def read(self, frame: Frame) -> Photo:
        """The photo at its final size, camera in the normalised world, clip range not yet set."""
        rgb, alpha = self._pixels(frame)
        height, width = rgb.shape[:2]
        pose = self._to_world.apply_to_pose(frame.pose)
        camera = frame.intrinsics.camera(width, height, pose, frame.name, frame.where)
        size = fitted_size(height, width, self._max_size)
        mask = self._mask(frame, (height, width))
        ignore = None
        if frame.intrinsics.lens is not None:
            straight = undistortion(frame.intrinsics.lens, camera)
            rgb, alpha, mask, ignore = _undistorted(straight, rgb, alpha, mask)
            camera = straight.camera(camera)
        if self._mask_files == "none":
            alpha = None
        if self._keep and alpha is None:
            self.pictures[str(frame.image)] = _working_picture(rgb)
        if alpha is not None:
            rgb, alpha = _shrink_straight(rgb, alpha, *size)
        elif size != (height, width):
            rgb = shrink(rgb, *size)
        if mask is not None and size != (height, width):
            mask = shrink(mask[..., None], *size)[..., 0]
        if ignore is not None and size != (height, width):
            ignore = shrink(ignore[..., None].astype(np.float32), *size)[..., 0] > 1e-3
        if size != (height, width):
            camera = camera.resized(size[1], size[0])
        photo = self._photo(frame, rgb, alpha, mask, camera)
        if ignore is not None:
            photo.ignore = ignore if photo.ignore is None else photo.ignore | ignore
        return photo

    def _photo(
        self, frame: Frame, rgb: np.ndarray, alpha: np.ndarray | None, mask: np.ndarray | None, camera: Camera
    ) -> Photo:
        photo = Photo(frame.name, rgb, camera, path=str(frame.image))
        if mask is not None and self._mask_files == "ignore":
            photo.ignore = mask < 0.5
            photo.mask = alpha
        else:
            photo.mask = alpha if mask is None else mask
        return photo

    def _pixels(self, frame: Frame) -> tuple[np.ndarray, np.ndarray | None]:
        """([H, W, 3] linear, [H, W] alpha or None), row 0 at the bottom, at the file's size."""
        if frame.image.suffix.lower() in (".exr", ".hdr", ".pic"):
            image = load_image(frame.image)
            if not np.isfinite(image).all():
                raise InputError(f"{frame.image}: NaN or infinite pixels, expected finite light")
        else:
            image = to_float(_oriented(frame), color=True)[::-1]
        if image.shape[2] == 1:
            return np.ascontiguousarray(np.repeat(image, 3, axis=2)), None
        rgb = np.ascontiguousarray(image[..., :3])
        if image.shape[2] == 3 or image[..., 3].min() > 254.5 / 255:  # an opaque alpha is no mask
            return rgb, None
        alpha = np.ascontiguousarray(image[..., 3])
        return (_divided(frame, alpha) if self._premultiplied else rgb), alpha

    def _mask(self, frame: Frame, size: tuple[int, int]) -> np.ndarray | None:
        if frame.mask is None or self._mask_files == "none":
            return None
        mask = load_mask(frame.mask)
        if mask.shape != size:
            raise InputError(
                f"{frame.mask}: mask has {mask.shape[1]}x{mask.shape[0]} pixels, "
                f"its photo {frame.image.name} has {size[1]}x{size[0]}; expected the same size"
            )
        return mask

    def all_opaque(self) -> bool:
        """No photo has alpha or a mask file, and `pictures` holds all of them."""
        return self._keep and len(self.pictures) == self._count

    def notes(self, frames: list[Frame], photos: list[Photo]) -> list[str]:
        """What was done to the photos, and what the masks came from."""
        out = []
        lenses = [frame.intrinsics.lens.model for frame in frames if frame.intrinsics.lens is not None]
        if lenses:
            models = ", ".join(sorted(set(lenses)))
            out.append(f"lens distortion undone ({models}): {len(lenses)} of {len(frames)} photos")
        if self._mask_files == "none":
            return out
        files = sum(frame.mask is not None for frame in frames)
        ignore = self._mask_files == "ignore"
        pairs = zip(frames, photos, strict=True)
        with_alpha = sum(p.mask is not None and (f.mask is None or ignore) for f, p in pairs)
        if files:
            use = "mark pixels to ignore" if ignore else "cut out the object"
            out.append(f"mask files {use}: {files} of {len(frames)} photos")
        if with_alpha:
            kind = "premultiplied, divided" if self._premultiplied else "straight"
            out.append(f"masks from alpha ({kind}): {with_alpha} of {len(frames)} photos")
        return out


def _undistorted(
    straight: Undistortion, rgb: np.ndarray, alpha: np.ndarray | None, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Colour, alpha and mask of the pinhole, and [H, W] bool of what the photo does not show, if any.

    There alpha and mask are 0: no object was seen.
    """
    ignore = None if straight.valid.all() else ~straight.valid
    if alpha is not None:
        both = straight.picture(np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=2))
        alpha = both[..., 3] * straight.valid
        rgb = np.where(alpha[..., None] > 1e-4, both[..., :3] / np.maximum(both[..., 3:], 1e-4), 0)
    else:
        rgb = straight.picture(rgb)
    if mask is not None:
        mask = straight.picture(mask) * straight.valid
    return rgb, alpha, mask, ignore


def _working_picture(rgb: np.ndarray) -> np.ndarray:
    """[h, w, 3] uint8 sRGB, row 0 at the bottom, the long side at most WORK_SIZE."""
    height, width = rgb.shape[:2]
    size = fitted_size(height, width, WORK_SIZE)
    small = rgb if size == (height, width) else shrink(rgb, *size)
    return to_bytes(small, color=True)


def _oriented(frame: Frame) -> np.ndarray:
    """Samples turned by EXIF, unless the camera was made for the picture as stored."""
    if frame.as_stored:
        return read_samples(frame.image, orient=False)
    samples = read_samples(frame.image)
    intrinsics = frame.intrinsics
    if intrinsics.width and intrinsics.height:
        wide = intrinsics.width > intrinsics.height
        if wide != (samples.shape[1] > samples.shape[0]):
            stored = read_samples(frame.image, orient=False)
            if wide == (stored.shape[1] > stored.shape[0]):
                return stored
    return samples


def _divided(frame: Frame, alpha: np.ndarray) -> np.ndarray:
    """[H, W, 3] linear straight colour of a premultiplied file; the product was of coded values."""
    samples = _oriented(frame)
    top = 255.0 if samples.dtype == np.uint8 else 65535.0
    coded = samples[::-1, :, :3] / np.maximum(alpha[..., None], 1.0 / top)
    return to_float(np.clip(coded, 0, top).astype(samples.dtype), color=True)


def _shrink_straight(
    rgb: np.ndarray, alpha: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Straight colour and alpha made smaller; colour weighted by alpha so that no edge bleeds."""
    if rgb.shape[:2] == (height, width):
        return rgb, alpha
    weighted = shrink(np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=2), height, width)
    small = weighted[..., 3]
    # Where nothing is covered the colour is never seen; 1/255 is the least alpha of a file.
    color = weighted[..., :3] / np.maximum(small, 1e-6)[..., None]
    color[small < 1e-6] = 0.0
    return np.ascontiguousarray(color), np.ascontiguousarray(small)


def _is_premultiplied(frames: list[Frame]) -> bool:
    """Whether the colour of transparent files was multiplied by alpha.

    Then no sample is above its alpha, and edge pixels get darker in proportion to alpha. With
    straight alpha the colour of an edge pixel has nothing to do with its alpha.
    """
    thin, thick = [], []
    for frame in frames:
        if frame.image.suffix.lower() in (".exr", ".hdr", ".pic"):
            continue
        samples = read_samples(frame.image)
        if samples.shape[2] != 4:
            continue
        top = 255.0 if samples.dtype == np.uint8 else 65535.0
        alpha = samples[..., 3] / top
        edge = (alpha > 0.05) & (alpha < 0.95)
        value, alpha = samples[..., :3][edge].max(axis=1) / top, alpha[edge]
        if len(value) and (value > alpha + 1.5 / 255).mean() > 1e-3:
            return False
        thin.append(value[alpha < 0.4])
        thick.append(value[alpha > 0.6])
    low, high = (np.concatenate(v) if v else np.zeros(0) for v in (thin, thick))
    if len(low) < 20 or len(high) < 20:
        return False
    # Premultiplied: the ratio is that of the mean alphas, about 0.2 / 0.8; straight: about 1.
    return bool(low.mean() < 0.6 * high.mean())
