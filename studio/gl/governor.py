"""How much work a moving picture gets, so that the frame rate holds on any machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """How a moving frame is drawn.

    Attributes:
        scale: share of the pixels each way.
        draft: effects run as their cheaper drafts (see Effect.draft).
        cost: about the share of a whole frame's time.
    """

    scale: float
    draft: bool
    cost: float


LEVELS = (
    Level(1.0, False, 1.0),
    Level(1.0, True, 0.6),
    Level(0.75, True, 0.35),
    Level(0.5, True, 0.16),
    Level(0.35, True, 0.08),
)
"""From the best to the fastest. Few and far apart: each change is seen once."""

TARGET = 0.028
"""Seconds for the picture: with the panels around it a frame takes 33 ms."""

PATIENCE = 6
"""Frames in a row that say a better picture fits, before one is tried."""

MOST_PATIENCE = 20 * PATIENCE
"""A try that failed doubles the patience, up to this: a large mesh, whose drafts are drawn by a
stand-in, would else be tried whole again and again."""


class Governor:
    """Picks the level of the moving picture from the times that its frames took.

    Time is taken to grow with the levels' cost, which overstates what a better picture costs
    (geometry stays), so that it is tried late and seldom taken back. Two frames in a row that
    are too slow make the next one cheaper; the level stays for the next movement.

    Args:
        target: seconds that a frame of the picture may take.
        level: to begin with.

    Attributes:
        level: one of LEVELS, for the next moving frame.
    """

    def __init__(self, target: float = TARGET, level: Level = LEVELS[0]) -> None:
        self.target = target
        self.level = level
        self._patience = PATIENCE
        self._trying = False
        self._fits = self._held = 0
        self._slow = 0.0
        self._settling = True

    def moved(self, seconds: float, scale: float, draft: bool) -> None:
        """Take note of a moving frame.

        Args:
            seconds: from the first draw call until the picture was finished.
            scale, draft: how it was drawn; frames of other levels than the present one say nothing.
        """
        level = self.level
        if (scale, draft) != (level.scale, level.draft):
            return
        if self._settling:  # targets are made and shaders compiled in the first frame of a level
            self._settling = False
            return
        place = LEVELS.index(level)
        if seconds > self.target:
            before, self._slow, self._fits = self._slow, seconds, 0
            if before:
                slow = min(before, seconds)  # a single one may have been held up by something else
                # Straight to what fits, if that is further away than the next.
                fits = [one for one in LEVELS[place + 1 :] if slow * one.cost / level.cost <= self.target]
                if self._trying:
                    self._patience = min(2 * self._patience, MOST_PATIENCE)
                self._trying = False
                self._set(fits[0] if fits else LEVELS[-1])
            return
        self._slow = 0.0
        self._held += 1
        if self._held >= PATIENCE:
            self._trying = False  # the try was right
        better = LEVELS[max(place - 1, 0)]
        fits_better = place > 0 and seconds * better.cost / level.cost < 0.9 * self.target
        self._fits = self._fits + 1 if fits_better else 0
        if self._fits >= self._patience:
            self._set(better)
            self._trying = True

    def reset(self) -> None:
        """Something else is drawn from now on: what a frame costs has to be found out anew."""
        self._patience, self._trying = PATIENCE, False
        self._set(self.level)

    def _set(self, level: Level) -> None:
        self.level = level
        self._fits, self._held, self._slow, self._settling = 0, 0, 0.0, True
