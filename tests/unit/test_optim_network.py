"""Networks as fields: the encoding, what its gradients are, and that a fit learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.core.ops import Grid, Occupancy, march
from studio.core.ops.samples import Samples
from studio.core.optim import network_fit
from studio.core.optim.emitted import VolumeView
from studio.core.optim.evaluate import evaluate_look
from studio.core.optim.network_field import HashEncoding, NetworkField
from studio.core.optim.network_fit import NetworkFit
from studio.core.optim.settings import FitSettings
from studio.core.scene import PhotoSet
from tests.unit.optim_scenes import coloured_ball, photograph


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(coloured_ball(), count=12, size=48)


def test_the_encoding_interpolates_its_tables():
    """At a grid point the entry itself, half-way the mean of two, in every level without collisions."""
    encoding = HashEncoding(levels=2, features=3, entries=1 << 12, coarsest=4, finest=8)
    assert encoding.voxels == [4, 8]
    torch.nn.init.normal_(encoding.tables, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[0.25, 0.5, 0.75], [0.375, 0.5, 0.75], [1.0, 1.0, 1.0]])
    found = encoding(points)
    at = [(1 * 5 + 2) * 5 + 3, (2 * 5 + 2) * 5 + 3, (4 * 5 + 4) * 5 + 4]
    coarse = encoding.tables[0]
    torch.testing.assert_close(found[0, :3], coarse[at[0]])
    torch.testing.assert_close(found[1, :3], 0.5 * (coarse[at[0]] + coarse[at[1]]))
    torch.testing.assert_close(found[2, :3], coarse[at[2]])
    torch.testing.assert_close(found[0, 3:], encoding.tables[1][(2 * 9 + 4) * 9 + 6])


def test_large_grids_share_entries_as_their_hash_says():
    encoding = HashEncoding(levels=1, features=1, entries=1 << 8, coarsest=64, finest=64)
    node = torch.tensor([[1, 2, 3], [60, 61, 62], [64, 64, 64]])
    expected = [(x ^ (y * 2_654_435_761) ^ (z * 805_459_861)) % 256 for x, y, z in node.tolist()]
    assert encoding._entry(node, 64).tolist() == expected


def test_gradients_of_what_rays_see_agree_with_differences():
    field = NetworkField((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), 0.05, seed=3)
    with torch.no_grad():
        field.encoding.tables.normal_(generator=torch.Generator().manual_seed(1)).mul_(0.5)
    random = torch.Generator().manual_seed(2)
    origins = torch.tensor([[0.0, 0.0, 3.0]]).repeat(40, 1)
    directions = torch.cat([0.4 * torch.rand(40, 2, generator=random) - 0.2, -torch.ones(40, 1)], dim=1)
    box = ((-1.0,) * 3, (1.0,) * 3)

    def total() -> torch.Tensor:
        color, alpha, depth = march(field, origins, directions, 0.05, box=box)
        return color.sum() + alpha.sum() + depth.sum()

    total().backward()
    for parameter in (field.encoding.tables, field.body[0].weight, field.color[2].bias):
        along = torch.randn(parameter.shape, generator=random)
        expected = float((parameter.grad * along).sum())
        sums = []
        for change in (1e-3, -1e-3):
            with torch.no_grad():
                parameter.add_(change * along)
                sums.append(float(total()))
                parameter.sub_(change * along)
        # ReLUs bend between the two; sums of float32.
        assert (sums[0] - sums[1]) / 2e-3 == pytest.approx(expected, rel=0.03, abs=0.02)


def counted(field: NetworkField, room: int | None) -> tuple[torch.Tensor, ...]:
    """What rays see, and the tables' gradient; with the number of samples that the field was asked for."""
    asked: list[int] = []

    def looked(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(len(points))
        return field(points, directions)

    origins = torch.tensor([[0.0, 0.0, 3.0]]).repeat(40, 1)
    across = 0.8 * torch.rand(40, 2, generator=torch.Generator().manual_seed(2)) - 0.4
    directions = torch.cat([across, -torch.ones(40, 1)], dim=1)
    filled = torch.zeros(21, 21, 21, dtype=torch.bool)
    filled[8:13, 4:9, 6:15] = True
    occupancy = Occupancy.where(filled, (-1.0, -1.0, -1.0), 0.1)
    out = torch.cat(
        [t.view(40, -1) for t in march(looked, origins, directions, 0.05, occupancy=occupancy,
                                       box=((-1.0,) * 3, (1.0,) * 3), room=room)], dim=1)  # fmt: skip
    (slope,) = torch.autograd.grad(out.square().sum(), field.encoding.tables)
    return out.detach(), slope, torch.tensor(asked)


def test_samples_in_a_room_are_those_that_were_counted():
    """Where there is room for all of them; else the first rays' are taken."""
    field = NetworkField((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), 0.05, seed=3)
    expected, slope, count = counted(field, None)
    found, found_slope, asked = counted(field, 2000)
    assert (int(asked), 100 < int(count) < 2000) == (2000, True)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_slope, slope)
    short, _, asked = counted(field, int(count) // 2)
    assert int(asked) == int(count) // 2
    torch.testing.assert_close(short[:10], expected[:10])
    assert (short[-10:] == 0).all()
    assert (expected[-10:, 3] > 0).any()


def test_a_step_has_room_for_its_samples(photos):
    """As many as rays chosen at random have, and not twice as many."""
    values = {"representation": "network", "resolution": 48, "hull_resolution": 16, "network_rays": 256}
    fit = NetworkFit(photos, FitSettings(values), "cpu")
    fit.prepare()
    room, counts = fit._expected(), []
    for seed in range(5):
        random = torch.Generator().manual_seed(seed)
        draw = torch.randint(len(fit._candidates), (256,), generator=random)
        origins, directions = fit._rays[fit._candidates[draw]].split(3, dim=1)
        jitter = torch.rand(256, generator=random)
        samples = Samples.along(origins, directions, jitter, fit.field.step, fit._box, fit._occupancy)
        counts.append(int(samples.counts.sum()))
    assert max(counts) < room < 1.6 * max(counts)


def test_a_network_learns_a_ball_and_becomes_a_volume(photos, monkeypatch):
    monkeypatch.setattr(network_fit, "_BAKED", 48)
    values = {"representation": "network", "resolution": 48, "holdout": 6, "hull_resolution": 16}
    fit = NetworkFit(photos, FitSettings({**values, "network_steps": 110, "network_rays": 64}), "cpu")
    fit.prepare()
    assert np.isnan(fit.psnr())
    before = evaluate_look(fit.render, fit.holdout, 48).mean("psnr_white")
    while fit.steps_done < fit.steps:
        fit.step()
    after = evaluate_look(fit.render, fit.holdout, 48).mean("psnr_white")
    assert after > before + 6, (before, after)  # 10.9 and 21.6 were seen
    volume = fit.result()
    volume.check("network")
    camera = fit.holdout[1].camera
    image = fit.render(camera)
    baked = VolumeView(Grid.of(volume)).picture(camera)
    # Interpolated between grid points, and colours of nine coefficients as four.
    assert np.abs(baked - image).mean() < 0.02
