"""Param to widget: one descriptor gives label, control, range, unit, tooltip, reset and undo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from imgui_bundle import imgui

from studio.core.params import Param, ParamSet
from studio.ui import widgets as w
from studio.ui.commands import Path
from studio.ui.state import AppState

WIDE_RANGE = 1000.0
"""Sliders wider than this times their step cannot hit a value: those are dragged instead."""


def draw(
    state: AppState,
    values: ParamSet,
    path: Path,
    only: Iterable[str] | None = None,
    moving: Callable[[str], bool] = lambda name: False,
    defaults: ParamSet | None = None,
) -> None:
    """Rows for the parameters of a set; a change is posted as an edit below `path`.

    Args:
        only: names to show, in this order; all if None.
        moving: whether the optimizer moves a parameter now.
        defaults: what counts as unchanged, e.g. the preset; the Params' own if None.
    """
    known = {param.name: param for param in values.params()}
    for name in known if only is None else only:
        param = known[name]
        default = param.default if defaults is None else defaults[name]
        row(state, param, values[name], (*path, name), default, moving(name))


def row(state: AppState, param: Param, value: Any, path: Path, default: Any, moving: bool = False) -> None:
    """One labelled control."""
    changed = value != default
    if w.label(param.title, param.help, changed, moving):
        state.set(path, default, f"Reset {param.title.lower()}")
    result = control(param, value)
    if result is not None and result != value:
        state.set(path, result, f"Change {param.title.lower()}")


def control(param: Param, value: Any) -> Any:
    """The widget of a parameter without its label; the new value, or None."""
    id = f"##{param.name}"
    if param.kind == "bool":
        result: Any = w.checkbox(id, value)
    elif param.kind == "choice":
        titles = param.titles or [choice.replace("_", " ").capitalize() for choice in param.choices]
        result = w.combo(id, value, param.choices, titles)
    elif param.kind == "color":
        result = w.color(id, value)
    elif param.kind == "vec3":
        plain = [0.0 if abs(number) < 0.005 else number for number in value]  # or it says -0.00
        changed, moved = imgui.drag_float3(id, plain, param.step, param.low, param.high, "%.2f")
        result = tuple(moved) if changed else None
    elif param.kind == "int":
        fmt = f"%d {param.unit}".strip()
        result = w.drag_int(
            id, value, _finite(param.low), _finite(param.high), max(0.1, param.step / 10), fmt
        )
    else:
        result = _number(id, param, value)
    w.tooltip(param.help)
    return result


def _finite(bound: float) -> int:
    return int(max(min(bound, 2**31 - 1), -(2**31)))


def _number(id: str, param: Param, value: float) -> float | None:
    unit = f" {param.unit}" if param.unit else ""
    span = param.high - param.low
    if span <= WIDE_RANGE * param.step and not (param.log and param.low <= 0):
        decimals = digits(param.step, value) if param.log else digits(param.step)
        return w.slider(id, value, param.low, param.high, f"%.{decimals}f{unit}", param.log)
    # A wide range is dragged, in steps that follow the value where it spans decades.
    speed = max(abs(value) * 0.01, param.step * 0.1) if param.log else param.step
    decimals = digits(param.step) + 1 if param.log else digits(param.step, value)
    tiny = param.log and 0 < abs(value) < 10.0**-decimals
    shown = f"%.1e{unit}" if tiny else f"%.{decimals}f{unit}"
    return w.drag(id, value, param.low, param.high, speed, shown)


def digits(step: float, value: float = 1.0) -> int:
    """Decimals that show one step, and two digits of a value smaller than that."""
    finest = step if value == 0 else min(step, 10.0 ** math.floor(math.log10(abs(value))) / 10)
    return max(0, min(6, math.ceil(-math.log10(finest) - 1e-9)))
