"""Runs the code that a GPU would run, on torch's device "meta", whose tensors have shapes and no numbers.

Whatever looks at a number there (`.item()`, `float`, `nonzero`, a boolean mask, `.cpu()`) raises, so what
gets through never waits for the GPU, and has shapes that do not depend on the data: such a step can be
recorded as a CUDA graph. Kernels are not launched; their arguments are compared with their signatures.
"""

from __future__ import annotations

import contextlib
import copy
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import warp as wp
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from studio.core.kernels import launcher
from studio.core.ops import check

META = torch.device("meta")


class Launches:
    """Takes the place of Warp in the launcher.

    Attributes:
        counts: kernel -> how often it was launched.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def from_torch(self, tensor: Tensor, dtype: Any, requires_grad: bool, return_ctype: bool) -> Any:
        return _Array(tensor, dtype)

    def launch(self, kernel: Any, dim: Any, inputs: list[Any], **how: Any) -> None:
        assert not how["record_tape"]
        arguments = kernel.adj.args
        assert len(inputs) == len(arguments), f"{kernel.key}: {len(inputs)} arguments of {len(arguments)}"
        for value, argument in zip(inputs, arguments):
            _check(kernel.key, value, argument)
        self.counts[kernel.key] += 1


class _Array:
    def __init__(self, tensor: Tensor, dtype: Any) -> None:
        self.tensor, self.dtype = tensor, dtype


def _check(kernel: str, value: Any, argument: Any) -> None:
    """A tensor where an array is expected, of its type and number of dimensions; else a number."""
    where = f"{kernel}: {argument.label}"
    if not isinstance(argument.type, wp.array):
        assert not isinstance(value, _Array), f"{where} is a number"
        return
    assert isinstance(value, _Array), f"{where} is an array, got {value!r}"
    scalar = getattr(value.dtype, "_wp_scalar_type_", value.dtype)
    inner = tuple(getattr(value.dtype, "_shape_", ()))
    tensor = value.tensor
    assert tensor.device == META, f"{where} is on {tensor.device}"
    assert wp.dtype_to_torch(scalar) == tensor.dtype, f"{where} is {scalar}, got {tensor.dtype}"
    assert tensor.ndim == argument.type.ndim + len(inner), f"{where} has {tensor.ndim} dimensions"
    assert not inner or tuple(tensor.shape[-len(inner) :]) == inner, f"{where} has {tuple(tensor.shape)}"


class Transfers(TorchDispatchMode):
    """Notes copies from the host to the device that the host waits for.

    Attributes:
        found: what made them.
    """

    MAKERS = ("tensor", "as_tensor", "asarray")

    def __init__(self, monkeypatch: Any) -> None:
        super().__init__()
        self.found: list[str] = []
        for name in self.MAKERS:
            monkeypatch.setattr(torch, name, self._watched(name, getattr(torch, name)))
        monkeypatch.setattr(Tensor, "new_tensor", self._watched("new_tensor", Tensor.new_tensor))

    def _watched(self, name: str, make: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Tensor:
            out: Tensor = make(*args, **kwargs)
            if out.device == META and out is not args[0]:
                self._note(f"torch.{name}")
            return out

        return made

    def _note(self, what: str) -> None:
        caller = next(f for f in reversed(traceback.extract_stack()) if "/studio/" in f.filename)
        self.found.append(f"{what} in {Path(caller.filename).name}, line {caller.lineno}")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        how = kwargs or {}
        out = func(*args, **how)
        given = [a for a in (*args, *how.values()) if isinstance(a, Tensor) and a.ndim]
        crossing = isinstance(out, Tensor) and any(a.device != out.device for a in given)
        if crossing and not how.get("non_blocking", False):
            self._note(str(func))
        return out


class Looks(TorchDispatchMode):
    """Counts what the host would wait for if the tensors were on a GPU: numbers, and how many there are.

    Attributes:
        found: their names.
    """

    NAMES = ("_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        masks = name.startswith("index") and len(args) > 1 and isinstance(args[1], (list, tuple))
        if name in self.NAMES or (masks and any(t is not None and t.dtype == torch.bool for t in args[1])):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    """Counts what would be launched by torch itself: all but views and memory that nobody writes to.

    Attributes:
        count: of them. An operation may be several launches, an index with its gradient a dozen.
    """

    SILENT = ("empty", "new_empty", "detach", "alias", "view", "_unsafe_view", "set_", "_reshape_alias")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        looks = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        made = [t for t in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(t, Tensor)]
        written = any(t.device == META and t.numel() for t in made) or name.startswith(("_foreach", "_fused"))
        self.count += written and not looks and not name.startswith(self.SILENT)
        return out


class Allocations(TorchDispatchMode):
    """Adds up what operations make, as if nothing were given back.

    Attributes:
        bytes: of all of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._held: dict[int, Any] = {}  # so that no two have one address

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor) and tensor.device == META:
                storage = tensor.untyped_storage()
                if storage._cdata not in self._held:
                    self._held[storage._cdata] = storage
                    self.bytes += storage.nbytes()
        return out


@contextlib.contextmanager
def _copies_without_memory() -> Iterator[None]:
    plain = Tensor.__deepcopy__

    def moved(self: Tensor, memo: dict) -> Tensor:
        if id(self) not in memo:
            out = torch.empty_like(self.detach(), device=META)
            memo[id(self)] = out.requires_grad_(self.requires_grad) if self.is_leaf else out
        return memo[id(self)]

    def parameter(self: Tensor, memo: dict) -> Tensor:
        if id(self) not in memo:
            memo[id(self)] = torch.nn.Parameter(torch.empty_like(self.detach(), device=META))
        return memo[id(self)]

    plain_parameter = torch.nn.Parameter.__deepcopy__
    Tensor.__deepcopy__ = moved  # type: ignore[method-assign]
    torch.nn.Parameter.__deepcopy__ = parameter  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.__deepcopy__ = plain  # type: ignore[method-assign]
        torch.nn.Parameter.__deepcopy__ = plain_parameter  # type: ignore[method-assign]


def without_memory(thing: Any) -> Any:
    """A deep copy whose tensors have shapes only."""
    with _copies_without_memory():
        return copy.deepcopy(thing)


@contextlib.contextmanager
def pretending(monkeypatch: Any) -> Iterator[Launches]:
    """The operations take such tensors, and launch nothing."""
    launches = Launches()
    with monkeypatch.context() as patch:
        patch.setattr(check, "DEVICES", ("cpu", "meta"))
        patch.setattr(launcher, "wp", launches)
        patch.setattr(launcher, "load", lambda module, device: None)
        yield launches
