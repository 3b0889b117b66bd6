"""The one place that launches kernels: bands of CPU threads, or one launch on a CUDA stream.

Warp runs a CPU launch on a single core, and its atomics are not atomic between threads. So on
CPU the leading dimension is split into bands, one per core, through a persistent thread pool;
whatever a kernel scatters into gets one private copy per band, summed at the end. On CUDA it
is one launch on torch's current stream. No other code knows about bands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import warp as wp
from torch import Tensor

from studio.core import device as device_module
from studio.core.errors import StudioError
from studio.core.kernels import copying, direct
from studio.core.kernels.bands import LEAST_WORK
from studio.core.kernels.bands import Band as Band
from studio.core.kernels.bands import BandPool as BandPool
from studio.core.kernels.crew import MOST_ZEROS, Crew, Part, serve, share
from studio.core.kernels.inputs import BEGIN as BEGIN
from studio.core.kernels.inputs import END as END
from studio.core.kernels.inputs import Edge, balanced, needs_copies, of_all, private, sum_up
from studio.core.kernels.inputs import Scatter as Scatter
from studio.core.kernels.inputs import Sliced as Sliced

_CPU = torch.device("cpu")
_pool: BandPool | None = None
_pool_lock = threading.Lock()
_load_lock = threading.Lock()
_loaded: dict[tuple[int, str], Any] = {}
_entries: dict[Any, Any] = {}


def pool() -> BandPool:
    """The process's pool, one band per core."""
    global _pool
    if _pool is None:
        with _pool_lock:
            if _pool is None:
                _pool = BandPool(device_module.band_count())
    return _pool


def use_threads(count: int, least_work: float | None = None) -> int:
    """Replace the pool by one of `count` bands; returns the former number.

    For tests and benchmarks; nothing may be running. `least_work` 0 splits the smallest work;
    None leaves it as it is.
    """
    global _pool
    with _pool_lock:
        former = _pool
        if least_work is None:
            least_work = LEAST_WORK if former is None else former.least_work
        _pool = BandPool(count, least_work)
    if former is None:
        return device_module.band_count()
    former.close()
    return former.threads


def _warp_device(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else f"cuda:{device.index or 0}"


def load(module: Any, device: torch.device) -> None:
    """Compile (or fetch from the cache) and load one Warp module, once per device."""
    name = _warp_device(device)
    key = (id(module), name)
    if key in _loaded:
        return
    with _load_lock:
        if key in _loaded:
            return
        device_module.start_warp()
        # Blocks of one thread are what wp.launch asks for on a CPU: with any other number it would compile
        # the module once more, into faster code at that.
        executable = module.load(wp.get_device(name), 1 if name == "cpu" else None)
        if executable is None:
            raise StudioError(f"kernel module {module.name} could not be compiled for {name}")
        _loaded[key] = executable


def preload(
    modules: Iterable[Any],
    progress: Callable[[int, int, str], None] | None = None,
    device: torch.device | None = None,
) -> None:
    """Compile and load kernel modules, telling how far it is.

    Args:
        modules: Warp modules, e.g. `studio.core.kernels.warp_modules()`.
        progress: called as (done, total, name of the next) before each and at the end.
        device: torch device; CPU by default.
    """
    todo = list(modules)
    for done, module in enumerate(todo):
        if progress is not None:
            progress(done, len(todo), module.name.rsplit(".", 1)[-1])
        load(module, device or torch.device("cpu"))
    if progress is not None:
        progress(len(todo), len(todo), "")


def _stream(device: torch.device) -> Any:
    return wp.stream_from_torch(torch.cuda.current_stream(device))


def _entry(kernel: Any, device: torch.device) -> Any:
    """The direct way into a kernel on CPU, None for wp.launch; loads its module."""
    if device.type == "cpu" and kernel in _entries:
        return _entries[kernel]
    load(kernel.module, device)
    if device.type != "cpu":
        return None
    _entries[kernel] = direct.entry(kernel, _loaded[id(kernel.module), _warp_device(device)])
    return _entries[kernel]


def _argument(kernel: Any, entry: Any, number: int, value: Any) -> Any:
    """A tensor as the array that the kernel's argument names; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    if entry is not None:
        return value, entry.array(number, value)
    # Structs instead of wp.array objects: 2.6 us instead of 6, and ten of them a launch.
    return wp.from_torch(
        value, dtype=kernel.adj.args[number].type.dtype, requires_grad=False, return_ctype=True
    )


def bands(device: torch.device, length: int, limit: int | None = None) -> Sequence[Band]:
    """How `run` will split `length` items: one band on CUDA."""
    if device.type != "cpu":
        return [Band(0, 1, 0, length)]
    return pool().split(length, limit)


def run(
    device: torch.device,
    length: int,
    body: Callable[[Band], None],
    limit: int | None = None,
    parts: Sequence[Band] | None = None,
) -> None:
    """Call `body` once per band of `length` items, in parallel on CPU.

    For work that is more than one kernel per band; kernels are launched with `launch_in_band`.
    `parts` are the bands, if they are not to be those of `bands`.
    """
    if length > 0:
        parts = bands(device, length, limit) if parts is None else parts
        if len(parts) == 1:
            body(parts[0])
        else:
            pool().run(parts, body)


def worth(nanoseconds: float) -> int:
    """The number of bands, as `limit`, that work of about this length on one core is worth."""
    least = pool().least_work
    return pool().threads if least <= 0 else 1 + int(nanoseconds / least)


def crew() -> Crew | None:
    """Those of the pool who share launches without Python; None if there are none."""
    current = pool()
    if current.crew is None and current.threads > 1:
        entries = _entry(serve, _CPU), _entry(share, _CPU)
        with _pool_lock:
            if current.crew is None:
                try:
                    current.crew = None not in entries and Crew(current.threads - 1, entries)
                except OSError:
                    current.crew = False
    return current.crew or None


def copied(tensor: Tensor) -> Tensor:
    """A copy of a contiguous float32 tensor; a large one is made in bands."""
    size = tensor.numel() * tensor.element_size()
    if tensor.device.type != "cpu" or size < copying.LARGE:
        with torch.no_grad():
            return tensor.clone()
    out = torch.empty_like(tensor)
    flat, target = tensor.detach().view(-1), out.view(-1)
    launch(copying.copy, len(flat), [BEGIN, END, flat, target], tensor.device, walks=True)
    return out


def arguments(kernel: Any, inputs: Sequence[Any], device: torch.device) -> list[Any]:
    """Inputs of a kernel, tensors turned to arrays; loads its module. Share it between bands."""
    entry = _entry(kernel, device)
    if entry is not None:
        ready: list[Any] = entry.ready(inputs)
        return ready
    return [_argument(kernel, entry, i, value) for i, value in enumerate(inputs)]


def entry(kernel: Any) -> direct.Entry | None:
    """The direct way into a kernel on CPU, if there is one."""
    found: direct.Entry | None = _entry(kernel, _CPU)
    return found


def launch_in_band(
    kernel: Any, dim: int | tuple[int, ...], inputs: Sequence[Any], device: torch.device
) -> None:
    """One plain launch inside a band; `inputs` from `arguments`, or as they are for a single one."""
    own = _entry(kernel, device)
    if own is not None:
        own((dim,) if isinstance(dim, int) else dim, inputs)
        return
    wp.launch(
        kernel,
        dim=dim,
        inputs=[_argument(kernel, None, i, value) for i, value in enumerate(inputs)],
        device=_warp_device(device),
        stream=_stream(device) if device.type == "cuda" else None,
        record_tape=False,
    )


class _Job:
    """A kernel with its inputs, those turned to arrays once that all bands share."""

    def __init__(self, kernel: Any, inputs: Sequence[Any], device: torch.device, adjoint: bool) -> None:
        self.kernel, self.inputs, self.device = kernel, inputs, device
        # A generated adjoint takes a second set of arguments, which only wp.launch packs.
        self.entry = _entry(kernel, device)
        if adjoint:
            self.entry = None
        self._ready = [
            None if isinstance(v, (Sliced, Scatter, Edge)) else _argument(kernel, self.entry, i, v)
            for i, v in enumerate(inputs)
        ]

    def values(self, band: Band, copies: dict[int, Tensor]) -> list[Any]:
        """The inputs as `band` sees them."""
        out = list(self._ready)
        for number, value in enumerate(self.inputs):
            if value is BEGIN:
                out[number] = band.begin
            elif value is END:
                out[number] = band.end
            elif isinstance(value, Sliced):
                part = value.tensor[band.begin : band.end]
                out[number] = _argument(self.kernel, self.entry, number, part)
            elif isinstance(value, Scatter):
                target = copies.get(id(value), value.tensor)
                out[number] = _argument(self.kernel, self.entry, number, target)
        return out

    def run(self, dims: tuple[int, ...], values: list[Any], gradients: list[Any] | None) -> None:
        if self.entry is not None:
            self.entry(dims, values)
            return
        extra = {} if gradients is None else {"adj_inputs": gradients, "adjoint": True}
        wp.launch(
            self.kernel,
            dim=dims,
            inputs=values,
            device=_warp_device(self.device),
            stream=_stream(self.device) if self.device.type == "cuda" else None,
            record_tape=False,
            **extra,
        )


def launch(
    kernel: Any,
    dim: int | tuple[int, ...],
    inputs: Sequence[Any],
    device: torch.device,
    adjoint: Sequence[Any] | None = None,
    limit: int | None = None,
    walks: bool = False,
    spans: Tensor | None = None,
) -> None:
    """Run a kernel over `dim`, its leading dimension split into bands on CPU.

    The kernel's `wp.tid()` starts at 0 in every band: it either takes an argument for which
    BEGIN is passed, or reads and writes only Sliced tensors along the leading dimension.

    Args:
        kernel: a Warp kernel.
        dim: launch dimensions; the first is split.
        inputs: its arguments in order: numbers, tensors, BEGIN, Sliced, Scatter.
        device: where the tensors are.
        adjoint: launch the generated adjoint instead: for each of `inputs` its gradient
            (None, a tensor, Sliced, or Scatter), outputs' gradients included.
        limit: at most this many bands.
        walks: the kernel walks from BEGIN to END itself: one thread a band.
        spans: [length, 2] int32, first column and the one after the last of each item: the work there
            is, to be shared evenly. Ignored if empty, or if equal bands are free of copies.
    """
    shape = (dim,) if isinstance(dim, int) else tuple(dim)
    if any(size == 0 for size in shape):
        return
    parts = bands(device, shape[0], limit)
    if len(parts) == 1 and adjoint is None:
        dims = (1, *shape[1:]) if walks else shape
        launch_in_band(kernel, dims, of_all(inputs, shape[0]), device)
        return
    every = [*inputs, *(adjoint or ())]
    if spans is not None and len(spans) == shape[0] and any(needs_copies(value, parts) for value in every):
        parts = balanced(parts, spans)
    job = _Job(kernel, inputs, device, adjoint is not None)
    pull = None if adjoint is None else _Job(kernel, adjoint, device, True)
    copies = private(every, parts)

    def body(band: Band) -> None:
        own = copies[band.index]
        for copy in own.values():
            copy.zero_()
        gradients = None if pull is None else pull.values(band, own)
        job.run((1 if walks else band.end - band.begin, *shape[1:]), job.values(band, own), gradients)

    if len(parts) == 1:
        body(parts[0])
    elif pull is not None or not _shared(job, parts, copies, shape[1:], walks):
        pool().run(parts, body)
    sum_up(copies, every)


def _shared(
    job: _Job, parts: Sequence[Band], copies: Sequence[dict[int, Tensor]], rest: tuple[int, ...], walks: bool
) -> bool:
    """Whether the crew has done it."""
    own = crew()
    if own is None or job.entry is None or len(copies[-1]) > MOST_ZEROS:
        return False
    launches = []
    for band in parts:
        mine = copies[band.index]
        zeros = [(copy.data_ptr(), copy.nbytes) for copy in mine.values()]
        dims = (1 if walks else band.end - band.begin, *rest)
        launches.append(Part(job.entry, dims, job.values(band, mine), zeros))
    return own.parts(launches)
