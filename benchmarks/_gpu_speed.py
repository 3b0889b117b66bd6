"""The parts of gpu_check about speed: agreement, primitives, steps, and what their time goes into."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._gpu_report import Section
from benchmarks._models import Model, sphere_of, subdivided_sphere, world_to_clip
from studio.core import ops
from studio.core.arrival import on_cuda
from studio.core.errors import StudioError, describe
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.graphs import CudaGraph
from studio.core.optim.metrics import peak_memory_mb
from studio.core.optim.settings import FitSettings
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Lighting, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.shapes import icosphere

SIZES = (256, 512, 1024, 2048, 4096)
DRAW_TARGET, STEP_TARGET = 0.5, 200.0
"""Milliseconds of draw and its gradient at 512² and 40k triangles; steps a second of a whole fit."""

OURS = ("_cuda_kernel_forward", "_cuda_kernel_backward")
"""How Warp ends the names of our kernels."""


class Drawing:
    """`draw` of a model and its gradient, on a device."""

    def __init__(self, model: Model, size: int, device: torch.device):
        self.size = (size, size)
        self.matrix = world_to_clip().T.contiguous().to(device)
        self.homogeneous = model.homogeneous.clone().to(device).requires_grad_()
        self.colors = torch.tensor(model.colors, dtype=torch.float32)[None].to(device).requires_grad_()
        self.upstream = torch.randn(1, size, size, 3, generator=torch.Generator().manual_seed(0)).to(device)
        self.tri, self.topology = model.tri.to(device), model.topology.to(device)

    def forward(self) -> Tensor:
        pos = (self.homogeneous @ self.matrix)[None]
        return ops.draw(pos, self.tri, self.colors, self.size, self.topology, cull_backfaces=True)

    def both(self) -> tuple[Tensor, ...]:
        image = self.forward()
        return image, *torch.autograd.grad(image, [self.homogeneous, self.colors], self.upstream)


def agreement(device: torch.device, reduced: bool) -> Section:
    """Pictures and gradients of the CPU and of the device."""
    section = Section(
        "CPU and GPU agree", columns=["case", "picture, mean", "pixels off", "gradients, relative"]
    )
    cases = (
        [(subdivided_sphere(2), 64)] if reduced else [(subdivided_sphere(4), 512), (sphere_of(308_000), 1024)]
    )
    for model, size in cases:
        expected = Drawing(model, size, torch.device("cpu")).both()
        found = [t.cpu() for t in Drawing(model, size, device).both()]
        difference = (found[0] - expected[0]).detach().abs()
        off = float((difference.amax(dim=3) > 1e-2).float().mean())
        slopes = [float((a - b).norm() / b.norm()) for a, b in zip(found[1:], expected[1:])]
        shown = ", ".join(f"{slope:.1e}" for slope in slopes)
        section.add(f"{model.name}, {size}²", f"{float(difference.mean()):.1e}", f"{off:.1e}", shown)
        # Fused multiply-adds decide a few pixels on edges the other way.
        if float(difference.mean()) > 1e-4 or off > 2e-3 or max(slopes) > 0.02:
            section.wrong.append(f"{model.name} at {size}² differs")
    return section


def _timed(call: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Median milliseconds of a call, of batches that end with the device's work."""
    walls: list[float] = []
    count = 10 if on_cuda(device) else 1
    end = time.perf_counter() + seconds
    for i in range(200):
        began = time.perf_counter()
        for _ in range(count):
            call()
        if on_cuda(device):
            torch.cuda.synchronize(device)
        if i > 0:  # the first warms up
            walls.append(1e3 * (time.perf_counter() - began) / count)
        if i >= 2 and time.perf_counter() > end:
            break
    return float(np.median(walls))


def primitives(device: torch.device, reduced: bool) -> Section:
    """draw, forward and with its gradient, launched one by one and as a CUDA graph."""
    columns = ["mesh", "size", "forward, ms", "with gradient, ms", "as a graph, ms", "GPU memory, MB"]
    section = Section("Primitives: rasterize, interpolate and antialias", columns=columns)
    models = [subdivided_sphere(2)]
    if not reduced:
        models = [
            sphere_of(284),
            sphere_of(5_000),
            sphere_of(40_000),
            subdivided_sphere(6),
            sphere_of(308_000),
        ]
    for model in models:
        for size in (32,) if reduced else SIZES:
            try:
                row = _primitive(model, size, device, 0.05 if reduced else 1.0)
            except (RuntimeError, ValueError) as error:
                section.wrong.append(f"{model.name} at {size}²: {describe(error)}")
                continue
            section.add(model.name, f"{size}²", *(_shown(value) for value in row))
            if on_cuda(device) and size == 512 and model.name == "sphere 40k":
                best = min(value for value in row[1:3] if value is not None)
                section.target("draw with gradient at 512², 40k triangles, ms", best, most=DRAW_TARGET)
    return section


def _primitive(model: Model, size: int, device: torch.device, seconds: float) -> list[float | None]:
    drawing = Drawing(model, size, device)
    if on_cuda(device):
        torch.cuda.reset_peak_memory_stats(device)

    def forward() -> None:
        with torch.no_grad():
            drawing.forward()

    plain = [_timed(forward, device, seconds), _timed(drawing.both, device, seconds)]
    if not on_cuda(device):
        return [*plain, None, None]
    graph = CudaGraph()
    recorded = graph.record(drawing.both)
    graph.replay()
    for found, expected in zip(recorded, drawing.both()):
        if (found - expected).norm() > 0.01 * expected.norm():
            raise ValueError(f"{model.name} at {size}²: a replay differs")
    memory = torch.cuda.max_memory_allocated(device) / 2**20
    return [*plain, _timed(graph.replay, device, seconds), memory]


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


@cache
def _photos(count: int, size: int) -> PhotoSet:
    """Photos of a ball from all around, as the renderer draws them on the CPU."""
    ball = icosphere(4, 0.6)
    ball.colors = (0.5 + 0.4 * np.sin(9 * ball.vertices)).astype(np.float32)
    photos = []
    for i in range(count):
        angle, height = 2 * np.pi * i / count, 0.8 * np.sin(5 * i)
        eye = np.array([3 * np.cos(angle), height, 3 * np.sin(angle)])
        pose = look_at(eye, np.zeros(3))
        camera = Camera(size, size, 1.6 * size, 1.6 * size, size / 2, size / 2, pose, near=1, far=6)
        rgba = render_image(Scene(meshes=[ball]), camera, effects={})
        photos.append(Photo(f"{i:02d}", np.ascontiguousarray(rgba[..., :3]), camera, rgba[..., 3].copy()))
    return PhotoSet(photos, Similarity(), object_radius=0.6)


def fit_of(
    size: int,
    views: int,
    triangles: int,
    device: torch.device,
    graphs: bool,
    steps: int,
    texels: int = 0,
) -> Fit:
    """A fit of positions, colours, roughness, metal and an environment map to photos of a ball.

    Args:
        texels: along a side of textures, of normals too; 0 for attributes at vertices.
    """
    values: dict[str, Any] = {
        **{"start": "mesh", "remesh": False, "stages": 1, "resolution": size, "views_per_step": views},
        **{"steps": steps, "cuda_graphs": graphs, "light_model": "environment"},
    }
    groups = "vertices,albedo,roughness,metallic,light"
    if texels:
        values |= {"material": "textures", "texture_size": texels, "texture_steps": steps - 1}
        values |= {"directed_occlusion": False, "warm_up": 1}
        values |= dict.fromkeys(("texture_smoothness_weight", "light_smoothness_weight"), 0.01)
        values |= {"material_smoothness_weight": 0.1}
        groups += ",normal_map"
    settings = FitSettings(values)
    settings.optimize(groups)
    model = sphere_of(triangles)
    start = icosphere(2, 0.55)
    start.vertices, start.faces = (0.55 * model.vertices).astype(np.float32), model.faces
    start.normals = None
    fit = Fit(FitProblem(_photos(max(8, views), size), start, Lighting()), settings, device.type)
    fit.prepare()
    return fit


def fits(device: torch.device, reduced: bool) -> Section:
    """Steps a second of whole fits, and the memory that they take."""
    columns = ["photos a step", "triangles", "material", "steps a second", "with graphs", "GPU memory, MB"]
    section = Section("Steps of fits: PBR under an environment", columns=[*columns, "notes"])
    cases = [(16, 2, 320, 0), (16, 2, 320, 16)]
    if not reduced:
        cases = [(512, 4, 50_000, 0), (512, 4, 20_000, 512), (512, 8, 50_000, 0), (1024, 8, 50_000, 0)]
        cases += [(1024, 4, 50_000, 0), (1024, 8, 20_000, 1024)]
    for size, views, triangles, texels in cases:
        rates, notes = [], ""
        if on_cuda(device):
            torch.cuda.reset_peak_memory_stats(device)
        for graphs in (False, True):
            steps = 12 if reduced else 300
            try:
                fit = fit_of(size, views, triangles, device, graphs, steps, texels)
                rates.append(_rate(fit, device))
            except (RuntimeError, StudioError) as error:
                section.wrong.append(f"{views} of {size}², graphs {graphs}: {describe(error)}")
                rates.append(float("nan"))
                continue
            notes = fit._pass.graphs.reason or f"{fit._pass.graphs.replayed} of {steps} steps replayed"
            if on_cuda(device) and graphs and fit._pass.graphs.reason:
                section.wrong.append(f"{views} of {size}²: not recorded: {fit._pass.graphs.reason}")
        memory = torch.cuda.max_memory_allocated(device) / 2**20 if on_cuda(device) else None
        material = f"{texels}² texels" if texels else "vertices"
        case = [f"{views} of {size}²", f"{triangles:,}", material, *(f"{rate:.1f}" for rate in rates)]
        section.add(*case, _shown(memory), notes)
        if on_cuda(device) and (size, views) == (512, 4):
            best = max((rate for rate in rates if rate == rate), default=0.0)
            section.target(f"steps a second, 4 photos of 512², {material}", best, least=STEP_TARGET)
    section.lines.append(f"Peak of the process: {peak_memory_mb():.0f} MB.")
    return section


def _rate(fit: Fit, device: torch.device) -> float:
    for _ in range(max(5, fit.steps // 6)):  # kernels are loaded, the graph is recorded
        fit.step()
    if on_cuda(device):
        torch.cuda.synchronize(device)
    first, began = fit.steps_done, time.perf_counter()
    while fit.steps_done < fit.steps:
        fit.step()
    if on_cuda(device):
        torch.cuda.synchronize(device)
    return (fit.steps - first) / (time.perf_counter() - began)


def profile(device: torch.device, reduced: bool) -> Section:
    """Which kernels a step's time goes into, and how much of it are ours."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recording

    columns = ["kernel", "ms a step", "launches", "share"]
    section = Section("What a step's time goes into", columns=columns)
    steps = 2 if reduced else 20
    size, views, triangles, texels = (16, 2, 320, 16) if reduced else (512, 4, 20_000, 512)
    fit = fit_of(size, views, triangles, device, False, 8 + steps, texels)
    for _ in range(7):
        fit.step()
    kinds = [ProfilerActivity.CUDA] if on_cuda(device) else [ProfilerActivity.CPU]
    with recording(activities=kinds) as found:
        for _ in range(steps):
            fit.step()
        if on_cuda(device):
            torch.cuda.synchronize(device)
    field = "self_device_time_total" if on_cuda(device) else "self_cpu_time_total"
    times = {event.key: float(getattr(event, field)) / 1e3 / steps for event in found.key_averages()}
    counts = {event.key: event.count / steps for event in found.key_averages()}
    whole = sum(times.values())
    for name, spent in sorted(times.items(), key=lambda item: -item[1])[:20]:
        share = f"{100 * spent / max(whole, 1e-9):.0f} %"
        section.rows.append([f"`{name[:60]}`", f"{spent:.3f}", f"{counts[name]:.1f}", share])
    section.values["calls a step"] = sum(counts.values())
    if on_cuda(device):
        ours = sum(spent for name, spent in times.items() if name.endswith(OURS))
        section.values["share of our kernels"] = ours / max(whole, 1e-9)
        section.lines.append(f"Our kernels take {100 * ours / max(whole, 1e-9):.0f} % of {whole:.2f} ms.")
    else:
        section.lines.append("On the CPU kernels are called past the profiler, so only torch's calls appear.")
    return section
