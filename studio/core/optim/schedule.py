"""Coarse to fine: which step belongs to which stage, and what a stage looks like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

_COARSEST = 0.5
"""Images of the first stage relative to the last: half the size costs a quarter."""

_MIN_RESOLUTION = 64
"""No stage has smaller images than this: below it thin parts are lost."""


FIELD = -1
"""The stage before the first one that moves a mesh."""


def progress(step: int, begin: int, end: int) -> float:
    """0..1, how far the step after `step` lies between two others."""
    return min(1.0, max(0.0, (step - begin) / max(1, end - begin - 1)))


class Part(NamedTuple):
    """One stage on the line of steps: from after `begin` steps to `end`, at a picture size."""

    name: str
    stage: int
    begin: int
    end: int
    resolution: int


@dataclass(frozen=True)
class Schedule:
    """Stages of a run.

    Attributes:
        steps: of the whole run.
        stages: number of stages; later ones are longer, as 3 : 4 : 5.
        full_resolution: long side of the images in the last stage.
        edge_coarse, edge_fine: edge length in the first and last stage, of the object's box.
        texture_steps: steps at the end, of `steps`, that follow as one more stage, for textures.
        field_steps: steps at the beginning, of `steps`, that move a field instead of a mesh.
    """

    steps: int
    stages: int
    full_resolution: int
    edge_coarse: float
    edge_fine: float
    texture_steps: int = 0
    field_steps: int = 0

    @property
    def shape_steps(self) -> int:
        """Steps before the textures' stage."""
        return max(0, self.steps - self.texture_steps)

    def stage(self, step: int) -> int:
        """Stage of the step after `step` steps were done; FIELD, 0 and on, `stages` for the textures."""
        parts = self.parts()
        return next((part.stage for part in parts if step < part.end), parts[-1].stage)

    def parts(self) -> list[Part]:
        """The stages in order, those of no steps left out unless there are no steps at all."""
        shares = [3 + i for i in range(self.stages)]
        length = max(0, self.shape_steps - self.field_steps)
        ends = [math.ceil(length * sum(shares[: i + 1]) / sum(shares)) for i in range(self.stages)]
        named = [("field", FIELD, min(self.field_steps, self.shape_steps))]
        for stage, end in enumerate(ends):
            name = f"shape {stage + 1}" if self.stages > 1 else "shape"
            named.append((name, stage, min(self.field_steps, self.shape_steps) + end))
        named.append(("textures", self.stages, self.steps))
        begins = [0, *(end for _, _, end in named)]
        parts = [
            Part(name, stage, begin, end, self.resolution(stage))
            for (name, stage, end), begin in zip(named, begins)
        ]
        return [part for part in parts if part.end > part.begin] or [parts[self.stages]]

    def left(self, step: int, rate: float) -> float:
        """Seconds that the rest of a run will take, from the present rate in steps per second.

        A step is taken to cost as the side of its pictures: more than nothing, as for triangles and
        launches, less than their pixels.
        """
        parts = self.parts()
        now = next((part for part in parts if step < part.end), parts[-1])
        work = [max(0, part.end - max(step, part.begin)) * part.resolution for part in parts]
        return sum(work) / now.resolution / max(rate, 1e-9)

    def progress(self, stage: int, step: int) -> float:
        """0..1, how far the step after `step` lies in the field's or the shape's part of the run."""
        if stage == FIELD:
            return progress(step, 0, self.field_steps)
        return progress(step, self.field_steps, self.shape_steps)

    def resolution(self, stage: int) -> int:
        """Long side of the images in a stage."""
        factor = _COARSEST ** (1.0 - self._fraction(stage))
        return max(min(_MIN_RESOLUTION, self.full_resolution), round(self.full_resolution * factor))

    def edge_length(self, stage: int) -> float:
        """Edge length in a stage, as a share of the box's longest side."""
        return float(self.edge_coarse * (self.edge_fine / self.edge_coarse) ** self._fraction(stage))

    def _fraction(self, stage: int) -> float:
        return min(1.0, max(0, stage) / (self.stages - 1)) if self.stages > 1 else 1.0
