"""Warp kernels, one module per primitive, and the one launcher that runs them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def warp_modules() -> list[Any]:
    """Every Warp module of this package, for compiling ahead: found by being here.

    A file that makes modules on demand (one per channel count) names the usual ones itself in
    a function of the same name.
    """
    import warp as wp

    found: list[Any] = []
    for info in pkgutil.iter_modules(__path__, __name__ + "."):
        if info.name.endswith((".launcher", ".direct")):
            continue
        python_module = importlib.import_module(info.name)
        module = wp.get_module(info.name)
        if module.kernels:
            found.append(module)
        more = getattr(python_module, "warp_modules", None)
        if more is not None:
            found += more()
    return found
