"""Image files in and out. Here, and only here, pictures are flipped and sRGB coded."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from PIL import Image, ImageOps

from studio.core.color import linear_to_srgb, srgb_to_linear
from studio.core.errors import InputError, describe
from studio.core.io import radiance
from studio.core.io.files import atomic_path, check_readable, write_bytes

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".exr",
    ".hdr",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".tga",
    ".heic",
    ".heif",
)
"""Suffixes tried, in this order, for a file name without one."""

MAX_PIXELS = 2**27
"""134 megapixels, 1.6 GB as float32 RGB: above the largest cameras, below most machines' memory."""

# What damaged files make the decoders raise.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    KeyError,
    zlib.error,
    struct.error,
)

_EXR_DAMAGE = (RuntimeError, OSError, ValueError, KeyError, TypeError, MemoryError)


@cache
def _table(levels: int, color: bool) -> np.ndarray:
    """[levels] float32: linear value of each integer sample."""
    values = np.arange(levels) / (levels - 1)
    return (srgb_to_linear(values) if color else values).astype(np.float32)


@cache
def _encode_table() -> np.ndarray:
    """[65536] uint8: sRGB byte of linear 0..1. One step is at most 0.05 of a byte: bytes that
    were decoded come back the same."""
    return (linear_to_srgb(np.arange(65536) / 65535) * 255 + 0.5).astype(np.uint8)


def to_bytes(image: np.ndarray, color: bool) -> np.ndarray:
    """[H, W, C] uint8 of linear floats, clipped to 0..1; `color` encodes sRGB, never alpha."""
    values = np.clip(image, 0.0, 1.0)
    if not color:
        return (values * 255 + 0.5).astype(np.uint8)
    out = _encode_table()[(values * 65535 + 0.5).astype(np.uint16)]
    if image.shape[2] == 4:
        out[..., 3] = (values[..., 3] * 255 + 0.5).astype(np.uint8)
    return out


def to_float(samples: np.ndarray, color: bool) -> np.ndarray:
    """float32 of [H, W, C] uint8 or uint16 samples; `color` decodes sRGB, never for alpha."""
    levels = 256 if samples.dtype == np.uint8 else 65536
    if not color or samples.shape[2] < 4:
        return _table(levels, color)[samples]
    out = np.empty(samples.shape, np.float32)
    out[..., :3] = _table(levels, True)[samples[..., :3]]
    out[..., 3] = _table(levels, False)[samples[..., 3]]
    return out


def load_image(path: Path | str, color: bool = True) -> np.ndarray:
    """Read one image file.

    PNG (8 and 16 bit), JPEG, WebP, TIFF, BMP, TGA, OpenEXR, Radiance HDR; HEIC with
    pillow-heif. The EXIF orientation is applied. Colour profiles are not: integer colours are taken as sRGB.

    Args:
        path: the file.
        color: decode sRGB to linear light; False for data (masks, normals, roughness). Files
            of floats are linear already and unaffected.
    Returns:
        [H, W, C] float32, row 0 at the bottom; C is 1 (grey), 3 or 4 (alpha, not premultiplied).
    Raises:
        InputError: missing, empty, truncated, not an image, or more than MAX_PIXELS.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".exr", ".hdr", ".pic"):
        check_readable(path, "an image")
        image = _read_exr(path) if suffix == ".exr" else _read_hdr(path)
    else:
        image = to_float(read_samples(path), color)
    return np.ascontiguousarray(image[::-1])


def decode_image(data: bytes, where: str, color: bool = True) -> np.ndarray:
    """As `load_image`, for the bytes of an integer picture inside another file."""
    with _opened(io.BytesIO(data), where) as picture:
        try:
            samples = decode_samples(picture)
        except _DAMAGE as error:
            raise InputError(f"{where}: the image is truncated or damaged ({describe(error)})") from None
    return np.ascontiguousarray(to_float(samples, color)[::-1])


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) as stored, before the EXIF orientation; only the header is decoded."""
    check_readable(path, "an image")
    if path.suffix.lower() == ".exr":
        return _exr_size(path)
    if path.suffix.lower() in (".hdr", ".pic"):
        height, width = _read_hdr(path).shape[:2]
        return width, height
    with _opened(path, str(path)) as picture:
        return picture.size


@cache
def _register_heif() -> bool:
    """Teach Pillow HEIC where pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _opened(source: Path | io.BytesIO, path: str) -> Image.Image:
    """The picture with only its header read; its size is checked."""
    if path.lower().endswith((".heic", ".heif")) and not _register_heif():
        raise InputError(f'{path}: reading HEIC needs pillow-heif; run: pip install "pillow-heif>=0.18"')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns from 89 megapixels; the check below is ours
            picture = Image.open(source)
    except Image.DecompressionBombError:
        raise _too_large(path, "more than 178 million pixels") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path}: cannot be read ({describe(error)})") from None
        raise InputError(f"{path}: not an image, or damaged; expected PNG, JPEG, EXR or HDR") from None
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(path, f"{picture.width}x{picture.height} pixels")
    return picture


def _too_large(path: Path | str, text: str) -> InputError:
    return InputError(f"{path}: {text}, expected at most {MAX_PIXELS // 10**6} million")


def decode_samples(picture: Image.Image, orient: bool = True) -> np.ndarray:
    """[H, W, C] uint8 or uint16 samples of an opened picture, row 0 at the top, C 1, 3 or 4."""
    tiles = getattr(picture, "tile", None)
    low = None
    if tiles and tiles[0].args in ("RGB;16B", "RGBA;16B"):
        # Pillow keeps the high byte of 16-bit colour. Read as if little-endian it keeps the low one.
        again: Any = Image.open(getattr(picture, "filename", None) or picture.fp)  # type: ignore[attr-defined]
        again.tile = [tiles[0]._replace(args=tiles[0].args.replace("16B", "16L"))]
        low = np.asarray(_turned(again) if orient else again)
    picture = _turned(picture) if orient else picture
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's "I" holds the same range
        return np.asarray(picture).astype(np.uint16)[..., None]
    if picture.mode not in ("L", "RGB", "RGBA"):
        picture = picture.convert(_plain_mode(picture))
    samples = np.asarray(picture)
    if low is not None:
        samples = samples.astype(np.uint16) * 256 + low
    return samples[..., None] if samples.ndim == 2 else samples


def _turned(picture: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(picture) or picture


def _plain_mode(picture: Image.Image) -> str:
    """The 8-bit mode that keeps what a palette, two-level or CMYK picture shows."""
    if picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        return "RGBA"
    return "L" if picture.mode == "1" else "RGB"


def read_samples(path: Path, orient: bool = True) -> np.ndarray:
    """[H, W, C] uint8 or uint16 as stored, row 0 at the top; raises as `load_image`."""
    check_readable(path, "an image")
    with _opened(path, str(path)) as picture:
        try:
            return decode_samples(picture, orient)
        except _DAMAGE as error:
            raise InputError(f"{path}: the image is truncated or damaged ({describe(error)})") from None


def _exr_size(path: Path) -> tuple[int, int]:
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            low, high = file.header()["dataWindow"]
        return int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1
    except _EXR_DAMAGE as error:
        raise InputError(f"{path}: not an OpenEXR image, or damaged ({describe(error)})") from None


def _read_exr(path: Path) -> np.ndarray:
    """[H, W, C] float32, row 0 at the top; the first part's RGB(A), or one grey channel."""
    width, height = _exr_size(path)
    if not 0 < width * height <= MAX_PIXELS:
        raise _too_large(path, f"{width}x{height} pixels")
    try:
        with OpenEXR.File(str(path)) as file:
            channels = {name: np.asarray(c.pixels) for name, c in file.channels().items()}
    except _EXR_DAMAGE as error:
        raise InputError(f"{path}: the OpenEXR image is truncated or damaged ({describe(error)})") from None
    for name in ("RGB", "RGBA"):
        if name in channels:
            return channels[name].astype(np.float32)
    grey = next((channels[name] for name in ("Y", "V", *channels) if name in channels), None)
    if grey is None or grey.ndim != 2:
        raise InputError(f"{path}: channels {', '.join(channels) or 'none'}, expected RGB, RGBA or Y")
    return grey.astype(np.float32)[..., None]


def _read_hdr(path: Path) -> np.ndarray:
    try:
        return radiance.decode(path.read_bytes(), MAX_PIXELS)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a Radiance HDR image, or damaged ({describe(error)})") from None


def load_environment(path: Path | str) -> np.ndarray:
    """[H, W, 3] float32 linear equirectangular map, row 0 at the bottom (straight down).

    Negative and non-finite samples, which some tools write, become 0.

    Raises:
        InputError: as `load_image`; or the picture is not twice as wide as high.
    """
    image = load_image(path)
    height, width = image.shape[:2]
    if abs(width - 2 * height) > max(2, height // 50):  # a row or two may be cropped
        raise InputError(
            f"{path}: {width}x{height} pixels, expected an equirectangular map, twice as wide as high"
        )
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    rgb = np.nan_to_num(rgb, nan=0.0, posinf=float(np.finfo(np.float16).max), neginf=0.0)
    return np.ascontiguousarray(np.maximum(rgb, 0.0))


def encode_png(image: np.ndarray, color: bool = True) -> bytes:
    """PNG file of [H, W, C] linear floats, row 0 at the bottom; `color` encodes sRGB."""
    image = np.nan_to_num(np.asarray(image, np.float32))
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise InputError(f"png: image has shape {image.shape}, expected [H, W, 1], [H, W, 3] or [H, W, 4]")
    samples = to_bytes(image, color)[::-1]
    picture = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=4)  # 4: half the time of 6 for 3 % more bytes
    return out.getvalue()


def encode_jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    """JPEG file of [H, W, 3] linear floats, row 0 at the bottom.

    Args:
        quality: 1..100; from 90 on colours keep their full resolution.
    """
    out = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(to_bytes(np.nan_to_num(image), True)[::-1]))
    picture.save(out, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    return out.getvalue()


def save_png(path: Path | str, image: np.ndarray, color: bool = True) -> None:
    """Write an 8-bit PNG, atomically.

    Args:
        path: the file; missing folders are made.
        image: [H, W, C] float, linear, row 0 at the bottom, C 1, 3 or 4; clipped to 0..1.
        color: encode sRGB (not alpha); False for data.
    Raises:
        InputError: the place cannot be written, or the shape is wrong.
        WorkError: the disk filled up.
    """
    write_bytes(path, encode_png(image, color))


def save_picture(path: Path | str, image: np.ndarray, quality: int = 92) -> None:
    """Write a linear picture as its file's ending wants it: .jpg, .exr or else PNG; see save_png."""
    suffix = Path(path).suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        write_bytes(path, encode_jpeg(image, quality))
    elif suffix == ".exr":
        save_exr(path, image)
    else:
        save_png(path, image)


def save_exr(path: Path | str, image: np.ndarray) -> None:
    """Write [H, W, 1|3|4] float32 linear, row 0 at the bottom, as OpenEXR; raises as `save_png`."""
    image = np.asarray(image, np.float32)
    image = image[..., None] if image.ndim == 2 else image
    names = {1: "Y", 3: "RGB", 4: "RGBA"}
    if image.ndim != 3 or image.shape[2] not in names or 0 in image.shape:
        raise InputError(f"{path}: image has shape {image.shape}, expected [H, W, 1], [H, W, 3] or [H, W, 4]")
    pixels = np.ascontiguousarray(image[::-1])
    channel = pixels[..., 0].copy() if image.shape[2] == 1 else pixels
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with atomic_path(path) as temporary, OpenEXR.File(header, {names[image.shape[2]]: channel}) as file:
        file.write(str(temporary))


def save_exr_layers(path: Path | str, image: np.ndarray, layers: Mapping[str, np.ndarray]) -> None:
    """Write a picture and further layers into one OpenEXR file; raises as `save_png`.

    Args:
        image: [H, W, 3|4] float32 linear, row 0 at the bottom: the channels R, G, B (and A).
        layers: "normal.X" and the like, each [H, W].
    """
    named = {name: image[..., i] for i, name in enumerate("RGBA"[: image.shape[2]])} | dict(layers)
    for name, values in named.items():
        if values.shape != image.shape[:2]:
            raise InputError(f"{path}: layer {name} has shape {values.shape}, expected {image.shape[:2]}")
    channels = {name: np.array(v[::-1], np.float32, order="C") for name, v in named.items()}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with atomic_path(path) as temporary, OpenEXR.File(header, channels) as file:
        file.write(str(temporary))
