"""Parameter descriptors: one declaration drives widget, uniform, check, undo, flag and docs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from studio.core.errors import InputError

Kind = Literal["float", "int", "bool", "choice", "color", "vec3"]


@dataclass(frozen=True)
class Param:
    """One user-visible parameter.

    Attributes:
        name: identifier, also the uniform (`u_<name>`) and the flag (`--<effect>-<name>`).
        default: value used when nothing else is said; its type follows `kind`.
        kind: float, int, bool, choice, color (linear RGB triple) or vec3.
        low, high: inclusive range of every component (float, int, color, vec3).
        step: increment of the widget.
        unit: shown muted behind the value, e.g. "m", "deg", "stops".
        help: one line, shown as tooltip and in the docs.
        choices: the legal values of a choice, in menu order.
        titles: what a menu shows for the choices; the choices, capitalised, if empty.
        label: what the panel shows; the name with spaces if empty.
        differentiable: an optimizer can move it.
        discontinuous: its gradient misses jumps; say which in `help`.
        gl_only: the differentiable renderer ignores it.
        log: the slider is logarithmic.
    """

    name: str
    default: Any
    kind: Kind = "float"
    low: float = -math.inf
    high: float = math.inf
    step: float = 0.01
    unit: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    label: str = ""
    differentiable: bool = False
    discontinuous: bool = False
    gl_only: bool = False
    log: bool = False

    @property
    def title(self) -> str:
        return self.label or self.name.replace("_", " ").capitalize()

    def check(self, value: Any, owner: str = "") -> Any:
        """The value converted to the parameter's type; InputError if it does not fit."""
        where = f"{owner}: {self.name}" if owner else self.name
        try:
            if self.kind == "bool":
                return self._check_bool(value)
            if self.kind == "choice":
                if value not in self.choices:
                    raise ValueError(f"must be one of {', '.join(self.choices)}")
                return value
            if self.kind in ("color", "vec3"):
                parts = tuple(self._check_number(v) for v in value)
                if len(parts) != 3:
                    raise ValueError("must be three numbers")
                return parts
            number = self._check_number(value)
            return round(number) if self.kind == "int" else number
        except (TypeError, ValueError) as error:
            raise InputError(f"{where} {error}, got {value!r}") from None

    def _check_bool(self, value: Any) -> bool:
        text = str(value).lower()
        if text in ("true", "1", "yes", "on"):
            return True
        if text in ("false", "0", "no", "off"):
            return False
        raise ValueError("must be true or false")

    def _check_number(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError("must be a number") from None
        if not (self.low <= number <= self.high):  # also refuses NaN
            unit = f" {self.unit}" if self.unit else ""
            raise ValueError(f"must be in [{self.low:g}, {self.high:g}]{unit}")
        return number


class ParamSet:
    """Checked values for a tuple of Params, readable as attributes and as a dict."""

    def __init__(self, owner: str, params: tuple[Param, ...], values: dict[str, Any] | None = None):
        self._owner = owner
        self._params = {p.name: p for p in params}
        self._values = {p.name: p.default for p in params}
        for name, value in (values or {}).items():
            self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Set one value, checked; InputError names the valid parameters if `name` is not one."""
        if name not in self._params:
            known = ", ".join(self._params)
            raise InputError(f"{self._owner}: no parameter {name!r}; it has {known}")
        self._values[name] = self._params[name].check(value, self._owner)

    def attach(self, name: str, tensor: Any) -> None:
        """Let an optimizer move a differentiable parameter: its value is `tensor` from now on.

        The tensor (one element, or three) keeps its gradient; `as_dict` gives plain numbers.
        """
        self.set(name, tensor.detach().tolist())
        if not self._params[name].differentiable:
            raise InputError(f"{self._owner}: {name} is not differentiable")
        self._values[name] = tensor

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def params(self) -> tuple[Param, ...]:
        return tuple(self._params.values())

    def as_dict(self) -> dict[str, Any]:
        return {name: self._plain(name) for name in self._values}

    def is_default(self, name: str) -> bool:
        return bool(self._plain(name) == self._params[name].default)

    def _plain(self, name: str) -> Any:
        value = self._values[name]
        return self._params[name].check(value.detach().tolist()) if hasattr(value, "detach") else value

    def copy(self) -> ParamSet:
        """An independent set of plain values; attached tensors stay behind."""
        return ParamSet(self._owner, self.params(), self.as_dict())
