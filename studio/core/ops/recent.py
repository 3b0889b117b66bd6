"""What a thread found out last about some tensors, for operations that are given the very same ones."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

from torch import Tensor

_store = threading.local()


def keep(name: str, inputs: Sequence[Tensor], value: Any) -> None:
    """Remember `value` instead of what had this name, as long as all inputs live."""
    # Inference tensors do not count their changes.
    if any(tensor.is_inference() for tensor in inputs):
        return
    store = _store.__dict__

    def forget(dead: weakref.ref) -> None:
        if dead in store.get(name, ((),))[0]:
            del store[name]

    references = [weakref.ref(tensor, forget) for tensor in inputs]
    store[name] = (references, [tensor._version for tensor in inputs], value)


def find(name: str, inputs: Sequence[Tensor]) -> Any:
    """The value last kept under this name, or None if it was of others or somebody has changed them."""
    references, versions, value = _store.__dict__.get(name, ((), (), None))
    same = len(references) == len(inputs) and all(
        reference() is tensor and version == tensor._version
        for reference, version, tensor in zip(references, versions, inputs)
    )
    return value if same else None
