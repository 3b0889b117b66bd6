"""The frame that effects read and write: named channels plus cameras and lights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.params import ParamSet
from studio.core.scene import Camera, Lighting
from studio.core.scene.environment import to_octahedral

if TYPE_CHECKING:
    from studio.core.ops.silhouettes import Records
    from studio.core.tensors import SceneTensors


@dataclass(eq=False)
class LightTensors:
    """Lighting as tensors that gradients can reach: any may be replaced by a leaf.

    Attributes:
        kind: [L] int32, place in scene.light.KINDS: directional, point, spot, area.
        vector: [L, 3] direction towards a directional light, position of the others.
        radiance: [L, 3] colour times intensity.
        sh: [SH_COUNT, 3] radiance of the environment.
        fixed_to_camera: everything is in view space instead of world space.
        axis: [L, 3] unit; spot and area lights shine along -axis.
        right: [L, 3] unit, along the width of an area light; its height is along axis x right.
        shape: [L, 4] cosines of outer and inner angle (spot), half width and half height (area).
        size: [L] for soft shadows; see scene.light.
        casts: which lights cast shadows.
        kinds: `kind` on the host, which need not wait for the GPU to know it.
        environment: [E, E, 3] octahedral radiance (see scene.environment), or None where `sh` is
            all there is.
        levels: [T, 3] what `prefilter` would make of the environment, in its place; or None.
    """

    kind: Tensor
    vector: Tensor
    radiance: Tensor
    sh: Tensor
    fixed_to_camera: bool = False
    axis: Tensor = None  # type: ignore[assignment]
    right: Tensor = None  # type: ignore[assignment]
    shape: Tensor = None  # type: ignore[assignment]
    size: Tensor = None  # type: ignore[assignment]
    casts: tuple[bool, ...] = ()
    kinds: tuple[int, ...] = ()
    environment: Tensor | None = None
    levels: Tensor | None = None

    def __post_init__(self) -> None:
        count, like = len(self.vector), self.vector
        if self.axis is None:
            self.axis = constant((0.0, 1.0, 0.0), like.dtype, like.device).repeat(count, 1)
        if self.right is None:
            self.right = constant((1.0, 0.0, 0.0), like.dtype, like.device).repeat(count, 1)
        if self.shape is None:
            self.shape = like.new_zeros(count, 4)
        if self.size is None:
            self.size = like.new_zeros(count)
        if len(self.casts) != count:
            self.casts = (True,) * count
        if len(self.kinds) != count:
            self.kinds = tuple(self.kind.tolist())

    @classmethod
    def from_lighting(cls, lighting: Lighting, device: torch.device | str = "cpu") -> LightTensors:
        arrays = lighting.arrays()
        values: dict[str, Any] = {
            name: torch.tensor(getattr(arrays, name), device=device)
            for name in ("vector", "radiance", "axis", "right", "shape", "size")
        }
        image = lighting.environment
        return cls(
            kind=torch.tensor(arrays.kind, device=device),
            kinds=tuple(int(kind) for kind in arrays.kind),
            sh=torch.tensor(lighting.sh, dtype=torch.float32, device=device),
            fixed_to_camera=lighting.fixed_to == "camera",
            casts=tuple(bool(v) for v in arrays.casts),
            environment=None if image is None else torch.tensor(to_octahedral(image), device=device),
            **values,
        )


@dataclass(eq=False)
class CameraBatch:
    """N cameras as float32 tensors; all of one image size.

    Attributes:
        world_to_view, view_to_clip, world_to_clip: [N, 4, 4].
        position: [N, 3] world space.
        far: [N] distance of the far plane; found from view_to_clip if not given.
    """

    world_to_view: Tensor
    view_to_clip: Tensor
    world_to_clip: Tensor
    position: Tensor
    width: int
    height: int
    far: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.far is None:
            depth = self.view_to_clip[:, 2]
            self.far = depth[:, 3] / (depth[:, 2] + 1)

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
            far=torch.tensor([c.far for c in cameras], dtype=torch.float32, device=device),
        )

    def select(self, index: list[int] | Tensor) -> CameraBatch:
        return CameraBatch(
            self.world_to_view[index],
            self.view_to_clip[index],
            self.world_to_clip[index],
            self.position[index],
            self.width,
            self.height,
            self.far[index],
        )


@dataclass(eq=False)
class Frame:
    """One batch of images on its way through the pipeline.

    Channels are [N, H, W, C] float32, row 0 at the bottom; studio.core.channels names them all
    and says what they are where nothing is. `color` is linear: written by the shade stage, with
    the background from antialiasing on. `alpha` is antialiased coverage, `rgba` both, which
    losses take. `id` and `part` are triangle and mesh, both plus one.

    Attributes:
        cameras, lights: N cameras, and the lights.
        background: [3] or [N, H, W, 3] linear.
        channels: by name.
        wanted: channels that somebody reads or asked for.
        surfaces: the scene, for effects that draw it themselves.
        outline: silhouettes as `antialias` found them, or None (other rasterizers).
    """

    cameras: CameraBatch
    lights: LightTensors
    background: Tensor
    channels: dict[str, Tensor] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()
    surfaces: SceneTensors | None = None
    outline: Records | None = None

    def __getitem__(self, name: str) -> Tensor:
        return self.channels[name]

    def has(self, name: str) -> bool:
        """Whether somebody made a channel."""
        return name in self.channels

    def wants(self, name: str) -> bool:
        """Whether somebody reads a channel or asked for it."""
        return name in self.wanted

    def value(self, params: ParamSet, name: str) -> Tensor:
        """[1], or [3], of a parameter; with its gradient if an optimizer attached a tensor."""
        like, value = self.lights.sh, params[name]
        if isinstance(value, Tensor):
            return value.to(like).reshape(-1)
        numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        return constant(numbers, like.dtype, like.device)

    def lens(self) -> Tensor:
        """[N, 4] of view_to_clip: scale x, scale y, shift x, shift y; u_lens in shaders."""
        matrix = self.cameras.view_to_clip
        return torch.stack([matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2]], dim=1)

    def world_to_light(self) -> Tensor:
        """[N, 4, 4] into the space the lights live in: identity, or world_to_view."""
        if self.lights.fixed_to_camera:
            return self.cameras.world_to_view
        n = len(self.cameras.position)
        eye = torch.eye(4, device=self.cameras.position.device)
        return eye.expand(n, 4, 4).contiguous()
