"""Dataclasses as trees of plain values with their arrays beside them, and back with every type checked.

A field's type hint says what may stand there; whatever else a file holds is refused with the path
of the entry. No class is looked up by a name from a file, so a file can only be data.
"""

from __future__ import annotations

import dataclasses
import math
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from studio.core.errors import InputError

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_MAX_DEPTH = 64


class Arrays:
    """Arrays under short names; one that several places share is kept once."""

    def __init__(self) -> None:
        self.by_name: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}
        self._held: list[np.ndarray] = []  # an identity is only its array's while that lives

    def keep(self, array: np.ndarray) -> str:
        """The name of an array, new or that under which it is kept already."""
        if id(array) not in self._names:
            name = f"array{len(self.by_name)}"
            self._names[id(array)] = name
            self._held.append(array)
            self.by_name[name] = np.ascontiguousarray(array)
        return self._names[id(array)]


def pack(value: Any, arrays: Arrays) -> Any:
    """A value of dataclasses, dicts with text keys, lists, tuples, arrays, numbers and text as JSON.

    Raises:
        TypeError: something else is in it, which is a defect.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return pack(value.item(), arrays)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.ndarray):
        return {"array": arrays.keep(value)}
    if isinstance(value, list | tuple):
        return [pack(entry, arrays) for entry in value]
    if isinstance(value, dict):
        return {str(key): pack(entry, arrays) for key, entry in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f.name for f in dataclasses.fields(value)]
        return {name: pack(getattr(value, name), arrays) for name in fields}
    raise TypeError(f"a project cannot keep a {type(value).__name__}")


def unpack(hint: Any, node: Any, arrays: dict[str, np.ndarray], where: str, depth: int = 0) -> Any:
    """The value of type `hint` that a JSON node describes.

    Args:
        hint: a dataclass, a plain type, a Literal, a union with None, list, tuple or dict of these,
            np.ndarray, or Any for JSON as it is, with lists as tuples.
        arrays: by name.
        where: begins every error.
    Raises:
        InputError: the node is something else; the line names the entry.
    """
    if depth > _MAX_DEPTH:
        raise InputError(f"{where}: is nested too deeply")
    origin = get_origin(hint)
    if hint is Any:
        return _plain(node, where, depth)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), node, arrays, where, depth)
    if origin is Literal:
        if node not in get_args(hint):
            raise InputError(
                f"{where}: expected one of {', '.join(map(str, get_args(hint)))}, got {_cut(node)}"
            )
        return node
    if hint is np.ndarray:
        return _array(node, arrays, where)
    if origin in (list, tuple, dict):
        return _container(origin, get_args(hint), node, arrays, where, depth)
    if dataclasses.is_dataclass(hint):
        return _object(hint, node, arrays, where, depth)
    return _scalar(hint, node, where)


def _union(options: tuple[Any, ...], node: Any, arrays: dict[str, np.ndarray], where: str, depth: int) -> Any:
    if node is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    for option in rest[:-1]:
        try:
            return unpack(option, node, arrays, where, depth + 1)
        except InputError:
            continue
    return unpack(rest[-1], node, arrays, where, depth + 1)


def _container(
    origin: Any, inner: tuple[Any, ...], node: Any, arrays: dict[str, np.ndarray], where: str, depth: int
) -> Any:
    if origin is dict:
        if not isinstance(node, dict):
            raise InputError(f"{where}: expected an object, got {_cut(node)}")
        return {key: unpack(inner[1], v, arrays, f"{where}.{key}", depth + 1) for key, v in node.items()}
    if not isinstance(node, list):
        raise InputError(f"{where}: expected a list, got {_cut(node)}")
    if origin is list or inner[1:] == (Ellipsis,):
        hints = [inner[0]] * len(node)
    else:
        hints = list(inner)
    if len(hints) != len(node):
        raise InputError(f"{where}: expected {len(hints)} entries, got {len(node)}")
    entries = [unpack(h, v, arrays, f"{where}[{i}]", depth + 1) for i, (h, v) in enumerate(zip(hints, node))]
    return entries if origin is list else tuple(entries)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _object(kind: Any, node: Any, arrays: dict[str, np.ndarray], where: str, depth: int) -> Any:
    """A dataclass; fields that are not in the file have their defaults."""
    if not isinstance(node, dict):
        raise InputError(f"{where}: expected an object, got {_cut(node)}")
    known = {field.name: field for field in dataclasses.fields(kind)}
    for name in node:
        if name not in known:
            raise InputError(f"{where}: there is no {name!r}; expected {', '.join(known)}")
    for name, field in known.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in node:
            raise InputError(f"{where}: {name} is missing")
    hints = _hints(kind)
    return kind(**{k: unpack(hints[k], v, arrays, f"{where}.{k}", depth + 1) for k, v in node.items()})


def _array(node: Any, arrays: dict[str, np.ndarray], where: str) -> np.ndarray:
    name = node.get("array") if isinstance(node, dict) else None
    if not isinstance(name, str) or name not in arrays:
        raise InputError(f"{where}: expected an array of the file, got {_cut(node)}")
    return arrays[name]


def _scalar(hint: Any, node: Any, where: str) -> Any:
    if hint is float:
        if isinstance(node, str) and node in _NOT_FINITE:
            return _NOT_FINITE[node]
        if isinstance(node, int | float) and not isinstance(node, bool):
            try:
                return float(node)
            except OverflowError:
                pass
        raise InputError(f"{where}: expected a number, got {_cut(node)}")
    names = {int: "a whole number", str: "text", bool: "true or false"}
    if hint not in names:
        raise TypeError(f"{where}: no way to read a {hint}")
    if type(node) is not hint:
        raise InputError(f"{where}: expected {names[hint]}, got {_cut(node)}")
    return node


def _plain(node: Any, where: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise InputError(f"{where}: is nested too deeply")
    if isinstance(node, list):
        return tuple(_plain(entry, where, depth + 1) for entry in node)
    if isinstance(node, dict):
        return {key: _plain(entry, f"{where}.{key}", depth + 1) for key, entry in node.items()}
    return node


def _cut(node: Any) -> str:
    text = repr(node)
    return text if len(text) <= 60 else text[:57] + "..."
