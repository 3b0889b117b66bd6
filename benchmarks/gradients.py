"""Gradients of every operation and mode against finite differences, as a table.

    python main.py bench gradients [--docs]

Each case is a scene in which nothing jumps while one number moves a little: triangles that
cover the whole image, texture coordinates that stay within their texels, outlines that stay
between the same pixel centres. The loss is a weighted sum in float64 of the float32 output,
the difference is central with four points (error of fourth order), and the error of an entry
is relative to the largest entry of that gradient.
"""

from __future__ import annotations

import argparse

from benchmarks import _docs
from benchmarks._gradient_check import Case, table, worst_error
from benchmarks._gradient_geometry import (
    antialias_cases,
    fused_cases,
    interpolate_cases,
    peel_cases,
    raster_cases,
)
from benchmarks._gradient_soft import soft_cases
from benchmarks._gradient_splats import splat_cases
from benchmarks._gradient_textures import texture_cases
from benchmarks._gradient_volumes import volume_cases


def cases() -> list[Case]:
    """Every differentiable input of every operation, in each of its modes."""
    return [
        *raster_cases(),
        *peel_cases(),
        *interpolate_cases(),
        *texture_cases(),
        *antialias_cases(),
        *fused_cases(),
        *soft_cases(),
        *splat_cases(),
        *volume_cases(),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench gradients", description="Gradients against differences.")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    results = [(case, worst_error(case)) for case in cases()]
    text = table(results)
    print(text)
    failed = [case.name for case, error in results if not error < case.limit]
    print(
        f"\n{len(results)} gradients, {len(failed)} beyond what is allowed"
        + "".join(f"\n  {f}" for f in failed)
    )
    if options.docs:
        _docs.put("gradients", text)


if __name__ == "__main__":
    main()
