"""The governor of the moving picture against machines of made-up speed."""

from __future__ import annotations

import pytest

from studio.gl.governor import PATIENCE, SCALES, Governor


def run(governor: Governor, fixed: float, full: float, frames: int) -> list[float]:
    """Scales chosen on a machine that takes `fixed` + `full` * scale^2 seconds a frame."""
    out = []
    for _ in range(frames):
        out.append(governor.scale)
        governor.moved(fixed + full * governor.scale**2, governor.scale)
    return out


@pytest.mark.parametrize(
    ("fixed", "full", "expected"),
    [(0.002, 0.010, 1.0), (0.002, 0.040, 0.75), (0.005, 0.080, 0.5), (0.005, 0.150, 0.35), (0.1, 0.1, 0.35)],
)
def test_settles_on_the_largest_scale_that_holds_the_rate(fixed: float, full: float, expected: float) -> None:
    governor = Governor(target=0.028)
    scales = run(governor, fixed, full, 200)
    assert scales[-1] == expected
    assert len(set(scales[40:])) == 1, "it does not swing"
    fits = [s for s in SCALES if fixed + full * s**2 <= governor.target]
    assert expected == (fits[0] if fits else SCALES[-1])
    steps = [i for i in range(1, 200) if scales[i] != scales[i - 1]]
    assert not steps or steps[0] <= 3  # three slow frames at most, the first of a size apart


def test_grows_again_when_the_scene_becomes_cheap() -> None:
    governor = Governor(target=0.028)
    run(governor, 0.005, 0.150, 20)
    assert governor.scale == 0.35
    governor.reset()
    run(governor, 0.001, 0.010, 3 * (PATIENCE + 2))
    assert governor.scale == 1.0


def test_one_frame_that_was_held_up_changes_nothing() -> None:
    governor = Governor(target=0.028)
    run(governor, 0.002, 0.010, 5)
    governor.moved(0.2, 1.0)
    run(governor, 0.002, 0.010, 1)
    governor.moved(0.2, 1.0)
    assert governor.scale == 1.0
    governor.moved(0.5, 0.5)  # of another size: says nothing
    assert governor.scale == 1.0
