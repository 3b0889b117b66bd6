"""Which snapshots of a run are kept for going back, so that memory stays bounded; curves, smoothed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.core.optim.messages import HistoryRow, Snapshot

KEPT = 60
"""Snapshots kept for going back: one per 20 pixels of the line, more could not be told apart."""

KEPT_BYTES = 400_000_000
"""Memory that they take, at most: 20k triangles are 1 MB, textures of 512 x 512 are 9 MB."""


def keep(timeline: list[Snapshot], snapshot: Snapshot) -> None:
    """Add a snapshot in place; the kept ones stay few, small, and spread evenly over the run."""
    if timeline and snapshot.step < timeline[-1].step:
        timeline.clear()  # the run was reset
    if timeline and snapshot.step == timeline[-1].step:
        return
    timeline.append(snapshot)
    while len(timeline) > 2 and (len(timeline) > KEPT or memory(timeline) > KEPT_BYTES):
        gaps = [b.step - a.step for a, b in zip(timeline, timeline[2:])]
        del timeline[1 + int(np.argmin(gaps))]


def memory(snapshots: Sequence[Snapshot]) -> int:
    """Bytes of the snapshots' arrays; those that several share count once."""
    arrays: dict[int, int] = {}
    for snapshot in snapshots:
        for owner in (snapshot.mesh, snapshot.mesh.material, snapshot):
            for value in vars(owner).values():
                if isinstance(value, np.ndarray):
                    arrays[id(value)] = value.nbytes
    return sum(arrays.values())


def neighbour(timeline: Sequence[Snapshot], shown: int, by: int) -> int:
    """The step of the kept snapshot before (by < 0) or after the step that is shown."""
    steps = [snapshot.step for snapshot in timeline]
    if by < 0:
        return max((s for s in steps if s < shown), default=steps[0] if steps else shown)
    return min((s for s in steps if s > shown), default=shown)


def smoothed(values: np.ndarray, weight: float) -> np.ndarray:
    """[N] exponential moving mean; `weight` 0..1 is what the past counts. NaN passes and is skipped.

    Every value is divided by the weights that went into it, so the beginning is not pulled to 0
    (Kingma and Ba 2015, section 3).
    """
    if weight <= 0 or len(values) == 0:
        return values
    from scipy.signal import lfilter

    there = np.isfinite(values)
    total = lfilter([1 - weight], [1, -weight], np.where(there, values, 0.0))
    weights = lfilter([1 - weight], [1, -weight], there.astype(np.float64))
    mean = total / np.maximum(weights, 1e-12)
    return np.asarray(np.where(there, mean, np.nan))


def thin(rows: Sequence[HistoryRow], points: int) -> list[HistoryRow]:
    """At most about `points` rows, evenly chosen, with the last."""
    stride = max(1, len(rows) // points)
    chosen = list(rows[::stride])
    if rows and chosen[-1] is not rows[-1]:
        chosen.append(rows[-1])
    return chosen
