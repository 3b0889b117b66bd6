"""The film of a run: which snapshots are kept, what each frame shows, the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import InputError
from studio.core.optim.convergence import Recorder, save_convergence, shown_at
from studio.core.optim.fit import Fit, FitProblem
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import tiny


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
