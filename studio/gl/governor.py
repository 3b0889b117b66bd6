"""How many pixels a moving picture gets, so that the frame rate holds on any machine."""

from __future__ import annotations

SCALES = (1.0, 0.75, 0.5, 0.35)
"""Shares of the pixels each way. Few and far apart: each change is seen once."""

TARGET = 0.028
"""Seconds for the picture: with the panels around it a frame takes 33 ms."""

PATIENCE = 6
"""Frames in a row that say a larger picture fits, before one is tried."""


class Governor:
    """Picks the scale of the moving picture from the times that its frames took.

    Time is taken to grow with the number of pixels, which overstates what a larger picture
    costs (geometry stays), so that it is tried late and seldom taken back. Two frames in a row
    that are too slow make the next one smaller; the scale stays for the next movement.

    Args:
        target: seconds that a frame of the picture may take.
        scale: to begin with.

    Attributes:
        scale: one of SCALES, for the next moving frame.
    """

    def __init__(self, target: float = TARGET, scale: float = SCALES[0]) -> None:
        self.target = target
        self.scale = scale
        self._fits = 0
        self._slow = 0.0
        self._settling = True

    def moved(self, seconds: float, scale: float) -> None:
        """Take note of a moving frame.

        Args:
            seconds: from the first draw call until the picture was finished.
            scale: at which it was drawn; frames at other scales than the present one say nothing.
        """
        if scale != self.scale:
            return
        if self._settling:  # targets are made and shaders compiled in the first frame of a size
            self._settling = False
            return
        place = SCALES.index(scale)
        if seconds > self.target:
            before, self._slow, self._fits = self._slow, seconds, 0
            if before:
                slow = min(before, seconds)  # a single one may have been held up by something else
                # Straight to what fits, if that is further away than the next.
                fits = [s for s in SCALES[place + 1 :] if slow * (s / scale) ** 2 <= self.target]
                self._set(fits[0] if fits else SCALES[-1])
            return
        self._slow = 0.0
        larger = SCALES[place - 1] if place else scale
        fits_larger = place > 0 and seconds * (larger / scale) ** 2 < 0.9 * self.target
        self._fits = self._fits + 1 if fits_larger else 0
        if self._fits >= PATIENCE:
            self._set(larger)

    def reset(self) -> None:
        """Something else is drawn from now on: what a frame costs has to be found out anew."""
        self._fits, self._slow, self._settling = 0, 0.0, True

    def _set(self, scale: float) -> None:
        self.scale = scale
        self.reset()
