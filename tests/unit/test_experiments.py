"""The experiments in small: each finds what it looks for, and by the means it is about."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from studio.cli import _run
from studio.core.device import configure_threads
from studio.core.ops import texture
from studio.core.optim.sheet import sheet, with_lines
from studio.core.params import ParamSet
from studio.experiments import NAMES, box, cube, depth, earth, envphong, globe, pose, views
from studio.experiments.experiment import Job, load, run_experiment, summary_lines


def job(name: str, **values: object) -> Job:
    configure_threads()
    settings = ParamSet(name, load(name).params, dict(values))
    return Job(settings, 0, torch.device("cpu"), lambda fraction, note: None)


@pytest.mark.parametrize("mode", cube.MODES)
def test_the_cube_closes_in_on_its_shape(mode) -> None:
    course = cube.converge(mode, 16, 500, 4, job("cube"))
    assert (course.distance[0] > 0.3).all()
    assert course.distance[-1].mean() < 0.5 * course.distance[0].mean()


def test_a_cube_of_four_by_four_pixels_improves() -> None:
    course = cube.converge("continuous", 4, 800, 4, job("cube"))
    assert course.distance[-1].mean() < 0.65 * course.distance[0].mean()


def test_cube_framing_gives_the_papers_triangle_area() -> None:
    assert cube.mean_triangle_area(4) == pytest.approx(0.54, abs=0.005)


def test_each_run_of_a_batch_is_on_its_own() -> None:
    # The first of three runs has the same start and viewpoints as a run alone would: the loss is
    # a sum, so changing the others must not change it.
    j = job("cube")
    draw = cube.Renderer("continuous", j.device)
    vertices = (box.corners() * 1.2).expand(3, -1, -1).clone().requires_grad_()
    colors = cube.reference_colors("continuous").expand(3, -1, -1)
    rotation = views.matrices(views.random_rotations(3, j.generator()))
    draw(vertices, colors, rotation, 8)[0].sum().backward()
    assert vertices.grad is not None
    assert (vertices.grad[0] != 0).any()
    assert (vertices.grad[1:] == 0).all()


def test_greedy_beats_plain_and_symmetries_beat_greedy() -> None:
    error = {m: pose.solve(m, 16, 400, 16, job("pose")).final.mean() for m in pose.METHODS}
    assert error["greedy"] < 0.8 * error["plain"]
    assert error["symmetric"] < 0.8 * error["greedy"]


def test_the_search_starts_where_the_trial_does() -> None:
    trials = pose.solve("greedy", 4, 2, 16, job("pose"))
    first = views.angle_degrees(trials.start, trials.target)
    np.testing.assert_allclose(trials.error[0], first)


def test_far_pictures_spoil_a_texture_without_mips() -> None:
    truth = globe.globe(32)
    learners, marks, _ = earth.learn(truth, truth, 32, 250, (True, False), job("earth"))
    with_mips, without = (learner.psnr[-1] for learner in learners)
    assert marks[-1] == 250
    assert with_mips > without + 2


def test_pictures_bring_the_texture_closer() -> None:
    truth = globe.globe(16)
    learners, _, _ = earth.learn(truth, torch.full_like(truth, 0.5), 16, 150, (True,), job("earth"))
    assert learners[0].psnr[-1] > learners[0].psnr[0] + 0.7


@pytest.mark.parametrize("distance", [5.0, 15.0, 40.0])
def test_mips_show_what_many_samples_show(distance) -> None:
    truth = globe.globe(64)
    draw = earth.Renderer(64, torch.device("cpu"))
    rotation = views.matrices(views.random_rotations(1, torch.Generator().manual_seed(1)))
    reference = draw.reference(truth, rotation, distance)
    error = [(draw(truth, rotation, distance, m) - reference).square().mean().sqrt() for m in (True, False)]
    assert error[0] < 0.6 * error[1]


@pytest.mark.parametrize("distance", [1.5, 4.0, 30.0])
def test_references_agree_with_ever_more_samples(distance, monkeypatch) -> None:
    truth = globe.globe(32)
    draw = earth.Renderer(48, torch.device("cpu"))
    rotation = views.matrices(views.random_rotations(1, torch.Generator().manual_seed(1)))
    image = draw.reference(truth, rotation, distance)
    factor = draw.samples_each_way(32, distance)
    monkeypatch.setattr(draw, "samples_each_way", lambda *_: 4 * factor)
    monkeypatch.setattr(earth, "TILE", 200)  # in several tiles, which must not show
    finer = draw.reference(truth, rotation, distance)
    assert image.shape == finer.shape
    assert (image - finer).square().mean().sqrt() < 0.01
    assert finer.max() > 0.3


def test_the_cropped_picture_is_the_middle_of_the_whole() -> None:
    truth = globe.globe(16)
    draw = earth.Renderer(64, torch.device("cpu"))
    rotation = torch.eye(3)[None]
    small = draw(truth, rotation, 6.0, mips=True)
    whole = earth.Renderer(64, torch.device("cpu"))
    whole.window = lambda distance: (64, earth.SLOPE)  # type: ignore[method-assign]
    large = whole(truth, rotation, 6.0, mips=True)
    gap = (64 - small.shape[1]) // 2
    torch.testing.assert_close(small, large[:, gap:-gap, gap:-gap], rtol=0, atol=2e-3)
    assert large.sum() == pytest.approx(float(small.sum()), rel=1e-3)


def test_map_and_highlight_come_closer() -> None:
    j = job("envphong")
    scene = envphong.Scene(48, j.device)
    truth, look = envphong.true_look(16, j.device), envphong.first_look(16, j)
    seen = envphong.seen_texels(scene, 16, 8, j.device)
    course = envphong.learn(scene, truth, look, 250, seen, j, set())
    off = [abs(np.log(v / envphong.TRUE_EXPONENT)) for v in course.exponent]
    assert off[-1] < 0.5 * off[0]
    assert course.color_error[-1] < 0.7 * course.color_error[0]
    assert course.psnr[-1] > course.psnr[0] + 5


def test_faces_of_the_maps_are_where_the_lookup_expects_them() -> None:
    direction = torch.nn.functional.normalize(torch.randn(1, 20, 20, 3), dim=-1)
    cube_map = torch.nn.functional.normalize(globe.face_directions(64), dim=-1)[None].contiguous()
    found = texture(cube_map, direction, filter_mode="linear", boundary_mode="cube")
    assert (found - direction).abs().max() < 0.01


@pytest.mark.parametrize("copies", depth.COPIES[:2])
def test_depth_scenes_cover_the_picture_with_as_many_triangles(copies) -> None:
    shown = {}
    for layout in depth.LAYOUTS:
        corners, tri = depth.grid_copies(copies, layout)
        assert len(tri) == 128 * copies
        area = (corners[tri.long()][:, 1:, :2] - corners[tri.long()][:, :1, :2]).det().abs().sum() / 2
        shown[layout] = float(area)
    assert shown["adjacent"] == pytest.approx(4 * depth.REACH**2, rel=1e-4)
    assert shown["stacked"] == pytest.approx(4 * depth.REACH**2 * copies, rel=1e-4)


def test_rotations() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = views.random_rotations(50, generator), views.random_rotations(50, generator)
    product = views.matrices(views.multiply(a, b))
    torch.testing.assert_close(product, views.matrices(a) @ views.matrices(b), rtol=0, atol=1e-5)
    whole = views.angle_degrees(a, b)
    torch.testing.assert_close(views.angle_degrees(a, views.slerp(a, b, 0.25)), whole / 4, rtol=0, atol=0.01)
    assert len(box.symmetries()) == 24
    corners = box.corners()
    for turned in views.matrices(box.symmetries()) @ corners.T:
        assert torch.cdist(turned.T, corners).min(dim=1).values.max() < 1e-5


def test_every_experiment_leaves_picture_curve_and_numbers(tmp_path) -> None:
    small = {
        "cube": {"steps": 20, "runs": 2},
        "earth": {"steps": 5, "faces": 16, "resolution": 16},
        "envphong": {"steps": 5, "faces": 8, "resolution": 32},
        "pose": {"steps": 10, "trials": 3, "resolution": 16},
        "depth": {"resolution": 16, "rounds": 2},
    }
    for name in NAMES:
        outcome = run_experiment(name, tmp_path, small[name], seed=1, device="cpu")
        for file in (f"{name}.png", f"{name}_curve.png"):
            assert (tmp_path / file).read_bytes().startswith(b"\x89PNG")
        numbers = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
        assert numbers["seed"] == 1
        assert numbers["summary"][0]["paper"]
        lines = summary_lines(outcome)
        assert len(lines) >= len(outcome.rows) + 3


def test_sheets_keep_their_tiles_and_lines() -> None:
    tile = np.full((20, 30, 3), 0.5, np.float32)
    page = sheet([[tile, tile], [tile]], ["a", "b"], ["one\ntwo", ""])
    assert np.isclose(page, 0.5, atol=0.01).all(axis=-1).sum() == 3 * 20 * 30
    crossed = with_lines(tile, np.array([[[0.0, 10.0], [30.0, 10.0]]]))
    assert crossed[9:11].mean() > 0.55
    assert (crossed[:8] == 0.5).all()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["moon"], ["moon", "cube, earth, envphong, pose, depth"]),
        (["cube", "--steps", "many"], ["--steps", "many"]),
        (["cube", "--colors", "blue"], ["--colors", "continuous, discontinuous"]),
        (["pose", "--seed", "-1"], ["--seed"]),
        (["depth", "--device", "tpu"], ["tpu"]),
        (["earth", "--faces", "1"], ["--faces", "[8, 2048]"]),
        (["envphong", "--sparkle"], ["--sparkle"]),
        (["cube", "--out", "{file}/x"], ["--out"]),
    ],
)
def test_bad_options_are_one_line_and_status_two(args, words, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("not a folder")
    status = _run(["experiment", *(a.replace("{file}", str(tmp_path / "file")) for a in args)])
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1
    for word in words:
        assert word in error
