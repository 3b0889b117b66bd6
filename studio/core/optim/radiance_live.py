"""A fit of anything but a mesh as the worker runs it: stepped, watched by snapshots, reset."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from studio.core.errors import InputError
from studio.core.optim.checkpoint import load_checkpoint, save_checkpoint
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.messages import Snapshot
from studio.core.optim.moment import Frozen, Moments
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.radiance_kinds import KINDS
from studio.core.optim.radiance_readings import RadianceReadings
from studio.core.optim.readings import StepResult
from studio.core.optim.schedule import Part
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import FitProblem, start_lighting


@dataclass(frozen=True)
class OneStage:
    """The schedule of a run whose finer grids and further points come by themselves.

    Attributes:
        name: of the only stage.
        resolution: long side of the photos.
    """

    name: str
    steps: int
    resolution: int

    def parts(self) -> list[Part]:
        """The stage."""
        return [Part(self.name, 0, 0, self.steps, self.resolution)]

    def left(self, step: int, rate: float) -> float:
        """Seconds that the rest will take at a rate in steps per second."""
        return max(0, self.steps - step) / max(rate, 1e-9)


class RadianceLive:
    """Offers what a Fit offers, for the kinds of KINDS.

    Args:
        problem: its photos are fitted to; light and background are passed on as they are.
        settings: copied; `representation` says which kind.
        device, progress, cancel: see RadianceFit.
    Attributes:
        steps_done, steps: where the run is, and its length.
        gradient_term: is not looked at; here for who sets it.
        notes: decisions worth telling the user.
    """

    def __init__(
        self,
        problem: FitProblem,
        settings: FitSettings,
        device: str = "auto",
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        kind = settings["representation"]
        if kind not in KINDS:
            raise InputError(f"representation: expected one of {', '.join(KINDS)}, got {kind}")
        self.problem = problem
        self.settings = settings.copy()
        self.gradient_term = ""
        self.notes: list[str] = []
        self._device = device
        self._topology = 0
        self._fit = self._made(progress, cancel)
        self._forget()

    def _forget(self) -> None:
        self._last: StepResult | None = None
        self._readings = RadianceReadings(self._fit)
        self._arrived: list[StepResult] = []
        self._moments: Moments[Frozen] = Moments(self._fit.device)

    def _made(self, progress: Progress | None, cancel: Cancel | None) -> RadianceFit:
        kind = KINDS[self.settings["representation"]]
        return kind.make(self.problem.photos, self.settings, self._device, progress, cancel)

    @property
    def device(self) -> torch.device:
        return self._fit.device

    @property
    def steps_done(self) -> int:
        return self._fit.steps_done

    @property
    def steps(self) -> int:
        return self._fit.steps

    @property
    def schedule(self) -> OneStage:
        """The length of the run as it is now."""
        return OneStage(self._fit.KIND, self.steps, int(self.settings["resolution"]))

    def prepare(self) -> None:
        """See RadianceFit.prepare."""
        self._fit.prepare()

    def reset(self) -> None:
        """Back to the state before step 0, which is made again; settings stay as they are."""
        self._fit = self._made(None, None)
        self._fit.prepare()
        self._forget()
        self._topology += 1

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint instead of preparing. Raises InputError if it is of something else."""
        self._fit.restore(load_checkpoint(path, self.device))

    def save(self, path: Path) -> None:
        """Leave a checkpoint."""
        save_checkpoint(path, self._fit.state())

    def step(self) -> StepResult:
        """See RadianceFit.step; the total loss is the mean squared difference that the PSNR is of.

        Returns:
            The newest result that has arrived, as of Fit.step.
        """
        self._fit.step()
        self._readings.send()
        for step, reached in self._readings.receive(self._last is None or self.steps_done >= self.steps):
            total = 10 ** (-reached / 10) if math.isfinite(reached) else 0.0
            self._last = StepResult(step, {"total": total}, reached, {})
            self._arrived.append(self._last)
        assert self._last is not None
        return self._last

    def take_results(self) -> list[StepResult]:
        """Those that have arrived since the last call; see Fit.take_results."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def set_rate(self, group: str, rate: float) -> None:
        """A rate of the fit's own, from the next step on; others are not about it."""
        self._set(f"{group}_rate", rate)

    def set_steps(self, steps: int) -> None:
        """New total number of steps; more than were done extends the run."""
        self._set(f"{self._fit.KIND}_steps", steps)
        self._fit.steps = steps

    def set_group(self, group: str, enabled: bool) -> None:
        """Groups are of meshes."""

    def set_weight(self, term: str, weight: float) -> None:
        """Loss terms are of meshes."""

    def set_rasterizer(self, name: str, value: object) -> None:
        """Rasterizers are of meshes."""

    def _set(self, name: str, value: float) -> None:
        if name.startswith(tuple(f"{kind}_" for kind in KINDS)):  # kinds may share settings
            self.settings.set(name, value)
            self._fit.settings.set(name, value)

    def snapshot_ready(self) -> bool:
        """Whether `snapshot(live=True)` would not wait; asked for the first time, it sets one under way."""
        return self._moments.ready(lambda: Frozen.of(self._frozen(half=True), copied=True))

    def snapshot(self, live: bool = False) -> Snapshot:
        """An immutable copy of the state now.

        Args:
            live: for watching a run; a volume's numbers are half floats, and on a GPU it is of the moment
                when `snapshot_ready` was asked first.
        """
        moment = self._moments.take(live) or Frozen.of(self._frozen(half=live), copied=False)
        with self._moments.aside(moment):
            return moment.made()

    def _frozen(self, half: bool) -> Callable[[], Snapshot]:
        made, last, topology = self._fit.frozen_snapshot(half), self._last, self._topology
        return lambda: replace(
            made(),
            lighting=start_lighting(self.problem),
            background=self.problem.background,
            losses=dict(last.losses) if last else {},
            psnr=last.psnr if last else float("nan"),
            topology=topology,
        )
