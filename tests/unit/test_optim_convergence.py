"""The film of a run: which snapshots are kept, what each frame shows, the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import InputError
from studio.core.optim import convergence
from studio.core.optim.convergence import Recorder, save_convergence, shown_at
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.radiance_kinds import KINDS
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import tiny
from tests.unit.test_optim_radiance_resume import tiny as tiny_radiance


def test_frames_follow_the_run_and_rest_on_the_result() -> None:
    places = shown_at([0, 10, 40, 100], 50)
    assert places[0] == 0
    assert places == sorted(places)
    assert set(places) == {0, 1, 2, 3}
    assert places[40:] == [3] * 10, "the last fifth shows the result"
    assert places.count(0) > places[:40].count(2) / 2, "the beginning has its time"
    assert shown_at([7], 3) == [0, 0, 0]


def test_a_fit_is_recorded_and_filmed(tmp_path: Path) -> None:
    problem = FitProblem(photograph(coloured_ball()))
    fit = Fit(problem, tiny(start="sphere", steps=12), "cpu")
    fit.prepare()
    recorder = Recorder()
    recorder.take(fit)
    while fit.steps_done < fit.steps:
        fit.step()
        recorder.take(fit)
    assert [s.step for s in recorder.snapshots] == list(range(13))
    path = tmp_path / "run.gif"
    told: list[float] = []
    save_convergence(
        recorder.snapshots,
        problem.scene_of,
        path,
        0.5,
        (48, 40),
        progress=lambda fraction, note: told.append(fraction),
    )
    with Image.open(path) as film:
        assert film.size == (48, 40)
        assert film.n_frames >= 10
        first = np.asarray(film.convert("RGB"), np.float32)
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB"), np.float32)
    assert np.abs(first - last).mean() > 1.0, "something has changed"
    assert len(told) == 12
    with pytest.raises(InputError, match="no snapshots"):
        save_convergence([], problem.scene_of, path)
    with pytest.raises(InputError, match=r"\.gif or \.mp4"):
        save_convergence(recorder.snapshots, problem.scene_of, tmp_path / "run.avi")


@pytest.mark.parametrize("kind", ["sdf", "points"])
def test_a_run_of_what_emits_light_is_filmed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins grey and ends in the object's colours; all but the last grid may be thinned."""
    monkeypatch.setattr(convergence, "THIN_POINTS", 1000)
    problem = FitProblem(photograph(coloured_ball(), count=12, size=48))
    fit = KINDS[kind].make(problem.photos, tiny_radiance(kind), "cpu")
    fit.prepare()
    recorder = Recorder()
    recorder.take(fit)
    while fit.steps_done < fit.steps:
        fit.step()
        recorder.take(fit)
    assert (recorder.snapshots[0].step, recorder.snapshots[-1].step) == (0, 60)
    if kind == "sdf":
        shapes = [s.volume.density.shape for s in recorder.snapshots[-2:] if s.volume is not None]
        assert shapes[1] == fit.model.grid.density.shape
        assert max(shapes[0]) <= (max(shapes[1]) + 1) // 2
    path = tmp_path / "run.gif"
    save_convergence(recorder.snapshots, problem.scene_of, path, 0.3, (48, 40))
    with Image.open(path) as film:
        first, last = (_colourful(film, frame) for frame in (0, film.n_frames - 1))
    assert first < 8 < 20 < last, (first, last)


def _colourful(film: Image.Image, frame: int) -> float:
    """How far the channels of the picture's middle lie apart, 0..255."""
    film.seek(frame)
    middle = np.asarray(film.convert("RGB"), np.float32)[12:28, 16:32]
    return float((middle.max(axis=-1) - middle.min(axis=-1)).mean())
