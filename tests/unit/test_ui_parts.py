"""The window's parts that need no window: history, jobs, numbers on axes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
import pytest

from studio.core.errors import InputError, WorkError
from studio.core.optim import convergence as timeline_module
from studio.core.optim.convergence import KEPT, keep, memory
from studio.core.optim.messages import HistoryRow, Snapshot
from studio.core.optim.settings import PARAMS, FitSettings
from studio.core.params import Param, ParamSet
from studio.core.scene import Camera, Light, Lighting, Material, Photo, Scene
from studio.core.scene.shapes import icosphere
from studio.ui import jobs as jobs_module
from studio.ui.autopanel import digits
from studio.ui.commands import Edits, History, Set
from studio.ui.document import Document
from studio.ui.gradients import arrows
from studio.ui.jobs import Job, Jobs
from studio.ui.panels import optimize
from studio.ui.panels.curves import linear_ticks, log_ticks, spread
from studio.ui.panels.hands import in_convex
from studio.ui.panels.light import angles, direction
from studio.ui.panels.optimize import message_for
from studio.ui.panels.progress import order_of
from studio.ui.panels.scene_tree import count
from studio.ui.panels.status import duration
from studio.ui.run import more_steps
from studio.ui.state import AppState
from studio.ui.thumbnails import LONG_SIDE, thumbnail
from studio.ui.timeline import neighbour, smoothed, thin


@dataclass
class _Document:
    lighting: Lighting = field(default_factory=Lighting)
    values: dict[str, ParamSet] = field(
        default_factory=lambda: {"glow": ParamSet("glow", (Param("size", 0.5, low=0.0, high=1.0),))}
    )
    name: str = "one"


def _history() -> tuple[_Document, History, list]:
    document, changes = _Document(), []
    return document, History(document, changes.append), changes


def test_edits_of_attributes_lists_and_parameters_are_undone() -> None:
    document, history, changes = _history()
    history.apply(Set(("lighting", "lights", 0, "intensity"), 2.5, "Change intensity"))
    history.apply(Set(("values", "glow", "size"), 0.9, "Change size"))
    assert document.lighting.lights[0].intensity == 2.5
    assert document.values["glow"]["size"] == 0.9
    assert history.undo_label == "Change size"
    assert [history.undo(), history.undo(), history.undo()] == ["Change size", "Change intensity", ""]
    assert document.lighting.lights[0].intensity == Lighting().lights[0].intensity
    assert document.values["glow"]["size"] == 0.5
    assert history.redo() == "Change intensity"
    assert document.lighting.lights[0].intensity == 2.5
    assert changes[-1] == ("lighting", "lights", 0, "intensity")


def test_one_drag_is_one_entry() -> None:
    document, history, _ = _history()
    path = ("values", "glow", "size")
    for value in (0.6, 0.7, 0.8):
        history.apply(Set(path, value, "Change size"), gesture=4)
    history.apply(Set(path, 0.2, "Change size"), gesture=5)
    history.undo()
    assert document.values["glow"]["size"] == 0.8
    history.undo()
    assert document.values["glow"]["size"] == 0.5
    assert history.undo_label == ""
    history.redo()
    assert document.values["glow"]["size"] == 0.8


def test_an_edit_after_undo_drops_what_was_undone() -> None:
    _, history, _ = _history()
    history.apply(Set(("name",), "two", "Rename"))
    history.undo()
    history.apply(Set(("name",), "three", "Rename"))
    assert history.redo() == ""


def test_a_refused_value_changes_nothing() -> None:
    document, history, changes = _history()
    sets = (Set(("name",), "two", ""), Set(("values", "glow", "size"), 7.0, ""))
    with pytest.raises(InputError, match=r"glow: size must be in \[0, 1\]"):
        history.apply(Edits(sets, "Both"))
    assert document.name == "one"
    assert document.values["glow"]["size"] == 0.5
    assert history.undo_label == ""
    assert changes == []


def _until(jobs: Jobs, condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        jobs.poll()
        time.sleep(0.002)


def test_jobs_deliver_on_the_polling_thread() -> None:
    errors, results, threads = [], [], []
    jobs = Jobs(lambda title, line: errors.append((title, line)), lambda: None)

    def take(result: int) -> None:
        results.append(result)
        threads.append(threading.current_thread())

    jobs.start("Adding", lambda job: 1 + 1, take)

    def fail(job: Job) -> None:
        raise WorkError("disk: full")

    jobs.start("Writing", fail, take)
    _until(jobs, lambda: not jobs.running)
    assert results == [2]
    assert threads == [threading.main_thread()]
    assert errors == [("Writing", "disk: full")]


def test_a_cancelled_job_delivers_nothing() -> None:
    results: list[None] = []
    jobs = Jobs(lambda title, line: results.append(None), lambda: None)
    started = threading.Event()

    def work(job: Job) -> None:
        started.set()
        while True:
            job.progress(0.5)
            time.sleep(0.001)

    job = jobs.start("Waiting", work, results.append)
    assert started.wait(10)
    job.cancel()
    _until(jobs, lambda: not jobs.running)
    assert results == []
    jobs.close()


@pytest.mark.parametrize(
    ("step", "value", "expected"),
    [(0.01, 1.0, 2), (0.01, 0.0, 2), (0.001, 0.02, 3), (0.001, 0.005, 4), (1.0, 45.0, 0), (0.1, 3.0, 1)],
)
def test_digits_show_a_step_and_two_digits_of_small_values(step: float, value: float, expected: int) -> None:
    assert digits(step, value) == expected


def test_ticks_are_round_and_inside() -> None:
    assert linear_ticks(0.0, 400.0) == [0.0, 100.0, 200.0, 300.0, 400.0]
    assert linear_ticks(11.8, 24.2) == [15.0, 20.0]
    assert log_ticks(0.009, 0.4) == pytest.approx([0.01, 0.03, 0.1, 0.3])
    assert all(0.02 <= tick <= 0.06 for tick in log_ticks(0.02, 0.06))
    assert log_ticks(0.02, 0.06), "a short log axis still has labels"


def test_curves_are_thinned_but_keep_the_last_row() -> None:
    rows = [HistoryRow(step, {"total": 1.0}, 10.0, 0.0) for step in range(5000)]
    kept = thin(rows, 600)
    assert len(kept) < 700
    assert kept[-1].step == 4999
    assert thin([], 600) == []


def test_of_good_news_only_the_last_shows_and_all_stay_in_the_log() -> None:
    state = AppState(Jobs(lambda *_: None, lambda: None), Document(Scene(), None, FitSettings()), "auto")
    for text, level in (("Opened a", "good"), ("b is missing", "fail"), ("Opened c", "good")):
        state.notify(text, level)
    assert [notice.text for notice in state.notices] == ["b is missing", "Opened c"]
    assert [line.text for line in state.log] == ["Opened a", "b is missing", "Opened c"]


def test_words_for_numbers() -> None:
    assert [count(n) for n in (12, 5120, 40_000, 2_500_000)] == ["12", "5.1 k", "40 k", "2.5 M"]
    assert [duration(s) for s in (8, 74, 3700)] == ["8 s", "1 min 14 s", "1 h 01 min"]


def test_light_angles_are_inverse_to_direction() -> None:
    for turn, height in ((0.0, 0.0), (41.0, 53.0), (-170.0, -80.0)):
        vector = direction(turn, height)
        assert np.linalg.norm(vector) == pytest.approx(1.0)
        assert angles(vector) == pytest.approx((turn, height))
    assert angles(Light().direction)[1] > 0


def test_settings_that_act_at_once_become_messages() -> None:
    settings = FitSettings()
    settings.set("albedo_rate", 0.05)
    assert message_for("albedo_rate", settings) == ("rate", "albedo", 0.05)
    assert message_for("ssim_weight", settings) == ("weight", "ssim", 0.0)
    assert message_for("light_enabled", settings) == ("group", "light", 1.0)
    settings.set("rasterizer", "softras")
    assert message_for("rasterizer", settings) == ("rasterizer", "rasterizer", "softras")
    assert message_for("softras_gamma", settings) == ("rasterizer", "softras_gamma", 0.03)
    assert message_for("resolution", settings) is None


def test_thumbnails_are_small_and_cut_outs_stand_on_grey() -> None:
    camera = Camera(800, 600, 700, 700, 400, 300, np.eye(4))
    image = np.zeros((600, 800, 3), np.float32)
    image[200:400, 300:500] = 1.0
    mask = (image[..., 0] > 0).astype(np.float32)
    small = thumbnail(Photo("a", image, camera, mask))
    assert max(small.shape[:2]) <= LONG_SIDE + 8
    assert small[small.shape[0] // 2, small.shape[1] // 2].tolist() == [255, 255, 255]
    assert 20 < small[0, 0, 0] < 60, "a removed background shows as dark grey, not as a black photo"
    assert thumbnail(Photo("b", image, camera))[0, 0].tolist() == [0, 0, 0]


def test_a_point_in_convex_polygons_of_both_orientations() -> None:
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    polygons = np.stack([square, square[::-1], square + 2.0])
    assert in_convex(polygons, np.array([0.5, 0.4])).tolist() == [True, True, False]
    assert in_convex(polygons, np.array([1.5, 0.5])).tolist() == [False, False, False]


def _snapshots(steps: range, side: int = 0) -> list[Snapshot]:
    timeline: list[Snapshot] = []
    for step in steps:
        mesh = icosphere(0)
        if side:
            mesh.material = Material(base_color_texture=np.zeros((side, side, 3), np.float32))
        keep(timeline, Snapshot(step, mesh, Lighting(), (0, 0, 0), {}))
    return timeline


def test_the_timeline_stays_few_and_even() -> None:
    timeline = _snapshots(range(0, 5000, 7))
    steps = [snapshot.step for snapshot in timeline]
    assert len(steps) == KEPT
    assert (steps[0], steps[-1]) == (0, 4998)
    gaps = np.diff(steps)
    assert gaps.max() <= 3 * np.median(gaps), "snapshots are spread over the whole run"
    keep(timeline, Snapshot(3, icosphere(0), Lighting(), (0, 0, 0), {}))
    assert [snapshot.step for snapshot in timeline] == [3], "a reset begins anew"


def test_the_timeline_bounds_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_module, "KEPT_BYTES", 10 * 64 * 64 * 12)
    timeline = _snapshots(range(0, 1000, 41), side=64)
    assert memory(timeline) <= timeline_module.KEPT_BYTES
    assert timeline[0].step == 0
    assert timeline[-1].step == 984
    assert len(timeline) > 5
    assert memory([timeline[0]] * 5) == memory(timeline[:1]), "what is shared counts once"


def test_arrows_walk_along_the_kept_snapshots() -> None:
    timeline = _snapshots(range(0, 100, 20))
    assert neighbour(timeline, 40, -1) == 20
    assert neighbour(timeline, 45, -1) == 40
    assert neighbour(timeline, 40, 1) == 60
    assert neighbour(timeline, 80, 1) == 80
    assert neighbour(timeline, 0, -1) == 0
    assert neighbour([], 7, -1) == 7


def test_smoothing_keeps_means_and_gaps() -> None:
    values = np.array([4.0, np.nan, 4.0, 4.0, 4.0])
    out = smoothed(values, 0.9)
    np.testing.assert_allclose(out[[0, 2, 3, 4]], 4.0)
    assert np.isnan(out[1])
    step = np.concatenate([np.zeros(50), np.ones(50)])
    assert smoothed(step, 0.0) is step
    late = smoothed(step, 0.9)
    assert late[49] == 0.0
    assert 0.05 < late[50] < 0.15
    assert late[-1] > 0.98
    assert len(smoothed(np.zeros(0), 0.5)) == 0


def test_labels_are_moved_apart_within_their_bounds() -> None:
    assert spread([20.0, 50.0], 12, 0, 100) == [20.0, 50.0]
    placed = spread([90.0, 91.0, 92.0], 12, 0, 100)
    assert np.diff(placed).min() >= 12 - 1e-9
    assert placed[-1] <= 94.0
    assert spread([], 12, 0, 100) == []


def test_bars_worst_first_with_unknown_ones_last() -> None:
    errors = [0.1, math.nan, 0.3, 0.2]
    assert order_of(errors, False) == [0, 1, 2, 3]
    assert order_of(errors, True) == [2, 3, 0, 1]


def test_a_run_is_extended_by_round_numbers() -> None:
    assert [more_steps(n) for n in (6, 60, 600, 1000)] == [10, 20, 200, 330]


def test_arrows_point_downhill_from_what_is_seen() -> None:
    ball = icosphere(3)
    normals = ball.vertex_normals()
    uphill = normals * (0.1 + np.abs(ball.vertices[:, :1]))
    eye = np.array([0.0, 0.0, 5.0])
    starts, ends = arrows(ball.vertices, normals, uphill, eye, count=100)
    assert 50 < len(starts) <= 100
    assert (starts[:, 2] > -0.1).all(), "only vertices that face the eye"
    assert (np.linalg.norm(ends, axis=1) < np.linalg.norm(starts, axis=1)).all(), "against the gradient"
    lengths = np.linalg.norm(ends - starts, axis=1)
    sides = np.abs(starts[:, 0])
    assert lengths[sides > 0.8].min() > 2 * lengths[sides < 0.2].max()
    assert len(arrows(ball.vertices, normals, 0 * uphill, eye)[0]) == 0


def test_drawings_go_on_piece_by_piece_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step a poll where time is short; what is cancelled frees what it holds; errors are told."""
    monkeypatch.setattr(jobs_module, "DRAWING_SECONDS", 0.0)
    told: list[tuple[str, str]] = []
    jobs = Jobs(lambda title, line: told.append((title, line)), lambda: None)
    done: list[str] = []
    freed: list[str] = []

    def steps(name: str, fails: bool = False) -> Generator[float, None, str]:
        try:
            yield 0.5
            if fails:
                raise InputError("no room")
            yield 1.0
            return name
        finally:
            freed.append(name)

    first = jobs.draw("Drawing", steps("first"), done.append)
    second = jobs.draw("Drawing", steps("second"), done.append)
    jobs.draw("Failing", steps("third", True), done.append)
    jobs.poll()
    assert first.fraction == 0.5
    assert second.fraction == -1.0, "one after the other"
    jobs.poll()
    jobs.poll()
    assert done == ["first"]
    jobs.poll()
    second.cancel()
    jobs.poll()
    assert freed == ["first", "second"]
    for _ in range(3):
        jobs.poll()
    assert told == [("Failing", "no room")]
    assert not jobs.running
    jobs.draw("Drawing", steps("last"), done.append)
    jobs.poll()
    jobs.close()
    assert freed[-1] == "last"
    assert done == ["first"]


@pytest.mark.parametrize("kind", list(optimize.KINDS))
def test_labels_of_a_representation_are_short_and_differ(kind: str) -> None:
    """Beside those of the photos: a grid's resolution is not that of the pictures."""
    names = [param.name for param in PARAMS if param.name.startswith(f"{kind}_")]
    names = [name for name in (*names, *optimize.SHARED.get(kind, ())) if not name.endswith("_rate")]
    labels = [optimize._short(name, kind) for name in names]
    assert max(map(len, labels)) <= 14, labels
    assert len({*labels, "Resolution", "Seed", "Holdout"}) == len(labels) + 3, labels
