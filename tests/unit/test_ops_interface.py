"""nvdiffrast's documented interface: names, order of arguments, defaults, context objects."""

from __future__ import annotations

import inspect

import pytest
import torch

from studio.core import ops
from studio.core.errors import InputError
from tests import ops_reference as reference

# The documented parameters in order; a value is the documented default.
REQUIRED = inspect.Parameter.empty
SIGNATURES = {
    "rasterize": {
        "glctx": REQUIRED,
        "pos": REQUIRED,
        "tri": REQUIRED,
        "resolution": REQUIRED,
        "ranges": None,
        "grad_db": True,
    },
    "DepthPeeler": {
        "glctx": REQUIRED,
        "pos": REQUIRED,
        "tri": REQUIRED,
        "resolution": REQUIRED,
        "ranges": None,
        "grad_db": True,
    },
    "interpolate": {
        "attr": REQUIRED,
        "rast": REQUIRED,
        "tri": REQUIRED,
        "rast_db": None,
        "diff_attrs": None,
    },
    "texture": {
        "tex": REQUIRED,
        "uv": REQUIRED,
        "uv_da": None,
        "mip_level_bias": None,
        "mip": None,
        "filter_mode": "auto",
        "boundary_mode": "wrap",
        "max_mip_level": None,
    },
    "texture_construct_mip": {"tex": REQUIRED, "max_mip_level": None, "cube_mode": False},
    "antialias": {
        "color": REQUIRED,
        "rast": REQUIRED,
        "pos": REQUIRED,
        "tri": REQUIRED,
        "topology_hash": None,
        "pos_gradient_boost": 1.0,
    },
    "antialias_construct_topology_hash": {"tri": REQUIRED},
    "RasterizeCudaContext": {"device": None},
    "RasterizeGLContext": {"output_db": True, "mode": "automatic", "device": None},
    "get_log_level": {},
    "set_log_level": {"level": REQUIRED},
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_documented_parameters_come_first_and_the_rest_is_optional(name: str) -> None:
    parameters = list(inspect.signature(getattr(ops, name)).parameters.values())
    documented = SIGNATURES[name]
    ours = {p.name: p.default for p in parameters[: len(documented)]}
    assert list(ours.items()) == list(documented.items())
    assert all(p.default is not REQUIRED for p in parameters[len(documented) :])


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    vertices, tri = reference.sphere(1)
    return reference.perspective(vertices, [(0.0, 0.0), (0.2, 0.1)]), tri


@pytest.mark.parametrize(
    "context",
    [
        None,
        ops.RasterizeCudaContext(),
        ops.RasterizeCudaContext(device="cuda:1"),
        ops.RasterizeCudaContext(torch.device("cuda", 0)),
        ops.RasterizeGLContext(),
        ops.RasterizeGLContext(mode="manual", device=0),
    ],
)
def test_contexts_make_no_difference(context: object) -> None:
    pos, tri = scene()
    rast, rast_db = ops.rasterize(context, pos, tri, resolution=[12, 16])
    expected, expected_db = ops.rasterize(None, pos, tri, (12, 16))
    assert torch.equal(rast, expected)
    assert torch.equal(rast_db, expected_db)


def test_a_context_without_derivatives_gives_none() -> None:
    pos, tri = scene()
    pos.requires_grad_()
    context = ops.RasterizeGLContext(output_db=False)
    context.set_context()
    rast, rast_db = ops.rasterize(context, pos, tri, (12, 16))
    context.release_context()
    assert rast_db.shape == (2, 12, 16, 0)
    full, _ = ops.rasterize(None, pos, tri, (12, 16))
    assert torch.equal(rast, full)
    gradient, expected = (torch.autograd.grad(r.square().sum(), pos)[0] for r in (rast, full))
    assert torch.equal(gradient, expected)
    with pytest.raises(InputError, match="RasterizeGLContext: mode must be one of automatic, manual"):
        ops.RasterizeGLContext(mode="auto")


def test_ranges_are_ignored_in_instanced_mode() -> None:
    pos, tri = scene()
    ranges = torch.tensor([[0, 1]], dtype=torch.int32)
    assert torch.equal(
        ops.rasterize(None, pos, tri, (12, 16), ranges)[0], ops.rasterize(None, pos, tri, (12, 16))[0]
    )


def test_range_mode_through_the_whole_pipeline() -> None:
    """[V, 4] positions and [V, C] attributes of several meshes; equal to one image each."""
    vertices, tri = reference.sphere(1)
    half = len(tri) // 2
    ranges = torch.tensor([[0, half], [half, len(tri) - half], [0, len(tri)]], dtype=torch.int32)
    pos = reference.perspective(vertices, [(0.1, 0.0)])[0].requires_grad_()
    attr = torch.rand(len(vertices), 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.randn(3, 24, 20, 9, generator=torch.Generator().manual_seed(1))

    def render(p: torch.Tensor, ranged: torch.Tensor | None) -> torch.Tensor:
        rast, rast_db = ops.rasterize(None, p, tri, (24, 20), ranges=ranged)
        color, da = ops.interpolate(attr, rast, tri, rast_db=rast_db, diff_attrs="all")
        return torch.cat([ops.antialias(color, rast, p, tri), da], dim=-1)

    image = render(pos, ranges)
    gradients = torch.autograd.grad((image * weight).sum(), [pos, attr])
    expected = [torch.zeros_like(g) for g in gradients]
    for i, (start, count) in enumerate(ranges.tolist()):
        own = tri[start : start + count]
        rast, rast_db = ops.rasterize(None, pos[None], own, (24, 20))
        color, da = ops.interpolate(attr, rast, own, rast_db, "all")
        alone = torch.cat([ops.antialias(color, rast, pos[None], own), da], dim=-1)
        if count == len(tri):  # antialiasing of a part sees the edges of the whole `tri`
            torch.testing.assert_close(image[i], alone[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(image[i, ..., 3:], alone[0, ..., 3:], rtol=0, atol=1e-6)
        for total, one in zip(
            expected, torch.autograd.grad((render(pos, ranges)[i] * weight[i]).sum(), [pos, attr])
        ):
            total += one
    for ours, wanted in zip(gradients, expected):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


def test_depth_peeler_takes_what_rasterize_takes() -> None:
    pos, tri = scene()
    ranges = torch.tensor([[0, 40], [40, 40]], dtype=torch.int32)
    for where, more in ((pos, {}), (pos[0], {"ranges": ranges}), (pos, {"ranges": ranges})):
        with ops.DepthPeeler(ops.RasterizeCudaContext(), where, tri, [12, 16], **more) as peeler:
            rast, rast_db = peeler.rasterize_next_layer()
            behind, _ = peeler.rasterize_next_layer()
        expected, expected_db = ops.rasterize(None, where, tri, (12, 16), **more)
        assert torch.equal(rast, expected)
        assert torch.equal(rast_db, expected_db)
        assert ((behind[..., 3] != rast[..., 3]) | (rast[..., 3] == 0)).all()
        assert (behind[..., 2] >= rast[..., 2])[behind[..., 3] > 0].all()


def test_log_level() -> None:
    assert ops.get_log_level() == 1
    try:
        for level in range(4):
            ops.set_log_level(level)
            assert ops.get_log_level() == level
    finally:
        ops.set_log_level(1)
    with pytest.raises(InputError, match="set_log_level: level must be 0"):
        ops.set_log_level(4)
