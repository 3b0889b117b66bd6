"""Depth peeling: what lies behind the nearest surface, layer by layer."""

from __future__ import annotations

import math
from dataclasses import replace
from types import TracebackType

import torch
from torch import Tensor

from studio.core.errors import InputError
from studio.core.ops.rasterize import Inputs


class DepthPeeler:
    """Rasterize one depth layer after the other, from front to back.

    A context manager, used as

        with DepthPeeler(None, pos, tri, (512, 512)) as peeler:
            for _ in range(layers):
                rast, rast_db = peeler.rasterize_next_layer()

    In a pixel every triangle is in exactly one layer: they are told apart by depth and, where
    that is the same, by id. So triangles in one plane are neither lost nor repeated, and of two
    that share an edge a pixel still has only one.

    Args:
        glctx, pos, tri, resolution, ranges, grad_db, cull_backfaces, output_db: as `rasterize`.
    Raises:
        ShapeError: as `rasterize`.
    Reference:
        Everitt 2001, "Interactive Order-Independent Transparency"; here the layers compare the
        whole key of depth and id.
    """

    def __init__(
        self,
        glctx: object,
        pos: Tensor,
        tri: Tensor,
        resolution: tuple[int, int],
        ranges: Tensor | None = None,
        grad_db: bool = True,
        cull_backfaces: bool = False,
        output_db: bool = True,
    ) -> None:
        self._inputs: Inputs | None = Inputs.of("DepthPeeler", pos, tri, resolution, ranges, cull_backfaces)
        self._grad_db = grad_db
        self._with_db = output_db and getattr(glctx, "output_db", True)
        self._entered = False

    def __enter__(self) -> DepthPeeler:
        self._entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._inputs = None

    def rasterize_next_layer(self) -> tuple[Tensor, Tensor]:
        """Rasterize the next layer; the first is that of `rasterize`.

        Returns:
            rast, rast_db: as of `rasterize`; 0 in pixels that have no further layer.
        Gradients:
            As `rasterize`.
        Raises:
            InputError: outside the `with` block.
        """
        if not self._entered or self._inputs is None:
            raise InputError("DepthPeeler: rasterize_next_layer must be called inside its `with` block")
        inputs = self._inputs
        keys = torch.empty(math.prod(inputs.size), dtype=torch.int64, device=inputs.pos.device)
        made = inputs.rasterize(self._grad_db, self._with_db, keys)
        self._inputs = replace(inputs, passed=keys)
        return made
