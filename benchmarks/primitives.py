"""Rasterize, interpolate and antialias, forward and backward, beside DEODR in the same run.

    python -m benchmarks.primitives [--rounds 15] [--dry-run]

Spheres of 5k and 82k triangles at 512 and 1024 pixels, vertex colours, gradient to positions and
colours, back faces left out on both sides; and our own inner loop: four images of 256 pixels of
20k triangles. DEODR also projects the vertices and has constant lighting in its time; ours
projects with one matrix product. Medians, and the ratio ours / DEODR.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks import _history
from studio.core.device import configure_threads, describe_device
from studio.core.ops import Topology, antialias, rasterize_interpolate

WARM_UP = 3
# (name, subdivisions of the icosphere, pixels, images)
CASES = (
    ("sphere 5k, 512", 4, 512, 1),
    ("sphere 5k, 1024", 4, 1024, 1),
    ("sphere 82k, 512", 6, 512, 1),
    ("sphere 82k, 1024", 6, 1024, 1),
    ("sphere 20k, 4 x 256", 5, 256, 4),
)
# The sphere fills 72 % of the image's height: the common case of an object in its frame.
_FOCAL, _DISTANCE = 2.0, 3.0


def sphere(subdivisions: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] and triangles [T, 3]."""
    import trimesh

    mesh = trimesh.creation.icosphere(subdivisions)
    return np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces)


def world_to_clip(images: int) -> Tensor:
    """[N, 4, 4] cameras around the vertical axis."""
    near, far = 0.5, 10.0
    clip = torch.diag(torch.tensor([_FOCAL, _FOCAL, (far + near) / (near - far), 0.0]))
    clip[2, 3], clip[3, 2] = 2 * far * near / (near - far), -1.0
    out = []
    for i in range(images):
        angle = torch.tensor(2 * np.pi * i / images)
        view = torch.eye(4)
        view[0, 0] = view[2, 2] = angle.cos()
        view[0, 2], view[2, 0] = -angle.sin(), angle.sin()
        view[2, 3] = -_DISTANCE
        out.append(clip @ view)
    return torch.stack(out).float()


def ours(subdivisions: int, size: int, images: int) -> Callable[[], None]:
    """One forward and backward pass."""
    points, faces = sphere(subdivisions)
    vertices = torch.tensor(points, dtype=torch.float32)
    tri = torch.tensor(faces, dtype=torch.int32)
    homogeneous = torch.cat([vertices, torch.ones(len(vertices), 1)], dim=1).requires_grad_()
    colors = (0.5 + 0.5 * vertices)[None].requires_grad_()
    matrices = world_to_clip(images).transpose(1, 2).contiguous()
    topology = Topology.build(tri, vertices)
    upstream = torch.randn(images, size, size, 3)

    def call() -> None:
        pos = homogeneous @ matrices
        image, rast = rasterize_interpolate(pos, tri, colors, (size, size), cull_backfaces=True)
        out = antialias(image, rast, pos, tri, topology)
        torch.autograd.grad(out, [homogeneous, colors], upstream)

    return call


def deodr(subdivisions: int, size: int) -> Callable[[], None]:
    """The same with DEODR: Scene3D with ambient light only."""
    from deodr import Camera, ColoredTriMesh, Scene3D

    points, faces = sphere(subdivisions)
    mesh = ColoredTriMesh(faces=faces.astype(np.uint32), vertices=points, nb_colors=3, clockwise=False)
    mesh.set_vertices_colors(0.5 + 0.5 * points)
    scene = Scene3D(sigma=1)
    scene.set_mesh(mesh)
    scene.set_background_color(np.zeros(3))
    scene.set_light(light_directional=None, light_ambient=1.0)
    extrinsic = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, _DISTANCE]])
    half = size / 2
    intrinsic = np.array([[_FOCAL * half, 0, half], [0, _FOCAL * half, half], [0, 0, 1]])
    camera = Camera(extrinsic=extrinsic, intrinsic=intrinsic, width=size, height=size)
    upstream = np.random.default_rng(0).normal(size=(size, size, 3))

    def call() -> None:
        scene.render(camera, backface_culling=True)
        scene.clear_gradients()
        scene.render_backward(upstream)

    return call


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, append to the history."""
    parser = argparse.ArgumentParser(description="Speed of the primitives beside DEODR.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dry-run", action="store_true", help="do not append to the history")
    options = parser.parse_args([] if arguments is None else arguments)
    configure_threads()
    try:
        import deodr as _  # noqa: F401  # only whether it is there

        with_peer = True
    except ImportError:
        with_peer = False
        print("deodr is not installed (pip install 'deodr>=0.2'): ours alone")
    print(f"{describe_device(torch.device('cpu'))}; forward + backward, median ms of {options.rounds} runs")
    print("| case | ours | DEODR | ratio | ours, CPU time | DEODR, CPU time |\n|---|---|---|---|---|---|")
    for name, subdivisions, size, images in CASES:
        calls = {"ours": ours(subdivisions, size, images)}
        if with_peer and images == 1:
            calls["deodr"] = deodr(subdivisions, size)
        times = _history.measure(calls, options.rounds, WARM_UP)
        wall = {key: statistics.median(values.wall) for key, values in times.items()}
        cpu = {key: statistics.median(values.cpu) for key, values in times.items()}
        more = {"cpu_median": round(cpu["ours"], 3)}
        peer = ["–"] * 3
        if "deodr" in wall:
            ratio = wall["ours"] / wall["deodr"]
            more |= {"deodr_median": round(wall["deodr"], 3), "ratio_to_deodr": round(ratio, 3)}
            peer = [f"{wall['deodr']:.1f}", f"{ratio:.2f}", f"{cpu['deodr']:.1f}"]
        print(
            f"| {name} | {wall['ours']:.1f} | {peer[0]} | {peer[1]} | {cpu['ours']:.1f} | {peer[2]} |",
            flush=True,
        )
        if not options.dry_run:
            _history.record(f"primitives: {name}", times["ours"].wall, WARM_UP, **more)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
