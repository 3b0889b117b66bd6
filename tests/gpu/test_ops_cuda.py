"""The tests of the primitives once more, on CUDA."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tests.needs import ROOT, need
from tests.unit.conftest import DEVICE_VARIABLE


@pytest.mark.parametrize("operation", ["rasterize", "interpolate", "texture", "antialias", "march"])
def test_unit_tests_on_cuda(operation: str) -> None:
    need("cuda")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"tests/unit/test_ops_{operation}.py"],
        cwd=ROOT,
        env={**os.environ, DEVICE_VARIABLE: "cuda"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


def test_results_match_the_cpu() -> None:
    need("cuda")
    from tests.unit.test_launcher import everything

    for ours, expected in zip(everything(1, torch.device("cuda", 0)), everything(1)):
        # Fused multiply-adds and the order of sums differ; gradients go up to about 100.
        torch.testing.assert_close(ours.cpu(), expected, rtol=1e-3, atol=2e-3)
