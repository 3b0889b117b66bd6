"""The named channels of a frame: what the geometry pass and the effects give one another.

Both renderers, the list of AOVs in the viewport, `render --aov` and the layers of an EXR take
names, sizes and order from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from studio.core.errors import InputError

Show = Literal["light", "color", "unit", "direction", "position", "depth", "uv", "number", "none"]
"""How a channel is shown: linear light, reflectance, 0..1, unit vector, world position, distance,
texture coordinate, number of a thing (a colour each), or not at all."""

SHOWS: tuple[Show, ...] = get_args(Show)


@dataclass(frozen=True)
class Channel:
    """One named image of a frame.

    Attributes:
        name: identifier; in shaders u_<name>.
        size: components of a pixel, 1 to 4.
        show: how it is shown.
        title: what menus call it.
        empty: its value where nothing is.
        effect: made by an effect; otherwise by the geometry pass, or always there.
    """

    name: str
    size: int
    show: Show
    title: str
    empty: float = 0.0
    effect: bool = False


_ALL = (
    Channel("color", 3, "light", "Shaded"),
    Channel("albedo", 3, "color", "Albedo"),
    Channel("normal", 3, "direction", "Normal"),
    Channel("depth", 1, "depth", "Depth"),
    Channel("position", 3, "position", "Position"),
    Channel("perceptual_roughness", 1, "unit", "Roughness"),
    Channel("metallic", 1, "unit", "Metallic"),
    Channel("uv", 2, "uv", "UV"),
    Channel("id", 1, "number", "Triangle"),
    Channel("part", 1, "number", "Part"),
    Channel("alpha", 1, "unit", "Alpha"),
    Channel("occlusion", 1, "unit", "Occlusion"),
    Channel("emissive", 3, "light", "Emissive"),
    Channel("subsurface", 1, "unit", "Subsurface"),
    # Light that arrives: the environment's irradiance over pi at the normal, its radiance
    # blurred by the lobe around the mirror direction, and how much of light i gets through
    # (component i), all before ambient occlusion.
    Channel("environment_diffuse", 3, "light", "Environment, diffuse", effect=True),
    Channel("environment_specular", 3, "light", "Environment, specular", effect=True),
    Channel("background", 3, "light", "Background", effect=True),
    Channel("shadow", 4, "unit", "Shadow", empty=1.0, effect=True),
    # World distance that light i has gone behind the first surface it met; 0 where it is lit.
    Channel("thickness", 4, "none", "Thickness", effect=True),
    Channel("ao", 1, "unit", "Ambient occlusion", empty=1.0, effect=True),
    # Colour is diffuse_albedo * irradiance + direct specular + reflection * reflectance + emissive.
    Channel("irradiance", 3, "light", "Irradiance", effect=True),
    Channel("diffuse_albedo", 3, "color", "Diffuse albedo", effect=True),
    Channel("reflectance", 3, "color", "Reflectance", effect=True),
    Channel("reflection", 3, "light", "Reflection", effect=True),
    # Depth whose gradient knows silhouettes, `far` where nothing is; the same with their part of it
    # alone; and, without a gradient, the depth across the silhouette in pixels that one passes.
    Channel("soft_depth", 1, "none", "Soft depth"),
    Channel("swept_depth", 1, "none", "Swept depth"),
    Channel("edge_depth", 1, "none", "Depth across the edge"),
    Channel("covered", 1, "none", "Covered"),
    Channel("rast", 4, "none", "Rasterizer output"),
    Channel("rgba", 4, "none", "Picture"),
)

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in _ALL}
"""Every channel by name, in the order of menus."""

ALIASES = {"roughness": "perceptual_roughness", "shaded": "color", "triangle": "id"}
"""Other names that commands and settings understand."""

PICTURE = frozenset({"color", "alpha", "rgba"})
"""Channels that are there whatever is asked for."""


def channel(name: str) -> Channel:
    """The channel of this name or alias; InputError lists the names."""
    found = CHANNELS.get(ALIASES.get(name, name))
    if found is None:
        raise InputError(f"no channel {name!r}; there are {', '.join(aovs())}")
    return found


def aovs() -> tuple[str, ...]:
    """The channels that can be shown, in the order of menus; keys 1 to 8 show the first eight."""
    return tuple(c.name for c in _ALL if c.show != "none")
