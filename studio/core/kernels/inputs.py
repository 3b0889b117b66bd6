"""What a kernel that runs in bands is given: the band's edges, parts of tensors, copies to add into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.kernels.bands import Band


class Edge:
    """Stands in an input list for the first item of the band, or the one after its last."""


BEGIN, END = Edge(), Edge()


@dataclass(frozen=True, eq=False)
class Sliced:
    """A tensor of which each band sees only its part of the leading dimension."""

    tensor: Tensor


@dataclass(frozen=True, eq=False)
class Scatter:
    """A tensor that a kernel adds into, anywhere.

    Attributes:
        tensor: what is added to; other bands than the first get a zeroed copy, added at the end.
        unit: if positive, `unit` consecutive items of the leading dimension all write into one
            and the same slice of the tensor, and no other item does. No copies are made when
            the bands end on multiples of it.
    """

    tensor: Tensor
    unit: int = 0


def of_all(inputs: Sequence[Any], length: int) -> list[Any]:
    """The inputs as one band of everything sees them."""
    out = list(inputs)
    for number, value in enumerate(inputs):
        kind = type(value)
        if kind is Edge:
            out[number] = 0 if value is BEGIN else length
        elif kind is Scatter or kind is Sliced:
            out[number] = value.tensor
    return out


def needs_copies(value: Any, parts: Sequence[Band]) -> bool:
    """Whether several of the bands may write into the same part of it."""
    if not isinstance(value, Scatter) or len(parts) == 1:
        return False
    return not value.unit or any(band.end % value.unit for band in parts)


def balanced(parts: Sequence[Band], spans: Tensor) -> Sequence[Band]:
    """As many bands, with about the same number of columns each."""
    columns = spans.numpy()
    done = np.cumsum(columns[:, 1] - columns[:, 0] + 1, dtype=np.int64)
    shares = done[-1] * np.arange(1, len(parts)) // len(parts)
    ends = [0, *np.searchsorted(done, shares).tolist(), len(columns)]
    return [Band(i, len(parts), ends[i], ends[i + 1]) for i in range(len(parts))]


def private(values: Sequence[Any], parts: Sequence[Band]) -> list[dict[int, Tensor]]:
    """Per band, the copies of what is scattered into (empty for the first)."""
    copies: list[dict[int, Tensor]] = [{} for _ in parts]
    for value in values:
        if not needs_copies(value, parts):
            continue
        for band in parts[1:]:
            if id(value) not in copies[band.index]:
                copies[band.index][id(value)] = torch.empty_like(value.tensor)
    return copies


def sum_up(copies: Sequence[dict[int, Tensor]], values: Sequence[Any]) -> None:
    """Add the bands' copies to the tensors they stand for."""
    targets = {id(value): value for value in values if isinstance(value, Scatter)}
    for own in copies:
        for key, copy in own.items():
            targets[key].tensor.add_(copy)
