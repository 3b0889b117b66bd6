"""The tests of the primitives once more, on CUDA."""

from __future__ import annotations

import pytest
import torch

from tests.needs import need
from tests.unit import test_ops_antialias, test_ops_interpolate, test_ops_rasterize, test_ops_texture


@pytest.fixture
def device() -> torch.device:
    need("cuda")
    return torch.device("cuda", 0)


def _borrow(module) -> None:
    """Take over the tests of a module that ask for a device."""
    for name, value in vars(module).items():
        code = getattr(value, "__code__", None)
        if name.startswith("test_") and code and "device" in code.co_varnames[: code.co_argcount]:
            globals()[f"{name}_{module.__name__.rsplit('_', 1)[-1]}"] = value


for _module in (test_ops_rasterize, test_ops_interpolate, test_ops_texture, test_ops_antialias):
    _borrow(_module)


def test_results_match_the_cpu(device) -> None:
    from tests.unit.test_launcher import everything

    expected = everything(1)
    for ours, right in zip(everything(1, device), expected):
        # Fused multiply-adds and the order of sums differ; gradients go up to about 100.
        torch.testing.assert_close(ours.cpu(), right, rtol=1e-3, atol=2e-3)
