"""Several processes that share one fit: each renders some of a step's photos, gradients are summed.

Every process holds the whole scene and draws the same random numbers, so a step is the same on all
of them; only renders and their gradients differ. `torchrun --nproc-per-node N -- main.py fit ...`
starts them; without the two dashes it takes `--start` for a flag of its own. Each takes the GPU of its
number on its machine, if there are GPUs; gradients then go from card to card, and no process waits for
its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from studio.core.device import THREADS_VARIABLE, band_count, pick_device
from studio.core.errors import InputError, StudioError, WorkError
from studio.core.kernels import launcher
from studio.core.optim.losses import Measured
from studio.core.optim.recovery import Diverged, OutOfMemory, explained

_PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: the first prepares alone, which takes large sets many minutes.
Those of a process that ended are ended by torchrun."""

T = TypeVar("T")

_FAILURES: tuple[type[WorkError], ...] = (WorkError, Diverged, OutOfMemory)


@dataclass(frozen=True)
class Ranks:
    """This process among `count`; the first, rank 0, is the one that writes."""

    rank: int = 0
    count: int = 1
    cores: int | None = None
    """Those of the machine, where each process has been given a share; None where shares are as told."""

    @classmethod
    def join(cls, device: str = "cpu") -> Ranks:
        """As torchrun's environment says; alone without it. Cores are divided among processes.

        Args:
            device: auto, cpu or cuda; with GPUs the process's own is the current one from here on.
        Raises:
            InputError: there are fewer GPUs than processes.
            WorkError: the other processes cannot be reached.
        """
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        cores = None
        if THREADS_VARIABLE not in os.environ:
            cores = band_count()
            beside = int(os.environ.get("LOCAL_WORLD_SIZE", str(count)))
            os.environ[THREADS_VARIABLE] = str(max(1, cores // beside))
        cuda = pick_device(device).type == "cuda"
        if cuda:
            torch.cuda.set_device(_own_card())
        try:
            # What stays on the host goes from host to host, so that nobody waits for a card.
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise WorkError(f"fit: cannot reach the other processes ({error})") from None
        return cls(dist.get_rank(), count, cores)

    def leave(self) -> None:
        """Say goodbye to the others."""
        if self.count > 1:
            dist.destroy_process_group()

    def own(self, views: Sequence[int]) -> list[int]:
        """Places in `views` that this process renders."""
        return list(range(self.rank, len(views), self.count))

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, in all of them; meanwhile it has all cores.

        Raises:
            StudioError: in the first process what `make` raised, a WorkError in the others.
        """
        if self.count == 1:
            return make()
        outcome: list[Any] = [None, ""]
        failure: StudioError | None = None
        if self.rank == 0:
            try:
                with explained(), self._all_cores():
                    outcome[0] = make()
            except StudioError as error:
                failure, outcome[1] = error, str(error)
        dist.broadcast_object_list(outcome, 0)
        if failure is not None:
            raise failure
        if outcome[1]:
            raise WorkError(f"the first process: {outcome[1]}")
        return cast(T, outcome[0])

    @contextmanager
    def _all_cores(self) -> Iterator[None]:
        if self.cores is None:
            yield
            return
        share = launcher.use_threads(self.cores)
        try:
            yield
        finally:
            launcher.use_threads(share)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails in one process fails in all, with the same kind of error."""
        failure: WorkError | None = None
        try:
            with explained():
                yield
        except WorkError as error:
            failure = error
        if self.count > 1:
            code = torch.tensor([1 + _FAILURES.index(type(failure)) if failure else 0])
            dist.all_reduce(code, dist.ReduceOp.MAX)
            if failure is None and int(code):
                failure = _FAILURES[int(code) - 1]("fit: another process failed in this step")
        if failure is not None:
            raise failure

    def combine(self, measured: Measured, own: list[int], views: int) -> Measured:
        """What the whole step measured, from what this process measured of its `own` views."""
        if self.count == 1:
            return measured
        share, terms = len(own) / views, len(measured.names)
        ours = measured.numbers.double()
        numbers = ours.new_zeros(terms + views)
        numbers[:terms] = ours[:terms] * share
        numbers[terms + self.rank :: self.count] = ours[terms:]
        dist.all_reduce(numbers)
        return replace(measured, numbers=numbers)

    @torch.no_grad()
    def sum_gradients(self, leaves: Iterable[Tensor]) -> None:
        """Replace every leaf's gradient by the sum over the processes."""
        if self.count == 1:
            return
        leaves = list(leaves)
        for leaf in leaves:
            if leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
        flat = torch.cat([leaf.grad.reshape(-1) for leaf in leaves if leaf.grad is not None])
        dist.all_reduce(flat)
        for leaf, part in zip(leaves, flat.split([leaf.numel() for leaf in leaves])):
            leaf.grad = part.view_as(leaf)


def _own_card() -> int:
    """Number of this process's GPU; InputError where there are fewer than processes on the machine."""
    own, beside = (int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    cards = torch.cuda.device_count()
    if max(own + 1, beside) > cards:
        raise InputError(
            f"fit: {max(own + 1, beside)} processes on this machine need a GPU each, there "
            f"{'is' if cards == 1 else 'are'} {cards}; start {cards}, or use --device cpu"
        )
    return own
