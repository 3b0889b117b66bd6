"""The film of a fit: its snapshots one after the other, kept few and evenly spread while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from studio.core.errors import InputError
from studio.core.optim.messages import Snapshot
from studio.core.optim.turntable import RATE, film_frames, orbit, pictures, save_film
from studio.core.plan import Effects
from studio.core.scene import Scene

KEPT = 60
"""Snapshots kept of a run: one per 20 pixels of a timeline, more could not be told apart."""

KEPT_BYTES = 400_000_000
"""Memory that they take, at most: 20k triangles are 1 MB, textures of 512 x 512 are 9 MB."""

THIN_POINTS = 250_000
"""Grid points of a volume that a timeline keeps whole; of larger ones every second each way."""

_HELD = 0.2
"""Share of a film that shows the result."""

_TURN = 120.0
"""Degrees that the camera goes around meanwhile: enough to see the shape, little enough to follow it."""


def keep(timeline: list[Snapshot], snapshot: Snapshot) -> None:
    """Add a snapshot in place, thinned; the kept ones stay few, small, and spread evenly over the run."""
    if timeline and snapshot.step < timeline[-1].step:
        timeline.clear()  # the run was reset
    if timeline and snapshot.step == timeline[-1].step:
        return
    timeline.append(thinned(snapshot))
    while len(timeline) > 2 and (len(timeline) > KEPT or memory(timeline) > KEPT_BYTES):
        gaps = [b.step - a.step for a, b in zip(timeline, timeline[2:])]
        del timeline[1 + int(np.argmin(gaps))]


def memory(snapshots: Sequence[Snapshot]) -> int:
    """Bytes of the snapshots' arrays; those that several share count once."""
    arrays: dict[int, int] = {}
    for snapshot in snapshots:
        parts = [] if snapshot.mesh is None else [snapshot.mesh, snapshot.mesh.material]
        others = [part for part in (snapshot.volume, snapshot.points) if part is not None]
        for owner in (*parts, *others, snapshot):
            for value in vars(owner).values():
                if isinstance(value, np.ndarray):
                    arrays[id(value)] = value.nbytes
    return sum(arrays.values())


def thinned(snapshot: Snapshot) -> Snapshot:
    """The snapshot as a timeline keeps it: of a large volume every second grid point each way."""
    volume = snapshot.volume
    if volume is None or volume.density.size <= THIN_POINTS:
        return snapshot
    density, colors = (np.ascontiguousarray(a[::2, ::2, ::2]) for a in (volume.density, volume.colors))
    return replace(snapshot, volume=replace(volume, density=density, colors=colors, voxel=2 * volume.voxel))


class Filmed(Protocol):
    """A fit of any kind."""

    steps_done: int
    steps: int

    def snapshot(self) -> Snapshot:
        """An immutable copy of the state now."""


class Recorder:
    """Takes the snapshots of a fit without a window; call `take` between its steps."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self._next = 0

    def take(self, fit: Filmed) -> None:
        finished = fit.steps_done >= fit.steps
        if fit.steps_done >= self._next or finished:
            snapshot = fit.snapshot()
            keep(self.snapshots, snapshot)
            if finished:
                self.snapshots[-1] = snapshot  # whole: the film rests on it
            self._next = fit.steps_done + max(1, fit.steps // (2 * KEPT))


def shown_at(steps: Sequence[int], frames: int) -> list[int]:
    """Which of the kept steps each frame shows: more time for the beginning, where most happens.

    Args:
        steps: ascending, not empty.
        frames: of the film; the last fifth shows the last step.
    """
    moving = max(1, round((1 - _HELD) * frames))
    last = steps[-1]
    out = []
    for frame in range(frames):
        share = min(frame / moving, 1.0)
        wanted = steps[0] + (last - steps[0]) * share**2
        out.append(int(np.searchsorted(np.asarray(steps), wanted + 1e-9, side="right")) - 1)
    return [max(place, 0) for place in out]


def save_convergence(
    snapshots: Sequence[Snapshot],
    scene_of: Callable[[Snapshot], Scene],
    path: Path | str,
    seconds: float = 5.0,
    size: tuple[int, int] = (320, 320),
    effects: Effects | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[float, str], None] | None = None,
    fps: float = RATE,
) -> None:
    """Write a film of a run; an earlier file is replaced only when done.

    Args:
        snapshots: by ascending step.
        scene_of: the scene that shows one.
        path, size, effects, progress, fps: see save_turntable.
        seconds: length of the film.
    Raises:
        InputError: no snapshots, no length, or as save_turntable. WorkError: the disk filled up.
    """
    count = film_frames(path, seconds, size, fps)
    if not snapshots:
        raise InputError(f"{path}: the run has no snapshots to film")
    last = scene_of(snapshots[-1])
    cameras = orbit(last, max(count, round(count * 360 / _TURN)), *size)[:count]
    places = shown_at([s.step for s in snapshots], count)

    def frames() -> Iterator[np.ndarray]:
        for place in dict.fromkeys(places):
            scene = scene_of(snapshots[place])
            own = [camera for camera, p in zip(cameras, places) if p == place]
            yield from pictures(scene, own, effects, device)

    save_film(path, frames(), count, progress, fps)
