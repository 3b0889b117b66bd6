"""Times of the effects: in the viewport at 1280 x 720, and differentiably at 512 x 512.

    python main.py bench effects [--scene teaset] [--only gl|diff] [--docs] [--dry-run]

In the viewport an effect's time is what a frame takes longer with it, over the set that it needs;
every frame is drawn from another side, up to glFinish. Moving, the governor picks drafts and the
share of the pixels for the rate. Differentiably it is the effect alone, its
inputs ready, beside the same formula in plain torch; and a whole frame with all effects from
vertices to gradients. Medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import _docs, _history
from benchmarks.effect_cases import Call, cases
from studio.core.device import configure_threads, describe_device
from studio.core.effects import registry
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.params import ParamSet
from studio.core.pipeline import render
from studio.core.plan import Effects, plan
from studio.core.scene import Scene
from studio.core.scene.camera import framing_camera
from studio.core.tensors import SceneTensors
from studio.gl.context import describe_context, headless_context
from studio.gl.governor import Governor, Level
from studio.gl.navigation import OrbitCamera
from studio.gl.options import ViewOptions
from studio.gl.viewport import Viewport
from studio.options import open_scene

GL_SIZE = (1280, 720)
DIFF_SIZE = 512

Rows = list[tuple[str, ...]]


def effect_set(names: set[str], half: bool = False) -> dict[str, ParamSet]:
    """Effects with their defaults, at half resolution where they can be."""
    out = {}
    for effect in registry().values():
        if effect.name in names:
            out[effect.name] = ParamSet(effect.name, effect.params)
            if half and any(p.name == "half_resolution" for p in effect.params):
                out[effect.name].set("half_resolution", True)
    return out


def needed(name: str) -> set[str]:
    """The fewest effects without which this one does not run or is not seen."""
    names = {name, "pbr"}
    return names | set(plan(effect_set(names)).skipped)


def measured(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Median milliseconds of calls taken in turn."""
    times = _history.measure_for(calls, seconds * len(calls), least=5, most=40)
    return {name: statistics.median(t.wall) for name, t in times.items()}


def moving(viewport: Viewport, orbit: OrbitCamera, seconds: float) -> tuple[float, Level]:
    """Milliseconds of a frame at the level on which the governor settles, and that level."""
    governor = Governor()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 40 or time.perf_counter() - begun < seconds:
        level = governor.level
        orbit.orbit(5, 0)
        options = ViewOptions(resolution_scale=level.scale, draft=level.draft, samples=1)
        start = time.perf_counter()
        viewport.render(orbit.camera(*GL_SIZE), options)
        viewport.ctx.finish()
        times.append(time.perf_counter() - start)
        governor.moved(times[-1], level.scale, level.draft)
        if governor.level != level:
            times.clear()
    return 1e3 * statistics.median(times[1:]), governor.level


def gl_rows(scene: Scene, seconds: float) -> Rows:
    """Frame times of the viewport."""
    rows: Rows = []
    everything = set(registry())
    with headless_context() as ctx:
        print(f"{describe_context(ctx).renderer}, {scene.triangle_count():,} triangles")
        viewport = Viewport(ctx)
        viewport.set_scene(scene)
        orbit = OrbitCamera()
        orbit.set_bounds(*scene.bounds())
        orbit.frame(*scene.bounds(), aspect=GL_SIZE[0] / GL_SIZE[1], smooth=False)

        def frame(effects: dict[str, ParamSet], scale: float = 1.0) -> Call:
            def draw() -> None:
                viewport.set_effects(effects)
                orbit.orbit(5, 0)
                viewport.render(orbit.camera(*GL_SIZE), ViewOptions(resolution_scale=scale))
                viewport.ctx.finish()

            return draw

        for name in registry():
            base = needed(name) - {name} if name != "pbr" else set()
            pairs = {"without": frame(effect_set(base)), "with": frame(effect_set(base | {name}))}
            if any(p.name == "half_resolution" for p in registry()[name].params):
                pairs["half"] = frame(effect_set(base) | effect_set({name}, half=True))
            ms = measured(pairs, seconds)
            extra = [ms["with"] - ms["without"], ms["half"] - ms["without"] if "half" in ms else None]
            rows.append((name, *("" if v is None else f"{v:.1f}" for v in extra)))
            print("  " + "  ".join(rows[-1]), flush=True)
        sets = {
            "whole set": frame(effect_set(everything)),
            "whole set, half": frame(effect_set(everything, half=True)),
            "whole set, half, scale 0.5": frame(effect_set(everything, half=True), 0.5),
        }
        for name, value in measured(sets, seconds).items():
            rows.append((name, f"{value:.1f}", f"{1e3 / value:.0f} fps"))
            print("  " + "  ".join(rows[-1]), flush=True)
        viewport.set_effects(effect_set(everything))
        value, level = moving(viewport, orbit, seconds)
        how = f"{1e3 / value:.0f} fps at {level.scale:g} of the pixels each way"
        rows.insert(-1, ("whole set, moving", f"{value:.1f}", how + (", drafts" if level.draft else "")))
        print("  " + "  ".join(rows[-2]), flush=True)
        viewport.release()
    return rows


def whole_set(scene: Scene, effects: Effects) -> tuple[Call, Call]:
    """A frame with these effects from vertices, materials and light; and with the gradient to them."""
    camera = framing_camera(scene.bounds(), DIFF_SIZE, DIFF_SIZE)
    cameras = CameraBatch.from_cameras([camera])
    surface = SceneTensors.from_meshes(scene.meshes)
    names = ("vertices", "colors", "perceptual_roughness", "metallic")
    leaves = {name: getattr(surface, name).clone().requires_grad_() for name in names}
    surface = replace(surface, **leaves)
    lights = LightTensors.from_lighting(scene.lighting)
    radiance = lights.radiance.clone().requires_grad_()
    lights = replace(lights, radiance=radiance)

    def forward() -> torch.Tensor:
        return render(surface, cameras, lights, None, effects)["rgba"]

    def both() -> None:
        image = forward()
        torch.autograd.grad(image, [*leaves.values(), radiance], torch.ones_like(image), allow_unused=True)

    def alone() -> None:
        with torch.no_grad():
            forward()

    return alone, both


def diff_rows(scene: Scene, seconds: float) -> Rows:
    """Times of the differentiable effects and of whole frames."""
    rows: Rows = []

    def add(name: str, calls: dict[str, Call]) -> None:
        ms = measured(calls, seconds)
        rows.append((name, *(f"{ms[k]:.1f}" if k in ms else "" for k in ("forward", "both", "torch"))))
        print("  " + "  ".join(rows[-1]), flush=True)

    for name, (forward, both, eager) in cases().items():
        calls = {"forward": forward, "both": both}
        if eager is not None:
            calls["torch"] = eager
        add(name, calls)
    everything = {name for name, effect in registry().items()}
    sets: dict[str, Effects] = {
        "frame, pbr": effect_set({"pbr"}),
        "frame, whole set": effect_set(everything),
        "frame, whole set, half": effect_set(everything, half=True),
    }
    for name, effects in sets.items():
        forward, both = whole_set(scene, effects)
        add(name, {"forward": forward, "both": both})
    return rows


def markdown(titles: tuple[str, ...], rows: Rows) -> str:
    """A table."""
    lines = ["| " + " | ".join(titles) + " |", "|---" + "|---:" * (len(titles) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


TABLES: dict[str, tuple[tuple[str, ...], Callable[[Scene, float], Rows]]] = {
    "gl": (("ms at 1280 x 720", "full", "half"), gl_rows),
    "diff": (("ms at 512 x 512", "forward", "forward + backward", "torch, the same"), diff_rows),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, append to the history."""
    parser = argparse.ArgumentParser(prog="bench effects", description=__doc__.split("\n")[0])
    parser.add_argument("--scene", default="teaset", help="a mesh file or a built-in scene")
    parser.add_argument("--only", choices=list(TABLES), help="one of the two tables")
    parser.add_argument("--seconds", type=float, default=1.5, help="about so long for each call")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/benchmarks.md")
    parser.add_argument("--dry-run", action="store_true", help="do not append to the history")
    options = parser.parse_args(arguments)
    configure_threads()
    print(f"{describe_device(torch.device('cpu'))}; medians in ms")
    scene = open_scene(Path(options.scene))
    for name, (titles, make) in TABLES.items():
        if options.only not in (None, name):
            continue
        rows = make(scene, options.seconds)
        text = markdown(titles, rows)
        print("\n" + text + "\n")
        if options.docs:
            _docs.put(f"effects {name}", text)
        if not options.dry_run:
            values: dict[str, Any] = {row[0]: list(row[1:]) for row in rows}
            _history.record(f"effects: {name}, whole set", [float(rows[-1][1])], 1, medians=values)


if __name__ == "__main__":
    main()
