"""The differentiable renderer's picture of the view, drawn on a thread, live while the view moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.scene import Camera, Photo, Scene
from studio.ui.document import EffectSet
from studio.ui.reference import still

if TYPE_CHECKING:
    from torch import Tensor

    from studio.core.arrival import Stopwatch
    from studio.core.tensors import SceneTensors

SLOW, FAST = 0.06, 0.025
"""Seconds of a moving picture from which on it gets smaller, and below which larger again."""

LEAST = 0.25
"""Share of the pixels each way of the smallest moving picture."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture where it was drawn.

    Attributes:
        image: [H, W, 4] float32: linear colour that is not premultiplied, and coverage.
        event: recorded behind it on a GPU; else None.
        camera: of this size.
        painted: it has its background.
    """

    image: Tensor
    event: Any
    camera: Camera
    painted: bool

    def photo(self) -> Photo:
        """The same on the host."""
        image = self.image.cpu().numpy()
        if self.painted:
            return Photo("diff", image[..., :3].copy(), self.camera, mask=np.clip(image[..., 3], 0, 1))
        premultiplied = image.copy()
        premultiplied[..., :3] *= image[..., 3:]
        return still("diff", premultiplied, self.camera)


class Differentiable:
    """Draws on whatever thread calls `draw`, one call at a time; keeps what pictures have in common."""

    def __init__(self) -> None:
        self.scale = 1.0
        self._key: Hashable = None
        self._scene: Scene | None = None
        self._tensors: SceneTensors | None = None
        self._watches: deque[Stopwatch] = deque()

    def draw(self, key: Hashable, scene: Scene, camera: Camera, own: EffectSet, device: str) -> Drawn:
        """The view of a scene with these effects; those that cannot run are left out.

        Args:
            key: of the scene; the same one means that nothing of it has changed.
            device: auto, cpu or cuda.
        """
        import torch

        from studio.core.arrival import on_cuda, recorded
        from studio.core.device import pick_device
        from studio.core.gbuffer import CameraBatch, LightTensors
        from studio.core.pipeline import render
        from studio.core.plan import plan

        where = pick_device(device)
        effects = own.on()
        effects = {name: values for name, values in effects.items() if name not in plan(effects).skipped}
        painted = "environment" in effects and bool(effects["environment"]["show_background"])
        with torch.no_grad():
            tensors = self._surfaces(key, scene, where)
            frame = render(
                tensors,
                CameraBatch.from_cameras([camera], where),
                LightTensors.from_lighting(scene.lighting, where),
                None,
                effects,
            )
            rgba = frame["rgba"][0]
            color, alpha = rgba[..., :3], rgba[..., 3:]
            if not painted:
                color = torch.where(alpha > 0, color / alpha.clamp_min(1e-4), torch.zeros_like(color))
            image = torch.cat([color, alpha.clamp(0, 1)], dim=-1).contiguous()
        return Drawn(image, recorded() if on_cuda(where) else None, camera, painted)

    def draw_live(self, key: Hashable, scene: Scene, camera: Camera, own: EffectSet, device: str) -> Drawn:
        """The same at as many pixels as the machine draws at frame rate.

        What a GPU draws is timed there, and counts for the pictures after it is done.
        """
        from studio.core.arrival import Stopwatch
        from studio.core.device import pick_device

        size = (max(1, round(side * self.scale)) for side in (camera.width, camera.height))
        watch = Stopwatch(pick_device(device))
        drawn = self.draw(key, scene, camera.resized(*size), own, device)
        watch.stop()
        self._watches.append(watch)
        while self._watches and self._watches[0].ready:
            seconds = self._watches.popleft().seconds
            if seconds > SLOW:
                self.scale = max(LEAST, 0.7 * self.scale)
            elif seconds < FAST:
                self.scale = min(1.0, 1.3 * self.scale)
        return drawn

    def _surfaces(self, key: Hashable, scene: Scene, device: Any) -> SceneTensors:
        """The scene's tensors: those of before where it is the same, moved where only vertices moved."""
        from studio.core.tensors import SceneTensors

        before, known = self._scene, self._tensors
        same_place = known is not None and known.vertices.device == device
        if known is None or not same_place or key != self._key:
            fresh = None
            if known is not None and before is not None and same_place:
                fresh = _moved(known, before, scene)
            known = fresh or SceneTensors.from_scene(scene, device)
        self._key, self._scene, self._tensors = key, scene, known
        return known


def _moved(known: SceneTensors, before: Scene, scene: Scene) -> SceneTensors | None:
    """The tensors of a scene whose only mesh is that of before with other values at its vertices."""
    import torch

    if len(scene.meshes) != 1 or len(before.meshes) != 1:
        return None
    old, new = before.meshes[0], scene.meshes[0]
    if new.uvs is not None or old.uvs is not None or old.faces.shape != new.faces.shape:
        return None
    one, other = old.material, new.material
    if (one.emissive, one.subsurface) != (other.emissive, other.subsurface):
        return None
    if not np.array_equal(old.faces, new.faces):
        return None
    given = (new.colors, new.roughness, new.metallic)
    if any(values is None for values in given) or len(old.vertices) != len(new.vertices):
        return None
    vertices, colors, roughness, metallic = (
        torch.as_tensor(values, dtype=torch.float32).to(known.vertices.device)
        for values in (new.vertices, *given)
    )
    factor = colors.new_tensor(new.material.base_color)
    return replace(known.moved(vertices, colors * factor, roughness, metallic), bounds=new.bounds())
