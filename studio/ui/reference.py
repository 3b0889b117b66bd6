"""The path-traced reference of the present view, made in the background and shown as it converges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio.core.scene import Camera, Photo
from studio.ui.jobs import Job

if TYPE_CHECKING:
    from studio.ui.state import AppState

WIDTH = 640
"""Pixels of the picture at most: what a processor traces in half a minute."""
SAMPLES = 128


class Reference:
    """Starts and drops the reference; `state.reference` is what there is of it."""

    def __init__(self, state: AppState):
        self._state = state
        self._job: Job | None = None

    def start(self, camera: Camera) -> None:
        """Trace the document's scene from `camera`; a picture under way is given up."""
        self.drop()
        state = self._state
        scale = min(1.0, WIDTH / camera.width)
        seen = camera.resized(max(1, round(scale * camera.width)), max(1, round(scale * camera.height)))
        scene = state.scene

        def work(job: Job) -> Photo:
            from studio.reference import render_reference

            def show(image: np.ndarray) -> None:
                if not job.cancelled:
                    state.stills["reference"] = still("reference", image, seen)
                    state.wake()

            image = render_reference(
                scene, seen, SAMPLES, transparent=True, progress=job.progress, partly=show
            )
            return still("reference", image, seen)

        def take(photo: Photo) -> None:
            state.stills["reference"] = photo

        self._job = state.jobs.start("Path tracing", work, take)
        state.view.right = "reference"
        if state.view.mode == "render":
            state.view.mode = "wipe"

    def drop(self) -> None:
        """Forget the picture, and end the one under way."""
        if self._job is not None:
            self._job.cancel()
        self._job = None
        self._state.stills.pop("reference", None)


def still(name: str, image: np.ndarray, camera: Camera) -> Photo:
    """A premultiplied picture [H, W, 4] as a photo with a mask."""
    alpha = image[..., 3]
    color = image[..., :3] / np.maximum(alpha, 1e-4)[..., None] * (alpha > 0)[..., None]
    return Photo(name, color.astype(np.float32), camera, mask=np.clip(alpha, 0, 1).astype(np.float32))
