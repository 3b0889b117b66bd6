"""Soft shadows against a sampled disc light: widths of penumbrae and mean errors.

    python -m benchmarks.shadow_reference

A square 0.6 above a floor, lights about 2.4 away; the reference traces 1024 rays from every point of
the floor to a disc that faces the scene. Widths are of the rise from 10 to 90 % across the edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.effect_cases.shadows import HALF, HEIGHT, POINT, SPOT, SUN, Setting, scene
from studio.core.device import configure_threads

RAYS = 1024
SIZES = (0.05, 0.15, 0.3, 0.6)


@dataclass(frozen=True)
class Found:
    """Widths in world units, ours and the reference's, and the mean error over the floor."""

    width: float
    expected: float
    error: float

    @property
    def off(self) -> float:
        return self.width / self.expected - 1.0


def sampled(setting: Setting, facing: tuple[float, float, float]) -> np.ndarray:
    """[count, count] share of a disc light that the floor sees, past the unturned square."""
    points = setting.receivers()[1][0].double().numpy()
    normal = np.asarray(facing) / np.linalg.norm(facing)
    first = np.cross(normal, (0.0, 0.0, 1.0))
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    lit = np.zeros(points.shape[:2])
    for i in range(RAYS):
        radius, angle = float(setting.size) * math.sqrt((i + 0.5) / RAYS), i * math.pi * (3 - math.sqrt(5))
        offset = radius * (math.cos(angle) * first + math.sin(angle) * second)
        target = (normal if setting.kind == SUN else setting.vector.double().numpy()) + offset
        ray = target if setting.kind == SUN else target - points
        hit = points + ray * ((HEIGHT - points[..., 1]) / ray[..., 1])[..., None]
        lit += ~((np.abs(hit[..., 0]) < HALF) & (np.abs(hit[..., 2]) < HALF))
    return lit / RAYS


def width(profile: np.ndarray) -> float:
    """Samples from 10 to 90 % of a profile that starts in the dark."""
    rising = np.maximum.accumulate(profile)
    low, high = (np.interp(v, rising, np.arange(len(rising))) for v in (0.1, 0.9))
    return float(high - low)


def measured(kind: int, vector: tuple[float, float, float], size: float, count: int = 128) -> Found:
    """One light, along the row through the shadow's middle to the side of +x."""
    setting = Setting(kind, torch.tensor(vector), torch.tensor(size), scene(0.0), count=count)
    ours = setting.image().numpy()
    facing = (0.0, 1.0, 0.0) if kind == SPOT else vector
    expected = sampled(setting, facing)
    # The square's middle seen from the light.
    lean = HEIGHT / vector[1] if kind == SUN else HEIGHT / (vector[1] - HEIGHT)
    middle = [-lean * vector[i] for i in (0, 2)]
    col, row = (round((m + 1) / 2 * count) for m in middle)
    pixel = 2 / count
    error = float(np.abs(ours - expected).mean())
    return Found(width(ours[row, col:]) * pixel, width(expected[row, col:]) * pixel, error)


LIGHTS = {
    "spot": (SPOT, (0.0, 2.4, 0.0)),
    "sun": (SUN, (0.0, 1.0, 0.0)),
    "tilted sun": (SUN, (0.4, 1.0, 0.2)),
    "tilted point": (POINT, (1.5, 5.0, 0.8)),
}


def main() -> None:
    """Print the table."""
    configure_threads()
    print("light          size   width  reference     off  mean error")
    for name, (kind, vector) in LIGHTS.items():
        for size in SIZES:
            f = measured(kind, vector, size)
            print(f"{name:13} {size:5} {f.width:7.4f} {f.expected:10.4f} {f.off:+7.1%} {f.error:11.4f}")


if __name__ == "__main__":
    main()
