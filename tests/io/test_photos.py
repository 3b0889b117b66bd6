"""Captures in: NeRF, LLFF, Middlebury; masks; normalisation; and everything that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from studio.core.io.frames import Frame, FrameSet, Intrinsics
from studio.core.io.normalize import up_rotation
from studio.core.io.photos import load_photos
from studio.core.scene import Photo, PhotoSet
from studio.core.scene.camera import Camera, look_at
from tests.io.helpers import nerf_capture, ring, sphere_photo, write_json
from tests.needs import data

CENTER = np.array([0.5, -0.2, 0.3])


def project(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions of world points, from the bottom left, through the GL matrices."""
    matrix = camera.world_to_clip[[0, 1, 3]].astype(np.float32)
    clip = points.astype(np.float32) @ matrix[:, :3].T + matrix[:, 3]
    ndc = clip[:, :2] / clip[:, 2:]
    return (ndc[:, 0] + 1) / 2 * camera.width, (ndc[:, 1] + 1) / 2 * camera.height


def sample(mask: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nearest mask values, 0 outside."""
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    inside = (column >= 0) & (column < mask.shape[1]) & (row >= 0) & (row < mask.shape[0])
    out = np.zeros(len(x))
    out[inside] = mask[row[inside], column[inside]]
    return out


def hull_iou(photos: PhotoSet, n: int) -> float:
    """Mean IoU of the masks and the projected hull that they carve out of n^3 voxels."""
    center, radius = np.array(photos.object_center), photos.object_radius
    low, high = center - radius, center + radius
    for count in (n // 2, n):  # the second time within the bounds the first one found
        axes = [np.linspace(low[i], high[i], count) for i in range(3)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        for photo in photos.photos:
            assert photo.mask is not None
            points = points[sample(photo.mask, *project(photo.camera, points)) > 0.5]
        step = (high - low) / (count - 1)
        assert len(points) > 0
        low, high = points.min(axis=0) - step, points.max(axis=0) + step
    corners = np.stack(np.meshgrid(*[[-0.3, 0.3]] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * step
    cloud = (points[:, None] + corners).reshape(-1, 3)
    scores = []
    for photo in photos.photos:
        assert photo.mask is not None
        x, y = project(photo.camera, cloud)
        shown, _, _ = np.histogram2d(
            y,
            x,
            (photo.camera.height, photo.camera.width),
            ((0, photo.camera.height), (0, photo.camera.width)),
        )
        a, b = shown > 0, photo.mask > 0.5
        scores.append((a & b).sum() / (a | b).sum())
    return float(np.mean(scores))


@cache
def real(name: str) -> PhotoSet:
    """A real capture, read once for all tests."""
    return load_photos(data(f"photos/{name}"), 128)


def check_set(photos: PhotoSet) -> None:
    """What holds for every set, whatever its format."""
    distances = []
    for photo in photos.photos:
        camera = photo.camera
        assert photo.image.shape == (camera.height, camera.width, 3)
        assert photo.image.dtype == np.float32
        assert photo.image.flags.c_contiguous
        assert photo.mask is None or photo.mask.shape == photo.image.shape[:2]
        rotation = camera.view_to_world[:3, :3]
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
        assert 0 < camera.near < np.linalg.norm(camera.position - photos.object_center) < camera.far
        distances.append(np.linalg.norm(camera.position))
    assert np.mean(distances) == pytest.approx(3.0)
    # The cameras look at the object, and it is where the set says.
    x, y = zip(*(project(p.camera, np.array([photos.object_center])) for p in photos.photos), strict=True)
    size = photos.photos[0].camera
    assert abs(np.mean(x) / size.width - 0.5) < 0.2
    assert abs(np.mean(y) / size.height - 0.5) < 0.2


# A wrong axis, flip or principal point leaves an IoU below .6. Reached with 40 voxels a side at
# 100 px: head .959, lego .941, dino .936, temple .910; voxels and the masks' faults cost the rest.
@pytest.mark.parametrize(
    ("name", "count", "least"),
    [
        ("ethiopianHead", 33, 0.93),
        ("lego", 40, 0.88),
        ("dinoSparseRing", 16, 0.92),
        ("templeSparseRing", 16, 0.89),
    ],
)
def test_real_sets(name: str, count: int, least: float) -> None:
    photos = real(name)
    assert len(photos.photos) == count
    assert max(photos.photos[0].image.shape) == 128
    check_set(photos)
    reached = hull_iou(photos, 40)
    assert reached > least


def test_middlebury_keeps_the_known_box() -> None:
    photos = real("templeSparseRing")
    low, high = np.array([-0.073568, 0.021728, -0.012445]), np.array([0.028855, 0.181892, 0.062736])
    corners = photos.input_to_world.apply(np.stack([low, high]))
    assert (np.abs(corners - photos.object_center).max(axis=1) < 1.1 * photos.object_radius).all()
    camera = photos.photos[0].camera
    assert camera.fx != pytest.approx(camera.fy, rel=1e-4)  # not square
    assert camera.cx / camera.width == pytest.approx((302.32 + 0.5) / 640, abs=1e-3)


def test_natural_order() -> None:
    names = [p.name for p in real("lego").photos]
    assert names == sorted(names, key=lambda n: int(n.split("_")[1]))


def test_sphere_is_where_it_was_drawn(tmp_path: Path) -> None:
    nerf_capture(tmp_path, size=64)
    done: list[tuple[float, str]] = []
    photos = load_photos(tmp_path, progress=lambda share, what: done.append((share, what)))
    assert done[:6] == [((i + 1) / 6, f"Loading photos: {i + 1} of 6") for i in range(6)]
    check_set(photos)
    scale = photos.input_to_world.scale
    center = photos.input_to_world.apply(CENTER)
    np.testing.assert_allclose(center, 0.0, atol=1e-6)  # all axes meet there
    np.testing.assert_allclose(photos.object_center, center, atol=0.03)
    # The outline of a sphere seen from near; one pixel of 64 is 2 % of the sphere.
    assert photos.object_radius == pytest.approx(0.8 * scale, rel=0.06)
    for photo in photos.photos:
        expected = sphere_photo(photo.camera, center, 0.8 * scale)[::-1]
        assert photo.mask is not None
        assert ((photo.mask > 0.5) == expected).mean() > 0.998
        np.testing.assert_allclose(photo.image[expected][:, 0], 0.57758, atol=1e-4)  # sRGB 200


def test_z_up_becomes_y_up_and_is_undone(tmp_path: Path) -> None:
    entry = nerf_capture(tmp_path)
    photos = load_photos(tmp_path / "transforms.json")
    np.testing.assert_allclose(photos.input_to_world.rotation @ (0, 0, 1), (0, 1, 0), atol=1e-12)
    back = photos.input_to_world.inverse()
    for photo, frame in zip(photos.photos, entry["frames"], strict=True):
        np.testing.assert_allclose(
            back.apply_to_pose(photo.camera.view_to_world), frame["transform_matrix"], atol=1e-9
        )


def test_max_size_averages_in_linear_light(tmp_path: Path) -> None:
    nerf_capture(tmp_path, size=48)
    for file in (tmp_path / "train").glob("*.png"):
        stripes = np.zeros((48, 48, 3), np.uint8)
        stripes[:, ::2] = 255
        Image.fromarray(stripes).save(file)
    photos = load_photos(tmp_path, 24, masks="files")
    np.testing.assert_allclose(photos.photos[0].image, 0.5, atol=1e-6)
    assert photos.photos[0].camera.cx == 12
    odd = load_photos(tmp_path, 17, masks="files")  # not a whole divisor: still no light lost
    assert odd.photos[0].image.mean() == pytest.approx(0.5, abs=1e-3)
    assert photos.photos[0].camera.fx * 2 == pytest.approx(load_photos(tmp_path).photos[0].camera.fx)


def test_colour_does_not_bleed_at_edges(tmp_path: Path) -> None:
    nerf_capture(tmp_path, size=48)
    photos = load_photos(tmp_path, 20)
    for photo in photos.photos:
        assert photo.mask is not None
        np.testing.assert_allclose(photo.image[photo.mask > 0.01][:, 0], 0.57758, atol=1e-3)
        assert ((photo.mask > 0.05) & (photo.mask < 0.95)).any()


@pytest.mark.parametrize("premultiplied", [False, True])
def test_premultiplied_alpha_is_noticed(tmp_path: Path, premultiplied: bool) -> None:
    nerf_capture(tmp_path, size=96)
    for file in (tmp_path / "train").glob("*.png"):
        alpha = np.asarray(Image.open(file).resize((48, 48), Image.Resampling.BOX))[..., 3]
        rgba = np.dstack([np.full_like(alpha, v) for v in (200, 30, 30)] + [alpha]).astype(float)
        if premultiplied:
            rgba[..., :3] *= rgba[..., 3:] / 255
        Image.fromarray((rgba + 0.5).astype(np.uint8)).save(file)
    photos = load_photos(tmp_path)
    assert any(("premultiplied" in note) == premultiplied for note in photos.notes if "alpha" in note)
    for photo in photos.photos:
        assert photo.mask is not None
        # At an alpha of a fifth, 8-bit products leave 2 % of the colour.
        np.testing.assert_allclose(photo.image[photo.mask > 0.2][:, 0], 0.57758, rtol=0.05)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    entry = json.loads((folder / "transforms.json").read_text())
    change(entry)
    write_json(folder / "transforms.json", entry)


def test_all_intrinsics_of_transforms(tmp_path: Path) -> None:
    nerf_capture(tmp_path, count=4, size=40)

    def change(entry: dict[str, Any]) -> None:
        entry.update(
            fl_x=50.0, fl_y=60.0, cx=18.0, cy=23.0, w=40, h=40, aabb_scale=4, scale=0.5, offset=[0, 0, 1]
        )
        entry.update(k1=0.0, camera_model="OPENCV")
        entry["frames"][2].update(fl_x=70.0, cx=21.0)
        entry["frames"][1]["file_path"] = "train\\r_1.png"
        entry["frames"].reverse()

    rewrite(tmp_path, change)
    photos = load_photos(tmp_path)
    assert [p.name for p in photos.photos] == ["r_0", "r_1", "r_2", "r_3"]
    first, third = photos.photos[0].camera, photos.photos[2].camera
    assert (first.fx, first.fy, first.cx, first.cy) == (50, 60, 18, 23)
    assert (third.fx, third.fy, third.cx, third.cy) == (70, 60, 21, 23)
    assert not any("distortion" in note for note in photos.notes)


def test_frames_may_state_their_own_sizes(tmp_path: Path) -> None:
    nerf_capture(tmp_path, count=3, size=40)
    Image.new("RGBA", (60, 30)).save(tmp_path / "train/r_1.png")
    sizes = [(40, 40), (60, 30), (40, 40)]
    rewrite(
        tmp_path,
        lambda e: [f.update(w=w, h=h) for f, (w, h) in zip(e["frames"], sizes, strict=True)] and None,
    )
    photos = load_photos(tmp_path)
    own = [photo.without_canvas().camera for photo in photos.photos]
    assert [(camera.width, camera.height) for camera in own] == sizes


def test_train_is_preferred_and_noted(tmp_path: Path) -> None:
    nerf_capture(tmp_path)
    (tmp_path / "transforms.json").rename(tmp_path / "transforms_train.json")
    (tmp_path / "transforms_test.json").write_text("{}")
    photos = load_photos(tmp_path)
    assert "cameras from transforms_train.json; not read: transforms_test.json" in photos.notes


def opaque(folder: Path, masks: bool) -> None:
    """Take the alpha out of a capture; put it into masks/ if wanted."""
    (folder / "masks").mkdir(exist_ok=True)
    for file in (folder / "train").glob("*.png"):
        rgba = Image.open(file)
        if masks:
            rgba.getchannel("A").save(folder / "masks" / file.name)
        Image.composite(rgba.convert("RGB"), Image.new("RGB", rgba.size, (20, 90, 40)), rgba).save(file)


def same_masks(a: list[Photo], b: list[Photo]) -> float:
    """Least IoU of the masks of two sets."""
    scores = []
    for p, q in zip(a, b, strict=True):
        assert p.mask is not None
        assert q.mask is not None
        x, y = p.mask > 0.5, q.mask > 0.5
        scores.append((x & y).sum() / (x | y).sum())
    return float(min(scores))


def test_mask_files_cut_out_or_are_ignored(tmp_path: Path) -> None:
    nerf_capture(tmp_path)
    before = load_photos(tmp_path)
    opaque(tmp_path, masks=True)
    after = load_photos(tmp_path)
    assert same_masks(before.photos, after.photos) == 1.0
    assert any("mask files cut out the object: 6 of 6" in note for note in after.notes)
    ignored = load_photos(tmp_path, mask_files="ignore", masks="files")
    for photo, other in zip(ignored.photos, before.photos, strict=True):
        assert photo.mask is None
        assert photo.ignore is not None
        assert other.mask is not None
        np.testing.assert_array_equal(photo.ignore, other.mask < 0.5)
    rewrite(
        tmp_path, lambda e: [f.update(mask_path=f"masks/r_{k}") for k, f in enumerate(e["frames"])] and None
    )
    (tmp_path / "masks").rename(tmp_path / "elsewhere")
    rewrite(
        tmp_path,
        lambda e: [f.update(mask_path=f"elsewhere/r_{k}") for k, f in enumerate(e["frames"])] and None,
    )
    assert same_masks(before.photos, load_photos(tmp_path).photos) == 1.0


def test_plain_background(tmp_path: Path) -> None:
    nerf_capture(tmp_path, size=96)
    before = load_photos(tmp_path)
    opaque(tmp_path, masks=False)
    found = load_photos(tmp_path)
    assert any("plain background" in note for note in found.notes)
    assert same_masks(before.photos, found.photos) > 0.97  # one pixel of 96 px pictures is 2 %
    given = load_photos(tmp_path, background=(20 / 255, 90 / 255, 40 / 255), mask_threshold=0.1)
    assert same_masks(before.photos, given.photos) > 0.97
    assert all(p.mask is None for p in load_photos(tmp_path, masks="files").photos)


def test_a_busy_background_gives_no_masks(tmp_path: Path) -> None:
    nerf_capture(tmp_path)
    rng = np.random.default_rng(5)
    for file in (tmp_path / "train").glob("*.png"):
        Image.fromarray(rng.integers(0, 255, (48, 48, 3)).astype(np.uint8)).save(file)
    photos = load_photos(tmp_path)
    assert all(p.mask is None for p in photos.photos)
    assert any("no masks" in note for note in photos.notes)
    assert 0.05 < photos.object_radius < 3


def llff_capture(folder: Path, size: int = 32) -> np.ndarray:
    """images/ and poses_bounds.npy of the sphere; returns the rows."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for k, pose in enumerate(ring(5)):
        camera = Camera(size, size, 40.0, 40.0, size / 2, size / 2, pose)
        inside = sphere_photo(camera, CENTER, 0.8)
        Image.fromarray((inside * 255).astype(np.uint8)).save(folder / f"images/{k}.png")
        right, up, back, position = (pose[:3, i] for i in range(4))
        matrix = np.stack([-up, right, back, position, (size, size, 40.0)], axis=1)
        rows.append(np.concatenate([matrix.ravel(), (2.0, 6.0)]))
    np.save(folder / "poses_bounds.npy", np.array(rows))
    return np.array(rows)


def test_llff_axes(tmp_path: Path) -> None:
    llff_capture(tmp_path)
    photos = load_photos(tmp_path)
    check_set(photos)
    center = photos.input_to_world.apply(CENTER)
    for photo in photos.photos:
        expected = sphere_photo(photo.camera, center, 0.8 * photos.input_to_world.scale)[::-1]
        assert ((photo.image[..., 0] > 0.5) == expected).mean() > 0.995
    np.testing.assert_allclose(photos.input_to_world.rotation, np.eye(3), atol=1e-12)


def test_upside_down_world_is_turned(tmp_path: Path) -> None:
    rows = llff_capture(tmp_path)
    turn = np.diag([1.0, -1.0, -1.0])
    for row in rows:
        matrix = row[:15].reshape(3, 5)
        matrix[:, :4] = turn @ matrix[:, :4]
    np.save(tmp_path / "poses_bounds.npy", rows)
    photos = load_photos(tmp_path)
    np.testing.assert_allclose(photos.input_to_world.rotation @ (0, -1, 0), (0, 1, 0), atol=1e-12)
    assert np.linalg.det(photos.input_to_world.rotation) == pytest.approx(1)
    assert any("upright" in note for note in photos.notes)


@pytest.mark.parametrize("case", ["parallel", "one", "outwards"])
def test_axes_that_do_not_meet(tmp_path: Path, case: str) -> None:
    nerf_capture(tmp_path, count=1 if case == "one" else 4)

    def change(entry: dict[str, Any]) -> None:
        for k, frame in enumerate(entry["frames"]):
            pose = np.eye(4)
            pose[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]  # upright in a +Z up world
            pose[:3, 3] = (0.3 * k, 0, 0)
            if case == "outwards":
                pose = np.array(frame["transform_matrix"])
                pose[:3, 0] *= -1
                pose[:3, 2] *= -1
            frame["transform_matrix"] = pose.tolist()

    rewrite(tmp_path, change)
    photos = load_photos(tmp_path)
    assert any("distance is a guess" in note for note in photos.notes)
    assert all(np.isfinite(p.camera.view_to_world).all() for p in photos.photos)
    assert np.mean([np.linalg.norm(p.camera.position) for p in photos.photos]) == pytest.approx(3)


def enclosed(mask: np.ndarray) -> list[int]:
    """Areas of the background parts that the object encloses, largest first."""
    labels, _ = ndimage.label(mask < 0.5)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    areas[np.unique(edge)] = 0
    return sorted((int(a) for a in areas if a), reverse=True)


def test_dark_spots_are_filled_and_gaps_stay_open() -> None:
    """The dino's shaded flanks look like its background; between the temple's columns one sees through."""
    for photo in real("dinoSparseRing").photos:
        assert photo.mask is not None
        assert enclosed(photo.mask) == []
    temple = real("templeSparseRing").photos[0].mask
    assert temple is not None
    gaps = [area / temple.size for area in enclosed(temple)]
    assert len([gap for gap in gaps if gap > 0.015]) == 2
    assert all(gap < 0.003 for gap in gaps[2:])


def test_a_spot_of_background_colour_is_filled_by_the_other_views(tmp_path: Path) -> None:
    nerf_capture(tmp_path, count=8, size=200)
    before = load_photos(tmp_path)
    for file in (tmp_path / "train").glob("*.png"):
        rgba = Image.open(file)
        black = np.array(Image.composite(rgba.convert("RGB"), Image.new("RGB", rgba.size), rgba))
        if file.stem == "r_3":
            black[97:107, 97:107] = 0  # 0.25 % of the picture, in the middle of the sphere
        Image.fromarray(black).save(file)
    after = load_photos(tmp_path)
    assert same_masks(before.photos, after.photos) > 0.98


@pytest.mark.parametrize(("brightness", "stays"), [(60, False), (190, True)], ids=["faint", "bright"])
def test_a_lit_backdrop_beside_the_object_is_taken_out(tmp_path: Path, brightness: int, stays: bool) -> None:
    """Faint it is none of the object; bright, others may have missed it in its shade."""
    nerf_capture(tmp_path, count=8, size=200)
    before = load_photos(tmp_path)
    spot = np.s_[60:85, 118:175]  # row 0 at the top; over the sphere's rim
    for file in (tmp_path / "train").glob("*.png"):
        rgba = np.array(Image.open(file))
        picture = np.where(rgba[..., 3:] > 0, rgba[..., :3], 8)
        if file.stem == "r_3":
            outside = rgba[spot][..., 3] == 0
            picture[spot][outside] = brightness
            assert outside.sum() > 600
        Image.fromarray(picture.astype(np.uint8)).save(file)
    after = load_photos(tmp_path, mask_threshold=0.18)
    grown = [
        float((q.mask > 0.5).sum() / (p.mask > 0.5).sum())
        for p, q in zip(before.photos, after.photos, strict=True)
        if p.mask is not None and q.mask is not None
    ]
    assert len(grown) == 8
    assert (grown[3] > 1.05) == stays
    np.testing.assert_allclose(np.delete(grown, 3), 1, atol=0.03)


@pytest.mark.parametrize(("off_plane", "turned"), [(0.0, True), (0.4, False)], ids=["ring", "by hand"])
def test_a_ring_of_cameras_says_what_is_up(off_plane, turned):
    """Around a turntable seen from above, cameras lean; their ring's axis is still the table's."""
    axis = np.array([0.0, np.cos(0.5), np.sin(0.5)])
    side = np.array([1.0, 0.0, 0.0])
    frames = []
    for i in range(12):
        angle = 2 * np.pi * i / 12
        eye = 3 * (np.cos(angle) * side + np.sin(angle) * np.cross(axis, side)) + axis
        pose = look_at(eye + off_plane * (-1) ** i * axis, np.zeros(3), tuple(axis))
        frames.append(Frame(f"f{i}", Path(f"f{i}.png"), pose, Intrinsics(fx=1.0), "f"))
    rotation, note = up_rotation(FrameSet(frames, up=(0.0, 1.0, 0.0)))
    found = rotation @ axis
    assert (np.degrees(np.arccos(found[1])) < 0.1) == turned
    assert (note is not None and "ring" in note) == turned
