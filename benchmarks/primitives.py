"""Rasterizing, antialiasing, SoftRas and NMR beside Mesa and DEODR, from 284 to 308k triangles.

    python main.py bench primitives [--quick] [--sizes 256 1024] [--threads] [--docs] [--dry-run]

One mesh and one camera at a time, 256 to 4096 pixels a side, back faces culled everywhere, all
calls of a case taken in turn, medians. What is measured:

    raster          `rasterize` without derivatives: u, v, depth and id in one float32 image
    Mesa            the same image from OpenGL, up to glFinish; and with the copy into host memory
    draw            rasterize, interpolate 3 colours and antialias as one operation
    three ops       the same by `rasterize`, `interpolate` and `antialias`
    DEODR           render, and render + backward, which hold projection and shading too
    softras         soft aggregation, sigma and gamma 1e-4
    nmr             rasterize, interpolate, and the Neural Mesh Renderer's gradient

"+ gradient" is forward and backward, to positions and colours. Ours projects with one matrix
product. Pictures are compared before anything is timed.

Taking turns, each call finds the caches as another one left them, as in a program that does more than
draw: 5k triangles at 256 pixels take our three ops up to 1.5 times as long as in a loop of nothing else.
That is the same for everybody. Threads are not: Mesa's sleep between frames (after a frame ours take no
longer than after a pause), DEODR has one, and those of NumPy, which would wait busily, are turned off.
Where another program has the second core, only we and Mesa would lose by it, so a case is measured again
until two threads of pure arithmetic do what two cores do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import _cores, _docs, _history, _peers
from benchmarks._models import Model, models, world_to_clip
from benchmarks._primitives_report import Result, one_thread, page, plot
from studio.core import ops
from studio.core.device import configure_threads, describe_device
from studio.core.errors import WorkError
from studio.core.kernels import launcher

SIZES = (256, 512, 1024, 2048, 4096)
QUICK_SIZES = (256, 1024)
SOFT_SIZES = (64, 128, 256, 512)
SOFT_TRIANGLES = 21_000
"""SoftRas and NMR are not measured beyond these, where a case would take seconds."""

_NO_DERIVATIVES = ops.RasterizeGLContext(output_db=False)


class Ours:
    """Our calls for one mesh at one size; `both` variants take the gradient too."""

    def __init__(self, model: Model, size: int, cull: bool = True):
        self.model, self.size, self.cull = model, (size, size), cull
        self.matrix = world_to_clip().T.contiguous()
        self.homogeneous = model.homogeneous.clone().requires_grad_()
        self.colors = torch.tensor(model.colors, dtype=torch.float32)[None].requires_grad_()
        self.upstream = torch.randn(1, size, size, 3, generator=torch.Generator().manual_seed(0))
        self.clip = (model.homogeneous @ self.matrix)[None].contiguous()

    def raster(self) -> Tensor:
        rast: Tensor = ops.rasterize(
            _NO_DERIVATIVES, self.clip, self.model.tri, self.size, cull_backfaces=self.cull
        )[0]
        return rast

    def draw(self) -> Tensor:
        pos = (self.homogeneous @ self.matrix)[None]
        return ops.draw(
            pos, self.model.tri, self.colors, self.size, self.model.topology, cull_backfaces=self.cull
        )

    def three(self) -> Tensor:
        pos, tri = (self.homogeneous @ self.matrix)[None], self.model.tri
        rast, _ = ops.rasterize(_NO_DERIVATIVES, pos, tri, self.size, cull_backfaces=self.cull)
        image, _ = ops.interpolate(self.colors, rast, tri)
        return ops.antialias(image, rast, pos, tri, self.model.topology)

    def softras(self) -> Tensor:
        pos = (self.homogeneous @ self.matrix)[None]
        made: Tensor = ops.softras(pos, self.model.tri, self.colors, self.size)[0]
        return made

    def nmr(self) -> Tensor:
        pos, tri = (self.homogeneous @ self.matrix)[None], self.model.tri
        rast, _ = ops.rasterize(_NO_DERIVATIVES, pos, tri, self.size, cull_backfaces=self.cull)
        return ops.nmr(ops.interpolate(self.colors, rast, tri)[0], rast, pos, tri)

    def both(self, forward: Callable[[], Tensor]) -> None:
        torch.autograd.grad(forward(), [self.homogeneous, self.colors], self.upstream)

    def pair(self, name: str, forward: Callable[[], Tensor]) -> dict[str, Callable[[], Any]]:
        """{name, name + gradient}."""
        return {name: partial(_without_gradient, forward), f"{name} + gradient": partial(self.both, forward)}


def _without_gradient(forward: Callable[[], Tensor]) -> Tensor:
    with torch.no_grad():
        return forward()


def _walls(calls: dict[str, Callable[[], Any]], seconds: float, least: int = 3) -> dict[str, list[float]]:
    return {name: times.wall for name, times in _history.measure_for(calls, seconds, least).items()}


def _one_thread(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """The same calls on one thread, and on all of them anew, in alternating blocks."""
    walls: dict[str, list[float]] = {}
    former = launcher.use_threads(1)
    try:
        for i in range(4):
            launcher.use_threads(former if i % 2 else 1)
            for name, wall in _walls(calls, seconds / 4, least=2).items():
                walls.setdefault(one_thread(name, alone=i % 2 == 0), []).extend(wall)
    finally:
        launcher.use_threads(former)
    return walls


def measure_case(
    model: Model,
    size: int,
    ctx: Any,
    peer: _peers.Deodr | None,
    with_threads: bool,
    seconds: float,
    cull: bool = True,
) -> Result:
    """Everything that draws with hard edges, one mesh at one size."""
    ours = Ours(model, size, cull)
    calls: dict[str, Callable[[], Any]] = {
        "raster": ours.raster,
        **ours.pair("draw", ours.draw),
        **ours.pair("three ops", ours.three),
    }
    mesa = None
    if ctx is not None:
        mesa = _peers.Mesa(ctx, model, size, cull)
        drawn = torch.tensor(mesa.draw_and_read()[..., 3])
        # Centres on edges, and the narrowest triangles at the smallest size, may go either way.
        _peers.check_same_picture(ours.raster()[0, ..., 3], drawn.numpy(), "Mesa", 0.005)
        calls |= {"Mesa": mesa.draw, "Mesa + copy": mesa.draw_and_read}
    if peer is not None:
        render, both = peer.calls(size)
        # DEODR interpolates without perspective and antialiases outwards only.
        _peers.check_same_picture(
            _without_gradient(ours.draw)[0], render()[::-1], "DEODR", 0.05 if size > 64 else 0.2
        )
        calls |= {"DEODR": render, "DEODR + gradient": both}
    result = Result(model.name, len(model.faces), size, _walls(calls, seconds))
    if with_threads:
        some = ("raster", "draw + gradient", "three ops + gradient")
        result.walls |= _one_thread({name: calls[name] for name in some}, seconds / 2)
    if mesa is not None:
        mesa.release()
    return result


def measure_soft(model: Model, size: int, seconds: float) -> Result:
    """SoftRas and NMR, and draw beside them."""
    ours = Ours(model, size)
    calls = ours.pair("draw", ours.draw)
    calls |= ours.pair("softras", ours.softras) | ours.pair("nmr", ours.nmr)
    return Result(model.name, len(model.faces), size, _walls(calls, seconds))


def _hard(options: argparse.Namespace, ctx: Any) -> Iterator[Result]:
    # DEODR has gradients with culling only.
    with_peer = _peers.deodr_installed() and not options.two_sided
    if not with_peer and not options.two_sided:
        print("deodr is not installed (pip install 'deodr>=0.2'): measured without it")
    for model in models(options.quick):
        peer = _peers.Deodr(model) if with_peer else None
        for size in options.sizes or (QUICK_SIZES if options.quick else SIZES):
            case = (model, size, ctx, peer, options.threads, options.seconds, not options.two_sided)
            yield _cores.on_whole_cores(partial(measure_case, *case))


def _soft(options: argparse.Namespace) -> Iterator[Result]:
    for model in models(options.quick):
        if len(model.faces) <= SOFT_TRIANGLES:
            for size in SOFT_SIZES:
                yield measure_soft(model, size, options.seconds / 2)


def _record(kind: str, result: Result) -> None:
    _history.record(
        f"{kind}: {result.model}, {result.size}, draw + gradient",
        result.walls["draw + gradient"],
        1,
        triangles=result.triangles,
        medians={name: round(result.ms(name), 3) for name in result.walls},
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, append to the history."""
    parser = argparse.ArgumentParser(prog="bench primitives", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two spheres at two sizes")
    parser.add_argument("--two-sided", action="store_true", help="draw back faces too; without DEODR")
    parser.add_argument("--sizes", type=int, nargs="*", help="pixels a side, instead of 256 to 4096")
    parser.add_argument("--seconds", type=float, default=3.0, help="about so long for each case")
    parser.add_argument("--threads", action="store_true", help="also measure on one thread")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and its picture")
    parser.add_argument("--dry-run", action="store_true", help="do not append to the history")
    options = parser.parse_args(arguments)
    configure_threads()
    print(f"{describe_device(torch.device('cpu'))}; medians in ms")
    hard, soft = [], []
    with ExitStack() as stack:
        ctx = None
        try:
            from studio.gl.context import headless_context

            ctx = stack.enter_context(headless_context())
        except WorkError as error:
            print(f"measured without Mesa: {error}")
        for result in _hard(options, ctx):
            hard.append(result)
            print(f"{result.model}, {result.size}²: " + _line(result), flush=True)
    for result in _soft(options):
        soft.append(result)
        print(f"{result.model}, {result.size}²: " + _line(result), flush=True)
    print("\n" + page(hard, soft))
    if not options.dry_run:
        for kind, results in (("primitives", hard), ("soft primitives", soft)):
            for result in results:
                _record(kind, result)
    if options.docs:
        plot(hard, soft, _docs.FOLDER / "images" / "primitives.png")
        picture = "![Times over triangles and pixels, ours against the peers](images/primitives.png)"
        _docs.put("primitives", picture + "\n\n" + page(hard, soft))


def _line(result: Result) -> str:
    return " · ".join(f"{name} {result.ms(name):.1f}" for name in result.walls)


if __name__ == "__main__":
    main()
