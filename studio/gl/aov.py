"""Channels as pictures and as layers of a file: in NumPy what aov.frag shows in the viewport."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.core.channels import PICTURE, Channel, Show
from studio.core.color import srgb_to_linear
from studio.gl.colormap import DEPTH_MAP, colormap

_COMPONENTS: dict[Show, str] = {
    **{"light": "RGB", "color": "RGB", "direction": "XYZ", "position": "XYZ", "depth": "Z", "uv": "UV"},
    **{"unit": "V", "number": "V", "none": "V"},
}


def picture(
    channel: Channel,
    value: np.ndarray,
    covered: np.ndarray,
    background: tuple[float, float, float],
    low: Sequence[float],
    high: Sequence[float],
    lights: int = 1,
) -> np.ndarray:
    """A channel as it is shown.

    Args:
        value: [H, W, C] float32.
        covered: [H, W] bool, where something is.
        background: linear colour behind it.
        low, high: [3] what a position is shown between; of a depth, the first components.
        lights: how many components count, of a channel with one for every light.
    Returns:
        [H, W, 3] linear.
    """
    number = value[..., : lights if channel.size == 4 else 1].mean(axis=-1)
    if channel.show in ("light", "color"):
        color = value[..., :3]
    else:
        if channel.show == "direction":
            shown = value * 0.5 + 0.5
        elif channel.show == "position":
            shown = (value - low) / np.maximum(np.subtract(high, low), 1e-6)
        elif channel.show == "depth":
            shown = colormap(DEPTH_MAP, 1 - (number - low[0]) / max(high[0] - low[0], 1e-6))
        elif channel.show == "uv":
            shown = np.concatenate([value, np.zeros_like(value[..., :1])], axis=-1)
        elif channel.show == "number":
            shown = number_colors(number)
        else:
            shown = np.repeat(number[..., None], 3, axis=-1)
        color = srgb_to_linear(np.clip(shown, 0, 1).astype(np.float32))
    if channel.name in PICTURE:  # which has its background already
        return color
    there = ~covered if channel.name == "background" else covered
    out: np.ndarray = np.where(there[..., None], color, np.array(background)).astype(np.float32)
    return out


def number_colors(number: np.ndarray) -> np.ndarray:
    """[..., 3] sRGB values: hues a golden angle apart, so neighbours in number differ most."""
    hue = np.mod(0.08 + number * 0.61803399, 1.0)[..., None]
    rgb = np.clip(np.abs(np.mod(hue + np.array((0, 2 / 3, 1 / 3)), 1.0) * 6 - 3) - 1, 0, 1)
    out: np.ndarray = (0.75 + 0.6 * (rgb - 0.75)) * 0.9
    return out


def layers(channel: Channel, value: np.ndarray) -> dict[str, np.ndarray]:
    """The components of a channel, [H, W] each, as layers of an OpenEXR file: "normal.X" and so on."""
    names = "RGBA" if channel.size == 4 else _COMPONENTS[channel.show]
    return {f"{channel.name}.{name}": value[..., i] for i, name in enumerate(names[: channel.size])}
