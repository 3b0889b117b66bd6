"""The optimizer's renders: variables in, antialiased colour and coverage out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core import effects
from studio.core.gbuffer import CameraBatch
from studio.core.optim.variables import Variables
from studio.core.params import ParamSet
from studio.core.pipeline import render
from studio.core.rasterizer import Rasterizer
from studio.core.scene import Mesh
from studio.core.tensors import SceneTensors

DEFAULT = Rasterizer()
"""What results are shown and measured with, whatever the fit uses."""


class Renderer:
    """Renders one topology of Variables through the differentiable pipeline.

    Args:
        variables: what is rendered, as it is at each call.
        mesh: of the same topology.
        unlit: base colour as it is, instead of shading it.
        settings: parameter values of effects by name.
        rasterizer: where silhouettes get their gradient; may be replaced between steps.
    """

    def __init__(
        self,
        variables: Variables,
        mesh: Mesh,
        unlit: bool,
        settings: dict[str, dict[str, Any]],
        rasterizer: Rasterizer = DEFAULT,
    ):
        self.variables = variables
        self.unlit = unlit
        self.rasterizer = rasterizer
        effect = effects.get("pbr")
        params = ParamSet(effect.name, effect.params, settings.get(effect.name))
        self.effects = {} if unlit else {effect.name: params}
        if variables.sky is not None and not unlit:
            sky = effects.get("environment")
            self.effects[sky.name] = ParamSet(sky.name, sky.params, {"show_background": False})
        self.surface = SceneTensors.from_meshes([mesh], variables.faces.device)
        self.closed = bool((self.surface.topology.edges[:, 3] >= 0).all())

    def render(
        self,
        cameras: CameraBatch,
        background: Tensor,
        rasterizer: Rasterizer | None = None,
        box: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Render every camera of a batch.

        Args:
            cameras: N views.
            background: [3] or [N, H, W, 3] linear.
            rasterizer: instead of the fit's.
            box: [V, 3] vertices in the unit box, if they are at hand.
        Returns:
            rgba: [N, H, W, 4] linear colour over the background, and coverage.
            box_vertices: [V, 3] in the unit box, for the regularizers.
        Gradients:
            To: every leaf of the variables but exposure, and the background.
        """
        v = self.variables
        box = v.box_vertices() if box is None else box
        surface = v.material.surface(self.surface, v.to_world(box))
        frame = render(
            surface,
            cameras,
            v.lighting(),
            background,
            self.effects,
            cull_backfaces=self.closed,
            rasterizer=rasterizer or self.rasterizer,
        )
        return frame["rgba"], box

    @torch.no_grad()
    def exposed(self, cameras: CameraBatch, background: Tensor, stops: Tensor) -> Tensor:
        """[N, H, W, 4] antialiased, without gradient, the object brightened by [N, 3] stops."""
        rgba, _ = self.render(cameras, background, DEFAULT)
        gain = torch.exp2(stops)[:, None, None]
        color, alpha = rgba[..., :3], rgba[..., 3:]
        behind = background * (1 - alpha)
        return torch.cat([(color - behind) * gain + behind, alpha], dim=-1)
