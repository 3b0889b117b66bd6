"""Gradients of every primitive, to every differentiable input, against finite differences."""

from __future__ import annotations

import pytest

from benchmarks.gradients import Case, cases, table, worst_error

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradient(case: Case) -> None:
    error = worst_error(case)
    print("\n" + table([(case, error)]))
    assert error < case.limit, f"{case.name}: {error:.1e}, allowed {case.limit:.0e} ({case.reason})"


def test_every_operation_has_cases() -> None:
    names = " ".join(case.name for case in CASES)
    for operation in ("rasterize:", "rasterize_interpolate:", "interpolate:", "texture", "antialias:"):
        assert operation in names
