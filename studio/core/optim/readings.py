"""What steps measured, read as it arrives: on a GPU some steps later, so that no step waits."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from studio.core.arrival import Arrival
from studio.core.optim.losses import Measured, Measures
from studio.core.optim.recovery import Diverged

FAR = 5.0
"""Boxes away from the object at which a vertex counts as lost."""


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one step measured, before its update.

    Attributes:
        step: number of the step, from 1.
        losses: every term, weighted, and "total".
        psnr: of the step's photos, dB, sRGB, inside the masks.
        view_errors: photo name -> root mean square sRGB difference, of this step's photos.
    """

    step: int
    losses: dict[str, float]
    psnr: float
    view_errors: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Reading:
    step: int
    measured: Measured
    photos: tuple[str, ...]
    numbers: Arrival


class Readings:
    """Numbers of steps that are under way, in order.

    Attributes:
        last: the newest that has arrived, or None.
    """

    def __init__(self) -> None:
        self.last: StepResult | None = None
        self._waiting: deque[_Reading] = deque()
        self._arrived: list[StepResult] = []

    def send(
        self,
        step: int,
        measured: Measured,
        photos: tuple[str, ...],
        gradients: list[Tensor],
        vertices: Tensor | None,
    ) -> None:
        """Have the numbers of a step fetched.

        Args:
            photos: names of the step's.
            gradients: not finite means that the fit has diverged.
            vertices: in the unit box, where a look for lost ones is due.
        """
        slope = measured.numbers.new_zeros(())
        if gradients:
            slope = torch.stack(torch._foreach_norm(gradients)).sum()
        reach = slope.new_zeros(()) if vertices is None else vertices.detach().abs().max()
        numbers = torch.cat([measured.numbers, torch.stack([slope, reach]).to(measured.numbers)])
        self._waiting.append(_Reading(step, measured, photos, Arrival([numbers])))

    def receive(self, wait: bool = False) -> list[StepResult]:
        """Look at what has arrived, or at all that was sent, and give that, oldest first.

        Raises:
            Diverged: a loss or a gradient is not finite, or the surface has left the scene.
        """
        first = len(self._arrived)
        while self._waiting and (wait or self._waiting[0].numbers.ready):
            reading = self._waiting.popleft()
            (array,) = reading.numbers.arrays()
            *values, slope, reach = array.tolist()
            measures = reading.measured.read(values)
            self._check(reading.step, measures, slope, reach)
            errors = dict(zip(reading.photos, measures.view_errors))
            self.last = StepResult(reading.step, measures.losses, measures.psnr, errors)
            self._arrived.append(self.last)
        return self._arrived[first:]

    @staticmethod
    def _check(step: int, measures: Measures, slope: float, reach: float) -> None:
        if reach > FAR:
            raise Diverged(
                f"fit: the surface has left the scene at step {step}; "
                "lower the learning rate of vertices or raise large_steps"
            )
        if not math.isfinite(measures.losses["total"]):
            raise Diverged(f"fit: the loss is not finite at step {step}; lower the learning rates")
        if not math.isfinite(slope):
            raise Diverged(f"fit: a gradient is not finite at step {step}; lower the learning rates")

    def take(self) -> list[StepResult]:
        """Those that have arrived since the last call, oldest first."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def forget(self) -> None:
        """Drop what is under way: it belongs to values that were taken back."""
        self._waiting.clear()
