"""Parts of the object that lie in shade in a few photos, as dark as the backdrop there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.io.photos import load_photos
from studio.core.optim.hull import visual_hull
from studio.core.scene import PhotoSet
from studio.core.scene.camera import Camera
from tests.io.helpers import ring, sphere_photo, write_json
from tests.io.test_photos import real

BODY, TAIL = np.array([0.5, -0.2, 0.3]), np.array([1.25, -0.2, 0.3])
COUNT, SIZE = 12, 160
SHADED = (2, 3, 4)

COLOURS = {
    "before black": ((4, 4, 4), (220, 210, 190)),
    "before green": ((20, 90, 40), (230, 60, 60)),
    "before white": ((250, 250, 250), (60, 50, 90)),
}


def photos_of_a_tail(
    folder: Path, colours: str = "before black", shaded: tuple[int, ...] = SHADED, alpha: bool = False
) -> list[np.ndarray]:
    """A ball with a smaller one at its side, which has the backdrop's colour in some photos.

    Returns:
        [H, W] bool each, row 0 at the bottom: the smaller ball outside of the larger one's picture.
    """
    (folder / "images").mkdir()
    backdrop, color = COLOURS[colours]
    frames, tails = [], []
    for k, pose in enumerate(ring(COUNT, up=(0, 0, 1))):
        camera = Camera(SIZE, SIZE, 1.3 * SIZE, 1.3 * SIZE, SIZE / 2, SIZE / 2, pose)
        body = sphere_photo(camera, BODY, 0.6)
        tail = sphere_photo(camera, TAIL, 0.3) & ~body
        there = body if k in shaded else body | tail
        picture = np.where(there[..., None], color, backdrop).astype(np.uint8)
        if alpha:
            picture = np.concatenate([picture, 255 * there[..., None].astype(np.uint8)], axis=2)
        Image.fromarray(picture).save(folder / f"images/p{k:02d}.png")
        frames.append({"file_path": f"images/p{k:02d}.png", "transform_matrix": pose.tolist()})
        tails.append(tail[::-1])
    write_json(folder / "transforms.json", {"fl_x": 1.3 * SIZE, "w": SIZE, "h": SIZE, "frames": frames})
    return tails


def tail_of_hull(photos: PhotoSet) -> float:
    """How far the hull reaches towards the smaller ball, in the units of the files."""
    hull = visual_hull(photos.photos, photos.object_center, photos.object_radius, smooth=0)
    return float(photos.input_to_world.inverse().apply(hull.vertices)[:, 0].max())


@pytest.mark.parametrize("colours", COLOURS)
def test_what_lies_in_shade_in_a_few_photos_says_nothing_there(tmp_path: Path, colours: str) -> None:
    tails = photos_of_a_tail(tmp_path, colours)
    photos = load_photos(tmp_path)
    assert any("3 masks leave out in shade" in note for note in photos.notes)
    for k, (photo, tail) in enumerate(zip(photos.photos, tails, strict=True)):
        assert photo.mask is not None
        if k not in SHADED:
            assert photo.ignore is None
            continue
        assert photo.ignore is not None
        assert not (photo.ignore & (photo.mask > 0)).any()
        assert photo.ignore[tail].mean() > 0.8
        assert photo.ignore.sum() < 2.5 * tail.sum()
    blind = [replace(photo, ignore=None) for photo in photos.photos]
    end = TAIL[0] + 0.3
    assert tail_of_hull(photos) > end - 0.07
    assert tail_of_hull(replace(photos, photos=blind)) < end - 0.2


@pytest.mark.parametrize("lit", [range(COUNT), (1, 2)], ids=["all", "two"])
def test_it_takes_three_photos_to_doubt_the_others(tmp_path: Path, lit: Sequence[int]) -> None:
    photos_of_a_tail(tmp_path, shaded=tuple(k for k in range(COUNT) if k not in lit))
    assert all(photo.ignore is None for photo in load_photos(tmp_path).photos)


def test_masks_of_files_are_not_doubted(tmp_path: Path) -> None:
    photos_of_a_tail(tmp_path, alpha=True)
    photos = load_photos(tmp_path)
    assert any("alpha" in note for note in photos.notes)
    assert all(photo.ignore is None for photo in photos.photos)


def test_of_the_real_sets_only_the_dinos_tail_is_in_doubt() -> None:
    marked = {
        photo.name: float(photo.ignore.mean())
        for name in ("dinoSparseRing", "templeSparseRing")
        for photo in real(name).photos
        if photo.ignore is not None
    }
    assert sorted(marked) == [f"dinoSR{k:04d}" for k in (1, 2, 3, 4, 16)]
    assert max(marked.values()) < 0.005
