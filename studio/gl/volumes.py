"""A volume on the GPU: its grids as 3D textures, and the pass that marches through them."""

from __future__ import annotations

import math

import moderngl
import numpy as np
import torch

from studio.core.ops.grid import Occupancy
from studio.core.params import ParamSet
from studio.core.scene import Volume
from studio.core.scene.volume import SHIFT
from studio.gl.colormap import COLORMAPS
from studio.gl.program import Program, ProgramCache
from studio.gl.resources import Resources
from studio.gl.targets import Targets
from studio.gl.uniforms import View

LEAST_ALPHA = 1e-4
"""Opacity of a sample below which space counts as empty."""

DEGREE = 1
"""Highest band of harmonics that is drawn: those above change a colour little, and cost as much again."""

DRAFT = 2.0
"""Samples of a moving picture are this much further apart."""

_UNIT = 0
SLICE_MAP = "viridis"


class GpuVolume:
    """The textures of one volume.

    Attributes:
        volume: what was uploaded last.
    """

    def __init__(self, resources: Resources, programs: ProgramCache, volume: Volume) -> None:
        self._resources = resources
        self._programs = programs
        self._textures: dict[str, moderngl.Texture3D] = {}
        self._key: tuple[int, float] | None = None
        self.update(volume)

    def update(self, volume: Volume) -> None:
        """Take other values; textures are made anew where the grid has another size."""
        self.volume = volume
        self._key = None
        x, y, z = volume.shape
        size = (z, y, x)
        density = torch.from_numpy(np.ascontiguousarray(volume.density))
        self._density = density.float()
        self._put("density", size, 1, self._density.numpy(), "f4")
        count = volume.colors.shape[3]
        colors = torch.from_numpy(volume.colors).reshape(x, y, z, 3 * count).half()
        if count == 1:
            self._put("color_a", size, 3, colors.contiguous().numpy(), "f2")
            return
        for number, name in enumerate(("color_a", "color_b", "color_c")):
            part = colors[..., 4 * number : 4 * number + 4].contiguous()
            self._put(name, size, 4, part.numpy(), "f2")

    def _put(
        self, name: str, size: tuple[int, int, int], components: int, data: np.ndarray, dtype: str
    ) -> None:
        old = self._textures.get(name)
        if old is not None and old.size == size and old.components == components:
            old.write(data.tobytes(), alignment=1)
            return
        self._resources.release(old)
        nearest = name == "free"
        self._textures[name] = self._resources.texture3d(size, components, data.tobytes(), dtype, nearest)

    def _find_bricks(self, scale: float, step: float) -> None:
        """Which bricks hold something at this density scale."""
        key = (round(4 * math.log2(scale)), step)
        if key == self._key:
            return
        self._key = key
        thickest = 2.0 ** ((key[0] + 1) / 4)
        volume = self.volume
        depth = -math.log1p(-LEAST_ALPHA) / (thickest * step)
        x, y, z = (float(v) for v in volume.low)
        occupancy = Occupancy.where(self._density > volume.value_of(depth), (x, y, z), volume.voxel)
        free = occupancy.free
        bx, by, bz = free.shape
        self._put("free", (bz, by, bx), 1, free.numpy(), "f1")

    def draw(self, targets: Targets, view: View, look: ParamSet, draft: bool) -> None:
        """March into the images "volume" and "volume_depth" of the targets, up to what their G-buffer has.

        Args:
            look: values of looks.VOLUME.
            draft: with fewer samples.
        """
        volume = self.volume
        scale, step = look["density_scale"], look["step"] * volume.voxel * (DRAFT if draft else 1.0)
        self._find_bricks(scale, step)
        degree = min(DEGREE, volume.degree)
        axis = "xyz".find(look["slice"])  # -1 for "none"
        defines = (f"DEGREE {degree}", *(("SLICE",) if axis >= 0 else ()))
        program = self._programs.get("fullscreen.vert", "volume.frag", defines)
        names = ["density", "color_a", "color_b", "color_c", "free"]
        for unit, name in enumerate((n for n in names if n in self._textures), start=_UNIT):
            self._textures[name].use(unit)
            program.set(f"u_{name}", unit)
        targets.gbuffer["position"].use(_UNIT + len(names))
        program.set("u_gbuffer_position", _UNIT + len(names))
        self._set(program, view, scale, step, look["termination"])
        if axis >= 0:
            program.set("u_axis", axis)
            program.set("u_place", look["slice_position"] * (volume.shape[axis] - 1))
            program.set("u_slice_depth", scale * volume.voxel / volume.unit)
            program.set_array("u_colormap", COLORMAPS[SLICE_MAP])
        images = (targets.image("volume", 4), targets.image("volume_depth", 1))
        targets.framebuffer(images, None).use()
        self._programs.ctx.enable_only(moderngl.NOTHING)
        self._programs.draw_fullscreen(program)

    def _set(self, program: Program, view: View, scale: float, step: float, rest: float) -> None:
        volume = self.volume
        program.set("u_lens", view.lens)
        program.set_matrix("u_view_to_world", np.linalg.inv(view.world_to_view))
        program.set("u_origin", tuple((view.position - volume.low) / volume.voxel))
        program.set("u_last", tuple(float(n - 1) for n in volume.shape))
        program.set("u_per_voxel", 1.0 / volume.voxel)
        program.set("u_step", step)
        program.set("u_exponent", scale * step / volume.unit)
        depth = -math.log1p(-LEAST_ALPHA) / (scale * step)
        program.set("u_least", volume.value_of(depth) - SHIFT)
        program.set("u_rest", rest)
        program.set("u_shift", SHIFT)

    def release(self) -> None:
        self._resources.release(*self._textures.values())
        self._textures.clear()
