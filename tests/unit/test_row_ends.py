"""Rows are written in whole vectors: what one has too much must be gone where a run, a span or a row ends."""

from __future__ import annotations

import pytest
import torch

from studio.core.ops import interpolate, rasterize

SIDES = (1, 2, 5, 7, 8, 9, 16, 19, 27)


@pytest.mark.parametrize("width", SIDES)
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_every_pixel_has_its_own_values(width: int, channels: int) -> None:
    """Small triangles with gaps between them, the last vertex of the mesh among the corners."""
    generator = torch.Generator().manual_seed(width)
    corners = torch.rand(40, 1, 2, generator=generator) * 2.2 - 1.1
    corners = corners + torch.rand(40, 3, 2, generator=generator) * 0.5 - 0.25
    depth = torch.rand(40, 1, 1, generator=generator).expand(40, 3, 1)
    pos = torch.cat([corners, depth, torch.ones(40, 3, 1)], dim=2).view(1, 120, 4)
    tri = torch.arange(120, dtype=torch.int32).view(40, 3)
    attr = torch.rand(1, 120, channels, generator=generator)
    rast, _ = rasterize(None, pos, tri, (23, width))
    for known in (rast, rast.clone()):  # with what rasterizing found out, and without
        image, _ = interpolate(attr, known, tri)
        u, v, _, number = rast.unbind(-1)
        seen = number > 0
        a, b, c = (attr[0][tri[(number[seen] - 1).long(), i].long()] for i in range(3))
        weights = [part[seen, None] for part in (u, v, 1 - u - v)]
        torch.testing.assert_close(image[seen], sum(w * x for w, x in zip(weights, (a, b, c), strict=True)))
        assert not image[~seen].any()
        assert not rast[~seen].any()
    y, x = torch.meshgrid(torch.arange(23) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = torch.stack([2 * x / width - 1, 2 * y / 23 - 1], dim=2)[None]
    p = [corners[(number[seen] - 1).long(), i] for i in range(3)]
    found = weights[0] * p[0] + weights[1] * p[1] + weights[2] * p[2]
    torch.testing.assert_close(found, points[seen], rtol=0, atol=1e-4)
    assert 0.1 < seen.float().mean() < 0.99 or width < 5


def test_pixels_without_derivatives_are_those_with() -> None:
    """Rows of eight pixels at a time beside rows of one after the other."""
    pos = torch.tensor([[[-0.9, -0.8, 0.1, 1.0], [1.9, -0.7, 0.4, 2.0], [0.1, 1.3, 0.2, 1.5]]])
    tri = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    for width in SIDES:
        with_db, _ = rasterize(None, pos, tri, (31, width))
        without, _ = rasterize(None, pos, tri, (31, width), output_db=False)
        torch.testing.assert_close(without, with_db, rtol=0, atol=1e-6)
