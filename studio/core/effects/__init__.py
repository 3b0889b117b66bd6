"""Effects: one file each, found by being here, and one shader each in studio/shaders.

An effect is described once, by its `EFFECT` object. The UI controls, uniforms, saved
settings, command-line flags and docs all come from its Params; the parity, golden and
gradient tests run over the registry. Effects never import one another: they meet in the
G-buffer.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache

from studio.core.channels import CHANNELS
from studio.core.effects.effect import Effect
from studio.core.errors import InputError

STAGES = ("light", "shade", "screen", "post")

_FRAME_UNIFORMS = frozenset(
    {"camera_position", "world_to_view", "view_to_world", "view_to_clip", "world_to_light", "sh"}
    | {"lens", "size", "far", "step", "light_count", "light_kind", "light_vector", "light_radiance"}
    | {"light_axis", "light_right", "light_shape", "light_size"}
)


@cache
def registry() -> dict[str, Effect]:
    """Every effect by name, in the order in which they run."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        if module.name != "effect":
            loaded = importlib.import_module(f"{__name__}.{module.name}")
            found.append(loaded.EFFECT)
    return ordered(found)


def ordered(found: Iterable[Effect]) -> dict[str, Effect]:
    """Effects by name in the order in which they run; ValueError if a description is wrong."""
    effects = sorted(found, key=lambda e: (STAGES.index(e.stage), e.order, e.name))
    for effect in effects:
        for problem in problems(effect):
            raise ValueError(f"effect {effect.name}: {problem}")
    if len({effect.name for effect in effects}) < len(effects):
        raise ValueError(f"effects: a name twice in {', '.join(effect.name for effect in effects)}")
    return {effect.name: effect for effect in effects}


def problems(effect: Effect) -> list[str]:
    """One line per contradiction in a description."""
    named = (*effect.reads, *effect.writes, *effect.takes, *effect.offers)
    out = [f"no channel {name!r}" for name in named if name not in CHANNELS]
    params = {param.name for param in effect.params}
    out += [
        f"parameter {name} has the name of a channel or frame uniform"
        for name in sorted(params & (CHANNELS.keys() | _FRAME_UNIFORMS))
    ]
    out += [f"draft of no parameter {name}" for name in sorted((effect.draft or {}).keys() - params)]
    images = [p for p in effect.passes if not p.marks]
    written = {name for p in images for name in p.writes or (*effect.writes, *effect.offers)}
    out += [f"no pass writes {name}" for name in (*effect.writes, *effect.offers) if name not in written]
    for i, p in enumerate(effect.passes):
        marked = {(q.name, q.half, q.shrink) for q in effect.passes[:i] if q.marks}
        if p.mask and (p.mask, p.half, p.shrink) not in marked:
            out.append(f"pass {p.name} needs an earlier pass {p.mask} of its size that marks")
        needed = {p.when.partition("=")[0], "half_resolution" if p.half else ""} - {""}
        out += [f"pass {p.name} needs the parameter {name}" for name in sorted(needed - params)]
    return out


def get(name: str) -> Effect:
    """The effect called `name`; InputError lists the valid names."""
    effects = registry()
    if name not in effects:
        raise InputError(f"effects: no effect {name!r}; there are {', '.join(effects)}")
    return effects[name]
