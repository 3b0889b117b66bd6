"""What someone who watches a fit wants to know of it: rates in force, motion, gradients, a plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from studio.core.errors import InputError
from studio.core.optim.losses import measure
from studio.core.optim.material_stage import pace
from studio.core.optim.materials import array
from studio.core.optim.messages import GROUPS, HistoryRow
from studio.core.optim.settings import TERMS
from studio.core.optim.views import moved_cameras

if TYPE_CHECKING:
    from studio.core.optim.fit import Fit
    from studio.core.optim.variables import Variables

_SAMPLES = 2048
"""Elements of a tensor whose motion stands for all of it."""

_LEAST_ROWS = 120
"""Steps on which a plateau is judged, at least: fewer say nothing past the luck of the photos."""

_GAIN = 0.005
"""Fall of the loss over such a time that still counts as getting better."""


def rates(fit: Fit) -> dict[str, float]:
    """Group -> learning rate that acts in the next step: setting, decay, stage and caution; 0 if held."""
    return {
        group: fit.settings.rate(group)
        * pace(fit.settings, group, fit.variables, fit.steps_done)
        * fit._keeper.caution
        * fit.settings.enabled(group)
        for group in GROUPS
        if fit.variables.tensors(group)
    }


class Motion:
    """How fast the groups move, from one look to the next."""

    def __init__(self) -> None:
        self._step = -1
        self._before: dict[str, list[Tensor]] = {}
        self._last: dict[str, float] = {}

    @torch.no_grad()
    def take(self, variables: Variables, step: int) -> dict[str, float]:
        """Group -> root mean square change of its values per step since the last call.

        In the group's own units (see settings). Groups whose tensors are others than then, and all
        at the first call, are left out. Asked twice at one step, it says the same twice.
        """
        now = {group: [_sample(t) for t in variables.tensors(group)] for group in GROUPS}
        steps, out = step - self._step, {}
        if steps == 0:
            return self._last
        for group, values in now.items():
            before = self._before.get(group, [])
            same = [v.shape for v in values] == [v.shape for v in before]
            if values and same and steps > 0 and self._step >= 0:
                change = torch.cat([(a - b).flatten() for a, b in zip(values, before)])
                out[group] = float(change.square().mean().sqrt()) / steps if len(change) else 0.0
        self._before, self._step, self._last = now, step, out
        return out


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().flatten()
    return flat[:: max(1, len(flat) // _SAMPLES)].clone()


def vertex_gradient(fit: Fit, term: str = "total", views: int = 4) -> np.ndarray:
    """How a loss of the fit as it stands changes with each vertex; the run goes on as if not asked.

    Args:
        term: "total", or one of settings.TERMS, weighted as it is (1 if its weight is 0).
        views: photos compared, spread over all of them.
    Returns:
        gradient: [V, 3] of the snapshot's mesh, loss per world unit.
    Raises:
        InputError: no such term.
    """
    settings = fit.settings.copy()
    if term != "total":
        if term not in TERMS:
            raise InputError(f"gradient: no loss term {term!r}; there are total, {', '.join(TERMS)}")
        weight = settings.weight(term) or 1.0
        for other in TERMS:
            settings.set(f"{other}_weight", weight if other == term else 0.0)
    variables, targets = fit.variables, fit._current_targets()
    part = targets.some(views)
    index = torch.tensor(part.views, device=fit.device)
    target = part.targets.select(torch.tensor(part.index, device=fit.device))
    cameras = target.cameras
    own = variables.views
    if own.moving:
        cameras = moved_cameras(cameras, own.moves().index_select(0, index), own.center)
    background = variables.background.detach()
    for leaf in variables.tensors("vertices"):
        leaf.requires_grad_()  # a group that is held has a gradient, too
    rgba, box = fit._renderer.render(cameras, background)
    measured = measure(rgba, box, target, index, background, variables, fit._terms, settings)
    if not measured.total.requires_grad:
        return np.zeros_like(array(variables.material.torn(box)))
    (gradient,) = torch.autograd.grad(measured.total, box, allow_unused=True)
    if gradient is None:
        gradient = torch.zeros_like(box)
    return array(variables.material.torn(gradient / variables.scale))


def plateau(rows: Sequence[HistoryRow], begin: int, steps: int) -> int | None:
    """The step since which the loss has not got better, or None while it does.

    The means of two windows that follow each other are compared: together they are the last fifth of
    the part of the run, at least _LEAST_ROWS steps. The loss stands still when it fell by less than
    half a per cent, or by less than twice the uncertainty that the luck of the photos leaves.

    Args:
        rows: of the run.
        begin: first step of the part of the run that is judged: a new stage begins with another loss.
        steps: length of that part.
    """
    need = max(_LEAST_ROWS, steps // 5)
    recent: list[HistoryRow] = []
    for row in reversed(rows):
        if row.step <= begin or (recent and recent[0].step - row.step >= need):
            break
        recent.append(row)
    if not recent or recent[0].step - recent[-1].step < need - 1:
        return None
    losses = np.log([max(row.losses.get("total", math.nan), 1e-30) for row in reversed(recent)])
    if not np.isfinite(losses).all():
        return None
    early, late = np.array_split(losses, 2)
    fall = float(early.mean() - late.mean())
    uncertainty = math.sqrt(early.var() / len(early) + late.var() / len(late))
    return recent[-1].step if fall < max(_GAIN, 2 * uncertainty) else None
