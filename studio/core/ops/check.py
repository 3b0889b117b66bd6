"""Checks of tensors at the door of the public operations: one line that names what is wrong."""

from __future__ import annotations

from operator import index

import torch
from torch import Tensor

from studio.core.errors import ShapeError

Dim = int | str | None

DEVICES = ("cpu", "cuda")
"""Kinds of devices that the operations run on."""


def _expected(shape: tuple[Dim, ...]) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def _matches(tensor: Tensor, shape: tuple[Dim, ...]) -> bool:
    if tensor.ndim != len(shape):
        return False
    for want, got in zip(shape, tensor.shape):  # noqa: SIM110  # a generator would take twice as long
        if type(want) is int and want != got:
            return False
    return True


def tensor(
    op: str,
    name: str,
    value: object,
    shape: tuple[Dim, ...],
    dtype: torch.dtype = torch.float32,
    like: Tensor | None = None,
) -> Tensor:
    """`value` as a contiguous tensor, once its type, shape and device are as expected.

    Args:
        op, name: what the message starts with, e.g. "rasterize: pos".
        shape: numbers are required, letters only named in the message.
        like: must be on the same device.
    Raises:
        ShapeError: names the tensor, what was expected and what came.
    """
    if not isinstance(value, Tensor):
        raise ShapeError(f"{op}: {name} must be a tensor {_expected(shape)}, got {type(value).__name__}")
    device = value.device
    placed = device.type in DEVICES and (like is None or device == like.device)
    if value.dtype is dtype and _matches(value, shape) and placed:
        return value.contiguous()
    where = "cpu or cuda" if like is None or like is value else str(like.device)
    if value.dtype != dtype:
        wrong = f"be {_name(dtype)}, got {_name(value.dtype)}"
    elif not _matches(value, shape):
        wrong = f"have shape {_expected(shape)}, got {list(value.shape)}"
    else:
        wrong = f"be on {where}, got {device}"
    # Who reads the first half knows what to change; the second tells whether anything else is off.
    given = f"{_name(value.dtype)} {list(value.shape)} on {value.device}"
    raise ShapeError(
        f"{op}: {name} must {wrong} (given {given}; expected {_name(dtype)} {_expected(shape)} on {where})"
    )


def triangles(op: str, value: object, like: Tensor) -> Tensor:
    """[T, 3] int32, few enough that a float32 image can hold their numbers."""
    tri = tensor(op, "tri", value, ("T", 3), torch.int32, like)
    # The id + 1 is stored in a float32 channel, which counts exactly up to 2**24.
    if tri.shape[0] >= 1 << 24:
        raise ShapeError(f"{op}: tri must have fewer than {1 << 24} triangles, got {len(tri)}")
    return tri


def size(op: str, resolution: object) -> tuple[int, int]:
    """(height, width), both positive."""
    try:
        height, width = (index(v) for v in resolution)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ShapeError(f"{op}: resolution must be (height, width), got {resolution!r}") from None
    if height < 1 or width < 1 or height > 32768 or width > 32768:
        raise ShapeError(f"{op}: resolution must be 1 to 32768 pixels a side, got {height} x {width}")
    return height, width


def same_batch(op: str, name: str, value: Tensor, count: int, allow_one: bool = False) -> None:
    """The leading dimension of `value` is `count`, or 1 where it may be shared."""
    if value.shape[0] != count and not (allow_one and value.shape[0] == 1):
        options = f"{count} or 1" if allow_one else str(count)
        raise ShapeError(f"{op}: {name} must have a batch of {options}, got {value.shape[0]}")


def background(op: str, value: object, image: tuple[int, ...], like: Tensor) -> Tensor:
    """What stands where nothing is drawn: [C], or a whole image [N, H, W, C]."""
    shape = image[-1:] if isinstance(value, Tensor) and value.ndim == 1 else image
    return tensor(op, "background", value, shape, like=like)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
