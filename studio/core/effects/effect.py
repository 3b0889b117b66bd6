"""What an effect is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio.core.params import Param, ParamSet

if TYPE_CHECKING:
    from torch import Tensor

    from studio.core.gbuffer import Frame

Stage = Literal["shade", "screen", "post"]


@dataclass(frozen=True)
class Effect:
    """One rendering effect, the same in both renderers.

    Attributes:
        name: identifier; its shader is studio/shaders/<name>.frag.
        stage: "shade" makes linear colour from the G-buffer, "screen" works on colour and
            G-buffer before antialiasing, "post" on antialiased colour (tone map and later).
        reads, writes: named channels of the frame (see studio.core.gbuffer).
        params: its parameters, in the order of the panel.
        apply: the differentiable implementation; returns the channels it writes.
        help: one line.
        citations: "Author Year, Title".
        order: place among the effects of its stage.
        enabled: whether it is on unless the user says otherwise.
    """

    name: str
    stage: Stage
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    params: tuple[Param, ...]
    apply: Callable[[Frame, ParamSet], dict[str, Tensor]]
    help: str = ""
    citations: tuple[str, ...] = ()
    order: int = 0
    enabled: bool = True
