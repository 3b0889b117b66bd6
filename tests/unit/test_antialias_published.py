"""What antialias does better than the published method; each test shows that one fail.

Every property is a function that asserts. Ours must hold it, and the plain method of
tests/antialias_reference.py must not, which proves that the property can tell them apart.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks import silhouette_gradients as motion
from studio.core.ops import Topology, antialias, rasterize, rasterize_interpolate
from tests.antialias_reference import METHODS, draw

QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
SIZE = 20
Points = list[tuple[float, float]]


def only_ours(holds: Callable[..., None], *arguments: object) -> None:
    """Ours has the property, the published method has not."""
    holds("ours", *arguments)
    with pytest.raises(AssertionError):
        holds("published", *arguments)


def flat(points: Points, z: float = 0.0, size: int = SIZE) -> Tensor:
    """[1, V, 4] clip positions of points in pixels, centres at integers."""
    at = (torch.tensor(points, dtype=torch.float64) + 0.5) / size * 2 - 1
    depth = torch.full((len(at), 1), z, dtype=torch.float64)
    return torch.cat([at, depth, torch.ones_like(depth)], dim=1)[None].float()


def rectangle(x0: float, x1: float, y0: float, y1: float) -> Points:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def turned(points: Points, degrees: float, shift: float = 0.0) -> Points:
    """About (9.3, 9.1), then moved by (1, 0.7) times `shift`."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (
            9.3 + (x - 9.3) * cos - (y - 9.1) * sin + shift,
            9.1 + (x - 9.3) * sin + (y - 9.1) * cos + 0.7 * shift,
        )
        for x, y in points
    ]


def supersampled(pos: Tensor, tri: Tensor, size: int, factor: int = 16) -> Tensor:
    """[size, size] area covered."""
    fine = rasterize(None, pos, tri, (size * factor, size * factor))[0][0, ..., 3] > 0
    return fine.view(size, factor, size, factor).float().mean((1, 3))


def coverage(method: str, pos: Tensor, tri: Tensor, size: int, rest: Tensor | None = None) -> Tensor:
    return draw(method, pos, tri, torch.ones(1, pos.shape[1], 1), size, rest)[..., 0]


def seam_is_no_outline(method: str) -> None:
    """Two quads with their own vertices along a seam."""
    pos = torch.cat([flat(rectangle(-5, 9.3, -5, 30)), flat(rectangle(9.3, 30, -5, 30))], dim=1)
    rest = pos[0, :, :3].clone()
    tri = torch.cat([QUAD, QUAD + 4])
    color = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    # Both in one plane that recedes to the right, so that the left pixel of a pair is nearer.
    pos[..., 2] = 0.01 * pos[..., 0]
    rast = rasterize(None, pos, tri, (SIZE, SIZE))[0]
    out = METHODS[method](color, rast, pos, tri, Topology.build(tri, rest))
    assert torch.equal(out, color)


def test_seams_are_no_silhouettes() -> None:
    only_ours(seam_is_no_outline)


def test_topology_is_built_once(monkeypatch) -> None:
    module = importlib.import_module("studio.core.ops.topology")
    built: list[int] = []
    pair = module._pair_edges
    monkeypatch.setattr(module, "_pair_edges", lambda *a: built.append(1) or pair(*a))
    pos, tri = flat(rectangle(3, 9, 4, 11)), QUAD.clone()
    rast = rasterize(None, pos, tri, (SIZE, SIZE))[0]
    color = torch.rand(1, SIZE, SIZE, 2)
    first = antialias(color, rast, pos, tri)
    assert torch.equal(antialias(color, rast, pos, tri), first)
    assert len(built) == 1
    tri[0, 0] = 3  # written to: what was known of it is out of date
    antialias(color, rast, pos, tri)
    assert len(built) == 2


def small_slopes_are_right(method: str) -> None:
    """A coarse cube at 64 pixels, along directions that hardly change the loss and others.

    Gradients and differences over one pixel to each side, averaged over places within a pixel.
    """
    vertices, tri = motion.shape("cube")
    topology = Topology.build(tri, vertices.float())
    weights = motion.weight(64)
    white = torch.ones(1, len(vertices), 1)

    def loss(theta: Tensor) -> Tensor:
        pos = motion.clip_positions(vertices, theta)
        image, rast = rasterize_interpolate(pos, tri, white, (64, 64))
        return (METHODS[method](image, rast, pos, tri, topology)[0, ..., 0].double() * weights).sum()

    pixel = 2 * 3.0 / 2.0 / 64
    places = []
    for i in range(12):
        place = torch.tensor([0.05, -0.03, 0.85, 0.05, 0.1, 0.07], dtype=torch.float64)
        place[:2] += pixel * torch.tensor([(0.7548776662 * i) % 1.0, (0.5698402910 * i) % 1.0])
        places.append(place)
    leaves = [place.clone().requires_grad_() for place in places]
    gradient = torch.stack([torch.autograd.grad(loss(leaf), leaf)[0] for leaf in leaves]).mean(0)
    steepest = gradient / gradient.norm()
    directions = torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    directions -= (directions @ steepest)[:, None] * steepest
    directions /= directions.norm(dim=1, keepdim=True)
    # Cosines with the gradient from 1/20 to 1.
    cosines = torch.tensor([0.05, 0.1, 0.1, 0.2, 0.5, 1.0], dtype=torch.float64)[:, None]
    directions = cosines * steepest + (1 - cosines**2).sqrt() * directions
    with torch.no_grad():
        differences = torch.stack(
            [torch.stack([loss(p + pixel * d) - loss(p - pixel * d) for d in directions]) for p in places]
        ).mean(0) / (2 * pixel)
    error = (directions @ gradient - differences).abs() / differences.abs()
    assert error.max() < 0.01, error


def test_small_directional_derivatives() -> None:
    only_ours(small_slopes_are_right)


BIG = rectangle(5.2, 12.4, 4.7, 13.1)
SHORT = [(8.0, 8.0), (11.1, 8.3), (11.3, 10.4), (8.2, 11.0)]
MOVES: dict[str, Callable[[float], Points]] = {
    "upright": lambda s: [(x + s, y) for x, y in BIG],
    "level": lambda s: [(x, y + s) for x, y in BIG],
    "diagonal": lambda s: turned(BIG, 45, s),
    "slanted": lambda s: turned(BIG, 10, s),
    "short": lambda s: turned(SHORT, 17, s),
    "turning through 45 degrees": lambda s: turned(BIG, 40 + 10 * s),
    "long": lambda s: [(x + s, y) for x, y in [(-30, -40), (8, -40), (9.5, 50), (-30, 50)]],
}


def largest_change(method: str, name: str, colors: Tensor, on_surface: bool, steps: int = 60) -> float:
    """Of any pixel over a step of 1.5 / steps pixels; colors [2, H, W, C] of inside and outside."""
    last, worst = None, 0.0
    for i in range(steps + 1):
        pos, tri = flat(MOVES[name](1.5 * i / steps)), QUAD
        if on_surface:
            pos = torch.cat([pos, flat(rectangle(-20, 40, -20, 40), 0.5)], dim=1)
            tri = torch.cat([QUAD, QUAD + 4])
        rast = rasterize(None, pos, tri, (SIZE, SIZE))[0]
        own = (rast[..., 3:] > 0) & (rast[..., 3:] <= 2)
        out = METHODS[method](torch.where(own, *colors), rast, pos, tri, Topology.build(tri))
        if last is not None:
            worst = max(worst, float((out - last).abs().max()))
        last = out
    return worst


def follows_continuously(method: str, name: str, on_surface: bool) -> None:
    """Flat colours: a step of 0.025 pixels changes no pixel by more than 1.7 times that.

    1.7 because a corner moves along two axes at once: 1 + 0.7 pixels of the step.
    """
    colors = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1).expand(2, SIZE, SIZE, 1)
    assert largest_change(method, name, colors, on_surface) < 0.043


@pytest.mark.parametrize("on_surface", [False, True])
@pytest.mark.parametrize("name", MOVES)
def test_continuous(name: str, on_surface: bool) -> None:
    if name == "long":
        # One straight edge between flat colours is continuous with the published method as well.
        follows_continuously("ours", name, on_surface)
    else:
        only_ours(follows_continuously, name, on_surface)


def shaded_stays_continuous(method: str, name: str) -> None:
    """Colours that change by 0.1 a pixel on both sides; through the centre nothing may jump.

    The jump that is left when the pixel blended from changes, near corners, is a fraction of that.
    """
    ramp = 0.1 * torch.arange(SIZE)
    inside = (ramp[:, None] + ramp)[None, ..., None]
    colors = torch.stack([inside, 3.0 + inside])
    limit = 0.043 * 3.6 if name == "long" else 0.043 * 3.6 + 0.05
    assert largest_change(method, name, colors, False) < limit


@pytest.mark.parametrize("name", MOVES)
def test_continuous_where_colours_vary(name: str) -> None:
    only_ours(shaded_stays_continuous, name)


def behind_the_camera_is_right(method: str) -> None:
    """A strip that runs under the camera to behind it: its long edges cross w = 0."""
    w = torch.tensor([4.0, 4.0, -2.0, -2.0])
    x = torch.tensor([-0.3, 0.3, 0.3, -0.3])
    pos = torch.stack([x, torch.full((4,), -0.5), w - 0.2, w], dim=-1)[None].requires_grad_()
    covered = coverage(method, pos, QUAD, 32)
    error = (covered - supersampled(pos.detach(), QUAD, 32))[:12].abs()
    assert error.max() < 0.05
    (gradient,) = torch.autograd.grad(covered.sum(), pos)
    assert gradient[0, 2, 0] > 0
    assert gradient[0, 3, 0] < 0


def test_edges_through_the_camera_plane() -> None:
    only_ours(behind_the_camera_is_right)


def hidden_edge_is_left_alone(method: str) -> None:
    """A sheet that recedes to the right ends behind another, which is seen from x = 9.2 on.

    Beside the outline the pixel of the receding sheet is nearer than that of the other.
    """
    receding = flat(rectangle(2, 9.7, 2, 18))
    receding[0, :, 2] = torch.tensor([-0.9, 0.5, 0.5, -0.9])
    pos = torch.cat([receding, flat(rectangle(9.2, 17, 2, 18), 0.39)], dim=1).requires_grad_()
    tri = torch.cat([QUAD, QUAD + 4])
    colors = torch.cat([torch.ones(1, 4, 1), torch.zeros(1, 4, 1)], dim=1)
    row = draw(method, pos, tri, colors, SIZE)[10, :, 0]
    # The receding sheet covers pixel 9 from 8.5 to 9.2.
    assert abs(row[9].item() - 0.7) < 0.01
    assert abs(row[10].item()) < 0.01
    (gradient,) = torch.autograd.grad(row[8:12].sum(), pos)
    assert (gradient[0, :4] == 0).all()
    assert (gradient[0, [4, 7], 0] > 0).all()


def test_hidden_edges() -> None:
    only_ours(hidden_edge_is_left_alone)


def test_partly_hidden_edges_move_only_where_seen() -> None:
    """An upright edge, the lower half of which is behind a second sheet."""
    pos = torch.cat([flat(rectangle(4, 9.7, 2, 18), 0.5), flat(rectangle(2, 15, 1, 9.5))], dim=1)
    pos.requires_grad_()
    tri = torch.cat([QUAD, QUAD + 4])
    colors = torch.cat([torch.ones(1, 4, 1), torch.zeros(1, 4, 1)], dim=1)
    image = draw("ours", pos, tri, colors, SIZE)[..., 0]
    below = torch.autograd.grad(image[:9, 7:13].sum(), pos, retain_graph=True)[0]
    assert (below == 0).all()
    above = torch.autograd.grad(image[11:16, 7:13].sum(), pos)[0]
    # Five rows gain half the image's width in pixels per unit of x; level edges are further off.
    assert float(above[0, 1:3, 0].sum()) == pytest.approx(5 * SIZE / 2, rel=1e-4)
    assert (above[0, 4:] == 0).all()


def fine_outline_has_no_dots(method: str) -> None:
    """Coverage along the outline of 82k triangles at 256 pixels against its area."""
    vertices, tri = motion.shape("sphere 82k")
    theta = torch.tensor([0.05, -0.03, 0.85, 0.05, 0.1, 0.07], dtype=torch.float64)
    pos = motion.clip_positions(vertices, theta)
    exact = supersampled(pos, tri, 256, factor=8)
    band = (exact > 0.02) & (exact < 0.98)
    error = (coverage(method, pos, tri, 256, vertices) - exact)[band].abs()
    # 8 x 8 samples know the area to about 0.06.
    assert error.max() < 0.08
    assert error.mean() < 0.02


def test_outlines_of_fine_meshes() -> None:
    only_ours(fine_outline_has_no_dots)


@pytest.mark.parametrize("name", motion.SHAPES)
def test_coverage_is_the_covered_area(name: str) -> None:
    """The torus has cusps, where an outline goes on behind the surface."""
    vertices, tri = motion.shape(name)
    for turn in (0.1, 0.7, 1.6):
        theta = torch.tensor([0.05, -0.03, 0.85, 0.05, turn, 0.07], dtype=torch.float64)
        pos = motion.clip_positions(vertices, theta)
        error = (coverage("ours", pos, tri, 64, vertices) - supersampled(pos, tri, 64)).abs()
        assert error.max() < 0.05


def test_colours_stay_within_those_around() -> None:
    """Also on a noisy surface, where several outlines pass a pixel, and at corners."""
    vertices, tri = motion.shape("sphere 5k")
    generator = torch.Generator().manual_seed(5)
    noisy = vertices * (1 + 0.03 * torch.randn(len(vertices), 1, generator=generator, dtype=torch.float64))
    theta = torch.tensor([0.05, -0.03, 0.85, 0.05, 0.1, 0.07], dtype=torch.float64)
    star = [(10 + r * math.cos(a), 10 + r * math.sin(a)) for r, a in [(8, 0.3), (3, 1.3), (8, 2.4), (3, 4)]]
    for pos, faces in ((motion.clip_positions(noisy, theta), tri), (flat(star), QUAD)):
        rast = rasterize(None, pos, faces, (64, 64))[0]
        color = torch.rand(1, 64, 64, 2, generator=generator)
        out = antialias(color, rast, pos, faces)
        padded = torch.nn.functional.pad(color.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
        around = torch.nn.functional.max_pool2d(padded, 3, 1).permute(0, 2, 3, 1)
        below = -torch.nn.functional.max_pool2d(-padded, 3, 1).permute(0, 2, 3, 1)
        assert (out <= around + 1e-4).all()
        assert (out >= below - 1e-4).all()
