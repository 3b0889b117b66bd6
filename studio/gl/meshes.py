"""Meshes on the GPU: vertex buffers, material textures, and drawing them."""

from __future__ import annotations

from dataclasses import dataclass

import moderngl
import numpy as np
import torch

from studio.core.ops import texture_construct_mip
from studio.core.optim.messages import OnGpu
from studio.core.scene import Material, Mesh
from studio.core.scene.mesh import weld
from studio.gl.interop import Interop, SharedBuffer
from studio.gl.program import Program, ProgramCache
from studio.gl.resources import Resources

_TEXTURES = ("base_color", "orm", "occlusion", "normal", "emissive")
_ON_GPU = {
    **{"in_position": "vertices", "in_normal": "normals", "in_color": "colors"},
    **{"in_roughness": "roughness", "in_metallic": "metallic"},
}
"""Shader input -> name in OnGpu."""

MATERIAL_UNIT = 0
"""First texture unit of material textures; nothing else is bound while geometry is drawn."""


def _attributes(mesh: Mesh) -> dict[str, tuple[str, np.ndarray]]:
    """Shader input -> (moderngl format, float32 data) of what the mesh has."""
    out = {"in_position": ("3f", mesh.vertices), "in_normal": ("3f", mesh.vertex_normals())}
    optional = (
        ("in_uv", "2f", mesh.uvs),
        ("in_color", "3f", mesh.colors),
        ("in_roughness", "1f", mesh.roughness),
        ("in_metallic", "1f", mesh.metallic),
    )
    out.update({name: (kind, data) for name, kind, data in optional if data is not None})
    return {name: (kind, np.ascontiguousarray(data, np.float32)) for name, (kind, data) in out.items()}


def _images(material: Material) -> dict[str, np.ndarray]:
    """Name -> image of the textures that the material has."""
    found = {name: getattr(material, f"{name}_texture") for name in _TEXTURES}
    return {name: image for name, image in found.items() if image is not None}


def encloses(mesh: Mesh) -> bool:
    """Whether the mesh is a closed surface whose faces look outwards: its backs are never seen.

    Every edge, after joining vertices at one position (UV seams), has one neighbour that
    runs the other way, and the enclosed volume is positive.
    """
    joined = weld(mesh.vertices)[mesh.faces].astype(np.int64)
    start, end = joined.ravel(), np.roll(joined, -1, axis=1).ravel()
    count = len(mesh.vertices)
    forward, backward = np.sort(start * count + end), np.sort(end * count + start)
    if not np.array_equal(forward, backward) or (forward[1:] == forward[:-1]).any():
        return False
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(np.float64), 1, 0)
    return bool(np.einsum("ij,ij->", a, np.cross(b, c)) > 0)


def _halves(image: torch.Tensor) -> bytes:
    """Half floats, rows tightly packed."""
    return image.half().contiguous().numpy().tobytes()


@dataclass
class _Shared:
    """A texture and the array it was made from (held, so that its id stays its own)."""

    array: np.ndarray
    texture: moderngl.Texture
    users: int = 0


class MaterialTextures:
    """Uploads each image once, however many parts use it."""

    def __init__(self, resources: Resources):
        self._resources = resources
        self._shared: dict[int, _Shared] = {}

    def acquire(self, array: np.ndarray) -> moderngl.Texture:
        """The texture of a linear float image, row 0 at the bottom; half floats, repeating."""
        entry = self._shared.get(id(array))
        if entry is None:
            texture = self._upload(torch.tensor(self._resources.fitting(array), dtype=torch.float32))
            entry = self._shared[id(array)] = _Shared(array, texture)
        entry.users += 1
        return entry.texture

    def _upload(self, image: torch.Tensor) -> moderngl.Texture:
        """With our own mip levels: drivers average sides of odd length each in their own way."""
        height, width, channels = image.shape
        texture = self._resources.texture(
            (width, height), channels, _halves(image), dtype="f2", nearest=False, repeat=True
        )
        texture.build_mipmaps()  # makes room for the levels
        texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        for number, level in enumerate(texture_construct_mip(image[None]).levels(), start=1):
            texture.write(_halves(level[0]), level=number, alignment=1)
        return texture

    def release(self, array: np.ndarray) -> None:
        entry = self._shared[id(array)]
        entry.users -= 1
        if entry.users == 0:
            self._resources.release(entry.texture)
            del self._shared[id(array)]


class GpuMesh:
    """One part of the scene on the GPU.

    Attributes:
        mesh: what was uploaded last.
        encloses: back faces can be left out without a difference (see `encloses`).
    """

    def __init__(self, resources: Resources, textures: MaterialTextures, mesh: Mesh):
        self._resources = resources
        self._textures = textures
        self.mesh = mesh
        self.encloses = encloses(mesh)
        attributes = _attributes(mesh)
        self._kinds = {name: kind for name, (kind, _) in attributes.items()}
        self._buffers = {name: resources.buffer(data) for name, (_, data) in attributes.items()}
        self._shared: dict[str, SharedBuffer] = {}
        self._index = resources.buffer(np.ascontiguousarray(mesh.faces, np.int32))
        self._arrays: dict[int, moderngl.VertexArray] = {}
        self._bounds: tuple[np.ndarray, np.ndarray] | None = None
        self._images = {} if mesh.uvs is None else _images(mesh.material)
        self._bound = {name: textures.acquire(image) for name, image in self._images.items()}

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of what was uploaded last."""
        if self._bounds is None:
            self._bounds = self.mesh.bounds()
        return self._bounds

    def update(self, mesh: Mesh, on_gpu: OnGpu | None = None, interop: Interop | None = None) -> bool:
        """Rewrite the buffers in place where counts and kinds of attributes are the same.

        Args:
            on_gpu: the same values on the GPU; taken instead where `interop` can.
        Returns:
            done: False where the mesh has to be made anew.
        """
        if len(mesh.faces) != len(self.mesh.faces) or len(mesh.vertices) != len(self.mesh.vertices):
            return False
        images = {} if mesh.uvs is None else _images(mesh.material)
        if images.keys() != self._images.keys() or any(images[n] is not self._images[n] for n in images):
            return False
        attributes = _attributes(mesh)
        if attributes.keys() != self._buffers.keys():
            return False
        for name, (_, data) in attributes.items():
            if on_gpu is None or interop is None or not self._share(name, on_gpu, interop):
                self._buffers[name].write(data)
        if mesh.faces is not self.mesh.faces and not np.array_equal(mesh.faces, self.mesh.faces):
            self._index.write(np.ascontiguousarray(mesh.faces, np.int32))
            self.encloses = encloses(mesh)
        self.mesh, self._bounds = mesh, None
        return True

    def _share(self, name: str, on_gpu: OnGpu, interop: Interop) -> bool:
        """Write one attribute from the GPU; False where the host has to."""
        values = on_gpu.arrays.get(_ON_GPU.get(name, ""))
        if values is None or not interop.ready(values.device):
            return False
        if name not in self._shared:
            self._shared[name] = interop.buffer(_ON_GPU[name], self._buffers[name])
        return self._shared[name].write(values, on_gpu.event)

    def defines(self, normal_maps: bool) -> tuple[str, ...]:
        """What the G-buffer program of this mesh has to be compiled with."""
        have = [f"HAS_{name}" for name in ("UV", "COLOR", "ROUGHNESS", "METALLIC")]
        out = [h for h in have if f"in_{h[4:].lower()}" in self._buffers]
        out += [f"{name.upper()}_TEXTURE" for name in self._bound if name != "normal" or normal_maps]
        return tuple(out)

    def set_material(self, program: Program, part: int) -> None:
        """Factors, textures and part id into the uniforms of a G-buffer program."""
        material = self.mesh.material
        program.set("u_base_color", tuple(float(c) for c in material.base_color))
        program.set("u_perceptual_roughness", float(material.perceptual_roughness))
        program.set("u_metallic", float(material.metallic))
        program.set("u_emissive", tuple(float(c) for c in material.emissive))
        program.set("u_subsurface", float(material.subsurface))
        program.set("u_part", float(part))
        for offset, (name, texture) in enumerate(self._bound.items()):
            texture.use(MATERIAL_UNIT + offset)
            program.set(f"u_{name}_texture", MATERIAL_UNIT + offset)

    def draw(self, program: Program) -> None:
        """Triangles with whatever attributes the program takes."""
        key = program.glo.glo
        if key not in self._arrays:
            content = [
                (self._buffers[name], kind, name) for name, kind in self._kinds.items() if name in program
            ]
            self._arrays[key] = self._resources.vertex_array(program.glo, content, self._index)
        self._arrays[key].render(moderngl.TRIANGLES)

    def draw_normals(self, program: Program) -> None:
        """A line for every vertex."""
        key = -program.glo.glo
        if key not in self._arrays:
            content = [(self._buffers[name], "3f/i", name) for name in ("in_position", "in_normal")]
            self._arrays[key] = self._resources.vertex_array(program.glo, content)
        self._arrays[key].render(moderngl.LINES, vertices=2, instances=len(self.mesh.vertices))

    def release(self) -> None:
        for shared in self._shared.values():
            shared.release()
        self._shared.clear()
        self._resources.release(*self._arrays.values(), *self._buffers.values(), self._index)
        self._arrays.clear()
        for image in self._images.values():
            self._textures.release(image)
        self._images.clear()


def _culling(part: GpuMesh, eye: np.ndarray | None) -> int:
    """moderngl.CULL_FACE where back faces cannot be seen from `eye`, else no flag."""
    if eye is None or not part.encloses:
        return moderngl.NOTHING
    low, high = part.bounds
    return moderngl.NOTHING if ((eye > low) & (eye < high)).all() else moderngl.CULL_FACE


class SceneMeshes:
    """All parts of the scene on the GPU."""

    def __init__(self, resources: Resources, programs: ProgramCache):
        self._resources = resources
        self._programs = programs
        self.textures = MaterialTextures(resources)
        self.interop: Interop | None = None
        self.parts: list[GpuMesh] = []

    def set(self, meshes: list[Mesh]) -> None:
        """Replace all parts; images used before and after are uploaded only once."""
        before, self.parts = self.parts, []
        self.parts = [GpuMesh(self._resources, self.textures, mesh) for mesh in meshes]
        for part in before:
            part.release()

    def update(self, index: int, mesh: Mesh, on_gpu: OnGpu | None = None) -> None:
        if not self.parts[index].update(mesh, on_gpu, self.interop):
            fresh = GpuMesh(self._resources, self.textures, mesh)
            self.parts[index].release()
            self.parts[index] = fresh

    def draw_gbuffer(
        self,
        world_to_clip: np.ndarray,
        normal_maps: bool,
        extra: tuple[str, ...] = (),
        eye: np.ndarray | None = None,
    ) -> None:
        """All parts into the framebuffer in use, with the G-buffer program.

        Args:
            eye: if given, the back faces of closed parts that it is outside of are left
                out: nearly half the time of this pass on software GL.
            extra: SHOW_UV writes uv as albedo; TRIANGLE_ID the face's index, which costs
                half as much again on software GL (vertices are no longer shared);
                EMISSION fills the fifth image.
        """
        for number, part in enumerate(self.parts):
            defines = part.defines(normal_maps) + extra
            program = self._programs.get("gbuffer.vert", "gbuffer.frag", defines)
            program.set_matrix("u_world_to_clip", world_to_clip)
            part.set_material(program, number)
            self._resources.ctx.enable_only(moderngl.DEPTH_TEST | _culling(part, eye))
            part.draw(program)

    def draw_plain(self, program: Program) -> None:
        """All parts with one program that takes positions only."""
        for part in self.parts:
            part.draw(program)

    def draw_normals(self, program: Program) -> None:
        """The vertex normals of all parts with one program that takes positions and normals."""
        for part in self.parts:
            part.draw_normals(program)

    def release(self) -> None:
        for part in self.parts:
            part.release()
        self.parts.clear()
