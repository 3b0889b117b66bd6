"""What fits of volumes and of points have in common: photos with masks in, pictures of a camera out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.color import mse_to_psnr
from studio.core.device import configure_threads, pick_device
from studio.core.errors import Cancelled, InputError
from studio.core.kernels import launcher
from studio.core.optim.checkpoint import fingerprint
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.messages import Snapshot
from studio.core.optim.recovery import Diverged
from studio.core.optim.settings import FitSettings
from studio.core.optim.targets import check_formats, split_holdout
from studio.core.scene import Camera, Lighting, PhotoSet, Points, Volume

_REMEMBERED = 0.95
"""Share of a photo's errors that counts on in the next step: a step sees a few of its pixels."""


class RadianceFit(ABC):
    """Moves something until its pictures are the photos.

    `prepare` or `restore` once, then `step` until `steps_done` reaches `steps`. Everything lives in the
    photos' normalised world. One thread at a time.

    Args:
        photos: with masks.
        settings: those of the kind, and resolution, holdout, seed, hull_resolution, hull_misses.
        device: auto, cpu or cuda.
        progress: called with (0..1, note) while preparing.
        cancel: asked while preparing; true makes it raise Cancelled.
    Attributes:
        KIND: a value of the setting `representation`, with which the kind's own settings begin.
        steps_done, steps: where the run is, and its length.
        training, holdout: the photos.
        caution: factor of all rates, lowered where a run has diverged.
    """

    KIND: str

    def __init__(
        self,
        photos: PhotoSet,
        settings: FitSettings,
        device: str = "auto",
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self.photos = photos
        self.settings = settings.copy()
        self.device = pick_device(device)
        self.steps = int(settings[f"{self.KIND}_steps"])
        self.steps_done = 0
        self.caution = 1.0
        self.training, self.holdout = split_holdout(photos.photos, settings["holdout"])
        self._progress, self._cancel = progress, cancel
        self._squares = torch.zeros(2, len(self.training), device=self.device)

    # Beginning

    def prepare(self) -> None:
        """Carve the hull, begin in it, and load the photos.

        Raises:
            InputError: photos lack masks or differ in format, or no hull can be carved.
            Cancelled: `cancel` said so.
        """
        self._prepare_machine()
        hull = self._carve(lambda share, note: self._report(0.1 + 0.7 * share, note))
        self._prepare_photos()
        self._random = np.random.default_rng(int(self.settings["seed"]))
        self._generator = torch.Generator(self._generator_device()).manual_seed(int(self.settings["seed"]))
        self._begin(hull)
        self._report(1.0, "Ready")

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on from here, bit for bit on a CPU.

        It refers to the values that move: write it before the next step.
        """
        return {
            "kind": self.KIND,
            "photos": fingerprint(self.photos.photos),
            "settings": self.settings.as_dict(),
            "preset": self.settings.preset,
            "steps_done": self.steps_done,
            "caution": self.caution,
            "random": self._random.bit_generator.state,
            "generator": self._generator.get_state().numpy(),
            "own": self._own_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Bring a fit to a state, instead of `prepare`; the fit's settings hold, not those saved.

        Raises:
            InputError: it is the state of a fit of another kind, or to other photos.
        """
        if (kind := state.get("kind", "mesh")) != self.KIND:
            raise InputError(f"checkpoint: it is of a fit of {kind}, expected one of {self.KIND}")
        if state["photos"] != fingerprint(self.photos.photos):
            raise InputError(
                "checkpoint: it belongs to other photos, or to other sizes of them; "
                "expected the photos and the resolution that the run began with"
            )
        self._prepare_machine()
        self._prepare_photos()
        self.steps_done, self.caution = int(state["steps_done"]), float(state["caution"])
        self._random = np.random.default_rng()
        self._random.bit_generator.state = state["random"]
        self._generator = torch.Generator(self._generator_device())
        self._generator.set_state(torch.from_numpy(state["generator"]))
        self._adopt(state["own"])
        self._report(1.0, "Ready")

    def _prepare_machine(self) -> None:
        configure_threads()
        self._report(0.0, "Compiling kernels")
        launcher.preload(self._modules(), device=self.device)
        self._check_photos()

    def _prepare_photos(self) -> None:
        self._report(0.8, "Loading photos")
        self._load_photos()

    def _generator_device(self) -> torch.device:
        """Where random numbers of steps are drawn."""
        return self.device

    @abstractmethod
    def _modules(self) -> list[Any]:
        """The Warp modules that steps need."""

    @abstractmethod
    def _carve(self, progress: Progress) -> Any:
        """The visual hull in the form that `_begin` takes."""

    @abstractmethod
    def _load_photos(self) -> None:
        """The training photos as steps read them."""

    @abstractmethod
    def _begin(self, hull: Any) -> None:
        """The state at step 0."""

    @abstractmethod
    def _own_state(self) -> dict[str, Any]:
        """What the kind adds to a state."""

    @abstractmethod
    def _adopt(self, own: dict[str, Any]) -> None:
        """Take over what `_own_state` gave."""

    # Stepping

    @abstractmethod
    def step(self) -> None:
        """Compare with some of the photos and move; Diverged if nothing is left."""

    def _note_errors(self, views: Tensor, squares: Tensor) -> None:
        """Remember what a step saw of each photo.

        Args:
            views: [R] numbers of training photos.
            squares: [R] mean squared sRGB difference of a ray's channels, or of a photo's; negative ones
                say nothing.
        """
        said = (squares >= 0).to(squares.dtype)
        seen = torch.stack([squares * said, said])
        # A new tensor, since snapshots that are on their way refer to the old one.
        self._squares = (_REMEMBERED * self._squares).index_add(1, views.long(), seen)

    def _view_errors(self, squares: Tensor) -> dict[str, float]:
        """Name of a training photo -> root mean square of the last steps' sRGB differences; 0 to 1."""
        total, count = squares.cpu().numpy()
        return {
            photo.name: math.sqrt(max(0.0, float(total[n] / count[n])))
            for n, photo in enumerate(self.training)
            if count[n] > 0
        }

    @abstractmethod
    def error(self) -> Tensor | None:
        """[] mean squared sRGB difference of the last step's pixels, on its device; None before one."""

    def psnr(self) -> float:
        """dB of the last step's pixels, sRGB; NaN before the first. Waits for the step.

        Raises:
            Diverged: it is not finite.
        """
        error = self.error()
        return math.nan if error is None else self.checked(float(error.detach()), self.steps_done)

    def checked(self, error: float, step: int) -> float:
        """The PSNR of a step's mean squared difference; raises Diverged if that is not finite."""
        if not math.isfinite(error):
            raise Diverged(f"fit: the loss is not finite at step {step}; lower the rates of {self.KIND}")
        return mse_to_psnr(error)

    # Results

    @abstractmethod
    def frozen(self, half: bool = False) -> Callable[[], Volume | Points]:
        """What was reached, in the normalised world, once it is called: a copy as of now, kept on the device
        until then. Steps may go on, and nobody waits for them before the call.

        Args:
            half: a volume's numbers in half floats, which are enough to look at.
        """

    def result(self) -> Volume | Points:
        """What was reached, in the normalised world; a copy."""
        return self.frozen()()

    @abstractmethod
    def render(self, camera: Camera) -> np.ndarray:
        """[H, W, 4] float32 linear over black, and coverage, row 0 at the bottom."""

    def snapshot(self) -> Snapshot:
        """An immutable copy of the state now, without losses."""
        return self.frozen_snapshot()()

    def frozen_snapshot(self, half: bool = False) -> Callable[[], Snapshot]:
        """A snapshot of now, without losses, once it is called; see `frozen`."""
        found, step, squares = self.frozen(half), self.steps_done, self._squares

        def made() -> Snapshot:
            result = found()
            return Snapshot(
                step=step,
                mesh=None,
                lighting=Lighting(),
                background=(0.0, 0.0, 0.0),
                losses={},
                view_errors=self._view_errors(squares),
                volume=result if isinstance(result, Volume) else None,
                points=result if isinstance(result, Points) else None,
            )

        return made

    def _check_photos(self) -> None:
        """InputError if photos differ in format or lack masks."""
        check_formats(self.training + self.holdout)
        bare = [photo.name for photo in self.training if photo.mask is None]
        if bare:
            raise InputError(
                f"{bare[0]}: {len(bare)} of {len(self.training)} photos have no mask, "
                f"expected all to have one for {self.KIND}; see --masks"
            )

    def _report(self, fraction: float, note: str) -> None:
        if self._cancel is not None and self._cancel():
            raise Cancelled("stopped while preparing")
        if self._progress is not None:
            self._progress(fraction, note)
