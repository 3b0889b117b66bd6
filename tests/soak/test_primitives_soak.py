"""Rasterize, interpolate, antialias and back, over and over: memory stays what it was."""

from __future__ import annotations

import gc

import pytest
import torch

from studio.core.device import configure_threads
from studio.core.ops import DepthPeeler, Topology, antialias, interpolate, rasterize
from tests import ops_reference as reference
from tests.soak.test_optim_soak import resident_mb


def one_pass(vertices: torch.Tensor, tri: torch.Tensor, topology: Topology, size: int) -> None:
    pos = reference.perspective(vertices, [(0.1, 0.0)]).requires_grad_()
    color = (0.5 + 0.5 * vertices)[None].requires_grad_()
    rast, rast_db = rasterize(None, pos, tri, (size, size))
    image, _ = interpolate(color, rast, tri, rast_db, diff_attrs="all")
    antialias(image, rast, pos, tri, topology).square().sum().backward()
    with DepthPeeler(None, pos, tri, (size, size)) as peeler:
        peeler.rasterize_next_layer()
        peeler.rasterize_next_layer()


def soak(iterations: int, size: int, allowed_mb: float) -> None:
    configure_threads()
    vertices, tri = reference.sphere(3)
    topology = Topology.build(tri, vertices)
    for _ in range(iterations // 5):  # caches and the allocator fill up
        one_pass(vertices, tri, topology, size)
    gc.collect()
    before, tensors = resident_mb(), live_tensors()
    for _ in range(iterations):
        one_pass(vertices, tri, topology, size)
    gc.collect()
    assert live_tensors() == tensors
    assert resident_mb() - before < allowed_mb


def live_tensors() -> int:
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_memory_stays_over_some_iterations() -> None:
    # One image of 96 x 96 x 4 floats is 0.15 MB: half of one leaked per pass would show.
    soak(60, 96, 4.0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_stays_over_a_thousand_iterations() -> None:
    soak(1000, 256, 10.0)
