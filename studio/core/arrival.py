"""Tensors on their way to the host and back, without the host standing still for them."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def on_cuda(device: torch.device) -> bool:
    """Whether work there goes on while the host does something else."""
    return device.type == "cuda"


def recorded() -> Any:
    """An event behind all that the current stream has been given to do."""
    event = torch.cuda.Event()
    event.record()
    return event


class Stopwatch:
    """How long work takes where it is done, from here on to `stop`; nobody waits for it.

    Args:
        device: of the work. On CUDA what the current stream is given counts.
    """

    def __init__(self, device: torch.device) -> None:
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if on_cuda(device) else []
        self._began = time.perf_counter()
        self._seconds = 0.0
        if self._events:
            self._events[0].record()

    def stop(self) -> None:
        """All of the work has been given out."""
        self._seconds = time.perf_counter() - self._began
        if self._events:
            self._events[1].record()

    @property
    def ready(self) -> bool:
        """Whether it has been done."""
        return all(event.query() for event in self._events)

    @property
    def seconds(self) -> float:
        """Of the host and of the device, whichever took longer; once it is `ready`."""
        if not self._events:
            return self._seconds
        return max(self._seconds, 1e-3 * self._events[0].elapsed_time(self._events[1]))


class Arrival:
    """Copies of tensors on the host, made while both sides go on working.

    On CPU they are there at once. On CUDA they are written into pinned memory, in the order of the
    current stream; nobody waits until somebody looks too early.

    Args:
        tensors: copied as they are when the stream gets here; they may be written to afterwards.
    Attributes:
        event: recorded behind the copies; None on CPU.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._copies: list[Tensor] = []
        for tensor in tensors:
            own = tensor.detach()
            if on_cuda(own.device):
                room = torch.empty(own.shape, dtype=own.dtype, pin_memory=True)
                self._copies.append(room.copy_(own, non_blocking=True))
            else:
                self._copies.append(own.clone())
        self.event = recorded() if any(on_cuda(tensor.device) for tensor in tensors) else None

    @property
    def ready(self) -> bool:
        """Whether looking would not wait."""
        return self.event is None or bool(self.event.query())

    def arrays(self) -> list[np.ndarray]:
        """The copies, as arrays of their own; waits for them."""
        if self.event is not None:
            self.event.synchronize()
        return [copy.numpy() for copy in self._copies]


def sent(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of numbers that the host has; it does not wait for the copy to a GPU."""
    tensor = torch.as_tensor(values, dtype=dtype)
    if on_cuda(device):
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@functools.cache
def constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """[len(values)] numbers that are copied to a device once; never written to."""
    return torch.tensor(values, dtype=dtype, device=device)
