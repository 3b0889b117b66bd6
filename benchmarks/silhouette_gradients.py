"""Gradients through silhouettes against finite differences, as a table.

    python -m benchmarks.silhouette_gradients [--quick]

A shape is moved, scaled and turned; the loss is its antialiased picture (flat colour) times a
smooth positive weight. The loss is no straight line: the weight changes, and corners pass from
pixel to pixel. So the difference spans one pixel to each side, and both it and the gradient are
averaged over places spread evenly within a pixel; what is left is bias, which is what we look for.

Errors: of scale relative to its slope; of a translation relative to the length of the
translation's gradient (one component may vanish); of a rotation relative to the slope of scale
(a turned sphere is the same sphere, its slope is 0).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from studio.core.ops import Topology, antialias, rasterize_interpolate

NAMES = ("move x", "move y", "scale", "turn x", "turn y", "turn z")
SHAPES = ("sphere 5k", "sphere 82k", "torus", "cube")
# A limit beside each number: twice the worst that was measured.
LIMITS = {"scale": 0.003, "move": 0.015, "turn": 0.002}

_FOCAL = 2.0
_DISTANCE = 3.0


def shape(name: str) -> tuple[Tensor, Tensor]:
    """Vertices [V, 3] float64 and triangles [T, 3] int32 of one of SHAPES."""
    import trimesh

    if name == "sphere 5k":
        mesh = trimesh.creation.icosphere(4)
    elif name == "sphere 82k":
        mesh = trimesh.creation.icosphere(6)
    elif name == "torus":
        mesh = trimesh.creation.torus(0.75, 0.3, major_sections=96, minor_sections=48)
    else:
        mesh = trimesh.creation.box((1.1, 1.1, 1.1))
    return torch.tensor(mesh.vertices, dtype=torch.float64), torch.tensor(mesh.faces, dtype=torch.int32)


def _rotation(axis: int, angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    rows = [[zero] * 3 for _ in range(3)]
    rows[axis][axis] = one
    rows[a][a], rows[a][b], rows[b][a], rows[b][b] = cos, -sin, sin, cos
    return torch.stack([torch.stack(row) for row in rows])


def clip_positions(vertices: Tensor, theta: Tensor) -> Tensor:
    """[1, V, 4] float32 of the shape at theta = (x, y, scale, three angles)."""
    turn = _rotation(0, theta[3]) @ _rotation(1, theta[4]) @ _rotation(2, theta[5])
    # Seen from a general direction, so that no edge of the cube is upright.
    start = _rotation(0, theta.new_tensor(0.5)) @ _rotation(1, theta.new_tensor(0.6))
    moved = (vertices * theta[2]) @ (turn @ start).T
    x, y, z = moved[:, 0] + theta[0], moved[:, 1] + theta[1], moved[:, 2] - _DISTANCE
    near, far = 0.5, 10.0
    depth = z * (far + near) / (near - far) + 2 * far * near / (near - far)
    return torch.stack([_FOCAL * x, _FOCAL * y, depth, -z], dim=-1)[None].float()


def weight(resolution: int) -> Tensor:
    """[H, W] float64, smooth and positive: 1 plus waves about as long as the image."""
    generator = torch.Generator().manual_seed(3)
    steps = (torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    total = torch.zeros_like(x)
    for _ in range(6):
        a, b, phase = torch.rand(3, generator=generator).tolist()
        total += torch.sin(11.0 * (a - 0.2) * x + 11.0 * (b - 0.2) * y + 2 * math.pi * phase)
    return (1.0 + 0.15 * total) / resolution**2


@dataclass(frozen=True)
class Result:
    """Slopes of one shape at one resolution, and their errors as in the module's text."""

    shape: str
    resolution: int
    gradient: list[float]
    difference: list[float]

    def errors(self) -> dict[str, float]:
        off = [abs(a - b) for a, b in zip(self.gradient, self.difference)]
        move = math.hypot(*self.difference[:2])
        scale = abs(self.difference[2])
        by = [move, move, scale, scale, scale, scale]
        return {name: e / s for name, e, s in zip(NAMES, off, by)}


def measure(name: str, resolution: int, places: int) -> Result:
    """Averages over `places` positions spread within one pixel."""
    vertices, tri = shape(name)
    topology = Topology.build(tri, vertices.float())
    weights = weight(resolution)
    white = torch.ones(1, len(vertices), 1)

    def loss(theta: Tensor) -> Tensor:
        pos = clip_positions(vertices, theta)
        image, rast = rasterize_interpolate(pos, tri, white, (resolution, resolution))
        return (antialias(image, rast, pos, tri, topology)[0, ..., 0].double() * weights).sum()

    pixel = 2.0 * _DISTANCE / _FOCAL / resolution
    gradients, differences = [], []
    for i in range(places):
        # Additive recurrence with the plastic number: even in two dimensions for any count.
        offset = torch.tensor([(0.7548776662 * (i + 1)) % 1.0, (0.5698402910 * (i + 1)) % 1.0]).double()
        base = torch.tensor([0.05, -0.03, 0.85, 0.05, 0.1, 0.07], dtype=torch.float64)
        base[:2] += offset * pixel
        theta = base.clone().requires_grad_()
        gradients.append(torch.autograd.grad(loss(theta), theta)[0])
        with torch.no_grad():
            steps = torch.eye(6, dtype=torch.float64) * pixel
            differences.append(torch.stack([(loss(base + s) - loss(base - s)) / (2 * pixel) for s in steps]))
    return Result(
        name,
        resolution,
        torch.stack(gradients).mean(0).tolist(),
        torch.stack(differences).mean(0).tolist(),
    )


def table(results: list[Result]) -> str:
    """Markdown for the documentation: errors in percent."""
    lines = ["| shape | pixels | " + " | ".join(NAMES) + " |", "|---" * (len(NAMES) + 2) + "|"]
    for result in results:
        errors = result.errors()
        cells = " | ".join(f"{100 * errors[name]:.2f} %" for name in NAMES)
        lines.append(f"| {result.shape} | {result.resolution}² | {cells} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Silhouette gradients against finite differences.")
    parser.add_argument("--quick", action="store_true", help="64 pixels only")
    quick = parser.parse_args([] if arguments is None else arguments).quick
    sizes = ((64, 64),) if quick else ((64, 64), (512, 8))
    print(table([measure(name, size, places) for name in SHAPES for size, places in sizes]))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
