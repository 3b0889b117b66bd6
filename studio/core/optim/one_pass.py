"""One pass over the photos of a step: render, compare, gradients. On a GPU as one CUDA graph."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from studio.core.arrival import sent
from studio.core.optim.graphs import Graphs
from studio.core.optim.losses import Measured, joined, measure
from studio.core.optim.materials import TextureMaterial
from studio.core.optim.messages import GROUPS
from studio.core.optim.settings import TERMS
from studio.core.optim.target_groups import Part
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
        self, fit: Fit, parts: list[Part], own: list[int], count: int, backgrounds: list[Tensor]
    ) -> tuple[Measured, Tensor]:
        """Render and compare this process's own of the step's photos, and leave gradients.

        Args:
            parts: the step's photos, by size.
            own: places in the step that are this process's.
            count: of the step's photos.
            backgrounds: [3] or [N, H, W, 3] of all photos of each part.
        Returns:
            What was measured, and the vertices in the unit box.
        """
        leaves = [tensor for group in GROUPS for tensor in fit.variables.tensors(group)]
        for group in GROUPS:
            for tensor in fit.variables.tensors(group):
                tensor.requires_grad_(fit.settings.enabled(group))
                tensor.grad = None
        work = [(p.own(own), _of(p, own, behind)) for p, behind in zip(parts, backgrounds)]
        work = [(part, behind) for part, behind in work if part.views]
        if len(work) == 1:
            return self._part(fit, *work[0], count)
        found, sums = [], _Sums(leaves)
        for part, behind in work:
            measured, box = self._part(fit, part, behind, count)
            found.append(replace(measured, numbers=measured.numbers.clone()))  # the next one's are put there
            sums.take()
        sums.leave()
        numbers = {place: n for n, place in enumerate(own)}
        places = [[numbers[place] for place in part.places] for part, _ in work]
        return joined(found, places), box

    def _part(self, fit: Fit, part: Part, background: Tensor, count: int) -> tuple[Measured, Tensor]:
        """`run` of photos of one size; gradients are added to those that are there, or replace them."""
        # Losses are means over photos, so shares of them add up to the whole.
        share = len(part.views) / count
        chosen = _Chosen.of(part, fit.device)
        key = _key(fit, part.targets, background, len(part.views), share)
        if fit.variables.lasting and self.graphs.ready(key):
            found = self._replay(key, fit, part.targets, chosen, background, share)
            if found is not None:
                return found
            fit.notes.append(f"steps are not recorded as CUDA graphs: {self.graphs.reason}")
        measured, box = _compare(fit, part.targets, chosen, background)
        loss = measured.total * share
        if loss.requires_grad:  # not if every group is held
            loss.backward()
        return measured, box

    def _replay(
        self, key: Hashable, fit: Fit, targets: Targets, chosen: _Chosen, background: Tensor, share: float
    ) -> tuple[Measured, Tensor] | None:
        """As `_part`, by a CUDA graph; None where it cannot be recorded."""
        v = fit.variables
        box = v.box_vertices()
        inputs = {"index": chosen.index, "box": box.detach()}
        if chosen.views is not chosen.index:
            inputs["views"] = chosen.views
        own = background is v.background  # a leaf, whose place is fixed
        if not own:
            inputs["background"] = background

        def work(given: dict[str, Tensor]) -> dict[str, Tensor]:
            vertices = given["box"].detach().requires_grad_(box.requires_grad)
            behind = v.background if own else given["background"]
            these = _Chosen(given["index"], given.get("views", given["index"]))
            measured, _ = _compare(fit, targets, these, behind, vertices)
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


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Photos of one size, by [N] int64 numbers.

    Attributes:
        index: in their targets.
        views: among all of training.
    """

    index: Tensor
    views: Tensor

    @classmethod
    def of(cls, part: Part, device: torch.device) -> _Chosen:
        index = sent(part.index, device)
        return cls(index, index if part.views == part.index else sent(part.views, device))


class _Sums:
    """Gradients of several passes: a recorded one puts its own in place of those that are there."""

    def __init__(self, leaves: list[Tensor]) -> None:
        self._leaves = leaves
        self._sums: list[Tensor | None] = [None] * len(leaves)

    def take(self) -> None:
        """Add what there is; the leaves have none then."""
        for n, leaf in enumerate(self._leaves):
            own, leaf.grad = leaf.grad, None
            if own is not None:
                former = self._sums[n]
                self._sums[n] = own.clone() if former is None else former.add_(own)

    def leave(self) -> None:
        """Give the leaves their sums."""
        for leaf, total in zip(self._leaves, self._sums):
            leaf.grad = total


def _of(part: Part, own: list[int], background: Tensor) -> Tensor:
    """Of a part's backgrounds those of photos at a process's own places."""
    rows = [n for n, place in enumerate(part.places) if place in own]
    whole = background.ndim < 4 or len(rows) == len(part.places)
    return background if whole else background.index_select(0, sent(rows, background.device))


def _compare(
    fit: Fit, targets: Targets, chosen: _Chosen, background: Tensor, box: Tensor | None = None
) -> tuple[Measured, Tensor]:
    """Render and compare views of the targets; `box` are the vertices, if they are at hand."""
    target, v = targets.select(chosen.index), fit.variables
    cameras = target.cameras
    if v.views.moving:
        cameras = moved_cameras(cameras, v.views.moves().index_select(0, chosen.views), v.views.center)
    rgba, box = fit._renderer.render(cameras, background, box=box)
    return measure(rgba, box, target, chosen.views, background, v, fit._terms, fit.settings), box


def _key(fit: Fit, targets: Targets, background: Tensor, views: int, share: float) -> Hashable:
    """What a recorded pass depends on besides its inputs and the leaves."""
    v, settings = fit.variables, fit.settings
    material: tuple[float, ...] = ()
    if isinstance(v.material, TextureMaterial):
        material = (v.material.evenness, id(v.material.occlusion))
    weights = tuple(settings.weight(term) for term in TERMS)
    moving = (*(settings.enabled(group) for group in GROUPS), v.views.moving)
    shape = (views, share, *background.shape, id(targets), id(v))
    return shape, weights, moving, material, settings["color_loss"], fit._renderer.rasterizer
