"""The governor of the moving picture against machines of made-up speed."""

from __future__ import annotations

import pytest

from studio.gl.governor import LEVELS, PATIENCE, Governor, Level


def seconds(fixed: float, full: float, level: Level, draft: float) -> float:
    """A frame on a machine where a draft takes the share `draft` of what a whole one does."""
    return fixed + full * level.scale**2 * (draft if level.draft else 1.0)


def run(governor: Governor, fixed: float, full: float, frames: int, draft: float = 0.6) -> list[Level]:
    """Levels chosen on such a machine."""
    out = []
    for _ in range(frames):
        level = governor.level
        out.append(level)
        governor.moved(seconds(fixed, full, level, draft), level.scale, level.draft)
    return out


@pytest.mark.parametrize(
    ("fixed", "full", "draft", "expected"),
    [
        (0.002, 0.010, 0.6, (1.0, False)),
        (0.002, 0.040, 0.6, (1.0, True)),
        (0.002, 0.040, 1.0, (0.75, True)),  # drafts that save nothing
        (0.004, 0.060, 0.6, (0.75, True)),
        (0.005, 0.120, 0.6, (0.5, True)),
        (0.005, 0.250, 0.6, (0.35, True)),
        (0.1, 0.1, 0.6, (0.35, True)),
    ],
)
def test_settles_on_the_best_level_that_holds_the_rate(
    fixed: float, full: float, draft: float, expected: tuple[float, bool]
) -> None:
    governor = Governor(target=0.028)
    chosen = run(governor, fixed, full, 200, draft)
    assert (chosen[-1].scale, chosen[-1].draft) == expected
    assert len(set(chosen[40:])) == 1, "it does not swing"
    fits = [one for one in LEVELS if seconds(fixed, full, one, draft) <= governor.target]
    assert chosen[-1] == (fits[0] if fits else LEVELS[-1])
    steps = [i for i in range(1, 200) if chosen[i] != chosen[i - 1]]
    assert not steps or steps[0] <= 3  # three slow frames at most, the first of a size apart


def test_each_level_costs_less_than_the_one_before() -> None:
    costs = [level.cost for level in LEVELS]
    assert costs == sorted(costs, reverse=True)
    assert (LEVELS[0].scale, LEVELS[0].draft, LEVELS[0].cost) == (1.0, False, 1.0)


def test_grows_again_when_the_scene_becomes_cheap() -> None:
    governor = Governor(target=0.028)
    run(governor, 0.005, 0.250, 20)
    assert governor.level == LEVELS[-1]
    governor.reset()
    run(governor, 0.001, 0.010, 4 * (PATIENCE + 2))
    assert governor.level == LEVELS[0]


def test_seldom_tries_what_failed_before() -> None:
    """A large mesh is slow whole and fast as a stand-in: slow frames become rare."""
    governor = Governor(target=0.028)
    slow = 0
    for frame in range(1000):
        level = governor.level
        taken = 0.01 if level.draft else 0.09
        slow += frame >= 200 and not level.draft
        governor.moved(taken, level.scale, level.draft)
    assert 0 < slow <= 12  # three frames a try: the first of a level, and two to be sure


def test_one_frame_that_was_held_up_changes_nothing() -> None:
    governor = Governor(target=0.028)
    run(governor, 0.002, 0.010, 5)
    governor.moved(0.2, 1.0, draft=False)
    run(governor, 0.002, 0.010, 1)
    governor.moved(0.2, 1.0, draft=False)
    assert governor.level == LEVELS[0]
    governor.moved(0.5, 0.5, draft=True)  # of another level: says nothing
    governor.moved(0.5, 1.0, draft=True)
    assert governor.level == LEVELS[0]
