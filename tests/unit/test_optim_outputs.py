"""What a fit leaves besides its mesh: report, sheet, turntable, cameras."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import InputError
from studio.core.io.cameras_write import save_cameras
from studio.core.io.images import load_image, save_png
from studio.core.io.photos import load_photos
from studio.core.optim.evaluate import Picture
from studio.core.optim.fitrun import run_fit
from studio.core.optim.page import save_page
from studio.core.optim.report import _windows
from studio.core.optim.turntable import orbit, pictures, save_turntable
from studio.core.scene import Photo, PhotoSet, Scene, Similarity
from tests.unit.optim_scenes import box, coloured_ball, photograph
from tests.unit.test_optim_fit import tiny


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("fit")
    run_fit(photograph(coloured_ball(), count=12, size=48), tiny(steps=4, stages=1), out, device="cpu")
    return out


def test_every_file_of_the_report_is_there(fitted):
    page = (fitted / "report.html").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert {"sheet.png", "turntable.gif", "shaded.png", "loss.png", "mesh.glb", "cameras.json"} <= named
    assert all((fitted / name).is_file() for name in named)
    metrics = json.loads((fitted / "metrics.json").read_text())
    assert f"{metrics['psnr_holdout']:.2f} dB" in page
    assert "<td>48 px</td>" in page


def test_the_page_is_well_formed_and_escapes(tmp_path):
    save_page(tmp_path, "<b>&", {"notes": ["a < b"], "settings": {"steps": 3}})
    page = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "a &lt; b" in page
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []


class _Balance(HTMLParser):
    """Checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_sheet_has_six_pictures_in_a_row_for_every_held_out_photo(fitted):
    width, height = Image.open(fitted / "sheet.png").size
    assert width > 6 * 30
    assert height > 2 * 30


def test_windows_lie_around_the_object():
    coverage = np.zeros((40, 60), np.float32)
    coverage[30:38, 50:58] = 1
    dark = np.zeros((40, 60, 3), np.float32)
    other = np.zeros((40, 60), np.float32)
    other[10:22, 5:9] = 1
    found = _windows([Picture("a", dark, dark, coverage, coverage), Picture("b", dark, dark, other, other)])
    for mask, (rows, columns) in zip((coverage, other), found):
        assert mask[rows, columns].sum() == mask.sum()
        assert rows.stop - rows.start == columns.stop - columns.start == 23
    assert _windows([Picture("c", dark, dark, 0 * other, 0 * other)]) == [(slice(0, 40), slice(0, 60))]


def test_the_object_stays_in_the_picture_all_around():
    scene = Scene(meshes=[box()])
    cameras = orbit(scene, 5, 80, 60)
    seen = list(pictures(scene, cameras, {}, supersample=1))
    assert [image.shape for image in seen] == [(60, 80, 3)] * 5
    for image in seen:
        inside = image.max(axis=-1) > 0
        assert inside.any()
        edge = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        assert not edge.any()
    distances = [np.linalg.norm(c.position) for c in cameras]
    assert np.ptp(distances) < 1e-9


def test_a_turntable_turns(tmp_path):
    ball = coloured_ball()
    save_turntable(Scene(meshes=[ball]), tmp_path / "a.gif", seconds=0.25, size=(32, 24), effects={})
    film = Image.open(tmp_path / "a.gif")
    assert (film.n_frames, film.size, film.info["loop"]) == (6, (32, 24), 0)
    frames = []
    for number in range(film.n_frames):
        film.seek(number)
        frames.append(np.asarray(film.convert("RGB"), float))
    assert np.abs(frames[0] - frames[3]).mean() > 1


def test_films_that_cannot_be_are_refused(tmp_path, monkeypatch):
    scene = Scene(meshes=[box()])
    with pytest.raises(InputError, match=r"expected \.gif or \.mp4"):
        save_turntable(scene, tmp_path / "a.avi")
    monkeypatch.setattr("studio.core.optim.turntable.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install imageio-ffmpeg"):
        save_turntable(scene, tmp_path / "a.mp4")


def test_cameras_come_back(tmp_path):
    photos = photograph(coloured_ball(), count=4, size=24)
    angle = 0.3
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    world = Similarity(2.0, turn, np.array([0.1, 0.2, 0.3]))
    kept = []
    for photo in photos.photos:
        save_png(tmp_path / f"{photo.name}.png", np.concatenate([photo.image, photo.mask[..., None]], -1))
        kept.append(Photo(photo.name, photo.image, photo.camera, photo.mask, path=f"{photo.name}.png"))
    save_cameras(tmp_path / "transforms.json", kept, world.inverse())
    again = load_photos(tmp_path / "transforms.json")
    for before, after in zip(kept, again.photos):
        given = world.inverse().apply_to_pose(before.camera.view_to_world)
        found = again.input_to_world.inverse().apply_to_pose(after.camera.view_to_world)
        np.testing.assert_allclose(found, given, atol=1e-6)
        assert (after.camera.fx, after.camera.cy) == (before.camera.fx, before.camera.cy)
    assert load_image(tmp_path / "v00.png").shape[2] in (3, 4)
    assert isinstance(again, PhotoSet)
