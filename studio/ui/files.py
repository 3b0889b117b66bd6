"""Opening and saving, as background jobs that end in an undoable edit or a notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import InputError
from studio.core.io.splats import holds_gaussians
from studio.core.optim.settings import FitSettings
from studio.core.scene import Camera, Lighting, PhotoSet, Scene, Similarity
from studio.ui.commands import Edits, Set
from studio.ui.dialogs import FileDialogs, Request
from studio.ui.jobs import Job
from studio.ui.projects import SUFFIX, Projects
from studio.ui.state import AppState

if TYPE_CHECKING:
    import numpy as np

MESH_SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".gltf")
ENVIRONMENT_SUFFIXES = (".hdr", ".exr")
CAMERA_SUFFIXES = (".json", ".npy", ".txt")
ADVICE = {
    "Opening mesh": f"Meshes end in {', '.join(MESH_SUFFIXES)}.",
    "Opening volume": "Volumes end in .safetensors; `fit --representation volume` leaves such files.",
    "Opening points": "Gaussians are PLY files with opacity, scale_0..2, rot_0..3 and f_dc_0..2.",
    "Opening photos": "Choose a folder of photos, or the camera file of a capture (see README).",
    "Opening environment": "Choose an equirectangular map, twice as wide as high, .hdr or .exr.",
    "Exporting mesh": "Choose another folder or free some space; nothing was lost.",
    "Saving picture": "Choose another folder or free some space.",
    "Writing report": "Choose another folder or free some space.",
    "Saving project": "Save it in another folder, or free some space; nothing was lost.",
    "Opening project": "Projects end in .studio; an earlier autosave or copy may still open.",
    "Loading": "Run `main.py doctor`: it names what is missing and the command that mends it.",
}
"""What to do after a job failed, by its title."""


class Files:
    """The jobs that read and write files.

    Args:
        apply: carries out an edit of the document, on the main thread.
        abandon: ends the run under way, whose document goes.
        projects: what opens project files, and replaces whole documents.
    """

    def __init__(
        self,
        state: AppState,
        dialogs: FileDialogs,
        apply: Callable[[Edits | Set], None],
        abandon: Callable[[], None],
        projects: Projects,
    ) -> None:
        self._projects = projects
        self._abandon = abandon
        self._state = state
        self._dialogs = dialogs
        self._apply = apply
        self._size_key: tuple[object, ...] = ()
        self._size: int | None = None
        self._size_job: Job | None = None

    # Opening

    def ask_mesh(self) -> None:
        filters = (("Meshes", MESH_SUFFIXES),)
        self._dialogs.ask(Request("file", "Open mesh", self.open_mesh, filters))

    def ask_photos(self) -> None:
        self._dialogs.ask(Request("folder", "Open a folder of photos", self.open_photos))

    def ask_environment(self) -> None:
        filters = (("Environment maps", ENVIRONMENT_SUFFIXES),)
        self._dialogs.ask(Request("file", "Open environment", self.open_environment, filters))

    def open_any(self, paths: list[Path]) -> None:
        """Files or folders that were dropped or named on the command line."""
        for path in paths:
            if path.suffix.lower() == SUFFIX:
                self._projects.open(path)
            elif path.suffix.lower() == ".safetensors" or holds_gaussians(path):
                self._state.act("open_radiance", path)
            elif path.suffix.lower() in MESH_SUFFIXES:
                self.open_mesh(path)
            elif path.suffix.lower() in ENVIRONMENT_SUFFIXES:
                self.open_environment(path)
            elif path.is_dir() or path.suffix.lower() in CAMERA_SUFFIXES:
                self.open_photos(path)
            elif not path.exists():
                self._state.notify(f"{path}: no such file or folder", "fail", "Check the name.")
            else:
                known = "a project, a mesh, a volume, a folder of photos, a camera file or an environment map"
                self._state.notify(
                    f"{path.name}: not a kind of file the studio opens", "fail", f"Drop {known}."
                )

    def open_mesh(self, path: Path) -> None:
        def work(job: Job) -> Scene:
            from studio.core.io.meshes import load_scene
            from studio.gl.upload import prepare

            job.progress(-1, path.name)
            scene: Scene = load_scene(path)
            prepare(scene.meshes)
            return scene

        self._state.jobs.start("Opening mesh", work, lambda scene: self._take_mesh(path, scene))

    def open_photos(self, path: Path) -> None:
        def work(job: Job) -> PhotoSet:
            from studio.core.io.photos import load_photos

            return load_photos(path, progress=job.progress)

        self._state.jobs.start("Opening photos", work, lambda photos: self._take_photos(path, photos))

    def open_environment(self, path: Path) -> None:
        def work(job: Job) -> np.ndarray:
            from studio.core.gbuffer import LightTensors
            from studio.core.io.images import load_environment
            from studio.core.ops.prefilter import prefilter

            job.progress(-1, path.name)
            image: np.ndarray = load_environment(path)
            # The filter takes a second to make: it is then at hand when the effect asks for it.
            lights = LightTensors.from_lighting(Lighting(lights=[]).with_environment(image))
            assert lights.environment is not None
            prefilter(lights.environment)
            return image

        self._state.jobs.start("Opening environment", work, lambda image: self._take_environment(path, image))

    def open_scene(self, name: str) -> None:
        """One of studio.core.scenes, with its light; another document."""

        def work(job: Job) -> Scene:
            from studio.core.scenes import built_in

            job.progress(-1, name)
            return built_in(name)

        def open() -> None:
            self._state.jobs.start(
                "Opening built-in scene", work, lambda scene: self._take_scene(name, scene)
            )

        self._projects.guard(open, "opening another scene")

    def open_demo(self) -> None:
        """The photos of the duck; another document."""

        def work(job: Job) -> tuple[Scene, PhotoSet, FitSettings]:
            from studio.core import demo

            job.progress(-1, "built-in scene")
            return demo.demo_scene(), demo.demo_photos(), demo.demo_settings()

        def open() -> None:
            self._state.jobs.start("Opening built-in scene", work, lambda found: self._take_demo(*found))

        self._projects.guard(open, "opening another scene")

    def _take_mesh(self, path: Path, scene: Scene) -> None:
        """The new scene replaces the old; light and background stay where the file has none.

        The photos that the window opens with go, if nobody has done anything with them.
        """
        state, old = self._state, self._state.document.scene
        placeholder = state.document.path is None and not state.unsaved
        self._abandon()
        if not scene.meshes:
            raise InputError(f"{path.name}: no mesh in it")
        new = replace(scene, lighting=old.lighting, background=old.background, effects=old.effects)
        sets: tuple[Set, ...] = (
            Set(("scene",), new, ""),
            Set(("name",), path.stem, ""),
            Set(("settings", "start"), "mesh", ""),
            Set(("origin",), str(path) if is_default(old.lighting) else "", ""),
            Set(("result",), None, ""),
            Set(("looks", "meshes", "shown"), True, ""),
        )
        if placeholder and state.photos is not None:
            sets += (Set(("photos",), None, ""),)
            state.view.photo = None
        self._apply(Edits(sets, f"Open {path.name}"))
        state.view.welcome_open = False
        self._show_first_mesh()
        count = f"{new.triangle_count():,}".replace(",", " ")
        state.notify(f"Opened {path.name}: {count} triangles", "good")

    def _show_first_mesh(self) -> None:
        """Select it and fill the view; its panel comes forward unless there are photos to fit it to."""
        self._state.view.selected = "mesh:0"
        if self._state.photos is None:
            self._state.act("bring", "Material")
        self._state.act("frame")

    def _take_environment(self, path: Path, image: np.ndarray) -> None:
        """The map lights the scene, with the effect that shows it where there is one."""
        document = self._state.document
        sets: tuple[Set, ...] = (
            Set(("scene", "lighting"), document.scene.lighting.with_environment(image), ""),
        )
        if "environment" in document.enabled:
            sets += (Set(("enabled", "environment"), True, ""),)
        self._apply(Edits(sets, f"Light with {path.name}"))
        self._state.notify(f"Opened {path.name}", "good", f"{image.shape[1]} × {image.shape[0]} pixels")

    def _take_scene(self, name: str, scene: Scene) -> None:
        sets = (
            Set(("scene",), replace(scene, effects=self._state.document.scene.effects), ""),
            Set(("photos",), None, ""),
            Set(("name",), name, ""),
            Set(("settings", "start"), "mesh", ""),
        )
        self._state.view.photo = None
        self._projects.replaced_by(sets, name)
        self._show_first_mesh()

    def _take_photos(self, path: Path, photos: PhotoSet) -> None:
        self._abandon()
        sets: tuple[Set, ...] = (Set(("photos",), photos, ""),)
        if not self._state.document.scene.meshes or self._state.document.settings["start"] == "sphere":
            masked = any(photo.mask is not None for photo in photos.photos)
            sets += (Set(("settings", "start"), "hull" if masked else "sphere", ""),)
        if self._state.document.name in ("untitled", "duck"):
            sets += (Set(("name",), path.stem if path.is_file() else path.name, ""),)
        self._apply(Edits(sets, f"Open photos of {path.name}"))
        self._state.document.missing = None
        self._state.view.welcome_open = False
        for note in photos.notes:
            self._state.say(f"{path.name}: {note}")
        for finding in photos.findings:
            self._state.say(f"{path.name}: check: {finding}")
        self._state.notify(f"Opened {len(photos.photos)} photos of {path.name}", "good")

    def _take_demo(self, scene: Scene, photos: PhotoSet, settings: FitSettings) -> None:
        sets = (
            Set(("scene",), scene, ""),
            Set(("photos",), photos, ""),
            Set(("settings",), settings, ""),
            Set(("name",), scene.name, ""),
        )
        self._projects.replaced_by(sets, "")
        self._state.act("reset_view")
        self._state.say("Opened the built-in scene. Press Start to fit the sphere to the photos.")

    # Saving

    def ask_export(self) -> None:
        """Ask where to, for the kind of file that is chosen."""
        kinds = {
            "glb": ("glTF binary", (".glb",)),
            "obj": ("Wavefront", (".obj",)),
            "ply": ("Stanford", (".ply",)),
        }
        kind = self._state.choices["mesh"]["format"]
        start = f"{self._state.document.name}.{kind}"
        self._dialogs.ask(Request("save", "Export mesh", self.export, (kinds[kind],), start))

    def export(self, path: Path) -> None:
        """Write the scene as it is shown, with what is chosen in it and beside it."""
        values = self._state.choices["mesh"].copy()
        if not path.suffix:
            path = path.with_suffix(f".{values['format']}")
        scene, cameras, capture = self.shown_scene(), self.cameras(), self._capture()

        def work(job: Job) -> list[Path]:
            from studio.core.io.export_choices import export_chosen

            return export_chosen(scene, path, values, capture, cameras, job.progress)

        self._state.jobs.start("Exporting mesh", work, self._exported)

    def cameras(self) -> list[tuple[str, Camera]]:
        """(file, camera) of every photo."""
        photos = self._state.photos
        return [] if photos is None else [(p.path or p.name, p.camera) for p in photos.photos]

    def _capture(self) -> Similarity:
        """From the scene to the coordinates of the photos' files."""
        photos = self._state.photos
        return Similarity() if photos is None else photos.input_to_world.inverse()

    def exported_bytes(self) -> int | None:
        """About what an export of what is shown now will take; None until that is known."""
        values = self._state.choices["mesh"].copy()
        snapshot = self._state.run.override
        key = (*values.as_dict().values(), self._state.version, None if snapshot is None else snapshot.step)
        if key != self._size_key and self._size_job not in self._state.jobs.quiet:
            self._size_key, self._size = key, None
            scene = self.shown_scene()

            def work(job: Job) -> int:
                from studio.core.io.export_choices import estimated_bytes

                return estimated_bytes(scene, values, f".{values['format']}")

            def take(size: int) -> None:
                self._size = size if key == self._size_key else None

            self._size_job = self._state.jobs.start("Measuring", work, take, quiet=True)
        return self._size

    def report(self, folder: Path) -> None:
        """The page that a fit leaves, of what is shown now, in a folder of its own within this one.

        Raises:
            InputError: there is nothing to compare with photos, or no photos.
        """
        state, snapshot = self._state, self._state.run.override or self._state.run.snapshot
        photos, scene = state.photos, self.seen_scene()
        if photos is None or scene.empty:
            raise InputError("report: there is nothing to report; open photos and a mesh, or run a fit")
        scene = replace(scene, effects={**scene.effects, "pbr": state.document.effects["pbr"].as_dict()})
        settings, rows = state.document.settings.copy(), list(state.run.history)
        steps, exposure = state.run.status.step, None if snapshot is None else snapshot.exposure
        device, target = state.device, folder / f"{state.document.name}_report"

        def work(job: Job) -> Path:
            from studio.core.device import pick_device
            from studio.core.optim.report_now import Subject, save_report

            subject = Subject(scene, photos, settings, rows, steps, exposure)
            return save_report(target, subject, pick_device(device), job.progress)

        state.jobs.start("Writing report", work, self._reported)

    def _reported(self, page: Path) -> None:
        self._state.notify(f"Wrote {page.name}", "good", f"In {page.parent}")

    def shown_scene(self) -> Scene:
        """The document's scene with the mesh and light of the snapshot on screen."""
        document, snapshot = self._state.document, self._state.run.override
        if snapshot is None:
            return document.scene
        if snapshot.mesh is None:
            return replace(document.scene, volume=snapshot.whole().volume, points=snapshot.points)
        meshes = [snapshot.mesh, *document.scene.meshes[1:]]
        return replace(document.scene, meshes=meshes, lighting=self._state.lighting())

    def seen_scene(self) -> Scene:
        """`shown_scene` without what is hidden."""
        scene, seen = self.shown_scene(), self._state.shown_kinds()
        return replace(
            scene,
            meshes=scene.meshes if seen["meshes"] else [],
            volume=scene.volume if seen["volume"] else None,
            points=scene.points if seen["points"] else None,
        )

    def _exported(self, files: list[Path]) -> None:
        beside = "".join(f", {file.name}" for file in files[1:])
        self._state.notify(f"Exported {files[0].name}{beside}", "good", f"In {files[0].parent}")


def is_default(lighting: Lighting) -> bool:
    """Whether this is the light that every mesh file opens under."""
    plain = Lighting()
    same = [vars(light) for light in lighting.lights] == [vars(light) for light in plain.lights]
    return same and lighting.environment is None and bool((lighting.sh == plain.sh).all())
