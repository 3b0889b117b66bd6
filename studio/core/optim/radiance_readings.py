"""PSNRs of steps of fits that are not of meshes, read as they arrive: see readings.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from studio.core.arrival import Arrival
from studio.core.optim.radiance_fit import RadianceFit


class RadianceReadings:
    """Numbers of a fit's steps that are under way, in order."""

    def __init__(self, fit: RadianceFit) -> None:
        self._fit = fit
        self._waiting: deque[tuple[int, Arrival]] = deque()

    def send(self) -> None:
        """Ask for the last step's, without waiting for it."""
        error = self._fit.error()
        assert error is not None
        self._waiting.append((self._fit.steps_done, Arrival([error.detach()])))

    def receive(self, wait: bool = False) -> Iterator[tuple[int, float]]:
        """(step, PSNR in dB) of what has arrived, or of all that was asked for, oldest first.

        Raises:
            Diverged: one is not finite.
        """
        while self._waiting and (wait or self._waiting[0][1].ready):
            step, arrival = self._waiting.popleft()
            yield step, self._fit.checked(float(arrival.arrays()[0]), step)
