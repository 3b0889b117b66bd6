"""Lights: a few direct lights and a spherical-harmonic environment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

SH_COUNT = 25
"""Coefficients of the environment: bands 0 to 4. SH9 is the first nine, ambient the first."""

MAX_LIGHTS = 4
"""Direct lights that one draw shades; the uniform arrays of the shaders have this size."""

SH_Y00 = 0.28209479177387814
"""The constant basis function, 1 / (2 sqrt(pi))."""


@dataclass(eq=False)
class Light:
    """A directional or point light.

    Attributes:
        kind: directional or point.
        direction: unit vector *towards* the light (directional).
        position: world units (point).
        color: linear RGB, 0..1.
        intensity: irradiance at normal incidence divided by pi for directional lights, so
            that a white Lambertian surface facing the light has radiance `intensity`; for
            point lights the same at distance 1, falling with the square of the distance.
    """

    kind: Literal["directional", "point"] = "directional"
    direction: tuple[float, float, float] = (0.4, 0.8, 0.45)
    position: tuple[float, float, float] = (2.0, 3.0, 2.0)
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    intensity: float = 1.0
    name: str = "light"


def ambient_sh(color: tuple[float, float, float]) -> np.ndarray:
    """[SH_COUNT, 3] float32 coefficients of an environment of constant radiance `color`."""
    sh = np.zeros((SH_COUNT, 3), np.float32)
    sh[0] = np.asarray(color) / SH_Y00
    return sh


@dataclass(eq=False)
class Lighting:
    """All light of a scene.

    Attributes:
        lights: direct lights.
        sh: [SH_COUNT, 3] float32, radiance of the environment in real spherical harmonics
            (Ramamoorthi and Hanrahan 2001 order: l ascending, m from -l to l, axes x y z).
        fixed_to: "world", or "camera" for turntables where object moves and lamp stays;
            then directions and positions above are in view space.
    """

    lights: list[Light] = field(default_factory=lambda: [Light(name="sun", intensity=0.7)])
    sh: np.ndarray = field(default_factory=lambda: ambient_sh((0.45, 0.45, 0.45)), repr=False)
    fixed_to: Literal["world", "camera"] = "world"


def sh_band(index: int) -> int:
    """Band l of coefficient `index` (l*l <= index < (l+1)^2)."""
    return math.isqrt(index)
