"""Every public operation refuses what it cannot take in one line that names the tensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from studio.core import ops
from studio.core.errors import ShapeError
from tests import ops_reference as reference

SIZE = (8, 10)


@cache
def operations() -> dict[str, tuple[Callable, dict[str, Any]]]:
    """Each operation with arguments it takes, every optional tensor given."""
    vertices, tri = reference.sphere(1)
    pos = reference.perspective(vertices, [(0.0, 0.0), (0.1, 0.1)])
    generator = torch.Generator().manual_seed(0)
    rast, rast_db = ops.rasterize(None, pos, tri, SIZE)
    attr = torch.rand(2, len(vertices), 3, generator=generator)
    color = torch.rand(2, *SIZE, 3, generator=generator)
    mesh = {"pos": pos, "tri": tri, "attr": attr, "resolution": SIZE}
    clip = {"pos_clip": pos, "tri": tri, "attr": attr, "resolution": SIZE}
    found = {
        "rasterize": {"glctx": None, "pos": pos, "tri": tri, "resolution": SIZE},
        "DepthPeeler": {"glctx": None, "pos": pos, "tri": tri, "resolution": SIZE},
        "interpolate": {"attr": attr, "rast": rast, "tri": tri, "rast_db": rast_db, "diff_attrs": "all"},
        "texture": {
            "tex": torch.rand(1, 4, 6, 3, generator=generator),
            "uv": torch.rand(2, *SIZE, 2, generator=generator),
            "uv_da": torch.rand(2, *SIZE, 4, generator=generator),
            "mip_level_bias": torch.rand(2, *SIZE, generator=generator),
        },
        "texture_construct_mip": {"tex": torch.rand(1, 4, 6, 3, generator=generator)},
        "antialias": {"color": color, "rast": rast, "pos": pos, "tri": tri},
        "antialias_construct_topology_hash": {"tri": tri},
        "rasterize_interpolate": clip,
        "draw": {**clip, "topology": ops.Topology.build(tri), "background": color},
        "softras": {**mesh, "background": color},
        "nmr": {"color": color, "rast": rast, "pos": pos, "tri": tri},
    }
    return {name: (getattr(ops, name), arguments) for name, arguments in found.items()}


TENSORS = [
    (op, name) for op, (_, given) in operations().items() for name in given if isinstance(given[name], Tensor)
]
EVERY = pytest.mark.parametrize(("op", "name"), TENSORS)


def result(op: str, **changes: object) -> list[Tensor]:
    """The tensors that an operation gives."""
    function, given = operations()[op]
    made = function(**{**given, **changes})
    if isinstance(made, ops.DepthPeeler):
        with made:
            made = made.rasterize_next_layer()
    made = made if isinstance(made, tuple) else (made,)
    return [m for m in made if isinstance(m, Tensor)]


def message(op: str, **changes: object) -> str:
    with pytest.raises(ShapeError) as caught:
        result(op, **changes)
    text = str(caught.value)
    assert "\n" not in text
    return text


OF_OTHER_SHAPES = {"camera_rays", "march", "pinholes", "project_gaussians", "splat"}
"""Rays and points instead of pictures of triangles: test_ops_march and test_ops_splat ask them the same."""


def test_every_operation_is_here() -> None:
    functions = {name for name in ops.__all__ if name[0].islower()} - OF_OTHER_SHAPES
    assert {"DepthPeeler", *functions} - set(operations()) == {"get_log_level", "set_log_level"}


@EVERY
def test_another_type(op: str, name: str) -> None:
    right = operations()[op][1][name]
    kind = "float32" if right.dtype == torch.float32 else "int32"
    for wrong in (torch.float64, torch.int64, torch.float16):
        expected = f"{op}: {name} must be {kind}, got {str(wrong)[6:]} (given"
        assert message(op, **{name: right.to(wrong)}).startswith(expected)
    for other in (right.numpy(), right.tolist(), 3.5 if name != "background" else "black"):
        assert message(op, **{name: other}).startswith(f"{op}: {name} must be a tensor [")


@EVERY
def test_another_shape(op: str, name: str) -> None:
    right = operations()[op][1][name]
    assert message(op, **{name: right[None]}).startswith(f"{op}: {name} must have shape [")
    text = message(op, **{name: right.reshape(-1)[:0].view((0,) * 6)})
    assert f"got {[0] * 6} (given" in text
    assert f"expected {str(right.dtype)[6:]} [" in text
    assert text.endswith("on cpu or cuda)") or text.endswith("on cpu)")


@EVERY
def test_another_device(op: str, name: str) -> None:
    """The meta device is at hand everywhere; nothing can be computed there."""
    right = operations()[op][1][name]
    text = message(op, **{name: right.to("meta")})
    assert text.startswith(
        (f"{op}: {name} must be on cpu, got meta", f"{op}: {name} must be on cpu or cuda, got meta")
    )


@EVERY
def test_another_batch(op: str, name: str) -> None:
    """Three images beside two; only where there is a batch that must agree."""
    right = operations()[op][1][name]
    if name == "tri" or op in ("rasterize", "DepthPeeler", "texture_construct_mip"):
        return
    text = message(op, **{name: torch.cat([right, right, right])[:3]})
    assert text.startswith(f"{op}: ")
    assert "3" in text


@EVERY
def test_strided_tensors_are_taken(op: str, name: str) -> None:
    right = operations()[op][1][name]
    strided = torch.stack([right, right], dim=-1)[..., 0]
    assert not strided.is_contiguous()
    for ours, expected in zip(result(op, **{name: strided}), result(op)):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("op", operations())
def test_everything_may_require_a_gradient(op: str) -> None:
    """A backward pass reaches what has a gradient and disturbs nothing else."""
    _, given = operations()[op]
    leaves = {
        n: t.clone().requires_grad_()
        for n, t in given.items()
        if isinstance(t, Tensor) and t.is_floating_point()
    }
    made = [m for m in result(op, **leaves) if m.requires_grad]
    if not leaves or not made:
        assert op in ("antialias_construct_topology_hash", "texture_construct_mip")
        return
    torch.stack([m.square().sum() for m in made]).sum().backward()
    reached = {name for name, leaf in leaves.items() if leaf.grad is not None}
    assert all(torch.isfinite(leaves[name].grad).all() for name in reached)
    # Visibility is an input to these, not a function of what they are given.
    constant = {"antialias": {"rast"}, "nmr": {"rast"}}.get(op, set())
    assert reached >= set(leaves) - constant


VERTICES = {"pos", "pos_clip", "attr"}


@pytest.mark.parametrize("count", [0, 1, 20])
@pytest.mark.parametrize("op", [op for op, (_, given) in operations().items() if VERTICES & set(given)])
def test_triangles_without_vertices_are_left_out(op: str, count: int) -> None:
    """Indices beyond the vertices there are must not be followed, forward or backward."""
    _, given = operations()[op]
    short = {name: given[name][:, :count].clone().requires_grad_() for name in VERTICES & set(given)}
    made = [m for m in result(op, **short) if m.requires_grad]
    if not made:
        assert (op, count) == ("softras", 0)  # the background alone
        return
    for gradient in torch.autograd.grad(sum(m.square().sum() for m in made), list(short.values())):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("op", operations())
def test_nothing_at_all(op: str) -> None:
    """Batches without images, and meshes without triangles."""
    _, given = operations()[op]
    floats = {n for n, t in given.items() if isinstance(t, Tensor) and t.is_floating_point() and n != "tex"}
    for out in result(op, **{name: given[name][:0].clone().requires_grad_() for name in floats}):
        assert out.numel() == 0
    if "tri" in given:
        none = given["tri"][:0]
        changes = {"topology": ops.Topology.build(none)} if op == "draw" else {}
        leaves = {name: given[name].clone().requires_grad_() for name in floats}
        for out in result(op, tri=none, **leaves, **changes):
            assert torch.isfinite(out).all()


@pytest.mark.parametrize("op", ["rasterize", "DepthPeeler", "rasterize_interpolate", "draw", "softras"])
@pytest.mark.parametrize("wrong", [8, (8,), (8, 8, 8), (8.0, 8), "88", (0, 8), (8, -1), (8, 1 << 16), None])
def test_resolution(op: str, wrong: object) -> None:
    assert message(op, resolution=wrong).startswith(f"{op}: resolution must be ")


def test_topology() -> None:
    _, tri = reference.sphere(1)
    for op in ("antialias", "draw"):
        key = "topology" if op == "draw" else "topology_hash"
        assert f"{op}: {key} must be a Topology, got dict" in message(op, **{key: {}})
        assert message(op, **{key: ops.Topology.build(tri[:5])}).startswith(f"{op}: {key} ")
