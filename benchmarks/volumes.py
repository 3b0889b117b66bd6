"""Volumes: rays a second beside eager torch, and likeness to photos against time.

    python main.py bench volumes [--rays N] [--fit PHOTOS] [--steps N] [--docs]

The first part marches random rays through a grid of 160^3 points, a hollow shape as fits make them,
forward, with gradients, and with the fused step of a fit; beside it the same formula in torch
(grid_sample), in the same run, with and without leaving out empty space and what is hidden. Seconds are
the processor's, of all threads, so that other work on the machine counts little. The second part fits
photos (every 8th held out) and says how near the held-out ones are after so many seconds, evaluation
left out.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import _docs, _history
from benchmarks._history import measure_for, peak_memory_mb
from studio.core.color import linear_to_srgb
from studio.core.device import configure_threads, describe_device, pick_device
from studio.core.io.photos import load_photos
from studio.core.ops import Grid, Occupancy, march
from studio.core.ops.grid import harmonics
from studio.core.optim.evaluate import evaluate_look
from studio.core.optim.settings import FitSettings
from studio.core.optim.volume_fit import VolumeFit
from studio.core.optim.volume_model import LEAST_ALPHA, LEAST_TRANSMITTANCE, Batch, RayTargets, VolumeModel
from studio.core.scene import look_at
from studio.core.scene.volume import EMPTY, SHIFT

POINTS = 160
DEGREE = 1
VIEWS, SIZE = 16, 200
MARKS = (2, 5, 10, 20, 30, 60, 120, 240, 300)
"""Seconds after which a fit is looked at."""


def shape(points: int = POINTS) -> VolumeModel:
    """A gyroid's sheets in a ball: thin walls, hollows, about a third of the bricks held."""
    axis = torch.linspace(-1, 1, points)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    sheet = 7 * torch.stack([x, y, z])
    gyroid = (sheet.sin() * sheet.roll(-1, 0).cos()).sum(dim=0).abs() / 9
    depth = torch.maximum(gyroid - 0.03, torch.stack([x, y, z]).norm(dim=0) - 0.85)
    voxel = 2 / (points - 1)
    base = voxel * 10 / 3  # as after the coarsest grid of a fit
    value = 30.0 - 25.0 * (depth / voxel + 1)
    alive = value > EMPTY
    model = VolumeModel(alive, DEGREE, (-1.0, -1.0, -1.0), voxel, base)
    model.grid.density.copy_(value.clamp(EMPTY, 30.0))
    random = torch.Generator().manual_seed(0)
    model.grid.colors[alive] = torch.randn(int(alive.sum()), (DEGREE + 1) ** 2, 3, generator=random)
    model.keep(alive)
    return model


def some_rays(count: int) -> tuple[Batch, RayTargets, Tensor, Tensor]:
    """Random pixels of a ring of cameras, as the fused step and as `march` take them."""
    rows = []
    for n in range(VIEWS):
        turn, height = 2 * math.pi * n / VIEWS, math.sin(5 * n)
        pose = look_at([3 * math.cos(turn), height, 3 * math.sin(turn)], [0, 0, 0])
        rows.append(np.concatenate([pose[:3, :3].ravel(), pose[:3, 3], [1.7 * SIZE] * 2, [SIZE / 2] * 2]))
    cameras = torch.tensor(np.stack(rows), dtype=torch.float32)
    random = torch.Generator().manual_seed(1)
    inside = torch.randint(SIZE // 5, SIZE - SIZE // 5, (2, count), generator=random)
    view = torch.randint(0, VIEWS, (count,), generator=random)
    pixels = (view * SIZE + inside[0]) * SIZE + inside[1]
    jitters, shades = torch.rand(2, count, generator=random)
    targets = RayTargets(cameras, torch.rand(VIEWS * SIZE * SIZE, 4, generator=random), SIZE, SIZE)
    away = torch.stack(
        [
            (inside[1] + 0.5 - SIZE / 2) / (1.7 * SIZE),
            (inside[0] + 0.5 - SIZE / 2) / (1.7 * SIZE),
            -torch.ones(count),
        ],
        dim=-1,
    )
    directions = (cameras[view, :9].view(-1, 3, 3) @ away[:, :, None])[..., 0]
    batch = Batch(pixels.to(torch.int32), jitters, shades)
    return batch, targets, cameras[view, 9:12].contiguous(), directions.contiguous()


class Eager:
    """The same volume by torch's own trilinear lookup."""

    def __init__(self, grid: Grid, density: Tensor, colors: Tensor) -> None:
        self.grid, self.density, self.colors = grid, density, colors
        low, high = (torch.tensor(side) for side in grid.box)
        self.low, self.scale = low, 2 / (high - low)

    def _lookup(self, values: Tensor, places: Tensor) -> Tensor:
        """[P, C] of values [1, C, X, Y, Z]."""
        found = torch.nn.functional.grid_sample(
            values, places.flip(-1)[None, :, None, None], align_corners=True
        )
        return found[0, :, :, 0, 0].T

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        places = (points - self.low) * self.scale - 1
        value = self._lookup(self.density, places)[:, 0]
        sums = self._lookup(self.colors, places).view(len(points), -1, 3)
        basis = harmonics(directions, sums.shape[1])
        radiance = torch.sigmoid((basis[..., None] * sums).sum(dim=1)).square()
        return torch.nn.functional.softplus(value - SHIFT) / self.grid.base_voxel, radiance


def speed(count: int, seconds: float) -> str:
    """Markdown: thousands of rays per processor second, ours and eager torch."""
    model = shape()
    grid, step = model.grid, model.step_length
    batch, targets, origins, directions = some_rays(count)
    occupancy = Occupancy.of(grid, grid.least_value(LEAST_ALPHA, step))
    least = {"least_alpha": LEAST_ALPHA, "least_transmittance": LEAST_TRANSMITTANCE, "occupancy": occupancy}
    everything = {"least_transmittance": 0.0}
    density, colors = (t.clone().requires_grad_() for t in (grid.density, grid.colors))
    leaves = Grid(density, colors, grid.low, grid.voxel, grid.base_voxel)
    lookups = [
        density.detach().clone()[None, None].requires_grad_(),
        colors.detach().flatten(3).permute(3, 0, 1, 2)[None].contiguous().requires_grad_(),
    ]
    eager = Eager(grid, *lookups)

    def forward(field: object, options: dict) -> None:
        with torch.no_grad():
            march(field, origins, directions, step, batch.jitters, box=grid.box, **options)

    def both(field: object, options: dict) -> None:
        color, _, _ = march(field, origins, directions, step, batch.jitters, box=grid.box, **options)
        (linear_to_srgb(color) - 0.5).square().mean().backward()
        for leaf in (density, colors, *lookups):
            leaf.grad = None

    ours = {
        "march": lambda: forward(grid, least),
        "march, every sample": lambda: forward(grid, everything),
        "march + gradient": lambda: both(leaves, least),
        "march + gradient, every sample": lambda: both(leaves, everything),
        "fused step of a fit": lambda: model.gradients(batch, targets),
    }
    torch_calls = {
        "march": lambda: forward(eager, least),
        "march, every sample": lambda: forward(eager, everything),
        "march + gradient": lambda: both(eager, least),
        "march + gradient, every sample": lambda: both(eager, everything),
    }
    times = measure_for(ours, seconds)
    torch_times = measure_for(torch_calls, seconds, least=1)
    rate = {name: count / statistics.median(t.cpu) for name, t in times.items()}
    torch_rate = {name: count / statistics.median(t.cpu) for name, t in torch_times.items()}
    for name, t in times.items():
        _history.record(f"volumes, {name}", t.cpu, 1, unit="ms cpu", rays=count)
    # The fused step has the same work behind it as a march with its gradient.
    torch_rate["fused step of a fit"] = torch_rate["march + gradient"]
    lines = [
        "| 1000 rays per processor second | here | eager torch | ratio |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {value:.0f} | {torch_rate[name]:.1f} | {value / torch_rate[name]:.0f} |"
        for name, value in rate.items()
    ]
    held = f"{100 * model.occupancy.share:.0f} % of the bricks held"
    return "\n".join(lines) + f"\n\n{count} random rays, {POINTS}³ points, degree {DEGREE}, {held}."


def curve(folder: Path, steps: int, degree: int, device: str) -> str:
    """Markdown: dB of the held-out photos, whole pictures on white, after so many seconds."""
    photos = load_photos(folder, max_size=200)
    values = {"representation": "volume", "resolution": 200, "holdout": 8}
    fit = VolumeFit(photos, FitSettings(values | {"volume_steps": steps, "volume_degree": degree}), device)
    lines = ["| seconds | of the processor | steps | PSNR held out |", "|---:|---:|---:|---:|"]
    wall, cpu = time.perf_counter(), time.process_time()
    spent, used, marks = 0.0, 0.0, list(MARKS)
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
        now = spent + time.perf_counter() - wall
        if fit.steps_done < fit.steps and not (marks and now >= marks[0]):
            continue
        marks = [mark for mark in marks if mark > now]
        spent, used = now, used + time.process_time() - cpu
        found = evaluate_look(fit.render, fit.holdout, int(fit.settings["resolution"])).mean(
            "psnr_white"
        ) or float("nan")
        lines.append(f"| {spent:.1f} | {used:.1f} | {fit.steps_done} | {found:.2f} |")
        print(lines[-1], flush=True)
        wall, cpu = time.perf_counter(), time.process_time()
    _history.record("volumes, fit", [used], 0, unit="s cpu", steps=steps, psnr=round(found, 3))
    shape = " x ".join(map(str, fit.model.grid.density.shape))
    return "\n".join(lines) + (
        f"\n\n{len(fit.training)} photos of 200 px, {len(fit.holdout)} held out; {shape} points, degree "
        f"{degree}; {describe_device(fit.device)}; peak memory {peak_memory_mb():.0f} MB."
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench volumes", description="Speed and quality of volumes.")
    parser.add_argument(
        "--rays", type=int, default=4096, help="random rays of a batch; 0 leaves the part out"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="for either side's timings")
    parser.add_argument("--fit", type=Path, help="folder of photos with masks to fit")
    parser.add_argument("--steps", type=int, default=int(FitSettings()["volume_steps"]))
    parser.add_argument("--degree", type=int, default=DEGREE)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    configure_threads()
    pick_device(options.device)
    if options.fit is not None:  # first: its peak memory is to be its own
        text = curve(options.fit, options.steps, options.degree, options.device)
        print(text)
        if options.docs:
            _docs.put("volume fit", text)
    if options.rays > 0:
        text = speed(options.rays, options.seconds)
        print(text)
        if options.docs:
            _docs.put("volumes", text)


if __name__ == "__main__":
    main()
