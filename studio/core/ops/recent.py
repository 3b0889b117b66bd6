"""What a thread found out last about some tensors, for operations that are given the very same ones."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

from torch import Tensor

_store = threading.local()


def keep(name: str, inputs: Sequence[Tensor], value: Any) -> None:
    """Remember `value` instead of what had this name; the inputs themselves are not kept alive."""
    # Inference tensors do not count their changes.
    if not any(tensor.is_inference() for tensor in inputs):
        _store.__dict__[name] = (
            [weakref.ref(tensor) for tensor in inputs],
            [tensor._version for tensor in inputs],
            value,
        )


def find(name: str, inputs: Sequence[Tensor]) -> Any:
    """The value last kept under this name, or None if it was of others or somebody has changed them."""
    references, versions, value = _store.__dict__.get(name, ((), (), None))
    same = len(references) == len(inputs) and all(
        reference() is tensor and version == tensor._version
        for reference, version, tensor in zip(references, versions, inputs)
    )
    return value if same else None
