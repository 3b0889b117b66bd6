"""Time of texture lookups beside torch's grid_sample, which is bilinear on one level.

    python -m benchmarks.textures [--size 1024] [--pixels 512] [--channels 3] [--rounds 30]

A smooth map of the whole image onto the texture, forward and backward to texture and
coordinates (trilinear: and to their derivatives; mip levels made anew every time, or ahead).
Prints a table of medians and appends it to the history.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks._history import Times, measure, record
from studio.core.device import configure_threads
from studio.core.kernels import launcher
from studio.core.ops import texture, texture_construct_mip


def smooth_map(pixels: int) -> tuple[Tensor, Tensor]:
    """[1, P, P, 2] coordinates and [1, P, P, 4] screen derivatives: bent, stretched unevenly."""
    line = torch.linspace(0.05, 0.95, pixels)
    y, x = torch.meshgrid(line, line, indexing="ij")
    u, v = 0.9 * x + 0.1 * torch.sin(5 * y), 0.9 * y + 0.1 * torch.cos(4 * x)
    (u_y, u_x), (v_y, v_x) = torch.gradient(u), torch.gradient(v)
    return torch.stack([u, v], -1)[None], torch.stack([u_x, u_y, v_x, v_y], -1)[None]


def both_ways(
    sample: Callable[..., Tensor], inputs: list[Tensor]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Calls that time the forward and the backward pass."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    out = sample(*leaves)
    pulled = torch.randn_like(out)

    def backward() -> object:
        return torch.autograd.grad(out, leaves, pulled, retain_graph=True)

    return lambda: sample(*leaves), backward


def cases(size: int, pixels: int, channels: int) -> dict[str, Callable[[], object]]:
    """Name -> call."""
    tex = torch.rand(1, size, size, channels)
    uv, uv_da = smooth_map(pixels)
    mip = texture_construct_mip(tex)

    def by_torch(image: Tensor, at: Tensor) -> Tensor:
        return torch.nn.functional.grid_sample(image, at, "bilinear", "border", align_corners=False)

    pairs = {
        "linear": both_ways(texture, [tex, uv]),
        "trilinear": both_ways(texture, [tex, uv, uv_da]),
        "trilinear, levels made ahead": both_ways(
            lambda t, at, da: texture(t, at, da, mip=mip), [tex, uv, uv_da]
        ),
        "grid_sample": both_ways(by_torch, [tex.permute(0, 3, 1, 2).contiguous(), uv * 2 - 1]),
    }
    names = ("forward", "backward")
    return {f"{name}: {way}": call for name, pair in pairs.items() for way, call in zip(names, pair)}


def table(results: dict[int, dict[str, Times]]) -> str:
    """Markdown: wall and processor time per number of threads."""
    lines = ["| lookup | " + " | ".join(f"{n} threads, wall (processor) ms" for n in results) + " |"]
    lines.append("|---|" + "---|" * len(results))
    for name in next(iter(results.values())):
        cells = [
            f"{statistics.median(r[name].wall):.1f} ({statistics.median(r[name].cpu):.1f})"
            for r in results.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="of the texture")
    parser.add_argument("--pixels", type=int, default=512, help="width and height of the image")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    configure_threads()
    calls = cases(options.size, options.pixels, options.channels)
    results = {}
    for threads in (1, 2):
        launcher.use_threads(threads)
        torch.set_num_threads(threads)
        results[threads] = measure(calls, options.rounds, 3)
        for name, times in results[threads].items():
            record(
                f"texture {options.size} {options.pixels} {options.channels}: {name}",
                times.wall,
                3,
                threads=threads,
                cpu=round(statistics.median(times.cpu), 3),
            )
    print(table(results))


if __name__ == "__main__":
    main()
