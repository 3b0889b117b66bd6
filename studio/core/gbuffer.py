"""The frame that effects read and write: named channels plus cameras and lights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from studio.core.scene import Camera, Lighting
from studio.core.scene.light import MAX_LIGHTS


@dataclass(eq=False)
class LightTensors:
    """Lighting as tensors that gradients can reach.

    Attributes:
        kind: [L] int32, 0 directional, 1 point.
        vector: [L, 3] direction towards the light, or position.
        radiance: [L, 3] colour times intensity.
        sh: [SH_COUNT, 3] radiance of the environment.
        fixed_to_camera: vectors and sh are in view space instead of world space.
    """

    kind: Tensor
    vector: Tensor
    radiance: Tensor
    sh: Tensor
    fixed_to_camera: bool = False

    @classmethod
    def from_lighting(cls, lighting: Lighting, device: torch.device | str = "cpu") -> LightTensors:
        lights = lighting.lights[:MAX_LIGHTS]
        vector = [li.direction if li.kind == "directional" else li.position for li in lights]
        radiance = [np.asarray(li.color) * li.intensity for li in lights]
        return cls(
            kind=torch.tensor([int(li.kind == "point") for li in lights], dtype=torch.int32, device=device),
            vector=torch.tensor(np.array(vector).reshape(-1, 3), dtype=torch.float32, device=device),
            radiance=torch.tensor(np.array(radiance).reshape(-1, 3), dtype=torch.float32, device=device),
            sh=torch.tensor(lighting.sh, dtype=torch.float32, device=device),
            fixed_to_camera=lighting.fixed_to == "camera",
        )


@dataclass(eq=False)
class CameraBatch:
    """N cameras as float32 tensors; all of one image size.

    Attributes:
        world_to_view, view_to_clip, world_to_clip: [N, 4, 4].
        position: [N, 3] world space.
    """

    world_to_view: Tensor
    view_to_clip: Tensor
    world_to_clip: Tensor
    position: Tensor
    width: int
    height: int

    @classmethod
    def from_cameras(cls, cameras: list[Camera], device: torch.device | str = "cpu") -> CameraBatch:
        def stack(matrices: list[np.ndarray]) -> Tensor:
            return torch.tensor(np.stack(matrices), dtype=torch.float32, device=device)

        return cls(
            world_to_view=stack([c.world_to_view for c in cameras]),
            view_to_clip=stack([c.view_to_clip for c in cameras]),
            world_to_clip=stack([c.world_to_clip for c in cameras]),
            position=stack([c.position for c in cameras]),
            width=cameras[0].width,
            height=cameras[0].height,
        )

    def select(self, index: list[int] | Tensor) -> CameraBatch:
        return CameraBatch(
            self.world_to_view[index],
            self.view_to_clip[index],
            self.world_to_clip[index],
            self.position[index],
            self.width,
            self.height,
        )


@dataclass(eq=False)
class Frame:
    """One batch of images on its way through the pipeline.

    Channels, all [N, H, W, C] float32, row 0 at the bottom, zero where nothing is:
        covered 1 · position 3 (world) · normal 3 (world, unit, facing as the mesh says) ·
        albedo 3 (linear) · perceptual_roughness 1 · metallic 1 · occlusion 1 ·
        depth 1 (distance along the camera's -Z, world units) · uv 2 · rast 4 ·
        color 3 (linear; written by the shade stage, with the background from antialiasing on) ·
        alpha 1 (antialiased coverage) · rgba 4 (both; what losses take) · id 1 · part 1 (triangle
        and mesh, both plus one)
    """

    cameras: CameraBatch
    lights: LightTensors
    background: Tensor
    channels: dict[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        return self.channels[name]

    def world_to_light(self) -> Tensor:
        """[N, 4, 4] into the space the lights live in: identity, or world_to_view."""
        if self.lights.fixed_to_camera:
            return self.cameras.world_to_view
        n = len(self.cameras.position)
        eye = torch.eye(4, device=self.cameras.position.device)
        return eye.expand(n, 4, 4).contiguous()
