"""What fits of volumes and of points have in common: photos with masks in, pictures of a camera out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from studio.core.device import pick_device
from studio.core.errors import Cancelled, InputError
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.settings import FitSettings
from studio.core.optim.targets import check_formats, split_holdout
from studio.core.scene import Camera, PhotoSet


class RadianceFit(ABC):
    """Moves something until its pictures are the photos.

    `prepare` once, then `step` until `steps_done` reaches `steps`. Everything lives in the photos'
    normalised world. One thread at a time.

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
        self.training, self.holdout = split_holdout(photos.photos, settings["holdout"])
        self._progress, self._cancel = progress, cancel

    @abstractmethod
    def prepare(self) -> None:
        """Carve the hull, begin in it, and load the photos.

        Raises:
            InputError: photos lack masks or differ in format, or no hull can be carved.
            Cancelled: `cancel` said so.
        """

    @abstractmethod
    def step(self) -> None:
        """Compare with some of the photos and move; WorkError if the loss is no longer finite."""

    @abstractmethod
    def psnr(self) -> float:
        """dB of the last step's pixels, sRGB; NaN before the first; WorkError if it is not finite."""

    @abstractmethod
    def render(self, camera: Camera) -> np.ndarray:
        """[H, W, 4] float32 linear over black, and coverage, row 0 at the bottom."""

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
