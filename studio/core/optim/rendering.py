"""The optimizer's renders: variables in, antialiased colour and coverage out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core import effects
from studio.core.gbuffer import CameraBatch, Frame
from studio.core.ops import Topology, antialias, rasterize_interpolate
from studio.core.ops.compose import compose
from studio.core.ops.normals import Incidence, vertex_normals
from studio.core.ops.packing import unpack
from studio.core.optim.variables import Variables
from studio.core.params import ParamSet

_CHANNELS = {"albedo": 3, "perceptual_roughness": 1, "metallic": 1, "normal": 3, "position": 3}
"""The G-buffer that shading reads, in the order in which it is interpolated."""


class Renderer:
    """Renders one topology of Variables.

    Args:
        variables: what is rendered, as it is at each call.
        unlit: base colour as it is, instead of shading it.
        settings: parameter values of effects by name.
    """

    def __init__(self, variables: Variables, unlit: bool, settings: dict[str, dict[str, Any]]):
        self.variables = variables
        self.unlit = unlit
        effect = effects.get("pbr")
        self.shade = effect.apply
        self.params = ParamSet(effect.name, effect.params, settings.get(effect.name))
        with torch.no_grad():
            vertices = variables.box_vertices()
        self.topology = Topology.build(variables.faces, vertices)
        self.incidence = Incidence.build(variables.faces, vertices)
        self.closed = bool((self.topology.edges[:, 3] >= 0).all())

    def render(
        self,
        cameras: CameraBatch,
        background: Tensor,
        views: Tensor | None = None,
        gain: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Render every camera of a batch.

        Args:
            cameras: N views.
            background: [3] or [N, H, W, 3] linear.
            views: [N] int64 training photos whose exposure applies, or None.
            gain: [N] linear exposure in place of the training photos'.
        Returns:
            rgba: [N, H, W, 4] linear colour over the background, and coverage.
            box_vertices: [V, 3] in the unit box, for the regularizers.
        Gradients:
            To: every leaf of the variables, and the background.
        """
        v = self.variables
        box = v.box_vertices()
        world = v.to_world(box)
        homogeneous = torch.nn.functional.pad(world, (0, 1), value=1.0)
        clip = torch.matmul(homogeneous, cameras.world_to_clip.transpose(1, 2))
        if gain is None and views is not None:
            gain = v.gain()[views]
        size = (cameras.height, cameras.width)
        if self.unlit:
            color, rast = self._painted(clip, size, gain)
        else:
            color, rast = self._shaded(world, clip, cameras, gain)
        rgba = compose(color, rast, background)
        return antialias(rgba, rast, clip, v.faces, self.topology), box

    def _painted(self, clip: Tensor, size: tuple[int, int], gain: Tensor | None) -> tuple[Tensor, Tensor]:
        albedo = self.variables.albedo()[None]
        if gain is not None:
            albedo = albedo * gain[:, None, None]
        attributes = torch.nn.functional.pad(albedo, (0, 1), value=1.0)  # the fourth is coverage
        return rasterize_interpolate(clip, self.variables.faces, attributes, size, self.closed)

    def _shaded(
        self, world: Tensor, clip: Tensor, cameras: CameraBatch, gain: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        v = self.variables
        normals = vertex_normals(world, v.faces, self.incidence)
        packed = torch.cat([v.albedo(), v.roughness, v.metallic, normals, world], dim=1)
        size = (cameras.height, cameras.width)
        image, rast = rasterize_interpolate(clip, v.faces, packed[None], size, self.closed)
        names = list(_CHANNELS)
        views = unpack(image, rast, tuple(_CHANNELS.values()), names.index("normal"))
        frame = Frame(cameras, v.lighting(), v.background, {"rast": rast, **dict(zip(names, views))})
        color = self.shade(frame, self.params)["color"]
        return color if gain is None else color * gain[:, None, None, None], rast
