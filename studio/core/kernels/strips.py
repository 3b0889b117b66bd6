"""Strips of rows that threads take one after the other, without Python in between.

From one launch to the next a thread needs Python's lock, and where another one has it, the wait and the
waking took as long as drawing a strip.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import warp as wp

from studio.core.kernels import launcher

wp.set_module_options({"enable_backward": False})


class Launch(NamedTuple):
    """A kernel over rows.

    Attributes:
        inputs: from `launcher.arguments`; those at `rows_at` are not used.
        runs: threads for each row, counted on from row to row.
        rows_at: the place of the argument that gets the first run. If one thread `walks` all rows, the
            argument after that gets the run after the last.
    """

    kernel: Any
    inputs: Sequence[Any]
    device: torch.device
    runs: int = 1
    rows_at: int = 0
    walks: bool = False

    def __call__(self, begin: int, end: int) -> None:
        """Launch it over the rows [begin, end)."""
        own = list(self.inputs)
        own[self.rows_at] = begin * self.runs
        if self.walks:
            own[self.rows_at + 1] = end * self.runs
        threads = 1 if self.walks else (end - begin) * self.runs
        launcher.launch_in_band(self.kernel, threads, own, self.device)


# `calls` has addresses, of a kernel's entry and of its packed arguments, and where among those the
# first row goes and the one after the last, -1 if nowhere.
@wp.func_native(
    """
    #if !defined(__CUDA_ARCH__)
    typedef void (*Kernel)(const void* bounds, const void* arguments);
    struct Bounds {  // of a launch in one dimension, see `direct`
        unsigned shape;
        size_t size, multiple;
    };
    for (;;) {
        const int begin = __atomic_fetch_add((int*)next.data, strip, __ATOMIC_RELAXED);
        if (begin >= rows) return;
        const int end = begin + strip < rows ? begin + strip : rows;
        for (int i = 0; i < calls.shape[0]; ++i) {
            const long long* call = (const long long*)calls.data + 4 * i;
            char* arguments = (char*)call[1];
            const bool walks = call[3] >= 0;
            memcpy(arguments + call[2], &begin, sizeof(int));
            if (walks) memcpy(arguments + call[3], &end, sizeof(int));
            const unsigned threads = walks ? 1 : end - begin;
            const Bounds bounds = {threads, threads, 1};
            ((Kernel)call[0])(&bounds, arguments);
        }
    }
    #endif
"""
)
def take_strips(rows: int, strip: int, next: wp.array(dtype=wp.int32), calls: wp.array2d(dtype=wp.int64)): ...


@wp.kernel(enable_backward=False)
def take(rows: wp.int32, strip: wp.int32, next: wp.array(dtype=wp.int32), calls: wp.array2d(dtype=wp.int64)):
    """Take strips of rows, `next` being where the next one begins, until there are none."""
    take_strips(rows, strip, next, calls)


def run(rows: int, strip: int, bands: int, launches: Callable[[int], Sequence[Launch]]) -> None:
    """Launch kernels over strips of rows, one strip after the other, on CPU, where a row is one run.

    Args:
        strip: rows that a thread takes at a time, fewer at the end.
        bands: how many threads take some.
        launches: for each band, by its index, what is done for each strip, in order.
    """
    device = torch.device("cpu")
    each = [launches(band) for band in range(bands)]
    packed = [[launcher.pack(launch.kernel, launch.inputs) for launch in own] for own in each]
    if any(pack is None for own in packed for pack in own):
        begins = iter(range(0, rows, strip))

        def work(band: launcher.Band) -> None:
            for begin in begins:
                for launch in each[band.index]:
                    launch(begin, min(begin + strip, rows))

    else:
        next_row, kept, ready = torch.zeros(1, dtype=torch.int32), [], []
        for own, packs in zip(each, packed):
            table = []
            for launch, (entry, arguments) in zip(own, packs):
                memory = ctypes.create_string_buffer(arguments, len(arguments))
                kept.append(memory)
                last = entry.offset(launch.rows_at + 1) if launch.walks else -1
                table.append((entry.address, ctypes.addressof(memory), entry.offset(launch.rows_at), last))
            inputs = [rows, strip, next_row, torch.tensor(table, dtype=torch.int64)]
            ready.append(launcher.arguments(take, inputs, device))

        def work(band: launcher.Band) -> None:
            launcher.launch_in_band(take, 1, ready[band.index], device)

    launcher.run(device, bands, work)
