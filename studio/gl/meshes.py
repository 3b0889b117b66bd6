"""Meshes on the GPU: vertex buffers, material textures, and drawing them."""

from __future__ import annotations

from dataclasses import dataclass

import moderngl
import numpy as np
import torch

from studio.core.ops import texture_construct_mip
from studio.core.optim.messages import OnGpu
from studio.core.scene import Material, Mesh
from studio.gl.interop import Interop, SharedBuffer
from studio.gl.program import Program, ProgramCache
from studio.gl.resources import Resources
from studio.gl.upload import attribute, encloses, inputs, upload_of

_TEXTURES = ("base_color", "orm", "occlusion", "normal", "emissive")
_ON_GPU = {
    **{"in_position": "vertices", "in_normal": "normals", "in_color": "colors"},
    **{"in_roughness": "roughness", "in_metallic": "metallic"},
}
"""Shader input -> name in OnGpu."""

MATERIAL_UNIT = 0
"""First texture unit of material textures; nothing else is bound while geometry is drawn."""


def _images(material: Material) -> dict[str, np.ndarray]:
    """Name -> image of the textures that the material has."""
    found = {name: getattr(material, f"{name}_texture") for name in _TEXTURES}
    return {name: image for name, image in found.items() if image is not None}


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
        upload = upload_of(mesh)
        self.encloses = upload.encloses
        self._kinds = {name: kind for name, (kind, _) in upload.attributes.items()}
        self._buffers = {name: resources.buffer(data) for name, (_, data) in upload.attributes.items()}
        self._shared: dict[str, SharedBuffer] = {}
        self._index = resources.buffer(np.ascontiguousarray(mesh.faces, np.int32))
        few = upload.stand_in
        self._stand_in = None if few is None else resources.buffer(few)
        self._arrays: dict[tuple[int, bool], moderngl.VertexArray] = {}
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
        if set(inputs(mesh)) != self._buffers.keys():
            return False
        same = mesh.faces is self.mesh.faces or np.array_equal(mesh.faces, self.mesh.faces)
        if not same and self._stand_in is not None:
            return False
        for name, buffer in self._buffers.items():
            if on_gpu is None or interop is None or not self._share(name, on_gpu, interop):
                buffer.write(attribute(mesh, name))
        if not same:
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

    def draw(self, program: Program, draft: bool = False) -> None:
        """Triangles with whatever attributes the program takes; of the stand-in, if this is a draft."""
        index = self._index if self._stand_in is None or not draft else self._stand_in
        key = program.glo.glo, index is self._index
        if key not in self._arrays:
            content = [
                (self._buffers[name], kind, name) for name, kind in self._kinds.items() if name in program
            ]
            self._arrays[key] = self._resources.vertex_array(program.glo, content, index)
        self._arrays[key].render(moderngl.TRIANGLES)

    def draw_normals(self, program: Program) -> None:
        """A line for every vertex."""
        key = -program.glo.glo, True
        if key not in self._arrays:
            content = [(self._buffers[name], "3f/i", name) for name in ("in_position", "in_normal")]
            self._arrays[key] = self._resources.vertex_array(program.glo, content)
        self._arrays[key].render(moderngl.LINES, vertices=2, instances=len(self.mesh.vertices))

    def release(self) -> None:
        for shared in self._shared.values():
            shared.release()
        self._shared.clear()
        few = () if self._stand_in is None else (self._stand_in,)
        self._resources.release(*self._arrays.values(), *self._buffers.values(), self._index, *few)
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
    """All parts of the scene on the GPU.

    Attributes:
        own: so many are the scene's; parts after them are guests, such as a preview.
        shown: false draws only guests.
    """

    def __init__(self, resources: Resources, programs: ProgramCache):
        self._resources = resources
        self._programs = programs
        self.textures = MaterialTextures(resources)
        self.interop: Interop | None = None
        self.parts: list[GpuMesh] = []
        self.own = 0
        self.shown = True

    def set(self, meshes: list[Mesh], guests: int = 0) -> None:
        """Replace all parts, of which the last are guests; shared images are uploaded only once."""
        before, self.parts = self.parts, []
        self.own = len(meshes) - guests
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
        draft: bool = False,
    ) -> None:
        """All parts into the framebuffer in use, with the G-buffer program.

        Args:
            eye: if given, the back faces of closed parts that it is outside of are left
                out: nearly half the time of this pass on software GL.
            extra: SHOW_UV writes uv as albedo; TRIANGLE_ID the face's index, which costs
                half as much again on software GL (vertices are no longer shared);
                EMISSION fills the fifth image.
            draft: large parts are drawn by their stand-ins.
        """
        first = len(self.parts) - len(self._drawn)
        for number, part in enumerate(self._drawn, start=first):
            defines = part.defines(normal_maps) + extra
            program = self._programs.get("gbuffer.vert", "gbuffer.frag", defines)
            program.set_matrix("u_world_to_clip", world_to_clip)
            part.set_material(program, number)
            self._resources.ctx.enable_only(moderngl.DEPTH_TEST | _culling(part, eye))
            part.draw(program, draft)

    @property
    def _drawn(self) -> list[GpuMesh]:
        return self.parts if self.shown else self.parts[self.own :]

    def draw_plain(self, program: Program) -> None:
        """All parts with one program that takes positions only; large ones by their stand-ins."""
        for part in self._drawn:
            part.draw(program, draft=True)

    def draw_normals(self, program: Program) -> None:
        """The vertex normals of all parts with one program that takes positions and normals."""
        for part in self._drawn:
            part.draw_normals(program)

    def release(self) -> None:
        for part in self.parts:
            part.release()
        self.parts.clear()
