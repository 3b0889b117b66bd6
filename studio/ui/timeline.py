"""Walking along the snapshots of a run; its curves, smoothed and thinned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.core.optim.messages import HistoryRow, Snapshot


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
