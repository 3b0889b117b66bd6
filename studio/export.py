"""The command `export`: a scene as a mesh file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.options import GeneratedOptions, is_volume, open_document

if TYPE_CHECKING:
    from studio.core.params import Param
    from studio.core.scene import Scene


def _flags() -> dict[str, Param]:
    from studio.core.io.export_choices import PARAMS

    return {param.name.replace("_", "-"): param for param in PARAMS}


@click.command("export", cls=GeneratedOptions, flags=_flags)
@click.argument("scene", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A .glb, .obj or .ply file; or .safetensors for a volume.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    show_default=True,
    help="Of a volume: optical depth of a voxel at the mesh's surface.",
)
@click.option(
    "--points",
    "resolution",
    type=click.IntRange(8, 512),
    default=128,
    show_default=True,
    help="Of a mesh that becomes a volume: voxels along its longest side.",
)
def export(scene: Path, out: Path, threshold: float, resolution: int, generated: dict[str, Any]) -> None:
    """Write SCENE (a project, a mesh file, a volume or a built-in scene) as a mesh, or as a volume.

    The mesh of a project or a volume comes out in the coordinates of its photos' files.
    """
    from studio.core.io.export_choices import choices, export_chosen
    from studio.core.scene import Similarity

    values = choices()
    for stem, value in generated.items():
        values.set(stem.replace("-", "_"), value)

    if is_volume(out):
        _voxelize(scene, out, resolution)
        return
    loaded, project = (_meshed(scene, threshold), None) if is_volume(scene) else open_document(scene)
    reference = None if project is None else project.photos
    to_world = Similarity()
    if reference is not None and reference.world is not None:
        to_world = reference.world.inverse()
    cameras = [(camera.name, camera) for camera in loaded.cameras]
    if values["cameras"] and reference is not None:
        cameras = [(photo.path or photo.name, photo.camera) for photo in reference.read().photos]
    files = export_chosen(loaded, out, values, to_world, cameras)
    click.echo(f"{', '.join(map(str, files))}: {loaded.triangle_count():,} triangles")


def _meshed(path: Path, threshold: float) -> Scene:
    """The surface of a volume, in the coordinates of the files it was made from."""
    from studio.core.io.volumes import load_volume
    from studio.core.optim.isosurface import surface_of, with_colors
    from studio.core.scene import Scene

    volume = load_volume(path)
    mesh = with_colors(surface_of(volume, threshold), volume)
    return Scene([mesh.with_vertices(volume.world_to_input.apply(mesh.vertices).astype("float32"))])


def _voxelize(scene: Path, out: Path, resolution: int) -> None:
    """Write a scene's meshes as a volume: their inside, or a shell of those that are open."""
    from studio.core.errors import InputError
    from studio.core.io.volumes import save_volume
    from studio.core.optim.voxelize import solid_or_shell
    from studio.core.scene.mesh import merge

    loaded, _ = open_document(scene)
    if not loaded.meshes:
        raise InputError(f"{scene}: has no mesh, expected one to make a volume of")
    volume = solid_or_shell(merge(loaded.meshes), resolution)
    save_volume(volume, out)
    click.echo(f"{out}: {' x '.join(map(str, volume.shape))} points")
