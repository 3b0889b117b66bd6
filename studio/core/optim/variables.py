"""What an optimizer moves: the parameters of a scene and their limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from studio.core.arrival import Arrival
from studio.core.errors import InputError
from studio.core.gbuffer import LightTensors
from studio.core.ops.ambient import ambient_visibility
from studio.core.ops.normals import Incidence, vertex_normals
from studio.core.optim import sky
from studio.core.optim.atlas import unwrap
from studio.core.optim.detail import Surface, bake_detail
from studio.core.optim.largesteps import LargeSteps
from studio.core.optim.materials import (
    MAX_TILT,
    SurfaceMaterial,
    Terms,
    TextureMaterial,
    VertexMaterial,
    array,
    fresh,
)
from studio.core.optim.regularizers import SurfaceTerms, light_white
from studio.core.optim.remesh import mean_edge_length
from studio.core.optim.targets import Targets
from studio.core.optim.views import ViewVariables
from studio.core.scene import Light, Lighting, Mesh

_REACH = 3.0
"""Edges of a fine surface within which its simplified one looks for it."""


@dataclass(eq=False)
class Variables:
    """Leaf tensors of one topology, and how they make a scene.

    Vertices live in the unit box of the object: world = center + scale * v.

    Attributes:
        center, scale: of the box, [3] and its longest side.
        faces: [T, 3] int32.
        differential: [V, 3] large-steps coordinates of the vertices.
        material: what the surface is made of, per vertex or in textures.
        start: the light that the fit began with; what does not move stays as there.
        sh: [25, 3] environment; light_vector, light_radiance: [L, 3].
        sky: [H, W, 3] logarithms of the environment's radiance, in place of `sh`; or None.
        background: [3] linear.
        views: what belongs to the training photos.
    """

    center: Tensor
    scale: float
    faces: Tensor
    steps: LargeSteps
    differential: Tensor
    material: SurfaceMaterial
    sh: Tensor
    start: LightTensors
    light_vector: Tensor
    light_radiance: Tensor
    background: Tensor
    views: ViewVariables
    lasting: ClassVar[bool] = True
    """Whether the triangles stay the same from step to step."""

    fixed_to: str = "world"
    lights: list[Light] = field(default_factory=list)
    environment: np.ndarray | None = None
    sky: Tensor | None = None

    @classmethod
    def create(
        cls,
        mesh: Mesh,
        center: np.ndarray,
        scale: float,
        lighting: Lighting,
        fixed_to: str,
        background: tuple[float, float, float],
        views: int,
        smoothness: float,
        device: torch.device,
    ) -> Variables:
        """Variables that show `mesh` in the unit box (center, scale) under `lighting`."""
        light = LightTensors.from_lighting(lighting, device)
        middle = torch.tensor(center, dtype=torch.float32, device=device)
        shared = cls(
            center=middle,
            scale=scale,
            faces=torch.empty(0, 3, dtype=torch.int32, device=device),
            steps=LargeSteps(np.empty((0, 3), np.int64), 0, 0.0, device),
            differential=torch.empty(0, 3, device=device),
            material=VertexMaterial.of_mesh(mesh, device),
            sh=light.sh,
            start=light,
            light_vector=light.vector,
            light_radiance=light.radiance,
            background=torch.tensor(background, dtype=torch.float32, device=device),
            views=ViewVariables.create(views, middle),
            fixed_to=fixed_to,
            lights=list(lighting.lights),
            environment=lighting.environment,
        )
        return shared.on_mesh(mesh, smoothness)

    def on_mesh(self, mesh: Mesh, smoothness: float) -> Variables:
        """The same light, background and views on another mesh with its attributes."""
        device = self.sh.device
        count = len(mesh.vertices)
        steps = LargeSteps(mesh.faces, count, smoothness, device)
        box = ((mesh.vertices - self.center.cpu().numpy()) / self.scale).astype(np.float32)
        differential = steps.to_differential(torch.from_numpy(box).to(device))
        return replace(
            self.clone(),
            faces=torch.from_numpy(mesh.faces.astype(np.int32)).to(device),
            steps=steps,
            differential=differential.requires_grad_(),
            material=VertexMaterial.of_mesh(mesh, device),
        )

    def textured(self, size: int, visibility: Tensor | None = None, fine: Mesh | None = None) -> Variables:
        """The same with the vertices' attributes baked into textures over a new atlas.

        Args:
            size: texels along each side.
            visibility: [V, 1] share of the environment that each vertex sees.
            fine: mesh of more triangles, whose normals and attributes the textures shall show.
        """
        if not isinstance(self.material, VertexMaterial):
            raise InputError("variables: the material is in textures already")
        with torch.no_grad():
            placed = self.to_world(self.box_vertices())
            world = array(placed)
        atlas = unwrap(world, array(self.faces), size, self.sh.device)
        material = TextureMaterial.baked(self.material, atlas, visibility)
        if fine is not None:
            reach = _REACH * mean_edge_length(fine.vertices, fine.faces)
            own = Surface(placed, self.faces, self.material.values())
            tilt, values, _ = bake_detail(_surface(fine, self.sh.device), own, atlas, reach, MAX_TILT)
            material = material.detailed(tilt, values)
        return replace(self.clone(), material=material)

    def clone(self) -> Variables:
        """Independent leaves with the same values; topology and solver are shared."""
        names = ("differential", "sh", "light_vector", "light_radiance", "background")
        copies: dict[str, Any] = {name: fresh(getattr(self, name)) for name in names}
        copies["sky"] = None if self.sky is None else fresh(self.sky)
        return replace(self, material=self.material.clone(), views=self.views.clone(), **copies)

    @torch.no_grad()
    def visibility(self) -> Tensor:
        """[V, 1] share of the environment that each vertex sees past the mesh."""
        vertices = self.to_world(self.box_vertices())
        return ambient_visibility(vertices, self.faces, vertex_normals(vertices, self.faces))

    def under_sky(self) -> Variables:
        """The same with an environment map that begins as the harmonics are."""
        return replace(self.clone(), sky=fresh(sky.from_harmonics(self.sh)))

    def tensors(self, group: str) -> list[Tensor]:
        """The leaves of a group of messages.GROUPS."""
        around = self.sh if self.sky is None else self.sky
        own = {
            "vertices": [self.differential],
            "light": [around, self.light_vector, self.light_radiance],
            "background": [self.background],
        }
        return own[group] if group in own else self.material.tensors(group) + self.views.tensors(group)

    def carving(self, targets: Targets, box_vertices: Tensor) -> Tensor | None:
        """A penalty on surface in empty space, where silhouettes cannot remove it; none for a mesh."""
        return None

    def surface_terms(self, rest_shape: Tensor) -> SurfaceTerms:
        """Regularizers of the surface; `rest_shape` [V, 3] has the curvature to keep."""
        return SurfaceTerms(self.faces.cpu().numpy(), rest_shape)

    def box_vertices(self) -> Tensor:
        """[V, 3] in the unit box. Gradients: to differential."""
        return self.steps.from_differential(self.differential)

    def to_world(self, box_vertices: Tensor) -> Tensor:
        return box_vertices * self.scale + self.center

    def lighting(self) -> LightTensors:
        return replace(
            self.start,
            vector=self.light_vector,
            radiance=self.light_radiance,
            sh=self.sh,
            fixed_to_camera=self.fixed_to == "camera",
            environment=self.start.environment if self.sky is None else None,
            levels=None if self.sky is None else sky.levels(self.sky),
        )

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring every value back into its range; call after a step."""
        self.material.clamp()
        self.light_radiance.clamp_(min=0.0)
        self.sh[0].clamp_(min=0.0)
        self.background.clamp_(0.0, 1.0)

    @torch.no_grad()
    def mesh(
        self,
        like: Mesh,
        unlit: bool,
        incidence: Incidence | None = None,
        pictures: dict[str, np.ndarray] | None = None,
    ) -> Mesh:
        """A copy as a Mesh with normals; name and what does not move are those of `like`.

        Args:
            incidence: of the rendered faces, if known; spares finding the seams again.
            pictures: textures to use, as material.pictures made them; None makes them now.
        """
        if pictures is None:
            pictures = self.material.pictures(unlit)
        return self.mesh_of(self.drawn(unlit, incidence), like, unlit, pictures)

    @torch.no_grad()
    def drawn(self, unlit: bool, incidence: Incidence | None = None) -> dict[str, Tensor]:
        """What of each vertex is drawn, named as a Mesh names it; nobody writes to these tensors."""
        vertices = self.material.torn(self.to_world(self.box_vertices()))
        normals = vertex_normals(vertices, self.material.faces(self.faces), incidence)
        return {"vertices": vertices, "normals": normals, **self.material.drawn(unlit)}

    def mesh_of(
        self, drawn: dict[str, Tensor], like: Mesh, unlit: bool, pictures: dict[str, np.ndarray]
    ) -> Mesh:
        """As `mesh`, of what `drawn` gave; waits for the GPU once."""
        faces = self.material.faces(self.faces)
        *values, triangles = Arrival([*drawn.values(), faces]).arrays()
        fields = self.material.fields(like, unlit, pictures) | dict(zip(drawn, values))
        return replace(like, faces=triangles, **fields)

    def light_terms(self) -> Terms:
        """Regularizers of the environment."""
        if self.sky is None:
            return {"light_white": lambda: light_white(self.sh)}
        own = self.sky
        return {"light_white": lambda: sky.white(own), "light_smoothness": lambda: sky.curvature(own)}

    def scene_lighting(self) -> Lighting:
        """The light as the document keeps it: colour at most 1, the rest in the intensity."""
        lights = []
        vectors = self.light_vector.detach().cpu().numpy()
        radiances = self.light_radiance.detach().cpu().numpy()
        for light, vector, radiance in zip(self.lights, vectors, radiances):
            intensity = float(max(radiance.max(), 1e-6))
            change: dict[str, Any] = {"color": _triple(radiance / intensity), "intensity": intensity}
            if light.kind == "directional":
                change["direction"] = _triple(vector / max(float(np.linalg.norm(vector)), 1e-12))
            else:
                change["position"] = _triple(vector)
            lights.append(replace(light, **change))
        fixed_to: Literal["world", "camera"] = "camera" if self.fixed_to == "camera" else "world"
        if self.sky is not None:
            return Lighting(lights, fixed_to=fixed_to).with_environment(sky.picture(self.sky))
        sh = self.sh.detach()
        # The map is what was fitted only as long as its coefficients have not moved.
        environment = self.environment if torch.equal(sh, self.start.sh) else None
        return Lighting(
            lights,
            sh.cpu().numpy().copy(),
            fixed_to,
            environment,
        )


def _surface(mesh: Mesh, device: torch.device) -> Surface:
    vertices = torch.from_numpy(mesh.vertices.astype(np.float32)).to(device)
    faces = torch.from_numpy(mesh.faces.astype(np.int32)).to(device)
    return Surface(vertices, faces, VertexMaterial.of_mesh(mesh, device).values().detach())


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def box_of(vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """(centre [3], longest side) of the vertices' bounding box."""
    low, high = vertices.min(axis=0).astype(np.float64), vertices.max(axis=0).astype(np.float64)
    return 0.5 * (low + high), max(float((high - low).max()), 1e-9)
