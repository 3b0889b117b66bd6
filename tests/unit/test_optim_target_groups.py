"""Photos of several sizes in one step: every photo counts as in one batch, recorded or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.optim import target_groups
from studio.core.optim.fit import Fit
from studio.core.optim.graphs import SETTLED, Graphs
from studio.core.optim.messages import GROUPS
from studio.core.optim.target_groups import TargetGroups
from studio.core.optim.targets import Targets
from studio.core.scene import PhotoSet
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_cuda_step import Tape, running, second_step, twin


@pytest.fixture(scope="module")
def one_size() -> PhotoSet:
    return photograph(coloured_ball(), 6, 32)


@pytest.fixture(scope="module")
def mixed(one_size: PhotoSet) -> PhotoSet:
    """Two of three photos are of another camera, with fewer pixels."""
    small = photograph(coloured_ball(), 6, 20).photos
    return replace(one_size, photos=[p if n % 3 == 1 else small[n] for n, p in enumerate(one_size.photos)])


def test_photos_keep_their_size(mixed: PhotoSet) -> None:
    targets = TargetGroups.build(mixed.photos, 32)
    assert [(group.size, len(group)) for group in targets.groups] == [((32, 32), 2), ((20, 20), 4)]
    assert targets.names == [photo.name for photo in mixed.photos]
    first, second = targets.parts([4, 0, 1, 5])
    assert (first.views, first.index, first.places) == ([4, 1], [1, 0], [0, 2])
    assert (second.views, second.index, second.places) == ([0, 5], [0, 3], [1, 3])
    assert targets.size == (32, 32)
    assert [group.size for group in TargetGroups.build(mixed.photos, 20).groups] == [(20, 20)]


def test_one_size_is_one_batch_as_ever(one_size: PhotoSet) -> None:
    (found,), expected = TargetGroups.build(one_size.photos, 32).groups, Targets.build(one_size.photos, 32)
    assert torch.equal(found.color, expected.color)
    assert torch.equal(found.cameras.world_to_clip, expected.cameras.world_to_clip)


def test_steps_have_about_the_same_share_of_each_size(mixed: PhotoSet) -> None:
    targets = TargetGroups.build(mixed.photos, 32)
    for seed in range(5):
        order = targets.spread(np.random.default_rng(seed).permutation(6).tolist())
        assert sorted(order) == list(range(6))
        assert [len(part.views) for part in targets.parts(order[:3])] == [1, 2]
        assert [len(part.views) for part in targets.parts(order[3:])] == [1, 2]


@pytest.mark.parametrize("background", ["fixed", "random"])
def test_parts_add_up_to_one_batch(one_size: PhotoSet, monkeypatch, background: str) -> None:
    """The same photos, taken apart as if they were of three sizes: same losses, same gradients."""
    settings = {"views_per_step": 5, "training_background": background, "pose_enabled": True, "pose_from": 0}
    settings |= {"exposure_enabled": True, "ssim_weight": 0.1}
    whole = running(one_size, **settings)
    monkeypatch.setattr(target_groups, "_alike", lambda photos, resolution: [[0, 3], [1, 5], [2, 4]])
    monkeypatch.setattr(TargetGroups, "spread", lambda self, order: order)
    apart = running(one_size, **settings)
    for _ in range(3):
        expected, found = whole.step(), apart.step()
        for name, value in expected.losses.items():
            assert found.losses[name] == pytest.approx(value, rel=1e-4, abs=1e-7), name
        assert found.psnr == pytest.approx(expected.psnr, abs=1e-3)
        assert found.view_errors == pytest.approx(expected.view_errors, rel=1e-3)
    assert len(apart._current_targets().groups) == 3
    for group in GROUPS:
        for ours, theirs in zip(apart.variables.tensors(group), whole.variables.tensors(group)):
            if theirs.grad is not None and len(theirs):
                scale = float(theirs.grad.abs().max())
                torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3 * scale)


def test_cropping_does_not_change_what_a_pixel_counts() -> None:
    """Of photos of two sizes that are cropped to windows of different shares of the picture."""
    large, small = photograph(coloured_ball(0.25), 4, 64).photos, photograph(coloured_ball(0.4), 6, 32).photos
    targets = TargetGroups.build([*large, *small], 64, crop=True)
    shares = [group.size[0] * group.size[1] / group.pixels for group in targets.groups]
    assert shares[0] < 0.6 * shares[1]
    first, second = (group.scale for group in targets.groups)
    assert first / second == pytest.approx(shares[0] / shares[1])
    assert (4 * first + 6 * second) / 10 == pytest.approx(1.0)
    whole = TargetGroups.build([*large, *small], 64)
    assert [group.scale for group in whole.groups] == [1.0, 1.0]


def test_a_step_of_several_sizes_waits_for_nothing(mixed: PhotoSet, monkeypatch) -> None:
    launches, waited = second_step(twin(mixed, views_per_step=3, training_background="noise"), monkeypatch)
    assert waited == []
    assert launches["image_loss"] == 2, "one for each size"


def recorded(photos: PhotoSet, **settings) -> Fit:
    fit = running(photos, **settings)
    fit._pass.graphs = Graphs(fit.device, True, lambda: Shared(fit))
    return fit


class Shared(Tape):
    """As graphs of one pool: what one leaves is overwritten by the next."""

    places: dict = {}

    def replay(self) -> None:
        for name, value in Shared.places.items():
            if name not in map(id, [*self.made.values(), *self.gradients]):
                value.fill_(float("nan"))
        super().replay()
        Shared.places = {id(t): t for t in [*self.made.values(), *self.gradients]}


@pytest.mark.parametrize("background", ["random", "noise", "fixed"])
def test_steps_of_several_sizes_are_recorded(mixed: PhotoSet, background: str) -> None:
    settings = {"steps": 10, "views_per_step": 3, "training_background": background}
    plain, fit = running(mixed, **settings), recorded(mixed, **settings)
    for _ in range(10):
        assert fit.step().losses == plain.step().losses
    assert fit._pass.graphs.reason == ""
    assert fit._pass.graphs.recorded == 2
    assert fit._pass.graphs.replayed == 2 * (10 - SETTLED)
    assert torch.equal(fit.variables.differential, plain.variables.differential)
    assert torch.equal(fit.variables.sh, plain.variables.sh)
