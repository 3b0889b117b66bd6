"""Section 4.3: an environment map and a Phong highlight from reflections in an irregular object.

Shape and pose are known. Each step turns object and light at random, compares the picture with the
one that the true map and highlight give, and moves the map, the highlight's colour and its
exponent. Reflection vectors are interpolated from the vertices with their screen derivatives, so
each pixel looks up the map at the level that its footprint asks for.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.ops import interpolate, rasterize, texture
from studio.core.optim.plots import INK, LINES, dark_figure, dress
from studio.core.optim.sheet import sheet
from studio.core.params import Param
from studio.core.scene.shapes import icosphere
from studio.experiments.experiment import Experiment, Job, Outcome, Row
from studio.experiments.globe import fractal, surrounding, unfolded
from studio.experiments.views import matrices, random_rotations, to_clip

DISTANCE, SLOPE = 3.5, 0.4
TRUE_COLOR, TRUE_EXPONENT = (1.0, 0.8, 0.6), 25.0
SHARPEST = 100.0
"""The first exponent is drawn from 1 to this, evenly in its logarithm."""

PARAMS = (
    Param("faces", 128, "int", 8, 2048, help="Texels along each face of the environment map."),
    Param("resolution", 256, "int", 16, 2048, help="Pixels each way."),
    Param("steps", 2000, "int", 1, 1_000_000, help="Steps of Adam, rate 0.01 throughout."),
)


class Scene:
    """The object and what it reflects."""

    def __init__(self, resolution: int, device: torch.device) -> None:
        ball = icosphere(5)
        points = torch.from_numpy(ball.vertices)
        # Dents and bulges broad enough for the mesh to carry them smoothly.
        swell = 1 + 0.35 * fractal(points, 1.7, 3, 5, gain=0.4)
        ball.vertices = (points * swell[:, None]).numpy()
        ball.normals = None
        self.resolution = resolution
        self.points = torch.from_numpy(ball.vertices).to(device)
        self.normals = torch.from_numpy(ball.vertex_normals()).to(device)
        self.tri = torch.from_numpy(ball.faces).to(device)

    def reflections(self, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a view of the object, turned by [1, 3, 3], reflects.

        Returns:
            direction: [1, H, W, 3] reflected directions in the object's frame, where the map is.
            direction_da: [1, H, W, 6] their screen derivatives.
            covered: [1, H, W, 1] 1 on the object.
        """
        clip = to_clip(self.points, rotation, DISTANCE, SLOPE)
        eye = rotation[0].T @ torch.tensor([0.0, 0.0, DISTANCE], device=rotation.device)
        view = torch.nn.functional.normalize(self.points - eye, dim=-1)
        mirrored = view - 2 * (view * self.normals).sum(-1, keepdim=True) * self.normals
        rast, rast_db = rasterize(None, clip, self.tri, (self.resolution, self.resolution))
        direction, direction_da = interpolate(mirrored[None], rast, self.tri, rast_db, "all")
        return direction, direction_da, (rast[..., 3:] > 0).float()


@dataclass
class Look:
    """An environment map and a Phong highlight.

    Attributes:
        cube: [1, 6, S, S, 3].
        color: [3] the highlight's colour, strength included.
        log_exponent: [] logarithm of the exponent, which the optimizer moves: a step is then the
            same change of the highlight's size for dull and for sharp ones.
    """

    cube: Tensor
    color: Tensor
    log_exponent: Tensor

    def shade(self, direction: Tensor, direction_da: Tensor, covered: Tensor, light: Tensor) -> Tensor:
        """[1, H, W, 3] reflection plus highlight of a light in direction [3], on black."""
        mirror = texture(
            self.cube, direction, direction_da, filter_mode="linear-mipmap-linear", boundary_mode="cube"
        )
        toward = torch.nn.functional.normalize(direction, dim=-1) @ light
        # Short of 0, where the logarithm in the power's derivative is infinite.
        lobe = toward.clamp(min=1e-4)[..., None] ** self.log_exponent.exp()
        return (mirror + lobe * self.color) * covered

    def parameters(self) -> list[Tensor]:
        return [self.cube, self.color, self.log_exponent]

    def copied(self) -> Look:
        return Look(*(p.detach().clone() for p in self.parameters()))


@dataclass
class Course:
    """What a run did: [M] values at `marks`, and copies of the look on the way."""

    marks: list[int] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    exponent: list[float] = field(default_factory=list)
    color_error: list[float] = field(default_factory=list)
    frames: dict[int, Look] = field(default_factory=dict)
    seconds: float = 0.0


def true_look(faces: int, device: torch.device) -> Look:
    """The map and highlight to be found."""
    color, exponent = torch.tensor(TRUE_COLOR), torch.tensor(math.log(TRUE_EXPONENT))
    return Look(surrounding(faces).to(device), color.to(device), exponent.to(device))


def first_look(faces: int, job: Job) -> Look:
    """Uniform grey, and a random highlight."""
    generator = job.generator(3)
    color = torch.rand(3, generator=generator).to(job.device)
    exponent = (torch.rand((), generator=generator) * math.log(SHARPEST)).to(job.device)
    return Look(torch.full((1, 6, faces, faces, 3), 0.5, device=job.device), color, exponent)


def random_view(generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """([1, 3, 3] rotation of the object, [3] direction to the light in its frame)."""
    rotation = matrices(random_rotations(1, generator))
    light = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
    return rotation.to(device), light.to(device)


def seen_texels(scene: Scene, faces: int, views: int, device: torch.device) -> Tensor:
    """[1, 6, S, S, 1] whether any of some random views looks at a texel."""
    weight = torch.zeros(1, 6, faces, faces, 1, device=device, requires_grad=True)
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros_like(weight)
    for _ in range(views):
        rotation, _ = random_view(generator, device)
        direction, _, covered = scene.reflections(rotation)
        hit = texture(weight, direction, filter_mode="linear", boundary_mode="cube") * covered
        total += torch.autograd.grad(hit.sum(), weight)[0]
    return total.detach() > 0.5


def map_psnr(cube: Tensor, truth: Tensor, seen: Tensor) -> float:
    """dB over the texels that are seen."""
    squared = (cube.detach().clamp(0, 1) - truth).square()
    error = float((squared * seen).sum() / (3 * seen.sum()).clamp(min=1))
    return -10 * math.log10(max(error, 1e-10))


def learn(
    scene: Scene, truth: Look, look: Look, steps: int, seen: Tensor, job: Job, keep: set[int]
) -> Course:
    """Move `look` until its pictures are those of `truth`; `keep`: steps after which it is copied."""
    generator = job.generator(2)
    for p in look.parameters():
        p.requires_grad_()
    optimizer = torch.optim.Adam(look.parameters(), lr=1e-2, fused=True)
    course = Course()
    every = max(1, steps // 200)
    began = time.perf_counter()
    for step in range(steps + 1):
        if step in keep:
            course.frames[step] = look.copied()
        if step % every == 0 or step == steps:
            course.marks.append(step)
            course.psnr.append(map_psnr(look.cube, truth.cube, seen))
            course.exponent.append(float(look.log_exponent.detach().exp()))
            course.color_error.append(float((look.color.detach() - truth.color).abs().mean()))
            job.progress(step / steps, f"{step} of {steps} pictures")
        if step == steps:
            break
        rotation, light = random_view(generator, job.device)
        view = scene.reflections(rotation)
        with torch.no_grad():
            target = truth.shade(*view, light)
        loss = (look.shade(*view, light) - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
    course.seconds = time.perf_counter() - began
    return course


def _picture(course: Course, truth: Look, device: torch.device) -> np.ndarray:
    """Renders above, maps below: on the way, at the end, and the reference."""
    side = 200
    scene = Scene(2 * side, device)
    rotation = matrices(torch.nn.functional.normalize(torch.tensor([[0.9, 0.25, -0.3, 0.1]]), dim=-1)).to(
        device
    )
    light = torch.nn.functional.normalize(torch.tensor([-0.5, 0.6, 0.7], device=device), dim=0)
    view = scene.reflections(rotation)
    renders, maps = [], []
    for look in (*course.frames.values(), truth):
        with torch.no_grad():
            image = look.shade(*view, light).permute(0, 3, 1, 2)
        renders.append(torch.nn.functional.avg_pool2d(image, 2)[0].permute(1, 2, 0).clamp(0, 1).cpu().numpy())
        maps.append(unfolded(look.cube, side // 2).clamp(0, 1).cpu().numpy())
    columns = [*(f"step {step}" for step in course.frames), "reference"]
    return sheet([renders, maps], columns, ["", ""])


def _curve(course: Course) -> Any:
    figure = dark_figure(8, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.12})
    upper.plot(course.marks, course.psnr, color=LINES[1], lw=1.5)
    upper.set_ylabel("PSNR of the map, dB")
    off = [abs(v / TRUE_EXPONENT - 1) for v in course.exponent]
    lower.plot(course.marks, np.maximum(off, 1e-6), color=LINES[0], lw=1.5, label="exponent, relative error")
    lower.plot(
        course.marks, np.maximum(course.color_error, 1e-6), color=LINES[2], lw=1.5, label="colour, mean error"
    )
    lower.set_yscale("log")
    lower.set_xlabel("step")
    lower.legend(frameon=False, labelcolor=INK, fontsize=8)
    for axes in (upper, lower):
        dress(axes)
    return figure


def run(job: Job) -> Outcome:
    """Find map and highlight."""
    faces, resolution, steps = (job.settings[key] for key in ("faces", "resolution", "steps"))
    scene = Scene(resolution, job.device)
    truth, look = true_look(faces, job.device), first_look(faces, job)
    seen = seen_texels(scene, faces, 64, job.device)
    course = learn(scene, truth, look, steps, seen, job, {0, min(100, steps), min(1000, steps), steps})
    color = look.color.detach().tolist()
    shares = 100 * float(seen.float().mean())
    rows = [
        Row(
            "exponent",
            "converges",
            f"{course.exponent[-1]:.3f} (true {TRUE_EXPONENT:g}, first {course.exponent[0]:.1f})",
        ),
        Row("colour and strength", "converges", _triple(color) + f" (true {_triple(TRUE_COLOR)})"),
        Row(
            "environment map",
            "converges",
            f"{course.psnr[-1]:.2f} dB over the {shares:.1f} % seen, first {course.psnr[0]:.1f} dB",
        ),
    ]
    numbers = {
        "exponent": course.exponent[-1],
        "true_exponent": TRUE_EXPONENT,
        "first_exponent": course.exponent[0],
        "color": color,
        "true_color": list(TRUE_COLOR),
        "psnr_seen": course.psnr[-1],
        "seen_percent": shares,
        "ms_per_step": round(1e3 * course.seconds / steps, 2),
        "logged_steps": course.marks,
        "psnr_curve": [round(v, 3) for v in course.psnr],
        "exponent_curve": [round(v, 4) for v in course.exponent],
    }
    notes = [
        f"{faces} x {faces} texels a face, {resolution} x {resolution} pixels, {steps} steps; "
        f"{len(scene.tri)} triangles; the paper gives curves only"
    ]
    return Outcome(_picture(course, truth, job.device), _curve(course), numbers, rows, notes)


def _triple(values: tuple[float, ...] | list[float]) -> str:
    return " ".join(f"{v:.3f}" for v in values)


EXPERIMENT = Experiment(
    "envphong",
    "Environment map and Phong highlight from reflections in an irregular object (4.3).",
    PARAMS,
    run,
)
