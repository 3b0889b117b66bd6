"""Time of a viewport frame and of its passes, on whatever OpenGL this machine has.

    .venv/bin/python benchmarks/viewport.py [--triangles 40000] [--size 752x568]

Every pass is timed by itself between two `finish` calls; on software GL time would otherwise
surface in later calls. Medians over --repeat runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from studio.core.effects import registry
from studio.core.params import ParamSet
from studio.core.scene import Mesh, Scene
from studio.gl.context import describe_context, headless_context
from studio.gl.frame import jittered_view
from studio.gl.navigation import OrbitCamera
from studio.gl.options import ViewOptions
from studio.gl.viewport import Viewport


def torus_knot(triangles: int) -> Mesh:
    """A (2, 3) torus knot with about that many triangles, and normals."""
    across = max(3, round((triangles / 2 / 16) ** 0.5))
    along = max(3, triangles // 2 // across)
    t = np.linspace(0, 2 * np.pi, along, endpoint=False)
    a = np.linspace(0, 2 * np.pi, across, endpoint=False)
    r = 0.6 * (2 + np.cos(3 * t)) / 3 + 0.15
    center = np.stack([r * np.cos(2 * t), r * np.sin(2 * t), 0.35 * np.sin(3 * t)], -1)
    tangent = np.roll(center, -1, 0) - np.roll(center, 1, 0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, center)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    normal = np.cos(a)[None, :, None] * side[:, None] + np.sin(a)[None, :, None] * up[:, None]
    vertices = center[:, None] + 0.16 * normal
    i, j = np.meshgrid(np.arange(along), np.arange(across), indexing="ij")
    i1, j1 = (i + 1) % along, (j + 1) % across
    quad = [i * across + j, i1 * across + j, i1 * across + j1, i * across + j1]
    faces = np.concatenate(
        [np.stack([quad[k] for k in tri], -1).reshape(-1, 3) for tri in ((0, 1, 2), (0, 2, 3))]
    )
    count = along * across
    return Mesh(
        vertices.reshape(count, 3).astype(np.float32),
        faces.astype(np.int32),
        normals=normal.reshape(count, 3).astype(np.float32),
        colors=np.full((count, 3), (0.75, 0.4, 0.2), np.float32),
    )


def timed(viewport: Viewport, action: Callable[[], Any], repeat: int) -> tuple[float, float]:
    """Milliseconds of an action, drawing included: median on the clock, mean of all cores' work.

    The second is what a busy machine does not blur; on software GL it holds the drawing too.
    """
    times = []
    for _ in range(2):
        action()
    viewport.ctx.finish()
    work = time.process_time()
    for _ in range(repeat):
        begun = time.perf_counter()
        action()
        viewport.ctx.finish()
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times), 1e3 * (time.process_time() - work) / repeat


def passes(viewport: Viewport, orbit: OrbitCamera, size: tuple[int, int], scale: float, repeat: int) -> None:
    """One line for each pass of a frame at a resolution scale."""
    options = ViewOptions(resolution_scale=scale)
    camera = orbit.camera(*size)
    for _ in range(3):
        viewport.render(camera, options)
    scaled = viewport._scaled(camera, options)
    targets = viewport._targets_for(scaled)
    settings = viewport._settings(scaled, options)
    view = jittered_view(scaled, (0.0, 0.0))
    color = viewport.frame.shade(targets, view, settings)
    rows = {
        "G-buffer": lambda: viewport.frame.draw_gbuffer(targets, view, settings),
        "shading": lambda: viewport.frame.shade(targets, view, settings),
        "accumulate": lambda: viewport.frame.accumulate(targets, color, first=True),
        "resolve": lambda: viewport.frame.resolve(targets, 1, True),
        "post": lambda: viewport.frame.post(targets, color, view, settings, 0.0),
        "post, ground, compose": lambda: viewport._present(scaled, options),
    }
    print(f"\nscale {scale:g} ({scaled.width}x{scaled.height})")
    for name, action in rows.items():
        clock, work = timed(viewport, action, repeat)
        print(f"  {name:22s} {clock:7.2f} ms, processor {work:7.2f} ms")


def frames(viewport: Viewport, orbit: OrbitCamera, size: tuple[int, int], scale: float, repeat: int) -> None:
    """Frame time while orbiting and while still."""
    options = ViewOptions(resolution_scale=scale)

    def move() -> None:
        orbit.orbit(7, 1)
        viewport.render(orbit.camera(*size), options)

    moving, work = timed(viewport, move, repeat)
    camera = orbit.camera(*size)
    while not viewport.settled:
        viewport.render(camera, options)
    still, _ = timed(viewport, lambda: viewport.render(camera, options), repeat)
    print(
        f"  orbiting {moving:.2f} ms ({1e3 / moving:.0f} fps), processor {work:.2f} ms; still {still:.3f} ms"
    )


def measure(ctx: Any, triangles: int, size: tuple[int, int], repeat: int) -> None:
    """Print the tables of one context."""
    viewport = Viewport(ctx)
    mesh = torus_knot(triangles)
    print(f"{describe_context(ctx).renderer}, {len(mesh.faces):,} triangles, {size[0]}x{size[1]}")
    viewport.set_scene(Scene(meshes=[mesh]))
    viewport.set_effects({e.name: ParamSet(e.name, e.params) for e in registry().values() if e.enabled})
    orbit = OrbitCamera()
    orbit.set_bounds(*mesh.bounds())
    orbit.frame(*mesh.bounds(), aspect=size[0] / size[1], smooth=False)
    for scale in (1.0, 0.5):
        passes(viewport, orbit, size, scale, repeat)
        frames(viewport, orbit, size, scale, repeat)
    snapshot = torus_knot(20000)
    viewport.set_scene(Scene(meshes=[snapshot]))
    moved = [
        Mesh(snapshot.vertices + d, snapshot.faces, snapshot.normals, colors=snapshot.colors)
        for d in (0, 0.01)
    ]
    turn = iter(range(10**6))
    upload, _ = timed(viewport, lambda: viewport.update_mesh(0, moved[next(turn) % 2]), repeat)
    print(f"\nsnapshot of {len(snapshot.faces):,} triangles: upload {upload:.2f} ms")
    viewport.release()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triangles", type=int, default=40000)
    parser.add_argument("--size", default="752x568")
    parser.add_argument("--repeat", type=int, default=20)
    args = parser.parse_args()
    size = tuple(int(v) for v in args.size.split("x"))
    with headless_context() as ctx:
        measure(ctx, args.triangles, size, args.repeat)


if __name__ == "__main__":
    main()
