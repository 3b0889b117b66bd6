"""The gradient view's work: a job that derives the picture, its images as textures, arrows on the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.scene import Camera, Scene
from studio.ui import theme
from studio.ui.jobs import Job
from studio.ui.state import AppState

if TYPE_CHECKING:
    from studio.core.optim.gradient_view import GradientView
    from studio.core.params import ParamSet

ARROWS = 500
"""Most arrows drawn: more cannot be told apart on one object."""

_LENGTH = 0.06
"""Length of a long arrow, of the object's diagonal."""


@dataclass(eq=False)
class Gradients:
    """What the panel Gradients sets and shows.

    Attributes:
        parameter: name of the scalar that the picture is derived by.
        size: long side of the picture, pixels.
        block: side of a block, pixels.
        view: as far as the derivative is known, or None before the first.
        job: the work under way, or None.
    """

    state: AppState
    parameter: str = "camera.right"
    size: int = 128
    block: int = 4
    view: GradientView | None = None
    job: Job | None = None

    def choices(self, scene: Scene, camera: Camera, effects: dict[str, ParamSet]) -> list[str]:
        """The names that there are to derive by."""
        from studio.core.optim.scalars import scalars

        return list(scalars(scene, camera, effects))

    def start(self, scene: Scene, camera: Camera, effects: dict[str, ParamSet]) -> None:
        """Derive the picture of a scene; the view is replaced as it gets more complete."""
        self.cancel()
        scale = self.size / max(camera.width, camera.height)
        small = camera.resized(max(8, round(camera.width * scale)), max(8, round(camera.height * scale)))
        chosen = {name: values.copy() for name, values in effects.items()}
        name, block, device = self.parameter, self.block, self.state.device

        def work(job: Job) -> GradientView | None:
            from studio.core.device import pick_device
            from studio.core.optim.gradient_view import gradient_views

            made = gradient_views(
                scene, small, name, chosen, block, device=pick_device(device), progress=job.progress
            )
            view = None
            for view in made:
                if self.job is job:
                    self.view = view
                    self.state.wake()
            return view

        self.view = None
        self.job = self.state.jobs.start("Deriving the picture", work, lambda view: None)

    @property
    def busy(self) -> bool:
        return self.job is not None and self.job in self.state.jobs.running

    def cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()
        self.job = None


class GradientImages:
    """The four images of a view as textures; on the thread of the OpenGL context."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx
        self._key: tuple[int, int] = (0, 0)
        self._view: GradientView | None = None
        self._textures: list[Any] = []

    def get(self, view: GradientView) -> list[int]:
        """OpenGL names: picture, adjoint, finite difference, their difference."""
        zero = theme.roles().window
        if view is not self._view or self._key != (id(view), zero):
            self.release()
            self._view, self._key = view, (id(view), zero)
            self._textures = [self._upload(image) for image in images(view, zero)]
        return [texture.glo for texture in self._textures]

    def _upload(self, image: np.ndarray) -> Any:
        data = np.ascontiguousarray(np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8))
        texture = self._ctx.texture((data.shape[1], data.shape[0]), 3, data.tobytes(), alignment=1)
        texture.filter = (0x2600, 0x2600)  # GL_NEAREST: blocks are blocks
        return texture

    def release(self) -> None:
        for texture in self._textures:
            texture.release()
        self._textures, self._view = [], None


def images(view: GradientView, zero: int) -> list[np.ndarray]:
    """[H, W, 3] sRGB 0..1 each, row 0 at the bottom; `zero` is the hex colour of no gradient."""
    from studio.core.color import display
    from studio.core.optim.gradient_view import signed_colors

    ground = ((zero >> 16 & 255) / 255, (zero >> 8 & 255) / 255, (zero & 255) / 255)
    both = (view.adjoint, view.difference, view.adjoint - view.difference)
    return [display(view.picture), *(signed_colors(values, view.limit, ground) for values in both)]


def arrows(
    vertices: np.ndarray, normals: np.ndarray, gradient: np.ndarray, eye: np.ndarray, count: int = ARROWS
) -> tuple[np.ndarray, np.ndarray]:
    """Where vertices would go: downhill, as arrows.

    Args:
        vertices, normals, gradient: [V, 3].
        eye: [3]; vertices that look away from it have none.
        count: arrows at most, evenly chosen.
    Returns:
        (starts, ends): [K, 3] each. The longest fiftieth have one length, the others theirs in
        proportion; those too short to be seen are left out.
    """
    facing = np.flatnonzero(((eye - vertices) * normals).sum(axis=1) > 0)
    chosen = facing[:: max(1, -(-len(facing) // count))]
    size = np.linalg.norm(gradient, axis=1)
    longest = float(np.quantile(size[size > 0], 0.98)) if (size > 0).any() else 0.0
    if longest == 0 or len(chosen) == 0:
        return np.zeros((0, 3)), np.zeros((0, 3))
    diagonal = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    share = np.minimum(size[chosen] / longest, 1.0)
    chosen, share = chosen[share > 0.03], share[share > 0.03]
    direction = -gradient[chosen] / size[chosen, None]
    starts = vertices[chosen].astype(np.float64)
    return starts, starts + direction * share[:, None] * _LENGTH * diagonal
