"""Hidden layers, a million triangles, and a thousand iterations.

    python main.py bench layers [--rounds 25] [--iterations 1000] [--dry-run]

Layers: a grid of 8 x 8 cells (128 triangles) fills 1024 x 1024 pixels, with 0 to 64 copies hidden
behind it, submitted from front to back, from back to front, and shuffled (after Laine et al. 2020,
Fig. 9). "+ gradient" adds interpolate and the gradient to positions and colours. Million: a torus of
1,000,000 triangles at 2048 x 2048, by `draw` too, with the largest memory of the process. Iterations:
rasterize, interpolate and antialias with gradients, and by how much the process grew meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import _history
from benchmarks._models import subdivided_sphere, world_to_clip
from studio.core.device import configure_threads, describe_device
from studio.core.ops import RasterizeGLContext, Topology, antialias, draw, interpolate, rasterize

CELLS, PIXELS = 8, 1024
COPIES = (0, 1, 4, 16, 64)
ORDERS = ("front to back", "back to front", "shuffled")
WARM_UP = 3
_NO_DERIVATIVES = RasterizeGLContext(output_db=False)


def grid(columns: int, rows: int) -> tuple[Tensor, Tensor]:
    """[(columns + 1)(rows + 1), 2] points of the unit square and [2 columns rows, 3] triangles."""
    y, x = torch.meshgrid(torch.linspace(0, 1, rows + 1), torch.linspace(0, 1, columns + 1), indexing="ij")
    corner = (torch.arange(rows)[:, None] * (columns + 1) + torch.arange(columns)).flatten()
    lower = torch.stack([corner, corner + 1, corner + columns + 2], dim=1)
    upper = torch.stack([corner, corner + columns + 2, corner + columns + 1], dim=1)
    tri = torch.stack([lower, upper], dim=1).reshape(-1, 3)
    return torch.stack([x.flatten(), y.flatten()], dim=1), tri.int()


def layers(copies: int, order: str) -> tuple[Tensor, Tensor]:
    """[1, V, 4] clip positions and [T, 3] triangles of a grid before its copies."""
    points, tri = grid(CELLS, CELLS)
    depths = [-0.9 + 1.8 * i / max(COPIES) for i in range(copies + 1)]
    if order == "back to front":
        depths.reverse()
    elif order == "shuffled":
        shuffled = torch.randperm(len(depths), generator=torch.Generator().manual_seed(0))
        depths = [depths[i] for i in shuffled]
    flat = torch.cat([2 * points - 1, torch.zeros(len(points), 1), torch.ones(len(points), 1)], dim=1)
    pos = flat.repeat(len(depths), 1)
    pos[:, 2] = torch.tensor(depths).repeat_interleave(len(points))
    return pos[None], torch.cat([tri + i * len(points) for i in range(len(depths))])


def torus(around: int, across: int) -> tuple[Tensor, Tensor]:
    """[V, 4] homogeneous positions and [2 around across, 3] triangles."""
    points, tri = grid(around, across)
    angle, tilt = (2 * torch.pi * points).unbind(1)
    ring = 0.7 + 0.3 * tilt.cos()
    vertices = torch.stack([ring * angle.cos(), ring * angle.sin(), 0.3 * tilt.sin()], dim=1)
    return torch.cat([vertices, torch.ones(len(vertices), 1)], dim=1), tri


def whole(
    pos: Tensor, tri: Tensor, size: int, topology: Topology | None = None
) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """Forward, forward + gradient with colours (antialiased if there is a topology), that by `draw`."""
    pos = pos.contiguous().requires_grad_()
    colors = torch.rand(1, pos.shape[1], 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    upstream = torch.rand(len(pos), size, size, 3, generator=torch.Generator().manual_seed(1))

    def forward() -> Tensor:
        rast: Tensor = rasterize(_NO_DERIVATIVES, pos, tri, (size, size))[0]
        return rast

    def gradient() -> tuple[Tensor, ...]:
        rast = forward()
        image = interpolate(colors, rast, tri)[0]
        if topology is not None:
            image = antialias(image, rast, pos, tri, topology)
        return torch.autograd.grad(image, [pos, colors], upstream)

    def by_draw() -> tuple[Tensor, ...]:
        assert topology is not None
        image = draw(pos, tri, colors, (size, size), topology)
        return torch.autograd.grad(image, [pos, colors], upstream)

    return forward, gradient, by_draw


def resident_mb() -> float:
    """Memory of this process now; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_layers(rounds: int, dry_run: bool) -> None:
    """Times by hidden copies, and the ratio of the most to none."""
    print(f"hidden layers, {CELLS} x {CELLS} cells, {PIXELS}², ms by number of copies {COPIES}")
    for order in ORDERS:
        calls: dict[str, Callable[[], object]] = {}
        for copies in COPIES:
            forward, gradient, _ = whole(*layers(copies, order), PIXELS)
            calls |= {f"forward {copies}": forward, f"gradient {copies}": gradient}
        times = _history.measure(calls, rounds, WARM_UP)
        for kind in ("forward", "gradient"):
            walls = [statistics.median(times[f"{kind} {copies}"].wall) for copies in COPIES]
            cpus = [statistics.median(times[f"{kind} {copies}"].cpu) for copies in COPIES]
            print(f"  {order}, {kind}: wall {_row(walls)}, CPU {_row(cpus)}", flush=True)
            if not dry_run:
                for copies in (COPIES[0], COPIES[-1]):
                    name = f"layers: {copies} hidden, {order}, {kind}"
                    spent = times[f"{kind} {copies}"]
                    cpu = round(statistics.median(spent.cpu), 3)
                    _history.record(name, spent.wall, WARM_UP, cpu_median=cpu)


def _row(values: list[float]) -> str:
    return " ".join(f"{v:.2f}" for v in values) + f" (x {values[-1] / values[0]:.2f})"


def measure_million(rounds: int, dry_run: bool) -> None:
    """Time and peak memory of a million triangles at 2048 pixels."""
    points, tri = torus(1000, 500)
    pos = (points @ world_to_clip().T)[None]
    before = resident_mb()
    calls = whole(pos, tri, 2048, Topology.build(tri, points))
    built = resident_mb()
    for name, call in zip(("forward", "forward + gradient", "draw + gradient"), calls):
        spent = _history.measure({name: call}, rounds, WARM_UP)[name]
        peak = _history.peak_memory_mb()
        print(
            f"{len(tri)} triangles, 2048², {name}: {statistics.median(spent.wall):.1f} ms, "
            f"CPU {statistics.median(spent.cpu):.1f} ms, peak memory {peak:.0f} MB "
            f"({before:.0f} with the mesh, {built:.0f} with topology, colours and upstream gradient)"
        )
        if not dry_run:
            _history.record(f"million triangles, 2048, {name}", spent.wall, WARM_UP, triangles=len(tri))


def measure_iterations(count: int, dry_run: bool) -> None:
    """Growth of the process over many forward and backward passes."""
    model = subdivided_sphere(4)
    pos = (model.homogeneous @ world_to_clip().T)[None]
    _, gradient, _ = whole(pos, model.tri, 256, model.topology)
    for _ in range(count // 10):  # until allocators have what they keep
        gradient()
    before, start = resident_mb(), time.perf_counter()
    for _ in range(count):
        gradient()
    spent, grown = time.perf_counter() - start, resident_mb() - before
    each = 1e3 * spent / count
    print(f"{count} iterations of 5k triangles at 256²: {each:.2f} ms each, grew by {grown:.1f} MB")
    if not dry_run:
        _history.record(f"growth over {count} iterations", [grown, grown], count // 10, unit="MB")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; append to the history."""
    parser = argparse.ArgumentParser(prog="bench layers", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--dry-run", action="store_true", help="do not append to the history")
    options = parser.parse_args(arguments)
    configure_threads()
    print(describe_device(torch.device("cpu")))
    measure_million(max(3, options.rounds // 5), options.dry_run)  # first: the peak is its own
    measure_layers(options.rounds, options.dry_run)
    measure_iterations(options.iterations, options.dry_run)


if __name__ == "__main__":
    main()
