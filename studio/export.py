"""The command `export`: a scene as a mesh file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.options import GeneratedOptions, open_document

if TYPE_CHECKING:
    from studio.core.params import Param


def _flags() -> dict[str, Param]:
    from studio.core.io.export_choices import PARAMS

    return {param.name.replace("_", "-"): param for param in PARAMS}


@click.command("export", cls=GeneratedOptions, flags=_flags)
@click.argument("scene", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .glb, .obj or .ply file.")
def export(scene: Path, out: Path, generated: dict[str, Any]) -> None:
    """Write SCENE (a project, a mesh file or a built-in scene) as a mesh.

    The mesh of a project comes out in the coordinates of its photos' files.
    """
    from studio.core.io.export_choices import choices, export_chosen
    from studio.core.scene import Similarity

    values = choices()
    for stem, value in generated.items():
        values.set(stem.replace("-", "_"), value)

    loaded, project = open_document(scene)
    reference = None if project is None else project.photos
    to_world = Similarity()
    if reference is not None and reference.world is not None:
        to_world = reference.world.inverse()
    cameras = [(camera.name, camera) for camera in loaded.cameras]
    if values["cameras"] and reference is not None:
        cameras = [(photo.path or photo.name, photo.camera) for photo in reference.read().photos]
    files = export_chosen(loaded, out, values, to_world, cameras)
    click.echo(f"{', '.join(map(str, files))}: {loaded.triangle_count():,} triangles")
