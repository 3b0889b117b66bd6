"""Steps recorded as CUDA graphs: one launch for forward and backward, where a step is as the one before.

Recorded is what happens between the vertices and the gradients: rendering, losses, adjoints. Numbers that
differ from step to step enter through tensors of fixed places; whatever else the work depends on is in a
key. Steps of a key that is new are done launch by launch; after some of them it is recorded, and its first
replay is compared with the work done launch by launch. A few keys stay recorded at a time, such as those of
batches of photos of several sizes, which come back every other step; the graphs share their memory, since
what one leaves is used before the next is replayed. Large steps are solved outside: their solver launches on
the default stream, which no recording allows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from studio.core.arrival import on_cuda
from studio.core.errors import describe

SETTLED = 3
"""Steps of one key before it is recorded: they also load kernels and warm caches."""

KEPT = 8
"""Keys that are remembered at a time; the one that was not seen for longest goes first."""

Inputs = dict[str, Tensor]
Work = Callable[[Inputs], Inputs]


class CudaGraph:
    """A piece of work recorded on the current device."""

    def __init__(self) -> None:
        self._graph: Any = torch.cuda.CUDAGraph()

    @property
    def pool(self) -> Any:
        """The memory of what was recorded, for others that never run at the same time."""
        return self._graph.pool()

    def record(self, work: Callable[[], Any], pool: Any = None) -> Any:
        """Do the work twice, the second time into the graph; gives what that returned.

        Args:
            pool: another graph's, or None for memory of its own.
        """
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # as torch asks for: so that nothing refers to the default stream
            work()
        torch.cuda.current_stream().wait_stream(side)
        # Other threads, such as the window's, may use CUDA meanwhile.
        with torch.cuda.graph(self._graph, pool, capture_error_mode="thread_local"):
            return work()

    def replay(self) -> None:
        """Do it again, on the current stream."""
        self._graph.replay()


class _Recording:
    """A graph, the tensors it reads and writes, and the gradients that it leaves."""

    def __init__(self, graph: CudaGraph, pool: Any, inputs: Inputs, leaves: list[Tensor], work: Work) -> None:
        self._graph = graph
        self.inputs = {name: value.detach().clone() for name, value in inputs.items()}

        def once() -> Inputs:
            for leaf in leaves:
                leaf.grad = None  # so that the graph makes them, at places of its own
            return work(self.inputs)

        self.outputs = graph.record(once, pool)
        self._gradients = [(leaf, leaf.grad) for leaf in leaves]

    def right(self, inputs: Inputs, work: Work) -> bool:
        """Whether a replay gives what the work gives launch by launch; sums differ in their order."""
        leaves = [leaf for leaf, _ in self._gradients]
        for leaf in leaves:
            leaf.grad = None
        outputs = work(inputs)
        expected = [*outputs.values(), *(leaf.grad for leaf in leaves)]
        replayed = self.run(inputs)
        found = [*(replayed[name] for name in outputs), *(gradient for _, gradient in self._gradients)]
        return all(
            (a is None) == (b is None) and (a is None or b is None or _close(a, b))
            for a, b in zip(found, expected)
        )

    def run(self, inputs: Inputs) -> Inputs:
        for name, value in inputs.items():
            self.inputs[name].copy_(value)
        self._graph.replay()
        for leaf, gradient in self._gradients:
            leaf.grad = gradient
        return self.outputs


def _close(found: Tensor, expected: Tensor) -> bool:
    """Within a hundredth of the whole: enough to tell a wrong gradient from sums in another order."""
    return bool((found - expected).norm() <= 0.01 * expected.norm() + 1e-12)


@dataclass(eq=False)
class _Kind:
    """Steps of one key: how many there were, and their recording."""

    steps: int = 0
    recording: _Recording | None = None


class Graphs:
    """Records and replays the steps of one fit.

    Args:
        device: of the fit.
        wanted: off is a setting.
        make: CudaGraph, or what stands in for it.
    Attributes:
        reason: why steps are not recorded, or "".
        replayed: steps done by a graph.
        recorded: graphs made.
    """

    def __init__(self, device: torch.device, wanted: bool, make: Callable[[], CudaGraph] = CudaGraph) -> None:
        self.reason = "" if wanted else "switched off"
        if wanted and make is CudaGraph and not on_cuda(device):
            self.reason = "no CUDA device"
        self.replayed = self.recorded = 0
        self._make = make
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()
        self._pool: Any = None

    def ready(self, key: Hashable) -> bool:
        """Whether a step of this key, which begins, is to be done by `run`."""
        if self.reason:
            return False
        kind = self._kinds.setdefault(key, _Kind())
        self._kinds.move_to_end(key)
        if len(self._kinds) > KEPT:
            self._kinds.popitem(last=False)
        kind.steps += 1
        return kind.steps > SETTLED

    def run(self, key: Hashable, inputs: Inputs, leaves: list[Tensor], work: Work) -> Inputs | None:
        """What `work` gives for these inputs, with the leaves' gradients in place.

        Args:
            key: one that is `ready`.
            inputs: values of this step, always of the same shapes for a key.
            leaves: tensors whose gradients the work leaves in `grad`.
            work: forward and backward; it reads nothing that changes but its inputs and the leaves.
        Returns:
            None where recording failed: do it launch by launch; `reason` says why from now on.
        """
        kind = self._kinds[key]
        try:
            if kind.recording is None:
                graph = self._make()
                recording = _Recording(graph, self._pool, inputs, leaves, work)
                if not recording.right(inputs, work):
                    raise ValueError("a replayed step differs from one done launch by launch")
                kind.recording, self._pool = recording, graph.pool
                self.recorded += 1
        except (RuntimeError, ValueError) as error:
            self.reason = describe(error)
            self.forget()
            for leaf in leaves:
                leaf.grad = None  # of an attempt
            return None
        self.replayed += 1
        return kind.recording.run(inputs)

    def forget(self) -> None:
        """Drop what was recorded: memory that it uses is about to go."""
        self._kinds.clear()
        self._pool = None  # torch does not let one be used again once all of its graphs are gone
