"""Effects: one file each, found by being here, and one shader each in studio/shaders.

An effect is described once, by its `EFFECT` object. The UI controls, uniforms, saved
settings, command-line flags and docs all come from its Params; the parity, golden and
gradient tests run over the registry. Effects never import one another: they meet in the
G-buffer.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from studio.core.effects.effect import Effect
from studio.core.errors import InputError

_STAGES = ("shade", "screen", "post")


@cache
def registry() -> dict[str, Effect]:
    """Every effect by name, in the order in which they run."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        if module.name != "effect":
            loaded = importlib.import_module(f"{__name__}.{module.name}")
            found.append(loaded.EFFECT)
    found.sort(key=lambda e: (_STAGES.index(e.stage), e.order, e.name))
    return {effect.name: effect for effect in found}


def get(name: str) -> Effect:
    """The effect called `name`; InputError lists the valid names."""
    effects = registry()
    if name not in effects:
        raise InputError(f"effects: no effect {name!r}; there are {', '.join(effects)}")
    return effects[name]
