"""Section 4.1: vertex positions and colours of a cube from pictures of 4 x 4 to 16 x 16 pixels.

Each step shows the true and the current cube from one random viewpoint and compares the two
small pictures; nothing but their L2 difference drives the vertices. Many runs go side by side as
the images of one batch, each with its own start and its own viewpoints.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import matplotlib.colors
import numpy as np
import torch
from torch import Tensor

from studio.core.color import linear_to_srgb
from studio.core.ops import Topology, antialias, interpolate, rasterize
from studio.core.optim.plots import INK, LINES, dark_figure, dress
from studio.core.optim.sheet import enlarged, sheet, with_lines
from studio.core.params import Param
from studio.experiments import box
from studio.experiments.experiment import Experiment, Job, Outcome, Row
from studio.experiments.views import geometric, matrices, random_rotations, to_clip

DISTANCE, SLOPE = 3.72, 0.4
"""The cube fills most of the picture, and at 4 x 4 its triangles average the paper's 0.54 pixels."""

RESOLUTIONS = ("4", "8", "16")
MODES = ("continuous", "discontinuous")
AVERAGED = 10
"""Successful runs in the paper's curves."""

PARAMS = (
    Param(
        "resolution",
        "all",
        "choice",
        choices=("all", "2", *RESOLUTIONS),
        help="Pixels each way; all: 4, 8, 16.",
    ),
    Param("colors", "all", "choice", choices=("all", *MODES), help="8 colours, or 4 on each face."),
    Param("steps", 5000, "int", 1, 1_000_000, help="Steps of Adam."),
    Param("runs", 20, "int", 1, 256, help="Runs side by side; the first 10 that succeed are averaged."),
    Param("success", 0.05, "float", 1e-6, 1.0, help="A run whose mean vertex distance ends below succeeded."),
)


@dataclass
class Course:
    """What a batch of runs did.

    Attributes:
        distance: [steps + 1, runs] mean distance of the vertices from their true places.
        vertices, colors: [runs, 8, 3] and [runs, 8 or 24, 3] at the end.
        frames: {step: (vertices, colors)} copies on the way.
        seconds: wall time.
    """

    distance: np.ndarray
    vertices: Tensor
    colors: Tensor
    frames: dict[int, tuple[Tensor, Tensor]]
    seconds: float


def reference_colors(mode: str) -> Tensor:
    """[8, 3] or [24, 3] bright colours, no two alike next to one another."""
    count = 8 if mode == "continuous" else 24
    place = np.arange(count)
    hue = place * 0.618034 % 1.0  # golden section: neighbours differ most
    hsv = np.stack([hue, 0.55 + 0.4 * (place % 2), np.ones(count)], axis=-1)
    return torch.tensor(matplotlib.colors.hsv_to_rgb(hsv), dtype=torch.float32)


class Renderer:
    """Draws cubes of one colour mode; shape and colours have indices of their own."""

    def __init__(self, mode: str, device: torch.device) -> None:
        self.tri = box.triangles().to(device)
        self.color_tri = self.tri if mode == "continuous" else box.face_triangles().to(device)
        self.topology = Topology.build(self.tri)

    def __call__(self, vertices: Tensor, colors: Tensor, rotation: Tensor, size: int) -> Tensor:
        """[N, size, size, 3] on black, of [N, 8, 3] vertices in [N, 3, 3] orientations."""
        clip = to_clip(vertices, rotation, DISTANCE, SLOPE)
        rast, _ = rasterize(None, clip, self.tri, (size, size), grad_db=False)
        image, _ = interpolate(colors, rast, self.color_tri)
        return antialias(image, rast, clip, self.tri, self.topology)


def converge(
    mode: str,
    size: int,
    steps: int,
    runs: int,
    job: Job,
    keep: tuple[int, ...] = (),
    part: tuple[float, float] = (0, 1),
) -> Course:
    """Infer the cube `runs` times at once.

    Args:
        keep: steps after which a copy of all runs is kept.
        part: where this work begins and ends, as fractions of the job's progress.
    """
    generator = job.generator()
    draw = Renderer(mode, job.device)
    truth = box.corners()
    true_colors = reference_colors(mode).to(job.device).expand(runs, -1, -1)
    start = truth + torch.rand(runs, 8, 3, generator=generator) - 0.5
    truth = truth.to(job.device).expand(runs, -1, -1)
    vertices = start.to(job.device).requires_grad_()
    colors = torch.rand(true_colors.shape, generator=generator).to(job.device).requires_grad_()
    optimizer = torch.optim.Adam([vertices, colors], lr=1e-2, betas=(0.9, 0.999), foreach=True)
    distance = torch.empty(steps + 1, runs, device=job.device)
    frames = {}
    began = time.perf_counter()
    for step in range(steps + 1):
        with torch.no_grad():
            distance[step] = (vertices - truth).norm(dim=-1).mean(dim=-1)
        if step in keep:
            frames[step] = (vertices.detach().clone(), colors.detach().clone())
        if step == steps:
            break
        if step % 50 == 0:
            done = part[0] + (part[1] - part[0]) * step / steps
            job.progress(done, f"{mode} colours, {size} x {size}")
        rotation = matrices(random_rotations(runs, generator)).to(job.device)
        images = draw(
            torch.cat([truth, vertices]), torch.cat([true_colors, colors]), rotation.repeat(2, 1, 1), size
        )
        # A sum over runs: each keeps the gradient that it would have alone.
        loss = (images[runs:] - images[:runs].detach()).square().mean(dim=(1, 2, 3)).sum()
        optimizer.param_groups[0]["lr"] = geometric(1e-2, 1e-4, step / max(1, steps - 1))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
    seconds = time.perf_counter() - began
    return Course(distance.cpu().numpy(), vertices.detach(), colors.detach(), frames, seconds)


def mean_triangle_area(size: int) -> float:
    """Mean area in pixels of the true cube's triangles that face the camera, over random views."""
    views = 2000
    rotation = matrices(random_rotations(views, torch.Generator().manual_seed(0)))
    clip = to_clip(box.corners(), rotation, DISTANCE, SLOPE)
    a, b, c = (clip[..., :2] / clip[..., 3:] * size / 2)[:, box.triangles().long()].unbind(2)
    e, f = b - a, c - a
    area = (e[..., 0] * f[..., 1] - e[..., 1] * f[..., 0]) / 2
    return float(area[area > 0].mean())


def _picture(
    courses: dict[tuple[str, int], Course], good: dict[tuple[str, int], np.ndarray], job: Job
) -> np.ndarray:
    """One row per condition: the cube on the way at low resolution, and the end at a high one."""
    side = 144
    view = torch.nn.functional.normalize(torch.tensor([[0.86, 0.32, -0.36, 0.1]]), dim=-1)
    rotation = matrices(view).to(job.device)
    rows, names = [], []
    columns: list[str] = []
    for (mode, size), course in courses.items():
        draw = Renderer(mode, job.device)
        run = int(np.flatnonzero(good[mode, size])[0]) if good[mode, size].any() else 0
        truth = (box.corners().to(job.device)[None], reference_colors(mode).to(job.device)[None])
        shown = {
            f"step {step}": (v[run : run + 1], c[run : run + 1]) for step, (v, c) in course.frames.items()
        }
        tiles = []
        for vertices, colors in (*shown.values(), truth):
            image = _srgb(draw(vertices, colors, rotation, size)[0])
            tiles.append(with_lines(enlarged(image, side), _outline(vertices, rotation, side)))
        final = (course.vertices[run : run + 1], course.colors[run : run + 1])
        tiles += [_srgb(draw(*shape, rotation, side)[0]) for shape in (final, truth)]
        rows.append(tiles)
        names.append(f"{size} x {size}\n{mode}")
        columns = [*shown, "reference", "end, sharp", "reference, sharp"]
    return sheet(rows, columns, names)


def _srgb(image: Tensor) -> np.ndarray:
    return linear_to_srgb(image.detach().clamp(0, 1).cpu().numpy())


def _outline(vertices: Tensor, rotation: Tensor, side: int) -> np.ndarray:
    """[S, 2, 2] the cube's edges in pixels."""
    clip = to_clip(vertices, rotation, DISTANCE, SLOPE)[0].cpu()
    points: np.ndarray = ((clip[:, :2] / clip[:, 3:] + 1) * side / 2).numpy()
    quads = box.quads().numpy()
    edges = {tuple(sorted((q[i], q[(i + 1) % 4]))) for q in quads.tolist() for i in range(4)}
    segments: np.ndarray = points[np.array(sorted(edges))]
    return segments


def _curve(courses: dict[tuple[str, int], Course], good: dict[tuple[str, int], np.ndarray]) -> Any:
    figure = dark_figure(8, 4.6)
    axes = figure.subplots()
    sizes = sorted({size for _, size in courses})
    for (mode, size), course in courses.items():
        chosen = np.flatnonzero(good[mode, size])[:AVERAGED]
        if len(chosen) == 0:
            continue
        mean = course.distance[1:, chosen].mean(axis=1)
        color = LINES[sizes.index(size) % len(LINES)]
        dashes = "-" if mode == "continuous" else "--"
        axes.loglog(
            np.arange(1, len(mean) + 1), mean, dashes, color=color, lw=1.5, label=f"{size} x {size}, {mode}"
        )
    axes.set_xlabel("step")
    axes.set_xlim(1, max(2, *(len(course.distance) for course in courses.values())))
    axes.set_ylabel("mean distance of the vertices")
    if axes.lines:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8, handlelength=3.5)
    dress(axes)
    return figure


def run(job: Job) -> Outcome:
    """All asked-for resolutions and colour modes, one batch of runs each."""
    chosen = job.settings
    sizes = RESOLUTIONS if chosen["resolution"] == "all" else (chosen["resolution"],)
    modes = MODES if chosen["colors"] == "all" else (chosen["colors"],)
    conditions = [(mode, int(size)) for mode in modes for size in sizes]
    steps, runs = chosen["steps"], chosen["runs"]
    keep = tuple(sorted({0, min(100, steps), min(1000, steps), steps}))
    courses, good, rows, numbers = {}, {}, [], []
    for i, condition in enumerate(conditions):
        part = (i / len(conditions), (i + 1) / len(conditions))
        course = converge(*condition, steps, runs, job, keep, part)
        courses[condition], good[condition] = course, course.distance[-1] < chosen["success"]
        numbers.append(_numbers(condition, course, good[condition]))
        rows.append(_row(numbers[-1]))
    job.progress(1.0, "drawing")
    notes = [
        f"{runs} runs each; a run failed if its vertices end {chosen['success']:g} or more off on average",
        f"camera {DISTANCE:g} away, half field of view atan {SLOPE:g}: a visible triangle averages "
        f"{mean_triangle_area(4):.2f} pixels at 4 x 4 (paper: 0.54)",
    ]
    results = {"conditions": numbers, "mean_triangle_area_at_4x4": mean_triangle_area(4)}
    return Outcome(_picture(courses, good, job), _curve(courses, good), results, rows, notes)


def _numbers(condition: tuple[str, int], course: Course, good: np.ndarray) -> dict[str, Any]:
    mean = course.distance[:, np.flatnonzero(good)[:AVERAGED]].mean(axis=1) if good.any() else None
    return {
        "colors": condition[0],
        "resolution": condition[1],
        "runs": len(good),
        "failed": int((~good).sum()),
        "averaged": min(AVERAGED, int(good.sum())),
        "start_distance": float(course.distance[0].mean()),
        "end_distance": float(mean[-1]) if mean is not None else None,
        "steps_to_one_tenth": int(np.argmax(mean < 0.1 * mean[0]))
        if mean is not None and mean[-1] < 0.1 * mean[0]
        else None,
        "end_distance_of_each_run": course.distance[-1].round(5).tolist(),
        "ms_per_step": round(1e3 * course.seconds / max(1, len(course.distance) - 1), 2),
        "curve": {str(s): round(float(mean[s]), 5) for s in _marks(len(mean) - 1)}
        if mean is not None
        else {},
    }


def _marks(last: int) -> list[int]:
    """Steps 1, 2, 5, 10, ... up to the last."""
    marks = [m * 10**e for e in range(7) for m in (1, 2, 5)]
    return [*(m for m in marks if m < last), last]


def _row(numbers: dict[str, Any]) -> Row:
    size, runs, failed = numbers["resolution"], numbers["runs"], numbers["failed"]
    paper = "converges, about 25 % fail" if size == 4 else "converges, fewer fail"
    end = numbers["end_distance"]
    ours = f"distance {end:.1e}" if end is not None else "no run converged"
    return Row(
        f"{size} x {size}, {numbers['colors']}",
        paper,
        f"{ours}, {failed} of {runs} fail ({100 * failed / runs:.0f} %)",
    )


EXPERIMENT = Experiment(
    "cube", "Vertices and colours of a cube from pictures of 4 x 4 to 16 x 16 pixels (4.1).", PARAMS, run
)
