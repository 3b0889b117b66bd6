"""The document's data: meshes, materials, lights, cameras. NumPy only, no behaviour of a renderer."""

from studio.core.scene.camera import Camera, look_at
from studio.core.scene.light import SH_COUNT, Light, Lighting
from studio.core.scene.material import Material
from studio.core.scene.mesh import Mesh
from studio.core.scene.photo import Photo, PhotoSet
from studio.core.scene.scene import Scene, Similarity

__all__ = [
    "SH_COUNT",
    "Camera",
    "Light",
    "Lighting",
    "Material",
    "Mesh",
    "Photo",
    "PhotoSet",
    "Scene",
    "Similarity",
    "look_at",
]
