"""The built-in scene that the studio opens with: a sphere, and photos of a rubber duck."""

from __future__ import annotations

from pathlib import Path

from studio.core.io.meshes import load_scene
from studio.core.io.photos import load_photos
from studio.core.optim.settings import FitSettings, load_preset
from studio.core.scene import PhotoSet, Scene
from studio.core.scene.shapes import icosphere

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
"""Made by assets/make_demo.py."""


def demo_photos() -> PhotoSet:
    """The photos of the duck."""
    return load_photos(DEMO / "transforms.json")


def demo_settings() -> FitSettings:
    """The standard preset, shorter and from a sphere, so that there is something to watch."""
    settings = load_preset("standard")
    changes = {
        "start": "sphere",
        "holdout": 8,
        "resolution": 256,
        "steps": 600,
        "texture_steps": 180,
        "warm_up": 40,
    }
    for name, value in changes.items():
        settings.set(name, value)
    return settings


def demo_scene() -> Scene:
    """The sphere under the default light: what the window shows before Start."""
    return Scene(meshes=[icosphere(4, radius=0.75)], name="duck")


def demo_truth() -> Scene:
    """The duck that the photos show."""
    return load_scene(DEMO / "duck.glb")
