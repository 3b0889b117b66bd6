"""Stands in for CUDA graphs: what torch does while one captures is noted, and done again to replay it.

As on a GPU, results go to the same places again, looking at a number while capturing is refused, and so is a
pool whose graphs are all gone. Only what goes through torch is noted: no kernels of ours.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "item", "equal", "is_nonzero")


class _Noting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.again: list[Callable[[], None]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        if name in WAITING:
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        how = kwargs or {}
        out = func(*args, **how)
        made = list(out) if isinstance(out, (tuple, list)) else [out]

        def repeated() -> None:
            found = func(*args, **how)
            for place, value in zip(made, list(found) if isinstance(found, (tuple, list)) else [found]):
                if isinstance(place, Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)

        self.again.append(repeated)
        return out


class FakeGraphs:
    """Takes the place of what `torch.cuda` has of graphs.

    Attributes:
        events: what was done, in order: ("capture", graph, pool), ("replay", graph).
        fail: raised by the next captures, the first one by the first.
    """

    def __init__(self, monkeypatch: Any) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.fail: list[Exception | None] = []
        self._count = 0
        self._users: dict[int, weakref.WeakSet] = {}
        host = self

        class Graph:
            def __init__(self) -> None:
                host._count += 1
                self.number, self._pool, self.again = host._count, 0, []  # type: ignore[var-annotated]

            def pool(self) -> int:
                return self._pool

            def replay(self) -> None:
                host.events.append(("replay", self.number))
                with torch.no_grad():
                    for step in self.again:
                        step()

        class Stream:
            def wait_stream(self, other: Any) -> None:
                assert isinstance(other, Stream)

        for name, value in (
            ("CUDAGraph", Graph),
            ("Stream", Stream),
            ("current_stream", Stream),
            ("stream", lambda stream: contextlib.nullcontext()),
            ("graph", self._capturing),
        ):
            monkeypatch.setattr(torch.cuda, name, value)

    @contextlib.contextmanager
    def _capturing(self, graph: Any, pool: int | None, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local", "other threads go on"
        gc.collect()
        assert pool is None or len(self._users[pool]), "the pool is gone with its graphs"
        graph._pool = graph.number if pool is None else pool
        self._users.setdefault(graph._pool, weakref.WeakSet()).add(graph)
        self.events.append(("capture", graph.number, graph._pool))
        error = self.fail.pop(0) if self.fail else None
        if error is not None:
            raise error
        with _Noting() as noting:
            yield
        graph.again = noting.again
