"""What a plan of effects means for OpenGL: full-screen draws, in order, without a context."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from studio.core.channels import CHANNELS
from studio.core.effects.effect import Pass
from studio.core.plan import Plan, Step

DEPTHS = frozenset({"depth", "soft_depth", "edge_depth", "swept_depth"})
"""Channels that shaders find in u_depth."""

EMISSION = frozenset({"emissive", "subsurface"})
"""Channels of the fifth G-buffer image, which is drawn only where a step wants one of them."""


@dataclass(frozen=True, eq=False)
class Draw:
    """One full-screen pass of an effect.

    Attributes:
        step, run: the effect and which of its passes.
        defines: PASS_<NAME>; HAS_<CHANNEL> of what the effect takes and somebody makes;
            WRITE_<NAME> <location> of every output; HALF while the effect runs at half size;
            FAR where the depth test picks the pixels.
        reads: channels of effects and buffers of earlier passes, each a sampler u_<name>;
            color and the surface's channels have samplers of their own.
        writes: names in the order of the output locations.
        halvings: how often the picture is halved for this pass.
        over: which pixels the depth test picks: "covered", "empty", the mask "<effect>.<pass>"
            that an earlier pass has marked, or "" for all.
    """

    step: Step
    run: Pass
    defines: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    halvings: int
    over: str

    @property
    def shader(self) -> str:
        return f"{self.step.effect.name}.frag"

    def image(self, name: str) -> str:
        """The name among the images of a frame: a channel's own, a buffer's with its effect."""
        return name if name in CHANNELS else f"{self.step.effect.name}.{name}"

    def components(self, name: str) -> int:
        """Components of a texture for an output: 1, 2 or 4 (of three no image can be drawn into)."""
        size = CHANNELS[name].size if name in CHANNELS else self.run.size
        return 4 if size == 3 else size


def draws(plan: Plan, *stages: str) -> tuple[Draw, ...]:
    """The passes of some stages in the order in which they run, without those that `when` leaves
    out and without idle effects."""
    return tuple(draw for step in plan.stage(*stages) for draw in _draws_of(step))


def _idle(step: Step) -> bool:
    return step.effect.idle is not None and step.effect.idle(step.params)


def _draws_of(step: Step) -> Iterable[Draw]:
    if _idle(step):
        return
    own: list[str] = []
    given = dict.fromkeys((*step.effect.reads, *sorted(step.present)))
    channels = [name for name in given if name != "color" and CHANNELS[name].effect]
    optional = {*step.effect.writes, *step.effect.offers} - set(step.writes)
    for run in step.effect.passes:
        if not run.runs(step.params):
            continue
        asked = () if run.marks else run.writes or step.writes
        writes = tuple(name for name in asked if name not in optional)
        halvings = run.halvings(step.params)
        over = _over(step, run)
        yield Draw(
            step=step,
            run=run,
            defines=(*_defines(step, run, writes), *(["FAR"] if over else [])),
            reads=tuple(name for name in (*channels, *own) if name not in writes),
            writes=writes,
            halvings=halvings,
            over=over,
        )
        own += [name for name in writes if name not in CHANNELS and name not in own]


def _over(step: Step, run: Pass) -> str:
    """See Draw.over."""
    if run.marks:
        return ""
    if run.mask:
        return f"{step.effect.name}.{run.mask}"
    if run.empty:
        return "empty"
    return "" if run.shrink or step.effect.stage == "post" else "covered"


def _defines(step: Step, run: Pass, writes: tuple[str, ...]) -> tuple[str, ...]:
    out = [f"PASS_{run.name.upper()}"]
    out += [f"HAS_{name.upper()}" for name in sorted(step.present)]
    out += [f"WRITE_{name.upper()} {location}" for location, name in enumerate(writes)]
    halved = any(p.half and p.halvings(step.params) > p.shrink for p in step.effect.passes)
    out += ["HALF"] if halved else []
    return tuple(out)
