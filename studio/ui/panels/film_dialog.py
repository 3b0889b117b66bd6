"""The dialog of films: the object turning, or the run from its first snapshot to the last."""

from __future__ import annotations

from importlib.util import find_spec

from imgui_bundle import imgui

from studio.ui.panels import taking
from studio.ui.state import AppState

TITLE = "Film"


def draw(state: AppState) -> None:
    """The dialog while it is open."""
    if not taking.begin(state, "film", TITLE):
        return
    values = state.choices["film"]
    video = find_spec("imageio_ffmpeg") is not None
    run = len(state.run.timeline) > 1
    taking.rows(state, "film", ("film",), without=() if run else ("run",))
    taking.rows(state, "film", ("seconds", "fps", "width", "height"))
    taking.rows(state, "film", ("format",), without=() if video else ("mp4",))
    frames = max(2, round(values["seconds"] * values["fps"]))
    taking.fact("Frames", f"{frames} of {values['width']} × {values['height']} pixels")
    if not video:
        taking.note("MP4 needs a package: pip install imageio-ffmpeg")
    pressed = taking.buttons("Save…", values["film"] == "turntable" or run, values["film"] == "turntable")
    if pressed == "main":
        state.act("ask_film")
    elif pressed == "copy":
        state.act("copy_command", "turntable")
    imgui.end_popup()
