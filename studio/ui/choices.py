"""How pictures, films and meshes are taken away: the choices of the dialogs, kept between sessions."""

from __future__ import annotations

import json

from imgui_bundle import hello_imgui

from studio.core.channels import CHANNELS, PICTURE, aovs
from studio.core.errors import InputError
from studio.core.io import export_choices
from studio.core.params import Param, ParamSet

_KEY = "choices"

LARGEST = 16384
"""Pixels each way: the common limit of OpenGL's images, and of `render --size`."""

SIZES = {"1": 1.0, "2": 2.0, "4": 4.0}
FIXED = {"1080p": (1920, 1080), "4k": (3840, 2160)}

LAYERS = tuple(name for name in aovs() if name not in PICTURE)
"""Channels that can be layers of an EXR besides the picture."""


def _layer(name: str) -> Param:
    title = CHANNELS[name].title
    return Param(f"layer_{name}", False, "bool", label=title, help=f"{title} as a layer of its own.")


SHOT = (
    Param(
        "size",
        "1",
        "choice",
        choices=(*SIZES, *FIXED, "custom"),
        titles=("As the view", "Twice the view", "Four times the view", "1080p", "4K", "Custom"),
        help="Pixels of the picture. Another shape than the view's shows more or less at the sides.",
    ),
    Param("width", 1920, "int", 16, LARGEST, step=10, unit="px", help="Width of a picture of custom size."),
    Param("height", 1080, "int", 16, LARGEST, step=10, unit="px", help="Height of a picture of custom size."),
    Param(
        "locked", True, "bool", label="Keep shape", help="Width and height of a custom size change together."
    ),
    Param(
        "draw",
        "shown",
        "choice",
        choices=("shown", "render", *(name for name in aovs() if name != "color")),
        titles=(
            "The view as shown",
            "Render alone",
            *(CHANNELS[name].title for name in aovs() if name != "color"),
        ),
        help="The view with comparison, grid and background; the render as the command `render` draws it; "
        "or a channel.",
    ),
    Param(
        "transparent",
        False,
        "bool",
        help="No background, and the object alone: alpha says how much of a pixel it covers.",
    ),
    Param(
        "samples",
        16,
        "int",
        1,
        64,
        help="Frames averaged for smooth edges; each takes as long as the first.",
    ),
    Param(
        "format",
        "png",
        "choice",
        choices=("png", "jpg", "exr"),
        titles=("PNG", "JPEG", "OpenEXR"),
        help="PNG loses nothing of 8 bits, JPEG is small, OpenEXR keeps linear light and takes layers.",
    ),
    Param("quality", 92, "int", 1, 100, help="Of a JPEG; 92 shows no blocks."),
    *(_layer(name) for name in LAYERS),
)

MESH = (
    Param(
        "format",
        "glb",
        "choice",
        choices=("glb", "obj", "ply"),
        titles=("glTF binary, .glb", "Wavefront, .obj", "Stanford, .ply"),
        help="glTF keeps everything; OBJ has materials and pictures beside it; PLY colours of vertices only.",
    ),
    *export_choices.PARAMS,
)

FILM = (
    Param(
        "film",
        "turntable",
        "choice",
        choices=("turntable", "run"),
        titles=("The object turning", "The run"),
        help="The object once around, or the run from its first snapshot to the last.",
    ),
    Param("seconds", 5.0, low=0.5, high=120.0, step=0.5, unit="s", help="Length of the film."),
    Param("fps", 24, "int", 5, 60, label="Frame rate", unit="fps", help="Frames a second."),
    Param("width", 480, "int", 64, 3840, step=16, unit="px", help="Pixels from left to right."),
    Param("height", 480, "int", 64, 2160, step=16, unit="px", help="Pixels from top to bottom."),
    Param(
        "format",
        "gif",
        "choice",
        choices=("gif", "mp4"),
        titles=("GIF", "MP4"),
        help="A GIF plays everywhere and loops; MP4 is smaller and has all colours.",
    ),
)

SETS = {"picture": SHOT, "mesh": MESH, "film": FILM}


def defaults() -> dict[str, ParamSet]:
    """What a first start has, by dialog."""
    return {name: ParamSet(name, params) for name, params in SETS.items()}


def load() -> dict[str, ParamSet]:
    """Those of the last session; what is damaged or unknown is ignored."""
    choices = defaults()
    try:
        saved = json.loads(hello_imgui.load_user_pref(_KEY) or "{}")
    except ValueError:
        return choices
    for name, values in choices.items():
        given = saved.get(name) if isinstance(saved, dict) else None
        if not isinstance(given, dict):
            continue
        for param in values.params():
            try:
                values.set(param.name, given.get(param.name, param.default))
            except InputError:
                continue
    return choices


def save(choices: dict[str, ParamSet]) -> None:
    """Keep them for the next session."""
    plain = {name: values.as_dict() for name, values in choices.items()}
    hello_imgui.save_user_pref(_KEY, json.dumps(plain))
