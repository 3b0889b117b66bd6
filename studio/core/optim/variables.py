"""What an optimizer moves: the parameters of a scene and their limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.gbuffer import LightTensors
from studio.core.ops.normals import Incidence, vertex_normals
from studio.core.optim.largesteps import LargeSteps
from studio.core.scene import Light, Lighting, Mesh

MIN_SHADE = 0.02
"""Lowest square root of a base colour: at 0 its gradient vanishes, 0.02 is albedo 0.0004."""

MIN_ROUGHNESS = 0.05
"""Below it the highlight is narrower than a pixel of the training images."""


@dataclass(eq=False)
class Variables:
    """Leaf tensors of one topology, and how they make a scene.

    Vertices live in the unit box of the object: world = center + scale * v.

    Attributes:
        center, scale: of the box, [3] and its longest side.
        faces: [T, 3] int32.
        differential: [V, 3] large-steps coordinates of the vertices.
        shade: [V, 3] square root of the linear base colour, which spreads dark tones like
            sRGB does.
        roughness, metallic: [V, 1].
        start: the light that the fit began with; what does not move stays as there.
        sh: [25, 3] environment; light_vector, light_radiance: [L, 3].
        background: [3] linear.
        exposure: [views] stops of each training photo; their mean is held at 0, which leaves
            overall brightness to light and base colour.
    """

    center: Tensor
    scale: float
    faces: Tensor
    steps: LargeSteps
    differential: Tensor
    shade: Tensor
    roughness: Tensor
    metallic: Tensor
    sh: Tensor
    start: LightTensors
    light_vector: Tensor
    light_radiance: Tensor
    background: Tensor
    exposure: Tensor
    fixed_to: str = "world"
    lights: list[Light] = field(default_factory=list)
    environment: np.ndarray | None = None

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
        shared = cls(
            center=torch.tensor(center, dtype=torch.float32, device=device),
            scale=scale,
            faces=torch.empty(0, 3, dtype=torch.int32, device=device),
            steps=LargeSteps(np.empty((0, 3), np.int64), 0, 0.0, device),
            differential=torch.empty(0, 3, device=device),
            shade=torch.empty(0, 3, device=device),
            roughness=torch.empty(0, 1, device=device),
            metallic=torch.empty(0, 1, device=device),
            sh=light.sh,
            start=light,
            light_vector=light.vector,
            light_radiance=light.radiance,
            background=torch.tensor(background, dtype=torch.float32, device=device),
            exposure=torch.zeros(views, device=device),
            fixed_to=fixed_to,
            lights=list(lighting.lights),
            environment=lighting.environment,
        )
        return shared.on_mesh(mesh, smoothness)

    def on_mesh(self, mesh: Mesh, smoothness: float) -> Variables:
        """The same light, background and exposure on another mesh with its attributes."""
        device = self.sh.device
        count = len(mesh.vertices)
        steps = LargeSteps(mesh.faces, count, smoothness, device)
        box = ((mesh.vertices - self.center.cpu().numpy()) / self.scale).astype(np.float32)
        colors = np.full((count, 3), 0.5, np.float32) if mesh.colors is None else mesh.colors
        roughness, metallic = mesh.roughness, mesh.metallic
        if roughness is None:
            roughness = np.full((count, 1), mesh.material.perceptual_roughness, np.float32)
        if metallic is None:
            metallic = np.full((count, 1), mesh.material.metallic, np.float32)
        shade = np.sqrt(np.clip(colors, MIN_SHADE**2, 1.0))
        differential = steps.to_differential(torch.from_numpy(box).to(device))
        return replace(
            self.clone(),
            faces=torch.from_numpy(mesh.faces.astype(np.int32)).to(device),
            steps=steps,
            differential=differential.requires_grad_(),
            shade=leaf(shade, device),
            roughness=leaf(np.clip(roughness, MIN_ROUGHNESS, 1.0), device),
            metallic=leaf(np.clip(metallic, 0.0, 1.0), device),
        )

    def clone(self) -> Variables:
        """Independent leaves with the same values; topology and solver are shared."""
        copies = {
            name: getattr(self, name).detach().clone().requires_grad_()
            for name in (
                "differential", "shade", "roughness", "metallic", "sh", "light_vector",
                "light_radiance", "background", "exposure",
            )
        }  # fmt: skip
        return replace(self, **copies)

    def tensors(self, group: str) -> list[Tensor]:
        """The leaves of a group of messages.GROUPS."""
        return {
            "vertices": [self.differential],
            "albedo": [self.shade],
            "roughness": [self.roughness],
            "metallic": [self.metallic],
            "light": [self.sh, self.light_vector, self.light_radiance],
            "background": [self.background],
            "exposure": [self.exposure],
        }[group]

    def box_vertices(self) -> Tensor:
        """[V, 3] in the unit box. Gradients: to differential."""
        return self.steps.from_differential(self.differential)

    def to_world(self, box_vertices: Tensor) -> Tensor:
        return box_vertices * self.scale + self.center

    def albedo(self) -> Tensor:
        """[V, 3] linear. Gradients: to shade."""
        return self.shade.square()

    def stops(self) -> Tensor:
        """[views] exposure, the mean taken out. Gradients: to exposure."""
        return self.exposure - self.exposure.mean()

    def lighting(self) -> LightTensors:
        return replace(
            self.start,
            vector=self.light_vector,
            radiance=self.light_radiance,
            sh=self.sh,
            fixed_to_camera=self.fixed_to == "camera",
        )

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring every value back into its range; call after a step."""
        self.shade.clamp_(MIN_SHADE, 1.0)
        self.roughness.clamp_(MIN_ROUGHNESS, 1.0)
        self.metallic.clamp_(0.0, 1.0)
        self.light_radiance.clamp_(min=0.0)
        self.sh[0].clamp_(min=0.0)
        self.background.clamp_(0.0, 1.0)

    @torch.no_grad()
    def mesh(self, like: Mesh, unlit: bool, incidence: Incidence | None = None) -> Mesh:
        """A copy as a Mesh with normals; material and name are those of `like`.

        `incidence` of the faces, if known, spares finding the seams again.
        """
        vertices = self.to_world(self.box_vertices())
        normals = vertex_normals(vertices, self.faces, incidence)
        return replace(
            like,
            vertices=vertices.cpu().numpy().copy(),
            faces=self.faces.cpu().numpy().copy(),
            normals=normals.cpu().numpy().copy(),
            uvs=None,
            colors=self.albedo().cpu().numpy().copy(),
            roughness=None if unlit else self.roughness.cpu().numpy().copy(),
            metallic=None if unlit else self.metallic.cpu().numpy().copy(),
        )

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
        sh = self.sh.detach()
        # The map is what was fitted only as long as its coefficients have not moved.
        environment = self.environment if torch.equal(sh, self.start.sh) else None
        return Lighting(
            lights,
            sh.cpu().numpy().copy(),
            "camera" if self.fixed_to == "camera" else "world",
            environment,
        )


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def leaf(values: np.ndarray, device: torch.device) -> Tensor:
    """A float32 leaf tensor that requires grad, from a copy of `values`."""
    return torch.tensor(values, dtype=torch.float32, device=device, requires_grad=True)


def box_of(vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """(centre [3], longest side) of the vertices' bounding box."""
    low, high = vertices.min(axis=0).astype(np.float64), vertices.max(axis=0).astype(np.float64)
    return 0.5 * (low + high), max(float((high - low).max()), 1e-9)
