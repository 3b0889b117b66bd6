"""Gradients of every primitive, to every differentiable input, against finite differences."""

from __future__ import annotations

import pytest
import torch

from benchmarks._gradient_check import Case, table, worst_error
from benchmarks.gradients import cases
from studio.core import ops

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradient(case: Case) -> None:
    # 12 of the 48 entries that `bench gradients` takes.
    error = worst_error(case, count=12)
    assert error < case.limit, f"{case.name}: {error:.1e}, allowed {case.limit:.0e} ({case.reason})"


def test_every_operation_has_cases() -> None:
    # nmr's gradient is made up by design; pinholes is a few lines of torch.
    without = {"antialias_construct_topology_hash", "get_log_level", "set_log_level", "nmr", "pinholes"}
    functions = {n for n in ops.__all__ if n[0].islower()} - without | {"DepthPeeler"}
    covered = " ".join(case.name for case in CASES)
    assert not [name for name in functions if name not in covered]


def test_a_wrong_gradient_is_caught() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.square()

        @staticmethod
        def backward(ctx, grad):
            return grad * 1.01

    case = Case("square", "x", torch.linspace(0.5, 1.5, 40), Wrong.apply, 1e-2, 1e-3, "")
    assert worst_error(case) > case.limit
    assert "**FAIL**" in table([(case, worst_error(case))])
