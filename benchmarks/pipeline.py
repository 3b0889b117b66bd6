"""Time of the differentiable pipeline: forward, backward, with and without shading and loss.

    .venv/bin/python -m benchmarks.pipeline [--views 4] [--size 256] [--subdivisions 5]

A sphere of 20 * 4^subdivisions triangles from `views` sides, about 40 % of each picture
covered. Besides the wall clock it reports the CPU time of all threads, which other programs
on the machine disturb less; divided by the number of cores it is what a quiet machine takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from studio.core.device import configure_threads
from studio.core.effects import get
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.kernels.launcher import pool
from studio.core.ops.image_loss import image_loss
from studio.core.ops.normals import vertex_normals
from studio.core.params import ParamSet
from studio.core.pipeline import Effects, render
from studio.core.scene import Camera, Lighting, look_at
from studio.core.scene.shapes import icosphere
from studio.core.tensors import SceneTensors


class Case:
    """One scene whose tensors all want gradients."""

    def __init__(self, views: int, size: int, subdivisions: int):
        mesh = replace(icosphere(subdivisions), normals=None)
        self.triangles = len(mesh.faces)
        surface = SceneTensors.from_meshes([mesh])
        self.surface = replace(
            surface,
            vertices=surface.vertices.requires_grad_(),
            colors=surface.colors.requires_grad_(),
            perceptual_roughness=surface.perceptual_roughness.requires_grad_(),
            metallic=surface.metallic.requires_grad_(),
        )
        angles = np.arange(views) * 2 * np.pi / views
        eyes = [np.array((3 * np.sin(a), 0.7, 3 * np.cos(a))) for a in angles]
        focal = 1.05 * size
        self.cameras = CameraBatch.from_cameras(
            [
                Camera(size, size, focal, focal, size / 2, size / 2, look_at(e, np.zeros(3)), 1, 6)
                for e in eyes
            ]
        )
        lighting = Lighting()
        lighting.sh[1:] = np.random.default_rng(0).normal(size=(24, 3)) * 0.05
        self.lights = LightTensors.from_lighting(lighting)
        for tensor in (self.lights.sh, self.lights.radiance, self.lights.vector):
            tensor.requires_grad_()
        self.target = torch.rand(views, size, size, 3)
        self.mask = torch.zeros(views, size, size)
        self.mask[:, size // 4 : -size // 4, size // 4 : -size // 4] = 1

    def render(self, effects: Effects) -> Frame:
        return render(self.surface, self.cameras, self.lights, None, effects, cull_backfaces=True)


def measure(body: Callable[[], Callable[[], None]], repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Wall and CPU milliseconds, each (forward, backward), best of the repeats."""
    wall, cpu = [], []
    for _ in range(repeats):
        times = [(time.perf_counter(), time.process_time())]
        back = body()
        times.append((time.perf_counter(), time.process_time()))
        back()
        times.append((time.perf_counter(), time.process_time()))
        steps = np.diff(np.array(times), axis=0) * 1e3
        wall.append(steps[:, 0])
        cpu.append(steps[:, 1])
    return np.min(wall, axis=0), np.min(cpu, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--subdivisions", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    configure_threads()
    case = Case(options.views, options.size, options.subdivisions)
    pbr: Effects = {"pbr": ParamSet("pbr", get("pbr").params)}
    covered = float((case.render({})["alpha"] > 0.5).float().mean())

    def picture(effects: Effects) -> Callable[[], None]:
        rgba = case.render(effects)["rgba"]
        grad = torch.full_like(rgba, 1e-3)
        return lambda: rgba.backward(grad)

    def step(effects: Effects) -> Callable[[], None]:
        loss = image_loss(case.render(effects)["rgba"], case.target, case.mask, background=torch.zeros(3))
        return lambda: loss.total.backward()

    def shading() -> Callable[[], None]:
        channels = {n: t.detach().clone().requires_grad_() for n, t in ready.channels.items() if n != "rast"}
        color = get("pbr").apply(replace(ready, channels={**channels, "rast": ready["rast"]}), pbr["pbr"])
        return lambda: color["color"].sum().backward()

    def normals() -> Callable[[], None]:
        s = case.surface
        out = vertex_normals(s.vertices, s.faces, s.incidence)
        return lambda: out.sum().backward()

    ready = case.render(pbr)
    cores = pool().threads
    print(f"{options.views} views of {options.size}x{options.size}, {case.triangles:,} triangles,", end=" ")
    print(f"{covered:.0%} covered, {cores} threads; milliseconds, best of {options.repeats}")
    print(f"{'':24}{'forward':>9}{'backward':>10}{'whole':>8}{'CPU/core':>10}")
    cases: dict[str, Callable[[], Callable[[], None]]] = {
        "vertex normals": normals,
        "unlit": lambda: picture({}),
        "unlit + loss": lambda: step({}),
        "PBR shading alone": shading,
        "PBR": lambda: picture(pbr),
        "PBR + loss": lambda: step(pbr),
    }
    for name, body in cases.items():
        wall, cpu = measure(body, options.repeats)
        print(f"{name:24}{wall[0]:9.2f}{wall[1]:10.2f}{wall.sum():8.2f}{cpu.sum() / cores:10.2f}")


if __name__ == "__main__":
    main()
