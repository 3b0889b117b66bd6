"""The tests of the primitives once more, on CUDA."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from studio.core import ops
from studio.core.ops import softras_lists
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


def _on_both(draw: Callable[[str], list[torch.Tensor]]) -> None:
    """What is drawn on CUDA, with its gradients, is what is drawn on the CPU."""
    for ours, expected in zip(draw("cuda"), draw("cpu")):
        scale = float(expected.abs().max())
        torch.testing.assert_close(ours.cpu(), expected, rtol=1e-2, atol=2e-3 * scale)


@pytest.mark.parametrize("room", [None, 50])
def test_softras_matches_the_cpu(monkeypatch: pytest.MonkeyPatch, room: int | None) -> None:
    """With room for its lists, and without."""
    need("cuda")
    from tests.unit.test_ops_softras import mesh

    pos, tri, attr = mesh(2)
    if room is not None:
        monkeypatch.setattr(softras_lists, "expected", lambda n, count, view: room)

    def draw(device: str) -> list[torch.Tensor]:
        leaves = [t.clone().to(device).requires_grad_() for t in (pos, attr)]
        image, alpha = ops.softras(leaves[0], tri.to(device), leaves[1], (33, 21), 1e-3, 0.05)
        (image.square().sum() + alpha.square().sum()).backward()
        return [image.detach(), alpha.detach(), *(leaf.grad for leaf in leaves)]

    _on_both(draw)


@pytest.mark.parametrize("room", [None, 50])
def test_splats_match_the_cpu(monkeypatch: pytest.MonkeyPatch, room: int | None) -> None:
    need("cuda")
    from tests.unit.test_ops_splat import RESOLUTION, VIEWS, gaussians, op

    if room is not None:
        monkeypatch.setattr(op._Rooms, "of", lambda self, kind, total: room)

    def draw(device: str) -> list[torch.Tensor]:
        leaves = [t.to(device).requires_grad_() for t in gaussians(100)]
        splats = ops.project_gaussians(*leaves, VIEWS.to(device), RESOLUTION)
        color, alpha, depth = ops.splat(splats, RESOLUTION)
        (color.square().sum() + alpha.square().sum() + depth.square().sum()).backward()
        return [color.detach(), alpha.detach(), depth.detach(), *(leaf.grad for leaf in leaves)]

    _on_both(draw)
