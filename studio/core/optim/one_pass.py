"""One pass over the photos of a step: render, compare, gradients. On a GPU as one CUDA graph."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from studio.core.arrival import sent
from studio.core.optim.graphs import Graphs
from studio.core.optim.losses import Measured, measure
from studio.core.optim.materials import TextureMaterial
from studio.core.optim.messages import GROUPS
from studio.core.optim.settings import TERMS
from studio.core.optim.targets import Targets
from studio.core.optim.views import moved_cameras

if TYPE_CHECKING:
    from studio.core.optim.fit import Fit


class OnePass:
    """Forward and backward of the steps of a fit.

    Args:
        device: of the fit.
        recorded: steps that are alike become a CUDA graph, where there is CUDA.
    Attributes:
        graphs: what is recorded, and why not.
    """

    def __init__(self, device: torch.device, recorded: bool) -> None:
        self.graphs = Graphs(device, recorded)
        self._names: dict[Hashable, tuple[str, ...]] = {}

    def forget(self) -> None:
        """The variables are about to be others."""
        self.graphs.forget()
        self._names.clear()

    def run(
        self, fit: Fit, targets: Targets, views: list[int], own: list[int], background: Tensor
    ) -> tuple[Measured, Tensor]:
        """Render and compare this process's own of the step's photos, and leave gradients.

        Args:
            views: the step's photos; `own` places in it.
            background: [3] or [N, H, W, 3] of all of the step's photos.
        Returns:
            What was measured, and the vertices in the unit box.
        """
        if background.ndim == 4:
            background = background[own]
        index = sent([views[place] for place in own], fit.device)
        for group in GROUPS:
            for tensor in fit.variables.tensors(group):
                tensor.requires_grad_(fit.settings.enabled(group))
                tensor.grad = None
        # Losses are means over photos, so shares of them add up to the whole.
        share = len(own) / len(views)
        key = _key(fit, targets, background, len(own))
        if fit.variables.lasting and self.graphs.ready(key):
            found = self._replay(key, fit, targets, index, background, share)
            if found is not None:
                return found
            fit.notes.append(f"steps are not recorded as CUDA graphs: {self.graphs.reason}")
        measured, box = _compare(fit, targets, index, background)
        loss = measured.total * share
        if loss.requires_grad:  # not if every group is held
            loss.backward()
        return measured, box

    def _replay(
        self, key: Hashable, fit: Fit, targets: Targets, index: Tensor, background: Tensor, share: float
    ) -> tuple[Measured, Tensor] | None:
        """As `run`, by a CUDA graph; None where it cannot be recorded."""
        v = fit.variables
        box = v.box_vertices()
        inputs = {"index": index, "box": box.detach()}
        own = background is v.background  # a leaf, whose place is fixed
        if not own:
            inputs["background"] = background

        def work(given: dict[str, Tensor]) -> dict[str, Tensor]:
            vertices = given["box"].detach().requires_grad_(box.requires_grad)
            behind = v.background if own else given["background"]
            measured, _ = _compare(fit, targets, given["index"], behind, vertices)
            self._names[key] = measured.names
            loss = measured.total * share
            if loss.requires_grad:
                loss.backward()
            found = {"numbers": measured.numbers}
            return found if vertices.grad is None else {**found, "box": vertices.grad}

        groups = [group for group in GROUPS if group != "vertices" and fit.settings.enabled(group)]
        outputs = self.graphs.run(key, inputs, [leaf for group in groups for leaf in v.tensors(group)], work)
        if outputs is None:
            return None
        if "box" in outputs:
            box.backward(outputs["box"])
        numbers = outputs["numbers"]
        return Measured(numbers[0], self._names[key], numbers), box


def _compare(
    fit: Fit, targets: Targets, index: Tensor, background: Tensor, box: Tensor | None = None
) -> tuple[Measured, Tensor]:
    """Render and compare [N] views of the targets; `box` are the vertices, if they are at hand."""
    target, v = targets.select(index), fit.variables
    cameras = target.cameras
    if v.views.moving:
        cameras = moved_cameras(cameras, v.views.moves().index_select(0, index), v.views.center)
    rgba, box = fit._renderer.render(cameras, background, box=box)
    return measure(rgba, box, target, index, background, v, fit._terms, fit.settings), box


def _key(fit: Fit, targets: Targets, background: Tensor, views: int) -> Hashable:
    """What a recorded pass depends on besides its inputs and the leaves."""
    v, settings = fit.variables, fit.settings
    material: tuple[float, ...] = ()
    if isinstance(v.material, TextureMaterial):
        material = (v.material.evenness, id(v.material.occlusion))
    weights = tuple(settings.weight(term) for term in TERMS)
    moving = (*(settings.enabled(group) for group in GROUPS), v.views.moving)
    shape = (views, *background.shape, id(targets), id(v))
    return shape, weights, moving, material, settings["color_loss"], fit._renderer.rasterizer
