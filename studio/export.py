"""The command `export`: a scene as a mesh file."""

from __future__ import annotations

from pathlib import Path

import click

from studio.options import open_document


@click.command("export")
@click.argument("scene", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .glb, .obj or .ply file.")
def export(scene: Path, out: Path) -> None:
    """Write SCENE (a project, a mesh file or a built-in scene) as a mesh.

    The mesh of a project comes out in the coordinates of its photos' files.
    """
    from studio.core.io.export import export_scene
    from studio.core.scene import Similarity

    loaded, project = open_document(scene)
    reference = None if project is None else project.photos
    to_world = Similarity()
    if reference is not None and reference.world is not None:
        to_world = reference.world.inverse()
    export_scene(loaded, out, to_world)
    click.echo(f"{out}: {loaded.triangle_count():,} triangles")
