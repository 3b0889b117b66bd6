"""The document's data: meshes, volumes, points, materials, lights, cameras. NumPy, no rendering."""

from studio.core.scene.camera import Camera, look_at
from studio.core.scene.light import SH_COUNT, Light, Lighting
from studio.core.scene.material import Material
from studio.core.scene.mesh import Mesh
from studio.core.scene.photo import Photo, PhotoSet, Reading
from studio.core.scene.points import Points
from studio.core.scene.scene import Scene
from studio.core.scene.similarity import Similarity
from studio.core.scene.volume import Volume

__all__ = [
    "SH_COUNT",
    "Camera",
    "Light",
    "Lighting",
    "Material",
    "Mesh",
    "Photo",
    "PhotoSet",
    "Points",
    "Reading",
    "Scene",
    "Similarity",
    "Volume",
    "look_at",
]
