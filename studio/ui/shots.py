"""Pictures of the view for files: of any size, drawn beside the window's own frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.channels import channel
from studio.core.errors import InputError
from studio.core.io.images import (
    MAX_PIXELS,
    encode_png,
    save_exr_layers,
    save_picture,
    to_float,
)
from studio.core.params import ParamSet
from studio.core.scene import Camera
from studio.gl import aov
from studio.gl.shots import Shot, composed
from studio.ui.choices import FIXED, LAYERS, SIZES
from studio.ui.comparing import MAPS
from studio.ui.dialogs import FileDialogs, Request
from studio.ui.jobs import Job
from studio.ui.state import AppState

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

KINDS = {"png": ("PNG", (".png",)), "jpg": ("JPEG", (".jpg", ".jpeg")), "exr": ("OpenEXR", (".exr",))}

SOFTWARE_TILE, TILE = 256, 2048
"""Side of the pieces of a picture. Where the processor draws, one has to fit into a frame."""

PREVIEW = 320
"""Longer side of the small picture that the dialog shows and measures."""


@dataclass(frozen=True, eq=False)
class Taken:
    """A picture as it was drawn.

    Attributes:
        finish: puts it together, on any thread: [H, W, 3|4] linear, row 0 at the bottom.
        layers: of the file, each [H, W].
        values: the choices that it was taken with.
    """

    finish: Callable[[], np.ndarray]
    layers: dict[str, np.ndarray]
    values: ParamSet


Drawing = Generator[float, None, Taken]


@dataclass(frozen=True, eq=False)
class Preview:
    """A small version of the picture.

    Attributes:
        picture: a PNG of it.
        bytes: what the file of full size would have, about.
    """

    picture: bytes
    bytes: int


class Shots:
    """Draws pictures and writes them, as jobs.

    Attributes:
        preview: of the present choices, or None while it is made.
    """

    def __init__(self, state: AppState, dialogs: FileDialogs) -> None:
        self._state = state
        self._dialogs = dialogs
        self.preview: Preview | None = None
        self._preview_key: tuple[object, ...] = ()
        self._preview_job: Job | None = None

    # Choices

    @property
    def values(self) -> ParamSet:
        return self._state.choices["picture"]

    def size(self, view: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the picture, for a view of that many pixels."""
        kind = self.values["size"]
        if kind in FIXED:
            return FIXED[kind]
        if kind in SIZES:
            return round(view[0] * SIZES[kind]), round(view[1] * SIZES[kind])
        return self.values["width"], self.values["height"]

    def choose(self, name: str, value: Any) -> None:
        """Change a choice, and those that it rules out; with the shape locked, both sides."""
        values = self.values
        width, height = values["width"], values["height"]
        values.set(name, value)
        if values["locked"] and name in ("width", "height"):
            other, share = ("height", height / width) if name == "width" else ("width", width / height)
            param = next(p for p in values.params() if p.name == other)
            values.set(other, round(float(np.clip(value * share, param.low, param.high))))
        if values["transparent"] and values["draw"] == "shown":
            values.set("draw", "render") if name == "transparent" else values.set("transparent", False)
        if values["transparent"] and values["format"] == "jpg":
            values.set("format", "png") if name == "transparent" else values.set("transparent", False)

    def layers(self) -> tuple[str, ...]:
        """Channels that the file gets as layers."""
        there = self._state.channels
        return tuple(name for name in LAYERS if self.values[f"layer_{name}"] and name in there)

    def drawn(self) -> str:
        """What is drawn: "shown", "render" or a channel that there is now."""
        draw = str(self.values["draw"])
        return draw if draw in ("shown", "render", *self._state.channels) else "render"

    # Saving

    def ask(self, panel: ViewportPanel) -> None:
        """Ask where, then save."""
        kind = self.values["format"]
        start = f"{self._state.document.name}.{kind}"
        self._dialogs.ask(
            Request("save", "Save picture", lambda path: self.save(panel, path), (KINDS[kind],), start)
        )

    def save(self, panel: ViewportPanel, path: Path | None = None) -> None:
        """Draw and write; without a path a new file among the user's pictures.

        Raises:
            InputError: the picture is too large, or the file is of no kind that there is.
        """
        path = path or self._place(self.values["format"])
        path = path if path.suffix else path.with_suffix(f".{self.values['format']}")
        named = [kind for kind, (_, endings) in KINDS.items() if path.suffix.lower() in endings]
        if not named:
            raise InputError(
                f"{path.name}: expected a name that ends in {', '.join(map('.{}'.format, KINDS))}"
            )
        self.choose("format", named[0])
        width, height = self.size(panel.pixels)
        if width * height > MAX_PIXELS:
            raise InputError(
                f"picture: {width} × {height} pixels, expected at most {MAX_PIXELS // 10**6} million"
            )
        steps = self._steps(panel, panel.camera.camera(width, height), self.values["samples"])

        def write(taken: Taken) -> None:
            def work(job: Job) -> Path:
                job.progress(-1, path.name)
                save_taken(path, taken.finish(), taken.layers, taken.values)
                return path

            self._state.jobs.start("Saving picture", work, self._saved)

        self._state.jobs.draw("Drawing picture", steps, write)

    def _place(self, kind: str) -> Path:
        folder = Path.home() / "Pictures"
        folder = folder if folder.is_dir() else Path.home()
        stem = f"{self._state.document.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        names = (stem, *(f"{stem}-{i}" for i in range(2, 100)))
        return next((p for p in (folder / f"{n}.{kind}" for n in names) if not p.exists()), folder / stem)

    def _saved(self, path: Path) -> None:
        self._state.notify(f"Saved {path.name}", "good", f"In {path.parent}")

    # Drawing

    def _steps(self, panel: ViewportPanel, camera: Camera, samples: int) -> Drawing:
        values, gl = self.values.copy(), panel.gl
        draw, transparent = self.drawn(), values["transparent"]
        tile = SOFTWARE_TILE if self._state.software else TILE
        options = panel.shot_options(camera.height, samples)
        if draw == "shown":
            error = self._state.view.error
            shot = yield from gl.shot_steps(camera, options, tile)
            finish = partial(_finished, shot, error)
        else:
            options = replace(options, aov="color" if draw == "render" else draw)
            image = yield from gl.offline_steps(camera, samples, transparent, options, tile)
            finish = partial(np.asarray, image if transparent else image[..., :3])
        layers: dict[str, np.ndarray] = {}
        if values["format"] == "exr" and self.layers():
            made = yield from gl.channel_steps(camera, self.layers(), tile)
            for name, image in made.items():
                layers |= aov.layers(channel(name), image)
        return Taken(finish, layers, values)

    # Preview

    def follow(self, panel: ViewportPanel) -> None:
        """While the dialog is open: keep the small version up to date."""
        view = panel.camera.camera(*panel.pixels)
        key: tuple[object, ...] = (
            *(self.values.as_dict().values(), panel.pixels, view.view_to_world.tobytes(), view.fx),
            *(self._state.version, self._state.view.mode, self._state.left, self._state.right),
        )
        key = tuple(str(part) for part in key)
        if key == self._preview_key:
            return
        self._preview_key = key
        if self._preview_job is not None:
            self._preview_job.cancel()
        width, height = self.size(panel.pixels)
        scale = min(1.0, PREVIEW / max(width, height))
        small = max(1, round(width * scale)), max(1, round(height * scale))
        steps = self._steps(panel, panel.camera.camera(*small), 2)

        def measure(taken: Taken) -> None:
            def take(preview: Preview) -> None:
                if key == self._preview_key:
                    self.preview = preview

            def work(job: Job) -> Preview:
                return measured(taken, width * height)

            self._state.jobs.start("Measuring", work, take, quiet=True)

        self._preview_job = self._state.jobs.draw("Preview", steps, measure, quiet=True)

    def forget(self) -> None:
        """The dialog is closed: nothing is kept up to date."""
        if self._preview_job is not None:
            self._preview_job.cancel()
        self._preview_key, self.preview, self._preview_job = (), None, None


def _finished(shot: Shot, error: str) -> np.ndarray:
    """[H, W, 3] linear: the view as it is shown; `error` is the measure of a difference."""
    error_map = None
    if shot.pair is not None and error in MAPS:
        from studio.core.optim.metrics import pair_metrics

        found = pair_metrics(shot.pair.left, shot.pair.right, shot.pair.weight)
        error_map = (found.flip_map, found.ssim_map)[MAPS.index(error)]
        shot = replace(shot, options=replace(shot.options, error="map"))
    return to_float(composed(shot, error_map), True)


def save_taken(path: Path, image: np.ndarray, layers: dict[str, np.ndarray], values: ParamSet) -> None:
    """Write a picture with its layers; raises as studio.core.io.images.save_png."""
    if layers:
        save_exr_layers(path, image, layers)
    else:
        save_picture(path, image, values["quality"])


def measured(taken: Taken, pixels: int) -> Preview:
    """A small picture, and how large the file of `pixels` will be: its own size and that of every
    second pixel of it say how size grows with pixels."""
    image = taken.finish()
    sizes = []
    with TemporaryDirectory() as folder:
        for step in (2, 1):
            thinned = {name: layer[::step, ::step] for name, layer in taken.layers.items()}
            file = Path(folder) / f"{step}.{taken.values['format']}"
            save_taken(file, image[::step, ::step], thinned, taken.values)
            sizes.append(file.stat().st_size)
    count = image.shape[0] * image.shape[1]
    # Between the outlines alone (0.5) and noise (1), as far as headers leave the measurement its sense.
    growth = float(np.clip(math.log(sizes[1] / sizes[0]) / math.log(4), 0.5, 1.0))
    return Preview(encode_png(image), round(sizes[1] * max(pixels / count, 1e-6) ** growth))
