"""Calls a compiled CPU kernel straight through its C entry point.

`wp.launch` takes 11 us and another 3 us per tensor; a picture of 512 pixels with its gradient is
a dozen launches with five tensors each, half of its time. Here the arguments are packed by one
`struct` call: 3 us and 0.6 us per tensor.

The layouts are those of Warp's own ctypes structures and are checked against them; where they
differ (another release), `entry` gives None and the launcher goes through wp.launch.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor

_ARRAY_FIELDS = ("data", "grad", "shape", "strides", "ndim", "flags")
_BOUNDS_FIELDS = ("shape", "size", "coord_mult")
_pack_array = struct.Struct("@QQ4i4iHH4x").pack
_pack_1d = struct.Struct("@QQi12xi12xHH4x").pack
_pack_2d = struct.Struct("@QQ2i8x2i8xHH4x").pack
_ARRAY_FORMAT = "56s"  # what _pack_array gives, to begin at a multiple of eight
_MAX_DIMS = 4

_SCALARS = {
    int: "i",
    float: "f",
    bool: "?",
    wp.bool: "?",
    wp.int8: "b",
    wp.uint8: "B",
    wp.int32: "i",
    wp.uint32: "I",
    wp.int64: "q",
    wp.float32: "f",
    wp.float64: "d",
}

_TENSORS = {
    wp.bool: (torch.bool, 1),
    wp.int8: (torch.int8, 1),
    wp.uint8: (torch.uint8, 1),
    wp.int32: (torch.int32, 4),
    wp.int64: (torch.int64, 8),
    wp.float32: (torch.float32, 4),
    wp.float64: (torch.float64, 8),
}


class ArrayKind(NamedTuple):
    """What a kernel's array argument expects of a tensor."""

    dtype: torch.dtype
    size: int  # bytes of a number
    inner: tuple[int, ...]  # trailing dimensions that make one vector or matrix
    dims: int
    step: int  # bytes from one item to the next


class Entry:
    """One kernel's entry point and how its arguments lie in memory."""

    def __init__(self, kernel: Any, executable: Any) -> None:
        self._keep = executable  # its end would unload the code
        self._call = executable.get_kernel_hooks(kernel).forward
        self.address = ctypes.cast(self._call, ctypes.c_void_p).value
        self.name = kernel.key
        self.kinds = [_kind(argument.type) for argument in kernel.adj.args]
        self._formats = [_format(argument.type) for argument in kernel.adj.args]
        self._arguments = _arguments_struct(self._formats)
        self._dims = int(kernel.adj.kernel_dim)
        self._bounds = struct.Struct(f"@{self._dims}INN")
        self._offsets: dict[int, int] = {}

    def array(self, number: int, tensor: Tensor) -> bytes:
        """The array_t of a tensor for argument `number`.

        Raises:
            TypeError: the tensor's type or trailing dimensions are not the kernel's.
        """
        kind = self.kinds[number]
        if kind is None:
            raise TypeError(f"kernel {self.name}: argument {number} takes a number, got a tensor")
        dtype, size, inner, dims, step = kind
        shape = tensor.shape
        if tensor.dtype is dtype and len(shape) == dims + len(inner):
            if dims < 3 and tensor.is_contiguous() and (not inner or _ends(shape, inner)):
                place = tensor.data_ptr()
                if dims == 1:
                    return _pack_1d(place, 0, shape[0], step, 1, 0)
                high, wide = shape[0], shape[1]
                return _pack_2d(place, 0, high, wide, wide * step, step, 2, 0)
            strides = tensor.stride()
            if _fits(shape, strides, inner):
                rest = (0,) * (_MAX_DIMS - dims)
                steps = [stride * size for stride in strides[:dims]]
                place = (tensor.data_ptr(), 0)
                return _pack_array(*place, *shape[:dims], *rest, *steps, *rest, dims, 0)
        raise TypeError(
            f"kernel {self.name}: argument {number} takes {dims} dimensions of {dtype} {list(inner)}, "
            f"got {list(shape)} {tensor.dtype} with strides {list(tensor.stride())}"
        )

    def ready(self, values: Sequence[Any]) -> list[Any]:
        """`values` with tensors turned into pairs: the tensor, to keep its memory, and its `array`."""
        return [
            (value, self.array(number, value)) if isinstance(value, Tensor) else value
            for number, value in enumerate(values)
        ]

    def pack(self, values: Sequence[Any]) -> bytes:
        """The kernel's arguments: numbers, tensors and what `ready` gave, in its order."""
        array = self.array
        numbers = [
            value[1] if type(value) is tuple else array(number, value) if isinstance(value, Tensor) else value
            for number, value in enumerate(values)
        ]
        return self._arguments.pack(*numbers)

    def offset(self, number: int) -> int:
        """Where among the bytes of `pack` argument `number` is."""
        if number not in self._offsets:
            before = [*self._formats[:number], "0" + self._formats[number]]
            self._offsets[number] = _arguments_struct(before).size
        return self._offsets[number]

    def bounds(self, dim: Sequence[int]) -> bytes:
        """What a kernel is told of `dim`."""
        total = 1
        for extent in dim:
            total *= extent
        return self._bounds.pack(*dim, *(1,) * (self._dims - len(dim)), total, 1)

    def __call__(self, dim: Sequence[int], values: Sequence[Any]) -> None:
        """Run over `dim`; values are what `pack` takes."""
        self._call(self.bounds(dim), self.pack(values))


def _ends(shape: Sequence[int], inner: tuple[int, ...]) -> bool:
    """Whether the trailing dimensions are `inner`, of which there is at least one."""
    return shape[-1] == inner[-1] and (len(inner) == 1 or shape[-len(inner) :] == inner)


def _fits(shape: Sequence[int], strides: Sequence[int], inner: tuple[int, ...]) -> bool:
    """Whether the trailing dimensions are `inner`, one number after the other."""
    if not inner:
        return True
    if len(inner) == 1:
        return shape[-1] == inner[0] and (strides[-1] == 1 or inner[0] == 1)
    return shape[-2] == inner[0] and shape[-1] == inner[1] and strides[-2:] == (inner[1], 1)


def _kind(annotation: Any) -> ArrayKind | None:
    if not isinstance(annotation, wp.array):
        return None
    inner = tuple(getattr(annotation.dtype, "_shape_", ()))
    dtype, size = _TENSORS[getattr(annotation.dtype, "_wp_scalar_type_", annotation.dtype)]
    return ArrayKind(dtype, size, inner, annotation.ndim, size * math.prod(inner))


def _arguments_struct(formats: Sequence[str]) -> struct.Struct:
    """A kernel's arguments, padded as C would: 0Q aligns what struct takes for mere bytes."""
    return struct.Struct("@" + "".join("0Q" + f if f == _ARRAY_FORMAT else f for f in formats))


def _format(annotation: Any) -> str:
    return _ARRAY_FORMAT if isinstance(annotation, wp.array) else _SCALARS[annotation]


def _layouts_match() -> bool:
    """Whether Warp's structures are what is packed here."""
    from warp._src import types

    array, bounds = types.array_t, types._launch_bounds_classes
    return (
        tuple(name for name, _ in array._fields_) == _ARRAY_FIELDS
        and ctypes.sizeof(array) == struct.calcsize("@" + _ARRAY_FORMAT)
        and all(
            tuple(name for name, _ in bounds[n]._fields_) == _BOUNDS_FIELDS
            and ctypes.sizeof(bounds[n]) == struct.calcsize(f"@{n}INN")
            for n in range(1, _MAX_DIMS + 1)
        )
    )


def entry(kernel: Any, executable: Any) -> Callable[..., None] | None:
    """The direct way into a kernel, or None where this release of Warp has another inside."""
    try:
        return Entry(kernel, executable) if _layouts_match() else None
    except (AttributeError, ImportError, KeyError, TypeError):
        return None
