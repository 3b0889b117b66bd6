"""Strips of rows that threads take one after the other, without Python in between if there is a crew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from studio.core.kernels import launcher
from studio.core.kernels.crew import Row


class Launch(NamedTuple):
    """A kernel over rows.

    Attributes:
        inputs: from `launcher.arguments`; those at `rows_at` are not used.
        runs: threads for each row, counted on from row to row.
        rows_at: the place of the argument that gets the first run. If one thread `walks` all rows, the
            argument after that gets the run after the last.
        hand_at: the place of the argument that gets the number of the thread; -1 for none.
    """

    kernel: Any
    inputs: Sequence[Any]
    device: torch.device
    runs: int = 1
    rows_at: int = 0
    walks: bool = False
    hand_at: int = -1

    def __call__(self, begin: int, end: int, hand: int = 0) -> None:
        """Launch it over the rows [begin, end)."""
        own = list(self.inputs)
        if self.hand_at >= 0:
            own[self.hand_at] = hand
        own[self.rows_at] = begin * self.runs
        if self.walks:
            own[self.rows_at + 1] = end * self.runs
        threads = 1 if self.walks else (end - begin) * self.runs
        launcher.launch_in_band(self.kernel, threads, own, self.device)


def run(rows: int, strip: int, hands: int, launches: Sequence[Launch]) -> None:
    """Launch kernels over strips of rows, one strip after the other, on CPU, where a row is one run.

    Args:
        strip: rows that a thread takes at a time, fewer at the end.
        hands: how many threads take some.
        launches: what is done for each strip, in order.
    """
    crew = launcher.crew() if hands > 1 else None
    if crew is not None:
        every = []
        for launch in launches:
            last = launch.rows_at + 1 if launch.walks else -1
            every.append(
                Row(launcher.entry(launch.kernel), launch.inputs, launch.rows_at, last, launch.hand_at)
            )
        if crew.rows(rows, strip, hands, every):
            return
    begins = iter(range(0, rows, strip))

    def work(band: launcher.Band) -> None:
        for begin in begins:
            for launch in launches:
                launch(begin, min(begin + strip, rows), band.index)

    launcher.run(torch.device("cpu"), hands, work)
