"""Photos cropped to the object are the same photos through the same cameras."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.optim.targets import Targets
from studio.core.pipeline import render
from studio.core.scene import Lighting, Photo
from studio.core.tensors import SceneTensors
from tests.unit.optim_scenes import coloured_ball, photograph


def off_centre() -> list[Photo]:
    """Photos of a small ball whose cameras look past it."""
    ball = coloured_ball(0.25)
    ball.vertices = ball.vertices + np.float32([0.2, 0.3, -0.1])
    return photograph(ball, count=6, size=64).photos


def test_a_cropped_photo_is_smaller_and_loses_nothing_of_the_object():
    photos = off_centre()
    whole, cropped = Targets.build(photos, 64), Targets.build(photos, 64, crop=True)
    assert cropped.mask[0].numel() < 0.4 * whole.mask[0].numel()
    torch.testing.assert_close(cropped.mask.sum(dim=(1, 2)), whole.mask.sum(dim=(1, 2)))
    border = torch.cat(
        [cropped.mask[:, 0], cropped.mask[:, -1], cropped.mask[:, :, 0], cropped.mask[:, :, -1]], 1
    )
    assert float(border.max()) == 0.0


def test_a_cropped_camera_sees_the_same_pixels():
    photos = off_centre()
    targets = Targets.build(photos, 64, crop=True)
    ball = coloured_ball(0.25)
    ball.vertices = ball.vertices + np.float32([0.2, 0.3, -0.1])
    frame = render(SceneTensors.from_meshes([ball]), targets.cameras, LightTensors.from_lighting(Lighting()))
    torch.testing.assert_close(frame["alpha"][..., 0], targets.mask, atol=2e-3, rtol=0)


def test_windows_go_along_with_ignored_pixels_and_stay_inside():
    photos = off_centre()
    for photo in photos:
        photo.ignore = photo.mask > 0.5
        photo.ignore[:, : photo.ignore.shape[1] // 2] = False
    targets = Targets.build(photos, 64, crop=True)
    assert targets.weight.shape == targets.mask.shape
    half = (targets.weight < 0.5) & (targets.mask > 0.6)
    assert bool(half.any())
    assert bool((targets.mask[targets.weight < 0.5] > 0.5).all())


def test_without_masks_nothing_is_cropped():
    photos = photograph(coloured_ball(), count=3, size=32, masks=False).photos
    assert Targets.build(photos, 32, crop=True).size == (32, 32)


def test_an_empty_mask_keeps_the_whole_photo():
    photos = off_centre()
    photos[2].mask = np.zeros_like(photos[2].mask)
    assert Targets.build(photos, 64, crop=True).size == (64, 64)


def test_cropped_photos_still_batch():
    batch = Targets.build(off_centre(), 64, crop=True).select(torch.tensor([1, 3]))
    assert isinstance(batch.cameras, CameraBatch)
    assert batch.color.shape[1:3] == batch.size


@pytest.mark.parametrize("crop", [False, True])
def test_photos_are_held_once(crop: bool) -> None:
    """What the fit keeps and some photos' work on top, not all photos a second time."""
    photos = off_centre() * 8
    Targets.build(photos[:1], 64, crop=crop)  # weights of the averaging are kept
    tracemalloc.start()
    kept = Targets.build(photos, 64, crop=crop)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept.mask is not None
    one = photos[0].image.nbytes
    assert peak < kept.color.nbytes + kept.mask.nbytes + (len(photos) * one / 4 + 8 * one)


def test_photos_of_several_sizes_are_one_batch_whatever_comes_first():
    """A small photo among larger ones, with its own focal length, does not make them small."""
    large, small, huge = (photograph(coloured_ball(), 4, size).photos for size in (64, 24, 96))
    mixed = [small[0], *large[1:3], huge[3]]
    for photos in (mixed, mixed[::-1]):
        targets = Targets.build(photos, 64)
        assert targets.size == (64, 64)
        assert Targets.build(photos, 48).size == (48, 48)
        order = range(4) if photos is mixed else range(3, -1, -1)
        expected = Targets.build([large[i] for i in order], 64)
        overlap = (targets.mask * expected.mask).sum(dim=(1, 2)) / expected.mask.sum(dim=(1, 2))
        assert (overlap > 0.95).all()
        for name in ("world_to_view", "view_to_clip"):
            torch.testing.assert_close(getattr(targets.cameras, name), getattr(expected.cameras, name))
