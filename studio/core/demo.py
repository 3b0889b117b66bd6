"""The built-in scene that the studio opens with."""

from __future__ import annotations

from pathlib import Path

from studio.core.io.photos import load_photos
from studio.core.scene import Mesh, PhotoSet, Scene
from studio.core.scene.shapes import icosphere

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"


def demo_photos() -> PhotoSet:
    """The 24 photos of the duck, made by assets/make_demo.py."""
    return load_photos(DEMO / "transforms.json")


def demo_start() -> Mesh:
    """The sphere that becomes the duck."""
    return icosphere(4, radius=0.75)


def demo_scene() -> Scene:
    """The sphere under the default light: what the window shows before Start."""
    return Scene(meshes=[demo_start()], name="duck")
