"""What to time of each effect: one module per effect, found by being here.

Each has `case() -> tuple[Call, Call, Call | None]`: the effect forward, forward and backward, and
forward and backward of the same formula in plain torch, all at 512 x 512; a Call takes nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]


def cases() -> dict[str, tuple[Call, Call, Call | None]]:
    """The cases by name of their module."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_")
    return {name: importlib.import_module(f"{__name__}.{name}").case() for name in names}
