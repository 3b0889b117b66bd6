"""Pictures side by side as one labelled sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from studio.core.optim.plots import BACKGROUND, INK

_GAP = 6
_TEXT = 13


def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), _TEXT)


def enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """[size, size, 3]: a small square picture with its pixels as squares."""
    index = np.arange(size) * len(image) // size
    return image[index][:, index]


def sheet(rows: list[list[np.ndarray]], columns: list[str], names: list[str]) -> np.ndarray:
    """Tiles in rows with titles above and names at the left.

    Args:
        rows: [H, W, 3] sRGB 0..1, row 0 at the bottom; equal heights in a row, widths in a column.
        columns: one title per column; names: one per row; empty or of several lines.
    Returns:
        [H, W, 3] of the same kind.
    """
    font = _font()
    lines = [line for name in names for line in name.splitlines()]
    left = _GAP + max((int(font.getlength(line)) + 2 * _GAP for line in lines), default=0)
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(len(columns))]
    heights = [row[0].shape[0] for row in rows]
    top = _GAP + _TEXT + _GAP if any(columns) else _GAP
    size = (left + sum(widths) + _GAP * len(widths), top + sum(heights) + _GAP * len(rows))
    page = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(page)
    x = left
    for title, width in zip(columns, widths):
        draw.text((x + width / 2, top / 2), title, font=font, fill=INK, anchor="mm")
        x += width + _GAP
    y = top
    for row, name, height in zip(rows, names, heights):
        draw.text((_GAP, y + height / 2), name, font=font, fill=INK, anchor="lm")
        x = left
        for tile, width in zip(row, widths):
            levels = (np.clip(tile[::-1], 0, 1) * 255 + 0.5).astype(np.uint8)
            page.paste(Image.fromarray(levels), (x, y))
            x += width + _GAP
        y += height + _GAP
    return np.asarray(page, np.float32)[::-1] / 255


def with_lines(image: np.ndarray, segments: np.ndarray, color: str = "white") -> np.ndarray:
    """The picture with thin smooth lines on it.

    Args:
        image: [H, W, 3], row 0 at the bottom.
        segments: [S, 2, 2] end points in pixels from the lower left corner.
    """
    finer = 4
    height, width = image.shape[:2]
    mask = Image.new("L", (finer * width, finer * height))
    draw = ImageDraw.Draw(mask)
    for (x0, y0), (x1, y1) in finer * np.asarray(segments, np.float64):
        draw.line((x0, finer * height - y0, x1, finer * height - y1), fill=255, width=finer + 1)
    share = np.asarray(mask.resize((width, height), Image.Resampling.BOX), np.float32)[::-1, :, None] / 255
    ink = np.asarray(Image.new("RGB", (1, 1), color).getpixel((0, 0)), np.float32) / 255
    return image * (1 - share) + share * ink
