"""How a person likes the window: theme, accent, sizes, power. Kept between sessions, in no document."""

from __future__ import annotations

import json

from imgui_bundle import hello_imgui, imgui

from studio.core.errors import InputError
from studio.core.params import Param, ParamSet
from studio.ui import theme

_KEY = "preferences"
_SCALES = ("auto", "75", "100", "125", "150", "175", "200", "250")

PARAMS = (
    Param("theme", "dark", "choice", choices=tuple(theme.THEMES), help="Dark rests the eye beside pictures."),
    Param(
        "accent",
        "blue",
        "choice",
        choices=tuple(theme.ACCENTS),
        help="Colour of the active control, of what is selected, and of progress.",
    ),
    Param(
        "scale",
        "auto",
        "choice",
        choices=_SCALES,
        titles=("As the display", *(f"{scale} %" for scale in _SCALES[1:])),
        label="Interface size",
        help="Size of everything in the window; the display says how fine its pixels are.",
    ),
    Param(
        "text_size",
        int(theme.FONT_SIZE),
        "int",
        11,
        24,
        unit="px",
        help="Size of the text, and of the controls with it, at an interface size of 100 %.",
    ),
    Param(
        "save_power",
        True,
        "bool",
        help="Draw only a few frames a second while nothing moves and nobody touches the window.",
    ),
)


def defaults() -> ParamSet:
    """What a first start has."""
    return ParamSet("preferences", PARAMS)


def load() -> ParamSet:
    """Those of the last session; what is damaged or unknown is ignored."""
    preferences = defaults()
    try:
        saved = json.loads(hello_imgui.load_user_pref(_KEY) or "{}")
    except ValueError:
        return preferences
    for param in PARAMS if isinstance(saved, dict) else ():
        try:
            preferences.set(param.name, saved.get(param.name, param.default))
        except InputError:
            continue
    return preferences


def save(preferences: ParamSet) -> None:
    """Keep them for the next session."""
    hello_imgui.save_user_pref(_KEY, json.dumps(preferences.as_dict()))


def apply(preferences: ParamSet) -> None:
    """Give the window this look, from the next frame on."""
    style = imgui.get_style()
    scale = preferences["scale"]
    factor = 1.0 if scale == "auto" else float(scale) / 100 / style.font_scale_dpi
    style.font_scale_main = factor * preferences["text_size"] / theme.FONT_SIZE
    theme.use(preferences["theme"], preferences["accent"])
    hello_imgui.get_runner_params().fps_idling.enable_idling = preferences["save_power"]
