"""The command line that does what the window shows: fit, render, compare, export.

A command can only name what is on disk: a saved project stands for everything; without one, what the
flags can say is said, and what they cannot is an error that says so.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.errors import InputError
from studio.core.optim.settings import PRESETS, FitSettings, load_preset
from studio.core.params import Param, ParamSet
from studio.core.scene import Material, Reading
from studio.ui.state import AppState

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel
    from studio.ui.shots import Shots

_PROGRAM = ("python", "main.py")
_SAVE = "save the project first (Ctrl+S), then the command can name it"
SAMPLES = 16
"""Of `render`."""

_CENTRED = 0.02
"""Share of the scene's radius that the pivot may lie off its middle: --camera orbits the middle."""


@dataclass(frozen=True)
class Copied:
    """A command, and what it leaves out, if anything."""

    command: str
    note: str = ""


def fit(state: AppState) -> Copied:
    """`fit` with the document's photos, settings and start.

    Raises:
        InputError: there are no photos, or no flags for what the fit starts from.
    """
    document = state.document
    if document.photos is None:
        raise InputError("There is nothing to fit to: open photos first.")
    words = ["fit"]
    out = ["--out", f"out/{_file_name(document.title)}"]
    if _saved(state):
        return _copied([*words, str(document.path), *out, *_device(state)])
    _check_start(state)
    words += [document.photos.source, *out]
    base = document.settings.preset if document.settings.preset in PRESETS else "standard"
    words += ["--preset", base]
    if document.photos.reading.masks != "auto":
        words += ["--masks", document.photos.reading.masks]
    start = document.settings["start"]
    if start == "mesh":
        words += ["--mesh", document.origin]
    words += _changed(document.settings, load_preset(base), skip={"start"} if start == "mesh" else set())
    return _copied([*words, *_device(state)])


def _check_start(state: AppState) -> None:
    """InputError if what the fit starts from, or its photos, are more than flags can say."""
    document, reading = state.document, state.document.photos.reading  # type: ignore[union-attr]
    if Reading(masks=reading.masks, max_size=reading.max_size, cameras=reading.cameras) != reading:
        raise InputError(f"The photos were read in a way that no flag says; {_SAVE}.")
    if any(photo.painted for photo in document.photos.photos):  # type: ignore[union-attr]
        raise InputError(f"Masks were corrected by hand, which no flag says; {_SAVE}.")
    if document.settings["start"] == "mesh" and not (_pristine(state) and Path(document.origin).is_file()):
        raise InputError(f"The fit starts from a mesh that no file holds; {_SAVE}.")
    if document.settings["shading"] != "unlit" and not document.settings.enabled("light"):
        raise InputError(f"The fit's light is held as it is, which no flag says; {_SAVE}.")
    material = document.scene.meshes[0].material if document.scene.meshes else Material()
    usual = (Material().perceptual_roughness, Material().metallic)
    if (material.perceptual_roughness, material.metallic) != usual:
        raise InputError(f"The start has a material of its own, which no flag says; {_SAVE}.")
    if any(document.scene.background):
        raise InputError(f"The fit's background is not black, which no flag says; {_SAVE}.")


def _changed(settings: FitSettings, base: FitSettings, skip: set[str]) -> list[str]:
    words = []
    own_steps = f"{settings['representation']}_steps"  # else --steps would be taken for them
    for param in settings.params():
        value = settings[param.name]
        said = value != base[param.name] or param.name == own_steps
        if said and param.name not in skip:
            words += [f"--{param.name.replace('_', '-')}", _text(value)]
    return words


def render(state: AppState, viewport: ViewportPanel | None) -> Copied:
    """`render` of what the viewport shows: scene, effects, camera, size."""
    word, project = _scene(state)
    words = ["render", word, "--out", f"{_file_name(state.document.title)}.png"]
    if not project:
        (text,), flags = _effects([state.document.own.on()])
        words += ["--effects", text, *flags]
    view, note = _view(state, viewport, project)
    return _copied([*words, *view], note)


def picture(state: AppState, viewport: ViewportPanel, shots: Shots) -> Copied:
    """`render` of the picture that the dialog of screenshots has chosen, as far as there are flags."""
    drawn, size = shots.drawn(), shots.size(viewport.pixels)
    if drawn == "shown" and state.comparing() and state.view.mode != "render":
        return compare(state, viewport, size)
    word, project = _scene(state)
    words = ["render", word, "--out", f"{_file_name(state.document.title)}.{shots.values['format']}"]
    if not project:
        (text,), flags = _effects([state.document.own.on()])
        words += ["--effects", text, *flags]
    words += ["--transparent"] if shots.values["transparent"] else []
    layers = shots.layers() if shots.values["format"] == "exr" else ()
    channels = [*layers, *((drawn,) if drawn not in ("shown", "render", *layers) else ())]
    words += ["--aov", ",".join(channels)] if channels else []
    view, note = _view(state, viewport, project, size)
    left_out = ["grid and background"] if drawn == "shown" else []
    left_out += ["exposure"] if state.view.exposure else []
    left_out += ["the number of samples"] if shots.values["samples"] != SAMPLES else []
    notes = [note] if note else []
    notes += [f"The command leaves out {' and '.join(left_out)}."] if left_out else []
    return _copied([*words, *view], " ".join(notes))


def compare(state: AppState, viewport: ViewportPanel | None, size: tuple[int, int] | None = None) -> Copied:
    """`compare` of the two sets of effects, or of render and photo, whichever is on screen.

    Raises:
        InputError: the pictures on the two sides are others.
    """
    document = state.document
    sides = {state.left, state.right}
    word, project = _scene(state)
    words = ["compare", word, "--out", f"{_file_name(document.title)}_compare.png"]
    if sides == {"render", "photo"} and document.photos is not None:
        index = state.view.photo or 0
        (text,), flags = _effects([document.own.on()])
        words += [] if project else ["--a", text, *flags]
        words += ["--photos", document.photos.source, "--view", document.photos.photos[index].name]
        return _copied(words)
    if document.other is None or not sides & {"effects", "reference"}:
        raise InputError("The command line compares two sets of effects, or render and photo.")
    if not project:
        (a, b), flags = _effects([document.own.on(), document.other.on()])
        words += ["--a", a, "--b", b, *flags]
    words += ["--reference"] if "reference" in sides else []
    view, note = _view(state, viewport, project, size)
    return _copied([*words, *view], note)


def turntable(state: AppState) -> Copied:
    """`turntable` of the scene as the dialog of films has it."""
    word, project = _scene(state)
    values = state.choices["film"]
    words = ["turntable", word, "--out", f"{_file_name(state.document.title)}.{values['format']}"]
    if not project:
        (text,), flags = _effects([state.document.own.on()])
        words += ["--effects", text, *flags]
    words += ["--size", f"{values['width']}x{values['height']}"]
    words += ["--seconds", _text(values["seconds"]), "--fps", _text(values["fps"])]
    return _copied(words)


def export(state: AppState) -> Copied:
    """`export` of the scene as a mesh."""
    word, project = _scene(state)
    if not project and state.document.photos is not None:
        raise InputError(f"The mesh goes back to where the photos' files have it; {_SAVE}.")
    values = state.choices["mesh"]
    words = ["export", word, "--out", f"{_file_name(state.document.title)}.{values['format']}"]
    for param in values.params():
        if param.name != "format" and not values.is_default(param.name):
            words += [f"--{param.name.replace('_', '-')}", _text(values[param.name])]
    return _copied(words)


# Parts


def _copied(words: list[str], note: str = "") -> Copied:
    return Copied(shlex.join([*_PROGRAM, *words]), note)


def _saved(state: AppState) -> bool:
    return state.document.path is not None and not state.unsaved


def _pristine(state: AppState) -> bool:
    """The scene is as its file or the built-in one has it."""
    touched = state.history.last_paths("scene")
    return bool(state.document.origin) and (not touched or ("origin",) in touched) and not state.run.active


def _scene(state: AppState) -> tuple[str, bool]:
    """(the word for the scene, whether it is the project)."""
    if _saved(state):
        return str(state.document.path), True
    if _pristine(state):
        return state.document.origin, False
    raise InputError(f"The scene is in no file yet; {_SAVE}.")


def _device(state: AppState) -> list[str]:
    return [] if state.device == "auto" else ["--device", state.device]


def _file_name(title: str) -> str:
    """A title as a file's name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in title).strip(".") or "untitled"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:.9g}"
        return short if float(short) == value else repr(value)
    return str(value)


def _effects(sets: list[dict[str, ParamSet]]) -> tuple[list[str], list[str]]:
    """(each set as `--effects` takes it, flags of what has no place in there: triples of numbers)."""
    texts, flags = [], {}
    for effects in sets:
        parts = []
        for name, values in effects.items():
            part = name
            for param in values.params():
                if values.is_default(param.name):
                    continue
                value = values.as_dict()[param.name]
                if param.kind not in ("color", "vec3"):
                    part += f":{param.name}={_text(value)}"
                    continue
                stem, text = _triple(name, param, value)
                _check_shared(sets, name, param.name, value)
                flags[stem] = text
            parts.append(part)
        texts.append(",".join(parts))
    return texts, [word for stem, text in flags.items() for word in (f"--{stem}", text)]


def _triple(effect: str, param: Param, value: tuple[float, float, float]) -> tuple[str, str]:
    if param.gl_only:
        raise InputError(f"{effect}: {param.name} is of the window alone, which no flag says; {_SAVE}.")
    return f"{effect}-{param.name}".replace("_", "-"), ",".join(_text(float(v)) for v in value)


def _check_shared(sets: list[dict[str, ParamSet]], effect: str, param: str, value: Any) -> None:
    """A flag is for both sets; InputError if they differ."""
    if any(effect in other and other[effect].as_dict()[param] != value for other in sets):
        raise InputError(f"{effect}: {param} differs between A and B, which no flag says; {_SAVE}.")


def _view(
    state: AppState,
    viewport: ViewportPanel | None,
    project: bool,
    pixels: tuple[int, int] | None = None,
) -> tuple[list[str], str]:
    """(--camera and --size, a note where the view has no --camera)."""
    if viewport is None:
        return [], ""
    width, height = pixels or viewport.pixels
    size = ["--size", f"{width}x{height}"]
    azimuth, elevation, pivot, distance = viewport.camera.placement()
    low, high = (np.asarray(corner, np.float64) for corner in state.scene.bounds())
    center, radius = (low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-6)
    if state.view.photo is None and np.linalg.norm(pivot - center) <= _CENTRED * radius:
        numbers = (math.degrees(azimuth), math.degrees(elevation), distance / radius)
        text = ",".join(f"{v:.6g}" for v in (*numbers, math.degrees(viewport.camera.fov_y)))
        flat = ["--orthographic"] if state.view.orthographic else []
        return [f"--camera={text}", *flat, *size], ""
    if project:
        return size, "The view is the one that was saved."
    return size, "This view is not around the middle, so it is left out; F puts it there."
