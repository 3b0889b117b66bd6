"""Camera and lights in the shapes that the uniforms of every effect shader have."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from studio.core.scene import Lighting
from studio.core.scene.light import MAX_LIGHTS
from studio.gl.program import Program

Color = tuple[float, float, float]

_LIGHT_ARRAYS = {
    **{"kind": (1, np.int32), "vector": (3, np.float32), "radiance": (3, np.float32)},
    **{"axis": (3, np.float32), "right": (3, np.float32), "shape": (4, np.float32)},
    **{"size": (1, np.float32), "casts": (1, np.int32)},
}
"""Uniform arrays u_light_<name>[MAX_LIGHTS]: their components and numbers."""


@dataclass(eq=False)
class View:
    """Matrices of the frame being drawn; the projection may be jittered.

    Attributes:
        world_to_view, view_to_clip: [4, 4] float64.
        position: [3] of the camera.
        far: distance that stands for "nothing there".
        still: [4, 4] view_to_clip without jitter: what effects prepare for.
    """

    world_to_view: np.ndarray
    view_to_clip: np.ndarray
    position: np.ndarray
    far: float
    still: np.ndarray

    @property
    def world_to_clip(self) -> np.ndarray:
        return np.asarray(self.view_to_clip @ self.world_to_view)

    @property
    def lens(self) -> tuple[float, ...]:
        """P00, P11, P02, P12 of view_to_clip: what points and pixels are converted with."""
        matrix = self.view_to_clip
        return tuple(float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))


def _arrays() -> dict[str, np.ndarray]:
    return {name: np.zeros((MAX_LIGHTS, size), kind) for name, (size, kind) in _LIGHT_ARRAYS.items()}


@dataclass(eq=False)
class LightUniforms:
    """Lighting in the shapes that the uniforms have; see LightTensors for their meaning.

    Attributes:
        arrays: [MAX_LIGHTS, c] by name; rows from `count` on are zero.
        sh: [25, 3].
        lighting: what they were made from.
    """

    lighting: Lighting = field(default_factory=lambda: Lighting(lights=[]))
    count: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=_arrays)
    sh: np.ndarray = field(default_factory=lambda: np.zeros((25, 3), np.float32))
    fixed_to_camera: bool = False

    @classmethod
    def from_lighting(cls, lighting: Lighting) -> LightUniforms:
        """The first MAX_LIGHTS lights and the environment."""
        given = lighting.arrays()
        out = cls(
            lighting,
            count=len(given.kind),
            sh=np.asarray(lighting.sh, np.float32),
            fixed_to_camera=lighting.fixed_to == "camera",
        )
        for name, array in out.arrays.items():
            array[: out.count] = getattr(given, name).reshape(out.count, array.shape[1])
        return out

    def same(self, other: LightUniforms) -> bool:
        """Whether a picture lit by the other would be the same one."""
        return (
            (self.count, self.fixed_to_camera) == (other.count, other.fixed_to_camera)
            and np.array_equal(self.sh, other.sh)
            and all(np.array_equal(self.arrays[name], other.arrays[name]) for name in _LIGHT_ARRAYS)
            and self.lighting.environment is other.lighting.environment
        )


def set_frame_uniforms(
    program: Program,
    view: View,
    lights: LightUniforms,
    background: Color,
    size: tuple[int, int],
    step: int = 1,
) -> None:
    """Camera, lights and background, as common/frame.glsl and common/lights.glsl declare them.

    Args:
        size: (width, height) of the whole picture.
        step: full pixels per pixel of this pass.
    """
    program.set("u_camera_position", tuple(float(v) for v in view.position))
    program.set_matrix("u_world_to_view", view.world_to_view)
    if "u_view_to_world" in program:
        program.set_matrix("u_view_to_world", np.linalg.inv(view.world_to_view))
    program.set_matrix("u_view_to_clip", view.view_to_clip)
    program.set("u_lens", view.lens)
    program.set("u_size", (float(size[0]), float(size[1])))
    program.set("u_far", float(view.far))
    program.set("u_step", step)
    program.set("u_light_count", lights.count)
    for name, array in lights.arrays.items():
        program.set_array(f"u_light_{name}", array)
    program.set_array("u_sh", lights.sh)
    program.set_matrix("u_world_to_light", view.world_to_view if lights.fixed_to_camera else np.eye(4))
    program.set("u_background", tuple(float(v) for v in background))
