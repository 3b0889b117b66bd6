"""Lights: a few direct lights and an environment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from studio.core.scene.environment import project_sh

SH_COUNT = 25
"""Coefficients of the environment: bands 0 to 4. SH9 is the first nine, ambient the first."""

MAX_LIGHTS = 4
"""Direct lights that one draw shades; the uniform arrays of the shaders have this size."""

SH_Y00 = 0.28209479177387814
"""The constant basis function, 1 / (2 sqrt(pi))."""


Kind = Literal["directional", "point", "spot", "area"]
KINDS: tuple[Kind, ...] = ("directional", "point", "spot", "area")
"""A light's kind is its place here, in tensors and in shaders."""


@dataclass(eq=False)
class Light:
    """One direct light.

    Attributes:
        kind: directional, point, spot, or area: a rectangle that shines from one side.
        direction: unit vector *towards* a directional light; spot and area lights shine
            along -direction.
        position: world units (point, spot, middle of an area light).
        color: linear RGB, 0..1.
        intensity: irradiance at normal incidence divided by pi for directional lights, so
            that a white Lambertian surface facing the light has radiance `intensity`; for
            point lights and in the middle of a spot the same at distance 1, falling with the
            square of the distance; for area lights the radiance of the rectangle.
        inner_angle, outer_angle: between a spot's axis and where it begins to fade and is
            dark, degrees, 0 <= inner < outer < 90; inner gives way to outer.
        width, height: sides of an area light, world units.
        right: the direction of an area light's width; made perpendicular to `direction`.
        size: for soft shadows: radius of point and spot lights in world units, tangent of the
            angular radius of directional ones. Area lights have their sides.
        shadow: whether things cast shadows in it.
    """

    kind: Kind = "directional"
    direction: tuple[float, float, float] = (0.4, 0.8, 0.45)
    position: tuple[float, float, float] = (2.0, 3.0, 2.0)
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    intensity: float = 1.0
    name: str = "light"
    inner_angle: float = 20.0
    outer_angle: float = 30.0
    width: float = 1.0
    height: float = 1.0
    right: tuple[float, float, float] = (1.0, 0.0, 0.0)
    size: float = 0.05
    shadow: bool = True

    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """(axis, right), [3] float64 unit and perpendicular, from `direction` and `right`."""
        axis = _unit(np.asarray(self.direction, np.float64), (0.0, 1.0, 0.0))
        side = np.asarray(self.right, np.float64)
        side = side - axis * (side @ axis)
        other = np.eye(3)[np.argmin(np.abs(axis))]  # for a `right` along the axis
        return axis, _unit(side, tuple(_unit(other - axis * (other @ axis), (1.0, 0.0, 0.0))))

    def shape(self) -> tuple[float, float, float, float]:
        """Cosines of the outer and inner angle of a spot; half width and half height of an area."""
        if self.kind == "area":
            return 0.0, 0.0, 0.5 * self.width, 0.5 * self.height
        if self.kind != "spot":
            return 0.0, 0.0, 0.0, 0.0
        inner = min(self.inner_angle, self.outer_angle - 0.1)  # the edge is never quite sharp
        outer, inner = (math.cos(math.radians(angle)) for angle in (self.outer_angle, inner))
        return outer, inner, 0.0, 0.0


def _unit(vector: np.ndarray, fallback: tuple[float, ...]) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else np.asarray(fallback)


class LightArrays(NamedTuple):
    """Direct lights side by side, as both renderers take them; float32 but for kind and casts.

    Attributes:
        kind: [L] int32, place in KINDS.
        vector: [L, 3] direction towards a directional light, position of the others.
        radiance: [L, 3] colour times intensity.
        axis, right: [L, 3] see Light.frame.
        shape: [L, 4] see Light.shape.
        size: [L].
        casts: [L] bool, which cast shadows.
    """

    kind: np.ndarray
    vector: np.ndarray
    radiance: np.ndarray
    axis: np.ndarray
    right: np.ndarray
    shape: np.ndarray
    size: np.ndarray
    casts: np.ndarray


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
        environment: [H, W, 3] float32 equirectangular radiance (see scene.environment), or None.
            `sh` is then its projection; set both with `with_environment`.
    """

    lights: list[Light] = field(default_factory=lambda: [Light(name="sun", intensity=0.7)])
    sh: np.ndarray = field(default_factory=lambda: ambient_sh((0.45, 0.45, 0.45)), repr=False)
    fixed_to: Literal["world", "camera"] = "world"
    environment: np.ndarray | None = field(default=None, repr=False)

    def with_environment(self, image: np.ndarray | None) -> Lighting:
        """The same lights under an equirectangular map; None keeps its projection alone."""
        return replace(self, environment=image, sh=self.sh if image is None else project_sh(image))

    def arrays(self) -> LightArrays:
        """The first MAX_LIGHTS lights as arrays."""
        lights = self.lights[:MAX_LIGHTS]
        frames = [light.frame() for light in lights]
        vectors = [li.direction if li.kind == "directional" else li.position for li in lights]

        def rows(values: list, width: int) -> np.ndarray:
            return np.array(values, np.float32).reshape(len(lights), width)

        return LightArrays(
            kind=np.array([KINDS.index(light.kind) for light in lights], np.int32),
            vector=rows(vectors, 3),
            radiance=rows([np.asarray(light.color) * light.intensity for light in lights], 3),
            axis=rows([axis for axis, _ in frames], 3),
            right=rows([right for _, right in frames], 3),
            shape=rows([light.shape() for light in lights], 4),
            size=np.array([light.size for light in lights], np.float32),
            casts=np.array([light.shadow for light in lights], bool),
        )
