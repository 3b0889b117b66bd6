"""A first stage whose shape may change its topology: a distance field and its zero level.

The unknown is a signed distance on a grid; every step draws its marching tetrahedra. Where the
field changes sign anew, surfaces split, merge or open a hole, which no moving mesh can do. Colours
live on the grid as well. Like a mesh's vertices under large steps, the field moves through a
smoothing operator, and it is made a distance again now and then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from studio.core.ops.normals import Incidence
from studio.core.ops.tetrahedra import Crossings, marching_tetrahedra
from studio.core.optim.distance import REACH, redistanced, signed_distance
from studio.core.optim.materials import (
    MIN_SHADE,
    Terms,
    VertexMaterial,
    array,
    fresh,
)
from studio.core.optim.regularizers import SurfaceTerms
from studio.core.optim.targets import Targets
from studio.core.optim.variables import Variables
from studio.core.pipeline import clip_positions
from studio.core.scene import Mesh
from studio.core.tensors import SceneTensors

MARGIN = 4
"""Nodes around the start shape into which it may grow."""

_BLURS = 3
"""Passes of the smoothing operator: a change reaches that many nodes."""

_SETTLE_EVERY = 10
"""Steps between repairs of the distance; in between it drifts by less than a tenth."""

_CLEAR = 4.0
"""A pixel covered by a quarter no longer counts as background."""


class _Blur(torch.autograd.Function):
    """Binomial smoothing along the three axes; symmetric, so that it is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor) -> Tensor:
        return _blurred(grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _blurred(gradient)


def _blurred(grid: Tensor) -> Tensor:
    for _ in range(_BLURS):
        for axis in range(3):
            out = 0.5 * grid
            count = grid.shape[axis] - 1
            out.narrow(axis, 1, count).add_(grid.narrow(axis, 0, count), alpha=0.25)
            out.narrow(axis, 0, count).add_(grid.narrow(axis, 1, count), alpha=0.25)
            grid = out
    return grid


@dataclass(eq=False)
class FieldMaterial:
    """Base colours at the nodes of a grid; roughness and metallic are one for all.

    Attributes:
        shade: [X, Y, Z, 3] square root of the linear base colour.
        roughness, metallic: of the whole surface, 0..1.
        spacing: of the nodes.
        values: [X, Y, Z] the field as last drawn, or None; crossings: where it changes sign.
    """

    shade: Tensor
    roughness: float
    metallic: float
    spacing: float = 1.0

    def __post_init__(self) -> None:
        # Not fields: they follow from the variables, so a copy and a checkpoint need none.
        self.values: Tensor | None = None
        self.crossings: Crossings | None = None

    def tensors(self, group: str) -> list[Tensor]:
        """The leaves of a group of messages.GROUPS."""
        return [self.shade] if group == "albedo" else []

    def clone(self) -> FieldMaterial:
        """Independent leaves with the same values."""
        return replace(self, shade=fresh(self.shade))

    def colors(self) -> Tensor:
        """[V, 3] linear, of the surface last drawn. Gradients: to shade and the field."""
        assert self.crossings is not None
        assert self.values is not None
        return self.crossings.interpolate(self.crossings.share(self.values), self.shade.square())

    def surface(self, like: SceneTensors, vertices: Tensor) -> SceneTensors:
        """The surface last drawn with [V, 3] world vertices. Gradients: to them, shade and the field."""
        assert self.crossings is not None
        plain = Mesh(array(vertices), array(self.crossings.faces))
        made = SceneTensors.from_meshes([plain], vertices.device)
        ones = torch.ones_like(vertices[:, :1])
        return made.moved(
            vertices=vertices,
            colors=self.colors(),
            perceptual_roughness=self.roughness * ones,
            metallic=self.metallic * ones,
        )

    def terms(self, surface: SurfaceTerms) -> Terms:
        """How often the field changes sign, and differences of colour between neighbouring nodes."""
        return {"sign_changes": self._sign_changes, "albedo_smoothness": self._color_steps}

    def _sign_changes(self) -> Tensor:
        """Mean cross entropy of each end of a crossed edge with the sign of the other.

        Munkberg et al. 2022, "Extracting Triangular 3D Models, Materials, and Lighting From
        Images", Eq. 2: it pulls floaters and inner walls, which no photo asks for, out of the field.
        """
        assert self.crossings is not None
        assert self.values is not None
        a = self.values.reshape(-1)[self.crossings.start] / self.spacing
        b = self.values.reshape(-1)[self.crossings.end] / self.spacing
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        return entropy(a, (b > 0).float()) + entropy(b, (a > 0).float())

    def _color_steps(self) -> Tensor:
        assert self.crossings is not None
        nodes = self.shade.reshape(-1, 3)
        return (nodes[self.crossings.start] - nodes[self.crossings.end]).abs().mean()

    @torch.no_grad()
    def clamp(self) -> None:
        self.shade.clamp_(MIN_SHADE, 1.0)

    def torn(self, vertices: Tensor) -> Tensor:
        """Values of the rendered mesh's vertices from those of the V vertices."""
        return vertices

    def faces(self, faces: Tensor) -> Tensor:
        """Triangles of the rendered mesh."""
        return faces

    def pictures(self, unlit: bool) -> dict[str, np.ndarray]:
        """There are none."""
        return {}

    @torch.no_grad()
    def drawn(self, unlit: bool) -> dict[str, Tensor]:
        """Attributes of the surface last drawn by name, as tensors of their own."""
        colors = self.colors()
        ones = torch.ones_like(colors[:, :1])
        out = {"colors": colors}
        if not unlit:
            out |= {"roughness": self.roughness * ones, "metallic": self.metallic * ones}
        return out

    def fields(self, mesh: Mesh, unlit: bool, pictures: dict[str, np.ndarray]) -> dict[str, Any]:
        """Fields of a Mesh that shows this material besides what `drawn` gives; the rest is as in `mesh`."""
        return {"uvs": None, "colors": None, "roughness": None, "metallic": None}


class _NoTerms(SurfaceTerms):
    """Regularizers of a mesh where there is none that lasts; all are 0."""

    def __init__(self) -> None:
        pass

    def laplacian(self, vertices: Tensor) -> Tensor:
        return vertices.new_zeros(())

    def normal_consistency(self, vertices: Tensor) -> Tensor:
        return vertices.new_zeros(())

    def edge_length(self, vertices: Tensor) -> Tensor:
        return vertices.new_zeros(())


@dataclass(eq=False)
class FieldVariables(Variables):
    """Variables whose surface is the zero level of a field; `differential` is what is added to it.

    Attributes:
        base: [X, Y, Z] signed distance, positive inside, in units of the object's box.
        settled: steps done, which say when the distance is repaired.
        origin: [3] of the first node, and `spacing` of the nodes, in the same units.
    """

    base: Tensor = field(default_factory=lambda: torch.empty(0, 0, 0))
    origin: Tensor = field(default_factory=lambda: torch.zeros(3))
    spacing: float = 1.0
    settled: int = 0
    lasting = False

    @classmethod
    def over(cls, variables: Variables, mesh: Mesh, resolution: int) -> FieldVariables:
        """The same light, background and views over a grid around a closed mesh with colours.

        Args:
            resolution: nodes along the longest side of the mesh's box.
        """
        device = variables.sh.device
        center, scale = variables.center.cpu().numpy(), variables.scale
        box = ((mesh.vertices - center) / scale).astype(np.float64)
        low, high = box.min(axis=0), box.max(axis=0)
        spacing = float((high - low).max()) / max(1, resolution - 1)
        origin = low - MARGIN * spacing
        counts = np.ceil((high - low) / spacing).astype(int) + 1 + 2 * MARGIN
        axes = [np.arange(n) * spacing + o for n, o in zip(counts, origin)]
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        distance = signed_distance(box, mesh.faces, nodes.reshape(-1, 3), spacing, tuple(counts))
        near = cKDTree(box).query(nodes.reshape(-1, 3))[1]
        colors = np.full((len(box), 3), 0.5) if mesh.colors is None else mesh.colors
        shade = np.sqrt(np.clip(colors, MIN_SHADE**2, 1.0))[near].reshape(*counts, 3)
        plain = VertexMaterial.of_mesh(mesh, device)
        shared = {f.name: getattr(variables.clone(), f.name) for f in fields(Variables)}
        base = torch.tensor(distance, dtype=torch.float32, device=device)
        return cls(
            **shared
            | {
                "differential": torch.zeros_like(base).requires_grad_(),
                "material": FieldMaterial(
                    torch.tensor(shade, dtype=torch.float32, device=device).requires_grad_(),
                    float(plain.roughness.detach().mean()),
                    float(plain.metallic.detach().mean()),
                    spacing=spacing,
                ),
            },
            base=base,
            origin=torch.tensor(origin, dtype=torch.float32, device=device),
            spacing=spacing,
        )

    def nodes(self) -> Tensor:
        """[X, Y, Z, 3] places of the nodes in the unit box."""
        axes = [
            torch.arange(n, device=self.base.device) * self.spacing + o
            for n, o in zip(self.base.shape, self.origin)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)

    def values(self) -> Tensor:
        """[X, Y, Z] the field, outside along the grid's border. Gradients: to differential."""
        inner = self.base + _Blur.apply(self.differential)
        return torch.nn.functional.pad(inner[1:-1, 1:-1, 1:-1], (1,) * 6, value=-REACH * self.spacing)

    def box_vertices(self) -> Tensor:
        """[V, 3] in the unit box, of the surface as it is now; `faces` follow. Gradients: to differential."""
        values = self.values()
        crossings = marching_tetrahedra(values)
        material = self.material
        assert isinstance(material, FieldMaterial)
        material.values, material.crossings = values, crossings
        self.faces = crossings.faces
        return crossings.interpolate(crossings.share(values), self.nodes())

    def carving(self, targets: Targets, box_vertices: Tensor) -> Tensor | None:
        """How far the surface lies in space that photos show to be empty, in spacings.

        A surface in front of the background has no silhouette there, so the masks alone never
        open a hole in it. What is seen through a background pixel is empty all along its ray:
        there the field has to fall. `box_vertices` are those of the surface as last drawn.
        Gradients: to differential.
        """
        material = self.material
        assert isinstance(material, FieldMaterial)
        if targets.mask is None or material.values is None or material.crossings is None:
            return None
        found, values = material.crossings, material.values
        with torch.no_grad():
            clip = clip_positions(self.to_world(box_vertices), targets.cameras)
            ndc = clip[..., :2] / clip[..., 3:].clamp_min(1e-6)
            seen = (clip[..., 3] > 0) & (ndc.abs() <= 1).all(dim=2)
            known = targets.mask
            if targets.weight is not None:
                known = torch.where(targets.weight > 0, known, 1.0)  # there nothing is seen to be empty
            mask = torch.nn.functional.grid_sample(
                known[:, None], ndc[:, None], align_corners=False, padding_mode="border"
            )[:, 0, 0]
            # Well away from the silhouette, which has a gradient of its own; one photo is enough.
            empty = (seen * (1 - _CLEAR * mask).clamp_min(0)).amax(dim=0)
        flat = values.reshape(-1) / self.spacing
        return (empty * 0.5 * (flat[found.start] + flat[found.end])).mean()

    def surface_terms(self, rest_shape: Tensor) -> SurfaceTerms:
        """None of the terms of a mesh: its triangles are new in every step."""
        return _NoTerms()

    def on_mesh(self, mesh: Mesh, smoothness: float) -> Variables:
        """What goes on with a mesh after the field."""
        shared = {f.name: getattr(self, f.name) for f in fields(Variables)}
        shared["material"] = VertexMaterial.of_mesh(mesh, self.sh.device)
        return Variables(**shared).on_mesh(mesh, smoothness)

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring every value back into its range, and the field back to a distance."""
        super().clamp()
        self.settled += 1
        if self.settled % _SETTLE_EVERY == 0:
            values = array(self.values())
            self.base = torch.from_numpy(redistanced(values, self.spacing)).to(self.base.device)
            self.differential.zero_()

    def drawn(self, unlit: bool, incidence: Incidence | None = None) -> dict[str, Tensor]:
        """What of each vertex of the surface is drawn; its triangles are never those of before."""
        return super().drawn(unlit, None)
