"""SoftRas against the dense reference, its gradients against finite differences, its limits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.ops import rasterize_interpolate, softras
from studio.core.scene.shapes import icosphere
from tests.softras_reference import softras_reference

SIZE = (13, 18)
OPTIONS = {"sigma": 4e-3, "gamma": 0.05, "cutoff": 1e-7}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The reference is many tiny operations: torch's threads would spin between them."""
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(former)


def soup(seed: int, triangles: int = 9, channels: int = 3, spread: float = 0.7) -> dict[str, Tensor]:
    """Loose triangles at several depths; float64."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-spread, spread, (triangles, 1, 2))
    flat = (centre + rng.uniform(-0.6, 0.6, (triangles, 3, 2))).reshape(-1, 2)
    w = rng.uniform(1.0, 3.0, (triangles * 3, 1))
    ndc = rng.uniform(-0.6, 0.6, (triangles * 3, 1))
    pos = np.concatenate([flat * w, ndc * w, w], axis=1)
    return {
        "pos": torch.tensor(pos),
        "tri": torch.arange(triangles * 3, dtype=torch.int32).view(-1, 3),
        "attr": torch.tensor(rng.uniform(0, 1, (triangles * 3, channels))),
        "uv": torch.tensor(rng.uniform(-0.5, 1.5, (triangles * 3, 2))),
        "texture": torch.tensor(rng.uniform(0, 1, (5, 7, channels))),
        "background": torch.tensor(rng.uniform(0, 1, channels)),
    }


def ours(scene: dict[str, Tensor], textured: bool, **options) -> tuple[Tensor, Tensor]:
    """The operation on one image, in float32."""
    f = {name: value.float() for name, value in scene.items() if name != "tri"}
    extra = {"texture": f["texture"][None], "uv": f["uv"][None]} if textured else {}
    image, alpha = softras(
        f["pos"][None], scene["tri"], f["attr"][None], SIZE, background=f["background"], **extra, **options
    )
    return image[0], alpha[0]


def reference(scene: dict[str, Tensor], textured: bool, **options) -> tuple[Tensor, Tensor]:
    extra = {"texture": scene["texture"], "uv": scene["uv"]} if textured else {}
    return softras_reference(
        scene["pos"], scene["tri"], scene["attr"], SIZE, background=scene["background"], **extra, **options
    )


@pytest.mark.parametrize("aggregation", ["soft", "hard"])
@pytest.mark.parametrize("textured", [False, True])
@pytest.mark.parametrize("gamma", [1e-4, 0.05])
def test_pictures_match_the_reference(aggregation: str, textured: bool, gamma: float) -> None:
    for seed in range(3):
        options = OPTIONS | {"aggregation": aggregation, "gamma": gamma, "depth_range": (-0.7, 0.9)}
        image, alpha = ours(soup(seed), textured, **options)
        expected, coverage = reference(soup(seed), textured, **options)
        assert 0.1 < coverage.mean() < 0.99
        torch.testing.assert_close(alpha.double(), coverage, atol=2e-6, rtol=0)
        # With gamma 1e-4 float32 depths are 5e-4 of a factor apart.
        torch.testing.assert_close(image.double(), expected, atol=2e-3 if gamma < 1e-3 else 2e-5, rtol=0)


def loss_of(pictures: tuple[Tensor, Tensor], seed: int) -> Tensor:
    """A fixed random mix of both pictures."""
    generator = torch.Generator().manual_seed(seed)
    image, alpha = pictures
    weights = [torch.rand(p.shape, generator=generator, dtype=torch.float64) - 0.3 for p in (image, alpha)]
    return (image.double() * weights[0]).sum() + (alpha.double() * weights[1]).sum()


def differences(evaluate, value: Tensor, step: float) -> Tensor:
    """Central finite differences of a scalar function, one element after the other."""
    out = torch.zeros_like(value)
    for i in range(value.numel()):
        pair = []
        for sign in (1, -1):
            moved = value.clone()
            moved.view(-1)[i] += sign * step
            pair.append(float(evaluate(moved)))
        out.view(-1)[i] = (pair[0] - pair[1]) / (2 * step)
    return out


@pytest.mark.parametrize("aggregation", ["soft", "hard"])
@pytest.mark.parametrize("textured", [False, True])
def test_gradients_match_finite_differences(aggregation: str, textured: bool) -> None:
    scene = soup(5, triangles=5)
    options = OPTIONS | {"aggregation": aggregation}
    names = ["pos", "attr", "background", *(["uv", "texture"] if textured else [])]
    leaves = {name: scene[name].clone().requires_grad_() for name in names}
    loss_of(ours(scene | leaves, textured, **options), 1).backward()
    for name in names:

        def evaluate(value: Tensor, name: str = name) -> Tensor:
            return loss_of(reference(scene | {name: value}, textured, **options), 1)

        expected = differences(evaluate, scene[name], 1e-6)
        scale = float(expected.abs().max())
        assert scale > 0
        error = float((leaves[name].grad - expected).abs().max()) / scale
        assert error < 5e-4, f"{name}: {error:.1e} of the largest"


def test_gradients_of_the_sharpness_match_finite_differences() -> None:
    scene = soup(6)
    rest = {"cutoff": OPTIONS["cutoff"]}
    for name in ("sigma", "gamma"):
        fixed = rest | {other: OPTIONS[other] for other in ("sigma", "gamma") if other != name}
        leaf = torch.tensor([OPTIONS[name]], requires_grad=True)
        loss_of(ours(scene, False, **fixed, **{name: leaf}), 2).backward()

        def evaluate(value: Tensor, name: str = name, fixed: dict = fixed) -> Tensor:
            return loss_of(reference(scene, False, **fixed, **{name: value}), 2)

        value = torch.tensor([OPTIONS[name]], dtype=torch.float64)
        expected = differences(evaluate, value, 1e-5 * OPTIONS[name])
        torch.testing.assert_close(leaf.grad.double(), expected, rtol=2e-3, atol=0)


def test_hidden_faces_get_a_gradient() -> None:
    # A face wholly behind another one: no other rasterizer moves it.
    front = [[-0.9, -0.9, 0.0, 1.0], [0.9, -0.9, 0.0, 1.0], [0.0, 0.9, 0.0, 1.0]]
    back = [[-0.3, -0.4, 0.1, 1.0], [0.3, -0.4, 0.1, 1.0], [0.0, 0.2, 0.1, 1.0]]
    pos = torch.tensor([front + back], requires_grad=True)
    tri = torch.arange(6, dtype=torch.int32).view(2, 3)
    colors = torch.tensor([[0.0] * 3] * 3 + [[1.0] * 3] * 3)[None]
    image, _ = softras(pos, tri, colors, (24, 24), gamma=0.05)
    image.sum().backward()
    # Nearer (smaller z) makes the white one weigh more.
    assert (pos.grad[0, 3:, 2] < -1e-3).all()


def mesh(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """(pos, tri, attr) of a sphere seen from a few sides."""
    from studio.core.scene.shapes import icosphere

    ball = icosphere(2)
    v = torch.tensor(ball.vertices, dtype=torch.float32)
    pos = []
    for i in range(batch):
        turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(i)))[0]
        p = v @ turn.T
        w = 3.0 - p[:, 2]
        z = (w - 2.0) / 2.0 * 2 - 1
        pos.append(torch.stack([2.0 * p[:, 0], 2.0 * p[:, 1], z * w, w], dim=1))
    return torch.stack(pos), torch.tensor(ball.faces, dtype=torch.int32), v[None] * 0.5 + 0.5


def test_tends_to_the_hard_rasterizer() -> None:
    pos, tri, attr = mesh()
    hard, rast = rasterize_interpolate(pos, tri, attr, (48, 64))
    for sigma, share in ((1e-6, 0.04), (1e-9, 0.002)):
        image, alpha = softras(pos, tri, attr, (48, 64), sigma=sigma, gamma=1e-5)
        apart = (alpha > 0.5) != (rast[..., 3:] > 0)
        assert apart.float().mean() < share
        assert ((image - hard).abs().amax(-1) > 0.01).float().mean() < share


def test_order_of_triangles_does_not_matter() -> None:
    pos, tri, attr = mesh()
    order = torch.randperm(len(tri), generator=torch.Generator().manual_seed(3))
    for aggregation in ("soft", "hard"):
        options = {"sigma": 1e-3, "gamma": 1e-2, "aggregation": aggregation}
        a = softras(pos, tri, attr, (40, 40), **options)
        b = softras(pos, tri[order].contiguous(), attr, (40, 40), **options)
        for one, other in zip(a, b):
            torch.testing.assert_close(one, other, atol=3e-6, rtol=0)


def test_bands_and_shared_attributes_change_nothing() -> None:
    from studio.core.kernels import launcher

    pos, tri, attr = mesh(3)
    grads = []
    former = launcher.use_threads(1)
    try:
        for threads, shared in ((1, True), (3, True), (2, False)):
            launcher.use_threads(threads)
            leaf = pos.clone().requires_grad_()
            colors = attr if shared else attr.repeat(3, 1, 1)
            image, alpha = softras(leaf, tri, colors, (33, 21), sigma=1e-3)
            (image.square().sum() + alpha.square().sum()).backward()
            grads.append(leaf.grad)
    finally:
        launcher.use_threads(former)
    scale = float(grads[0].abs().max())
    assert torch.allclose(grads[0], grads[1], atol=1e-5 * scale)
    assert torch.allclose(grads[0], grads[2], atol=1e-5 * scale)


def test_what_cannot_be_seen_is_left_out() -> None:
    scene = soup(2)
    behind = scene["pos"].clone()
    behind[1, 3] = -0.5  # one corner of the first face behind the camera
    behind[3:6, 2] = 1.2 * behind[3:6, 3]  # the second beyond the far plane
    behind[7, 0] = float("nan")
    kept = scene["tri"][3:]
    draw = partial(ours, textured=False, **OPTIONS)
    image, alpha = draw(scene | {"pos": behind})
    expected, coverage = draw(scene | {"tri": kept})
    assert torch.isfinite(image).all()
    assert torch.equal(image, expected)
    assert torch.equal(alpha, coverage)


@pytest.mark.parametrize("what", ["triangles", "vertices", "images"])
def test_empty_input(what: str) -> None:
    batch, count, faces = (0 if what == "images" else 2), (0 if what == "vertices" else 3), 1
    pos = torch.ones(batch, count, 4, requires_grad=True)
    tri = torch.zeros(0 if what == "triangles" else faces, 3, dtype=torch.int32)
    attr = torch.ones(1, count, 3, requires_grad=True)
    behind = torch.tensor([0.2, 0.4, 0.6], requires_grad=True)
    image, alpha = softras(pos, tri, attr, (4, 5), background=behind)
    (image.sum() + alpha.sum()).backward()
    assert torch.equal(behind.grad, torch.full((3,), 20.0 * batch))
    assert image.shape == (batch, 4, 5, 3)
    assert alpha.shape == (batch, 4, 5, 1)
    assert torch.allclose(image, torch.tensor([0.2, 0.4, 0.6]).expand_as(image))
    assert not alpha.any()
    assert pos.grad is None or not pos.grad.any()


def test_a_background_image_shows_where_nothing_is() -> None:
    pos, tri, attr = mesh(2)
    behind = torch.rand(2, 20, 20, 3, generator=torch.Generator().manual_seed(1))
    image, alpha = softras(pos, tri, attr, (20, 20), background=behind)
    empty = alpha[..., 0] == 0
    assert 0.05 < empty.float().mean() < 0.9
    assert torch.equal(image[empty], behind[empty])


def test_too_much_blur_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pos, tri, attr = mesh(1)
    monkeypatch.setattr(sys.modules["studio.core.ops.softras_lists"], "MOST_LISTED", 1000)
    with pytest.raises(InputError, match=r"softras: faces reach \d+ tiles in all, expected at most 1000"):
        softras(pos, tri, attr, (64, 64), sigma=1e-2)


@pytest.mark.parametrize("aggregation", ["soft", "hard"])
@pytest.mark.parametrize("room", [1, 40, 5000])
def test_lists_that_do_not_fit_change_nothing(
    monkeypatch: pytest.MonkeyPatch, room: int, aggregation: str
) -> None:
    """On a GPU nobody knows how long they will be: none, some and all of the tiles have theirs here."""
    pos, tri, attr = mesh(2)
    texture = torch.rand(2, 5, 7, 3, generator=torch.Generator().manual_seed(1))
    uv = torch.rand(1, pos.shape[1], 2, generator=torch.Generator().manual_seed(2))

    def everything() -> list[Tensor]:
        leaves = [t.clone().requires_grad_() for t in (pos, attr, texture, torch.tensor(3e-3))]
        image, alpha = softras(
            leaves[0], tri, leaves[1], (33, 21), leaves[3], 0.05, 0.3, aggregation, leaves[2], uv
        )
        (image.square().sum() + alpha.square().sum()).backward()
        return [image.detach(), alpha.detach(), *(leaf.grad for leaf in leaves)]

    expected = everything()
    lists = sys.modules["studio.core.ops.softras_lists"]
    found: list[tuple[int, int]] = []

    def few(n: int, count: int, view: object) -> int:
        found.append((n, count))
        return room

    monkeypatch.setattr(lists, "counted", lambda device: False)
    monkeypatch.setattr(sys.modules["studio.core.ops.softras"], "counted", lambda device: False)
    monkeypatch.setattr(lists, "expected", few)
    for ours, theirs in zip(everything(), expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
    assert found == [(2, len(tri))]


@pytest.mark.parametrize(("level", "size", "sigma"), [(3, 64, 1e-5), (5, 256, 1e-5), (4, 200, 1e-3)])
def test_there_is_usually_room_for_the_lists(level: int, size: int, sigma: float) -> None:
    """For a mesh that fills the picture; and not ten times of what is needed."""
    lists = sys.modules["studio.core.ops.softras_lists"]
    ball = icosphere(level, 1.0)
    pos = torch.nn.functional.pad(torch.from_numpy(ball.vertices), (0, 1), value=1.0)[None]
    view = lists.View(size, size, 0, 1e-4, torch.tensor([-1.0, 1.0], dtype=torch.float64), sigma)
    numbers = view.numbers(torch.tensor([sigma, 1e-4]))
    needed = len(lists.list_faces(pos, torch.from_numpy(ball.faces).int(), view, numbers).listed)
    assert needed <= lists.expected(1, len(ball.faces), view) <= 4 * needed


def test_errors_name_what_is_wrong() -> None:
    pos, tri, attr = mesh(1)
    with pytest.raises(InputError, match="aggregation must be one of soft, hard, got max"):
        softras(pos, tri, attr, (8, 8), aggregation="max")
    with pytest.raises(InputError, match="sigma must be in"):
        softras(pos, tri, attr, (8, 8), sigma=0.0)
    with pytest.raises(ShapeError, match=r"pos must have shape \[N, V, 4\], got \[1, 162, 3\]"):
        softras(pos[..., :3], tri, attr, (8, 8))
    with pytest.raises(ShapeError, match="texture needs uv"):
        softras(pos, tri, attr, (8, 8), texture=torch.ones(1, 4, 4, 3))
    with pytest.raises(ShapeError, match=r"softras: texture must have shape \[N, TH, TW, 3\]"):
        softras(pos, tri, attr, (8, 8), texture=torch.ones(1, 4, 4, 2), uv=torch.zeros(1, 162, 2))
    with pytest.raises(ShapeError, match="attr must have 1 to 14 channels, got 15"):
        softras(pos, tri, attr.repeat(1, 1, 5), (8, 8))
