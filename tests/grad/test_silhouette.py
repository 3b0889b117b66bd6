"""Moving, scaling and turning shapes: gradients through the outline against finite differences.

How it is measured stands in benchmarks/silhouette_gradients.py.
"""

from __future__ import annotations

import pytest

from benchmarks.silhouette_gradients import LIMITS, SHAPES, Result, measure, table


def check(result: Result) -> None:
    print("\n" + table([result]))
    for name, error in result.errors().items():
        limit = LIMITS[name.split()[0]]
        assert error < limit, f"{result.shape} at {result.resolution}: {name} is {error:.2%} off"


@pytest.mark.parametrize("shape", SHAPES)
def test_small_pictures(shape: str) -> None:
    check(measure(shape, 64, places=12))


@pytest.mark.slow
@pytest.mark.parametrize("resolution", [64, 128, 512])
@pytest.mark.parametrize("shape", SHAPES)
def test_full_grid(shape: str, resolution: int) -> None:
    check(measure(shape, resolution, places=64 if resolution < 512 else 8))
