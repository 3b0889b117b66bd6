"""Volumes and points in the window: opening, saving, from volume to mesh and back, the preview."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from studio.core.errors import InputError
from studio.core.scene import Mesh, PhotoSet, Points, Volume
from studio.core.scene.mesh import merge
from studio.ui.commands import Edits, Set
from studio.ui.dialogs import FileDialogs, Request
from studio.ui.jobs import Job
from studio.ui.state import AppState

VOLUMES, CLOUDS = ("Volumes", (".safetensors",)), ("Gaussians", (".ply",))

_RESOLUTION = 128
"""Voxels along the longest side of a mesh that becomes a volume."""

Apply = Callable[[Edits | Set], None]


class RadianceFiles:
    """The jobs around volumes and points.

    Args:
        apply: carries out an edit of the document, on the main thread.
        abandon: ends the run under way, whose document goes.
    """

    def __init__(
        self, state: AppState, dialogs: FileDialogs, apply: Apply, abandon: Callable[[], None]
    ) -> None:
        self._state = state
        self._dialogs = dialogs
        self._apply = apply
        self._abandon = abandon

    # Opening and saving

    def ask_open(self) -> None:
        filters = (("Volumes and points", (*VOLUMES[1], *CLOUDS[1])),)
        self._dialogs.ask(Request("file", "Open volume or points", self.open, filters))

    def open(self, path: Path) -> None:
        """A volume or a cloud of Gaussians, by the file's suffix."""

        def work(job: Job) -> Volume | Points:
            from studio.core.io.splats import load_points
            from studio.core.io.volumes import load_volume

            job.progress(-1, path.name)
            found: Volume | Points = load_points(path) if path.suffix.lower() == ".ply" else load_volume(path)
            return found

        title = "Opening points" if path.suffix.lower() == ".ply" else "Opening volume"
        self._state.jobs.start(title, work, lambda found: self._take(path, found))

    def _take(self, path: Path, found: Volume | Points) -> None:
        """It replaces what is there, as a mesh would; light, background and photos stay."""
        self._abandon()
        document, photos = self._state.document, self._state.photos
        kind = "volume" if isinstance(found, Volume) else "points"
        if isinstance(found, Points) and photos is not None:  # files are in the photos' own coordinates
            into = photos.input_to_world
            found = replace(found.moved(into), world_to_input=into.inverse())
        new = replace(document.scene, meshes=[], volume=None, points=None, cameras=[])
        setattr(new, kind, found)
        sets = (
            Set(("scene",), new, ""),
            Set(("name",), path.stem, ""),
            Set(("origin",), str(path), ""),
            Set(("result",), None, ""),
            Set(("looks", kind, "shown"), True, ""),
        )
        self._apply(Edits(sets, f"Open {path.name}"))
        self._state.view.welcome_open = False
        self._state.act("select", kind)
        self._state.act("frame")
        self._state.notify(f"Opened {path.name}: {described(found)}", "good")

    def ask_save(self) -> None:
        scene, name = self._state.scene, self._state.document.name
        filters = [VOLUMES] * (scene.volume is not None) + [CLOUDS] * (scene.points is not None)
        suffix = filters[0][1][0]
        self._dialogs.ask(
            Request("save", "Save volume or points", self.save, tuple(filters), f"{name}{suffix}")
        )

    def save(self, path: Path) -> None:
        """Write the volume or the points, by the file's suffix."""
        scene, suffix = self._state.scene, path.suffix.lower()
        if not suffix:
            suffix = ".safetensors" if scene.volume is not None else ".ply"
            path = path.with_suffix(suffix)
        volume, points = scene.volume, scene.points
        if suffix == ".safetensors" and volume is None:
            raise InputError(f"{path.name}: there is no volume to save; points go into a .ply file")
        if suffix == ".ply" and points is None:
            raise InputError(f"{path.name}: there are no points to save; a volume goes into .safetensors")
        if suffix not in (".safetensors", ".ply"):
            raise InputError(f"{path.name}: expected a file ending in .safetensors or .ply")

        def work(job: Job) -> Path:
            from studio.core.io.splats import save_points
            from studio.core.io.volumes import save_volume

            job.progress(-1, path.name)
            if suffix == ".ply" and points is not None:
                save_points(points, path)
            elif volume is not None:
                save_volume(volume, path)
            return path

        self._state.jobs.start(
            "Saving volume or points",
            work,
            lambda saved: self._state.notify(f"Saved {saved.name}", "good", f"In {saved.parent}"),
        )

    # From one to the other

    def make_mesh(self) -> None:
        """The volume's surface at the threshold becomes the mesh that fits start from."""
        volume, photos = self._state.scene.volume, self._state.photos
        if volume is None:
            raise InputError("There is no volume to make a mesh of.")
        depth = self._state.document.looks["volume"]["threshold"]
        misses = int(self._state.document.settings["hull_misses"])

        def work(job: Job) -> Mesh:
            from studio.core.optim.isosurface import Evidence, surface_of, with_colors

            job.progress(-1, "what the photos see")
            seen = [] if photos is None or not _same_world(volume, photos) else photos.photos
            evidence = Evidence.of_photos(
                volume, seen, misses, lambda share, note: job.progress(0.7 * share, note)
            )
            job.progress(0.7, "surface")
            mesh = surface_of(volume, depth, evidence, cancel=lambda: job.cancelled)
            return with_colors(mesh, volume)

        self._state.jobs.start("Making a mesh", work, self._take_mesh)

    def _take_mesh(self, mesh: Mesh) -> None:
        sets = (
            Set(("scene", "meshes"), [mesh], ""),
            Set(("settings", "start"), "mesh", ""),
            Set(("settings", "representation"), "mesh", ""),
            Set(("looks", "meshes", "shown"), True, ""),
            Set(("looks", "volume", "shown"), False, ""),
        )
        self._apply(Edits(sets, "Make mesh"))
        self._state.act("select", "mesh:0")
        self._state.notify(f"Made a mesh of {len(mesh.faces):,} triangles", "good", "A fit starts from it.")

    def voxelize(self) -> None:
        """The meshes become a volume: their inside if they are closed, else a shell."""
        meshes = self._state.scene.meshes
        if not meshes:
            raise InputError("There is no mesh to make a volume of.")

        def work(job: Job) -> Volume:
            from studio.core.optim.voxelize import solid_or_shell

            job.progress(-1, meshes[0].name)
            return solid_or_shell(merge(meshes), _RESOLUTION)

        self._state.jobs.start("Voxelizing", work, self._take_volume)

    def _take_volume(self, volume: Volume) -> None:
        photos = self._state.photos
        if photos is not None:
            volume = replace(volume, world_to_input=photos.input_to_world.inverse())
        sets = (
            Set(("scene", "volume"), volume, ""),
            Set(("looks", "volume", "shown"), True, ""),
            Set(("looks", "meshes", "shown"), False, ""),
        )
        self._apply(Edits(sets, "Voxelize"))
        self._state.act("select", "volume")
        self._state.notify(f"Made a volume: {described(volume)}", "good")

    def remove(self, kind: str) -> None:
        self._apply(Set(("scene", kind), None, f"Remove the {kind}"))
        self._state.view.selected = "mesh:0"


def described(what: Volume | Points) -> str:
    """Size of a volume or a cloud, for people."""
    if isinstance(what, Points):
        return f"{len(what):,} Gaussians"
    return " × ".join(map(str, what.shape)) + " grid points"


def _same_world(volume: Volume, photos: PhotoSet) -> bool:
    """Whether the volume is where the photos' cameras look."""
    own, theirs = volume.world_to_input, photos.input_to_world.inverse()
    return bool(
        np.isclose(own.scale, theirs.scale)
        and np.allclose(own.rotation, theirs.rotation, atol=1e-6)
        and np.allclose(own.translation, theirs.translation, atol=1e-6)
    )


class Preview:
    """The iso-surface of the document's volume, found behind the window while it is to be seen.

    Attributes:
        mesh: the newest one, None while none is shown.
    """

    def __init__(self, state: AppState) -> None:
        self._state = state
        self.mesh: Mesh | None = None
        self._volume: Volume | None = None
        self._threshold = 0.0
        self._job: Job | None = None
        self._changed = False

    def fresh(self) -> bool:
        """Once a frame: ask for another one if it is needed; whether `mesh` has changed since."""
        self._follow()
        changed, self._changed = self._changed, False
        return changed

    def _follow(self) -> None:
        state = self._state
        volume, look = state.scene.volume, state.document.looks["volume"]
        hidden = not look["shown"] or state.run.override is not None
        if volume is None or not look["surface"] or hidden:
            self._changed = self._changed or self.mesh is not None
            self.mesh, self._volume = None, None
            return
        threshold = float(look["threshold"])
        if self._job is not None or (volume is self._volume and threshold == self._threshold):
            return
        self._volume, self._threshold = volume, threshold
        self._job = state.jobs.start(
            "Iso-surface", lambda job: self._made(volume, threshold), self._take, quiet=True
        )

    @staticmethod
    def _made(volume: Volume, threshold: float) -> Mesh | str:
        from studio.core.optim.isosurface import preview_of

        try:
            return preview_of(volume, threshold)
        except InputError as error:
            return str(error)

    def _take(self, found: Mesh | str) -> None:
        self._job = None
        if isinstance(found, str):
            self._state.notify(found, "warn")
            self.mesh = None
        else:
            self.mesh = found
        self._changed = True
