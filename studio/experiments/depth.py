"""Section 4.5, figure 9: does the time of a step grow with geometry that nobody sees?

A grid of 8 x 8 cells (128 triangles) is repeated 1 to 1024 times, either side by side in one plane
or one behind the other. Both fill the picture, with equally many triangles; only the number of
layers differs. Timed is rasterize, interpolate and antialias, forward and backward.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.color import linear_to_srgb
from studio.core.ops import Topology, antialias, interpolate, rasterize
from studio.core.optim.plots import INK, LINES, dark_figure, dress
from studio.core.optim.sheet import sheet
from studio.core.params import Param
from studio.experiments.experiment import Experiment, Job, Outcome, Row
from studio.experiments.views import matrices, to_clip, unit

CELLS = 8
REACH = 1.01
"""Half the width of the whole, where the picture's is 1: no outline of it lies in the picture."""

COPIES = (1, 64, 256, 1024)
LAYOUTS = ("adjacent", "stacked")

PARAMS = (
    Param("resolution", 1024, "int", 8, 8192, help="Pixels each way."),
    Param("rounds", 15, "int", 2, 1000, help="Timed runs of each scene, taken in turn."),
    Param(
        "order", "random", "choice", choices=("random", "front", "back"),
        help="Which of the stacked layers is drawn first.",
    ),
)  # fmt: skip


@dataclass
class Case:
    """One scene and its times in milliseconds.

    Attributes:
        corners: [V, 3] in normalised device coordinates.
        tri: [T, 3] int32.
        step, forward, rasterization: wall time of forward + gradient, of forward alone, and of
            rasterize alone, one per round.
    """

    copies: int
    layout: str
    corners: Tensor
    tri: Tensor
    colors: Tensor
    topology: Topology
    step: list[float]
    forward: list[float]
    rasterization: list[float]


def grid_copies(copies: int, layout: str, order: str = "random") -> tuple[Tensor, Tensor]:
    """([V, 3], [T, 3] int32) of the repeated grid; `copies` is a square number.

    Adjacent copies share the plane z = 0; stacked ones lie between z = -0.9 (front) and 0.9.
    """
    line = torch.linspace(-1, 1, CELLS + 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    base = torch.stack([x.flatten(), y.flatten(), torch.zeros(x.numel())], dim=-1)
    row = torch.arange(CELLS)
    first = (row[:, None] * (CELLS + 1) + row).flatten()
    quad = torch.stack([first, first + 1, first + CELLS + 2, first + CELLS + 1], dim=-1)
    tri = torch.stack([quad[:, (0, 1, 2)], quad[:, (0, 2, 3)]], dim=1).reshape(-1, 3)
    if layout == "adjacent":
        side = math.isqrt(copies)
        middle = (2 * torch.arange(side) + 1) / side - 1
        down, across = torch.meshgrid(middle, middle, indexing="ij")
        shift = torch.stack([across.flatten(), down.flatten(), torch.zeros(copies)], dim=-1)
        scale = torch.tensor([1 / side, 1 / side, 1.0])
    else:
        depth = torch.linspace(-0.9, 0.9, copies) if copies > 1 else torch.zeros(1)
        if order == "back":
            depth = depth.flip(0)
        elif order == "random":
            depth = depth[torch.randperm(copies, generator=torch.Generator().manual_seed(0))]
        shift = torch.nn.functional.pad(depth[:, None], (2, 0))
        scale = torch.ones(3)
    corners = ((base * scale + shift[:, None]) * torch.tensor([REACH, REACH, 1.0])).reshape(-1, 3)
    faces = tri + len(base) * torch.arange(copies)[:, None, None]
    return corners, faces.reshape(-1, 3).int()


def _case(copies: int, layout: str, order: str, job: Job) -> Case:
    corners, tri = grid_copies(copies, layout, order)
    tint = torch.rand(copies, 1, 3, generator=job.generator())
    shade = torch.rand(1, (CELLS + 1) ** 2, 3, generator=job.generator(1))
    colors = (0.75 * tint + 0.25 * shade).reshape(1, -1, 3).to(job.device)
    tri = tri.to(job.device)
    # Borders that adjacent copies share are joined: they are no outlines.
    topology = Topology.build(tri, corners)
    return Case(copies, layout, corners.to(job.device), tri, colors, topology, [], [], [])


def _time_once(case: Case, size: int, weight: Tensor, job: Job) -> tuple[float, float, float]:
    """Milliseconds of rasterize, of forward, and of forward + gradient."""

    def now() -> float:
        if job.device.type == "cuda":
            torch.cuda.synchronize(job.device)
        return 1e3 * time.perf_counter()

    clip = torch.nn.functional.pad(case.corners, (0, 1), value=1.0)[None].requires_grad_()
    colors = case.colors.clone().requires_grad_()
    began = now()
    rast, _ = rasterize(None, clip, case.tri, (size, size), grad_db=False)
    rasterized = now()
    image, _ = interpolate(colors, rast, case.tri)
    image = antialias(image, rast, clip, case.tri, case.topology)
    drawn = now()
    torch.autograd.backward(image, weight)
    return rasterized - began, drawn - began, now() - began


def measure(size: int, rounds: int, order: str, job: Job) -> list[Case]:
    """All scenes, timed in turn so that all see the same weather on the machine."""
    cases = [_case(copies, layout, order, job) for layout in LAYOUTS for copies in COPIES]
    weight = torch.rand(1, size, size, 3, generator=job.generator(2)).to(job.device)
    for turn in range(rounds + 1):
        for i, case in enumerate(cases):
            job.progress((turn + i / len(cases)) / (rounds + 1), f"{case.copies} {case.layout}")
            times = _time_once(case, size, weight, job)
            if turn > 0:  # the first warms up
                for kept, value in zip((case.rasterization, case.forward, case.step), times):
                    kept.append(value)
    return cases


def _picture(cases: list[Case]) -> np.ndarray:
    """The scenes turned a little, so that the layers show."""
    side = 220
    turn = matrices(unit(torch.tensor([[1.0, 0.22, 0.36, 0.0]])))
    rows: dict[str, list[np.ndarray]] = {layout: [] for layout in LAYOUTS}
    for case in cases:
        device = case.corners.device
        points = case.corners * torch.tensor([1.0, 1.0, -1.0], device=device)  # the front towards us
        clip = to_clip(points, turn.to(device), 5.0, 0.36)
        with torch.no_grad():
            rast, _ = rasterize(None, clip, case.tri, (2 * side, 2 * side), grad_db=False)
            image, _ = interpolate(case.colors, rast, case.tri)
        image = torch.nn.functional.avg_pool2d(image.permute(0, 3, 1, 2), 2)[0].permute(1, 2, 0)
        rows[case.layout].append(linear_to_srgb(image.clamp(0, 1).cpu().numpy()))
    names = ["adjacent", "stacked"]
    return sheet(
        [rows[name] for name in names], [f"{n} cop{'y' if n == 1 else 'ies'}" for n in COPIES], names
    )


def _curve(cases: list[Case], size: int) -> Any:
    figure = dark_figure(8, 4.2)
    axes = figure.subplots()
    place = range(len(COPIES))
    for name, color in (("step", LINES[0]), ("rasterization", LINES[1])):
        for layout, dashes in zip(LAYOUTS, ("-", "--")):
            best = [min(getattr(c, name)) for c in cases if c.layout == layout]
            what = "forward + gradient" if name == "step" else "rasterize alone"
            axes.plot(place, best, dashes, color=color, marker="o", ms=4, lw=1.5, label=f"{what}, {layout}")
    axes.set_ylim(bottom=0)
    axes.set_xticks(list(place), [f"{n}\n{2 * CELLS**2 * n:,} triangles" for n in COPIES])
    axes.set_xlabel("copies of the grid")
    axes.set_ylabel(f"ms at {size} x {size}")
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, handlelength=3.5)
    dress(axes)
    return figure


def run(job: Job) -> Outcome:
    """Time all scenes."""
    size = job.settings["resolution"]
    cases = measure(size, job.settings["rounds"], job.settings["order"], job)
    best = {(c.layout, c.copies): min(c.step) for c in cases}
    one = min(best[layout, 1] for layout in LAYOUTS)  # the same scene twice
    rows, numbers = [], []
    for case in cases:
        ms = best[case.layout, case.copies]
        numbers.append(
            {
                "layout": case.layout,
                "copies": case.copies,
                "triangles": len(case.tri),
                "best_ms": round(ms, 3),
                "median_ms": round(statistics.median(case.step), 3),
                "forward_median_ms": round(statistics.median(case.forward), 3),
                "rasterize_median_ms": round(statistics.median(case.rasterization), 3),
                "rasterize_best_ms": round(min(case.rasterization), 3),
            }
        )
        versus = f", {ms / best['adjacent', case.copies]:.2f} x adjacent" if case.layout == "stacked" else ""
        ours = f"{ms:.1f} ms, {ms / one:.2f} x one copy{versus}"
        rows.append(Row(f"{case.copies} {case.layout}", "flat; stacked = adjacent", ours))
    order = job.settings["order"]
    drawn = {"random": "in random order", "front": "front to back", "back": "back to front"}[order]
    notes = [f"{size} x {size}, best of {job.settings['rounds']} runs, stacked layers drawn {drawn}"]
    return Outcome(_picture(cases), _curve(cases, size), {"cases": numbers}, rows, notes)


EXPERIMENT = Experiment(
    "depth", "Time of a step against the number of hidden layers (4.5, figure 9).", PARAMS, run
)
