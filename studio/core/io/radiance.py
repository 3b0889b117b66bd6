"""Radiance HDR (.hdr, .pic) pictures."""

from __future__ import annotations

import re

import numpy as np


def decode(data: bytes, max_pixels: int) -> np.ndarray:
    """[H, W, 3] float32 linear, row 0 at the top, from the bytes of a Radiance picture.

    Both flat and run-length coded scanlines; the usual orientation (-Y +X) only.

    Raises:
        ValueError: says what is wrong with the data.
    Reference:
        Ward 1991, "Real Pixels", Graphics Gems II; the file format page of Radiance.
    """
    if not data.startswith((b"#?RADIANCE", b"#?RGBE")):
        raise ValueError("it does not begin with #?RADIANCE")
    match = re.search(rb"\n\n(-Y (\d{1,6}) \+X (\d{1,6}))\n", data[:65536])
    if match is None:
        raise ValueError("no resolution line '-Y height +X width' in its header")
    header, height, width = data[: match.start()], int(match[2]), int(match[3])
    if b"FORMAT=32-bit_rle_xyze" in header:
        raise ValueError("XYZE colours, expected RGBE")
    if not 0 < height * width <= max_pixels:
        raise ValueError(f"{width}x{height} pixels, expected 1 to {max_pixels}")
    body = np.frombuffer(data, np.uint8)[match.end() :]
    rgbe = _flat(body, height, width)
    if rgbe is None:
        rgbe = _run_lengths(body, height, width)
    # An exponent of zero is black; mantissas are centred in their step as Radiance does.
    exponent = rgbe[..., 3:].astype(np.int32)
    scale = np.where(exponent > 0, np.ldexp(np.float32(1.0), exponent - (128 + 8)), np.float32(0.0))
    return ((rgbe[..., :3].astype(np.float32) + np.float32(0.5)) * scale).astype(np.float32)


def encode(image: np.ndarray) -> bytes:
    """A Radiance picture of [H, W, 3] linear floats, row 0 at the top, without run lengths.

    Negative values become zero; each pixel keeps about eight bits of its largest channel.
    """
    height, width, _ = image.shape
    rgb = np.maximum(np.nan_to_num(np.asarray(image, np.float32)), 0.0)
    largest = rgb.max(axis=2)
    exponent = np.frexp(largest)[1]
    mantissa = np.ldexp(rgb, (8 - exponent)[..., None])
    rgbe = np.zeros((height, width, 4), np.uint8)
    rgbe[..., :3] = np.minimum(mantissa, 255.0)
    rgbe[..., 3] = exponent + 128
    rgbe[largest < 1e-32] = 0  # below that the exponent would leave its byte
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    return head.encode() + rgbe.tobytes()


def _flat(body: np.ndarray, height: int, width: int) -> np.ndarray | None:
    """[H, W, 4] where pixels are stored as they are, else None."""
    coded = len(body) >= 4 and body[0] == 2 and body[1] == 2 and body[2] < 128
    if coded and 8 <= width < 32768:
        return None
    if len(body) < height * width * 4:
        raise ValueError("the file is truncated")
    return body[: height * width * 4].reshape(height, width, 4)


def _run_lengths(body: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W, 4] from scanlines of four run-length coded channels each."""
    out = np.empty((height, 4, width), np.uint8)
    data, end, at = body.tobytes(), len(body), 0
    for row in range(height):
        if at + 4 > end:
            raise ValueError("the file is truncated")
        if data[at] != 2 or data[at + 1] != 2 or data[at + 2] * 256 + data[at + 3] != width:
            raise ValueError(f"scanline {row} is damaged")
        at += 4
        for channel in range(4):
            line, x = out[row, channel], 0
            while x < width:
                if at + 1 >= end:
                    raise ValueError("the file is truncated")
                count = data[at]
                if count > 128:  # a run of one value
                    count -= 128
                    line[x : x + count] = data[at + 1]
                    at += 2
                else:
                    piece = body[at + 1 : at + 1 + count]
                    if count == 0 or x + count > width or len(piece) < count:
                        raise ValueError(f"scanline {row} is damaged")
                    line[x : x + count] = piece
                    at += 1 + count
                x += count
            if x != width:
                raise ValueError(f"scanline {row} is damaged")
    return np.moveaxis(out, 1, 2)
