"""Gradients of whole images that need not be computed, because the operation they go to knows better.

An adjoint hands a gradient on as a tensor, an image of up to hundreds of MB that is written only for
the adjoint after it to read. Where that one is known, it can be told what the gradient is made of
instead. Everybody else, hooks, sums and whoever asks for that gradient, gets the image.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree


class Deferred(Tensor):
    """A gradient that becomes a tensor when somebody reads it; made in a backward pass.

    Args:
        like: has its shape.
        known: what the operation that it goes to takes instead.
        compute: gives the gradient itself, from `inputs`, which must not change before.
    """

    _compute: Callable[[], Tensor] | None
    _known: Any
    _inputs: Sequence[tuple[Tensor, int]]
    _whole: Tensor

    @staticmethod
    def __new__(
        cls, like: Tensor, known: Any, compute: Callable[[], Tensor], inputs: Sequence[Tensor]
    ) -> Deferred:
        made: Deferred = Tensor._make_wrapper_subclass(cls, like.shape, dtype=like.dtype, device=like.device)
        made._compute, made._known = compute, known
        made._inputs = [(tensor, tensor._version) for tensor in inputs]
        own = weakref.ref(made)

        def settle() -> None:
            kept = own()
            if kept is not None:
                kept.whole()

        # Who keeps it beyond the backward pass may change what it is made of.
        torch.autograd.Variable._execution_engine.queue_callback(settle)
        return made

    def known(self) -> Any:
        """What was to be known instead; None once somebody has read, and maybe changed, the gradient."""
        return None if self._compute is None else self._known

    def whole(self) -> Tensor:
        """The gradient itself.

        Raises:
            RuntimeError: what it is made of was changed in place.
        """
        if self._compute is not None:
            if any(tensor._version != version for tensor, version in self._inputs):
                raise RuntimeError("a tensor needed for gradient computation was modified in place")
            with torch.no_grad():
                self._whole = self._compute()
            self._compute, self._known, self._inputs = None, None, ()
        return self._whole

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = _pytree.tree_map_only(Deferred, Deferred.whole, (args, kwargs or {}))
        return function(*args, **kwargs)

    __torch_dispatch__ = __torch_function__  # type: ignore[assignment]


def known(gradient: object) -> Any:
    """What is known of a Deferred that nobody has read; else None."""
    return gradient.known() if isinstance(gradient, Deferred) else None


def whole(gradient: Tensor) -> Tensor:
    """The gradient, computed if it was deferred."""
    return gradient.whole() if isinstance(gradient, Deferred) else gradient


def is_read_by(tensor: Tensor) -> bool:
    """Whether the operation that made it, a torch.autograd.Function, says that it `reads_deferred`."""
    return getattr(getattr(tensor.grad_fn, "_forward_cls", None), "reads_deferred", False)
