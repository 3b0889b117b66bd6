"""The whole vocabulary between the window and the optimizer.

The window posts messages, drained between steps; the worker publishes a Snapshot into a
latest-only slot and a Status that is replaced as a whole. Nothing else crosses the threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from studio.core.optim.schedule import Part
from studio.core.scene import Camera, Lighting, Mesh, Points, Volume

GROUPS = (
    *("vertices", "albedo", "roughness", "metallic", "normal_map"),
    *("light", "background", "exposure", "white_balance", "pose"),
)
"""What can move. albedo, roughness and metallic are per vertex or texel; normal_map is there only with
textures; exposure, white_balance and pose are per view."""


# Window -> worker
@dataclass(frozen=True)
class Pause:
    pass


@dataclass(frozen=True)
class Resume:
    pass


@dataclass(frozen=True)
class Step:
    """Run `count` steps, then pause."""

    count: int = 1


@dataclass(frozen=True)
class Stop:
    """End the run; the result stays."""


@dataclass(frozen=True)
class Reset:
    """Back to the state before step 0, paused."""


@dataclass(frozen=True)
class SetRate:
    """Learning rate of one group, from the next step on."""

    group: str
    rate: float


@dataclass(frozen=True)
class SetGroup:
    """Let a group move, or hold it."""

    group: str
    enabled: bool


@dataclass(frozen=True)
class SetWeight:
    """Weight of one loss term, from the next step on."""

    term: str
    weight: float


@dataclass(frozen=True)
class SetRasterizer:
    """One setting of studio.core.rasterizer.PARAMS, from the next step on."""

    name: str
    value: str | float


@dataclass(frozen=True)
class SetSteps:
    """New total number of steps; extends a finished run."""

    steps: int


@dataclass(frozen=True)
class SaveCheckpoint:
    """Write a checkpoint of the state as it is."""

    path: Path


@dataclass(frozen=True)
class SetGradient:
    """Let snapshots carry the gradient of a loss term by the vertices; "" ends that."""

    term: str


Setting = SetRate | SetGroup | SetWeight | SetRasterizer | SetSteps | SetGradient
Message = Pause | Resume | Step | Stop | Reset | Setting | SaveCheckpoint


# Worker -> window
@dataclass(frozen=True, eq=False)
class OnGpu:
    """The vertices of a snapshot's mesh where the fit has them; nobody writes to them.

    Attributes:
        arrays: contiguous float32 tensors of a CUDA device, named as the mesh's: vertices, normals,
            colors, roughness, metallic, as far as the mesh has them.
        event: recorded once they are written; who reads them on another stream makes it wait.
    """

    arrays: dict[str, Any]
    event: Any


@dataclass(frozen=True, eq=False)
class Snapshot:
    """An immutable copy of the state after `step` steps; nobody writes to its arrays.

    Attributes:
        mesh: positions, faces and per-vertex attributes or textures in the normalised world, with
            normals filled in (so that the window need not compute them). Textures that did not
            change are the same arrays. None where something else is fitted.
        lighting, background: as optimised so far.
        exposure: [views] linear gain of each training photo, or None.
        cameras: refined ones by the names of their photos; none where poses are as they came.
        losses: every term, weighted, and "total".
        psnr: of the last batch, dB, sRGB, inside the mask; NaN before the first step.
        view_errors: photo name -> latest root mean square error of that photo (sRGB, 0..1).
        topology: grows when the faces change; equal means only attributes moved.
        rates: group -> learning rate that acts now; 0 for one that is held.
        motion: group -> root mean square change per step, in the group's units.
        gradient: [V, 3] of the asked-for loss term by the mesh's vertices, or None.
        volume, points: what is fitted instead of a mesh, or None; while the fit runs a volume may be
            in half floats.
        on_gpu: the mesh's values on the GPU, of a fit there that is watched; else None.
    """

    step: int
    mesh: Mesh | None
    lighting: Lighting
    background: tuple[float, float, float]
    losses: dict[str, float]
    psnr: float = float("nan")
    exposure: np.ndarray | None = None
    view_errors: dict[str, float] = field(default_factory=dict)
    topology: int = 0
    cameras: dict[str, Camera] = field(default_factory=dict)
    on_gpu: OnGpu | None = None
    rates: dict[str, float] = field(default_factory=dict)
    motion: dict[str, float] = field(default_factory=dict)
    gradient: np.ndarray | None = None
    volume: Volume | None = None
    points: Points | None = None

    @property
    def emits(self) -> bool:
        """It is of a volume or of points, which neither light nor effects of surfaces touch."""
        return self.volume is not None or self.points is not None

    def whole(self) -> Snapshot:
        """The same with float32 numbers, as files and scenes have them."""
        volume = self.volume
        if volume is None or volume.density.dtype == np.float32:
            return self
        density, colors = (a.astype(np.float32) for a in (volume.density, volume.colors))
        return replace(self, volume=replace(volume, density=density, colors=colors))


Phase = Literal["idle", "preparing", "running", "paused", "done", "stopped", "failed"]


@dataclass(frozen=True)
class Status:
    """Where the worker is. Replaced as a whole, so reading it needs no lock.

    Attributes:
        phase: preparing covers loading kernels, carving the hull; see `note` and `progress`.
        note: what is being done or what went wrong, one line.
        progress: 0..1 while preparing.
        rate: steps per second, smoothed.
        left: seconds to the end at this rate, later stages counted as dearer; NaN if unknown.
        parts: the stages of the run, in order.
    """

    phase: Phase = "idle"
    step: int = 0
    steps: int = 0
    rate: float = 0.0
    note: str = ""
    progress: float = 0.0
    left: float = float("nan")
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class HistoryRow:
    """One point of the plots."""

    step: int
    losses: dict[str, float]
    psnr: float
    seconds: float
