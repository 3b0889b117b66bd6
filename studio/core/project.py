"""Project files: everything a person worked on, in one file.

A project `NAME.studio` is a zip of

    project.json         what there is, checked entry by entry; `version` says by which rules
    arrays.safetensors   meshes, textures, maps and curves, as they were in memory, bit for bit
    thumbnail.png        what it looked like, for lists; may be missing

Photos are not in it but where they were: the file says how they were read, and in which world, so
that they can be read again. Nothing in a project is code. It is written beside its place and moved
there when complete, so a full disk or a crash leaves the earlier file.
"""

from __future__ import annotations

import json
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from studio import __version__
from studio.core.errors import InputError, describe
from studio.core.io.files import MAX_JSON_BYTES, atomic_path, check_readable, parse_json
from studio.core.looks import LOOKS
from studio.core.optim.messages import HistoryRow, Snapshot
from studio.core.optim.settings import FitSettings
from studio.core.params import ParamSet
from studio.core.project_check import check_run, check_scene
from studio.core.project_kept import KeptPicture, check_kept
from studio.core.project_photos import PhotoReference
from studio.core.scene import Camera, Scene
from studio.core.tree import Arrays, pack, unpack

VERSION = 1
"""Grows when older programs would misread a file; then MIGRATIONS says how to read the older ones."""

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From a version to the next: what to do with the contents of project.json."""

SUFFIX = ".studio"
FORMAT = "studio project"

_WHAT = "a project that the studio saved"
_JSON, _ARRAYS, _PICTURE = "project.json", "arrays.safetensors", "thumbnail.png"
_MAX_PICTURE_BYTES = 4 * 2**20
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, SafetensorError, OSError, EOFError),
    *(NotImplementedError, RuntimeError, ValueError),
)
"""What zipfile and safetensors raise for files that are not as they should be."""


@dataclass(eq=False)
class Effects:
    """One set of effects.

    Attributes:
        values: effect -> parameter -> value.
        on: which effects are on.
    """

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    on: dict[str, bool] = field(default_factory=dict)

    def enabled(self) -> dict[str, ParamSet]:
        """Checked values of those that are on, in the registry's order."""
        from studio.core.effects import registry

        return {
            name: ParamSet(name, effect.params, self.values.get(name))
            for name, effect in registry().items()
            if self.on.get(name)
        }


@dataclass(eq=False)
class RunRecord:
    """What is known of the last run.

    Attributes:
        phase: done, stopped or failed; running or paused where it was saved under way.
        snapshot: its newest state.
        history: rows of the plots.
        checkpoint: file to go on from with `fit --resume`, "" if there is none.
    """

    phase: str = "done"
    step: int = 0
    steps: int = 0
    snapshot: Snapshot | None = None
    history: list[HistoryRow] = field(default_factory=list)
    checkpoint: str = ""

    @property
    def under_way(self) -> bool:
        """It was saved while it ran: its state is not in the project's scene yet."""
        return self.phase in ("preparing", "running", "paused")


@dataclass(eq=False)
class Project:
    """What a project file holds.

    Attributes:
        photos: where they are and how to read them, or None.
        effects, other: the sets A and B.
        camera: of the view, or None.
        view: how it was looked at, plain values that the window reads.
        looks: how meshes, volume and points are shown, values of studio.core.looks by name.
        kept: pictures to compare with, "a" and "b".
        notes: what could not be taken over from the file, one line each.
    """

    name: str
    scene: Scene
    photos: PhotoReference | None = None
    settings: FitSettings = field(default_factory=FitSettings)
    effects: Effects = field(default_factory=Effects)
    other: Effects | None = None
    camera: Camera | None = None
    view: dict[str, Any] = field(default_factory=dict)
    run: RunRecord | None = None
    looks: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, KeptPicture] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def shown_scene(self) -> Scene:
        """The scene; with the newest state of a run that was saved under way."""
        if self.run is None or self.run.snapshot is None or not self.run.under_way:
            return self.scene
        from studio.core.optim.start import scene_after  # loads PyTorch

        return scene_after(self.scene, self.run.snapshot, self.settings, self.name)


@dataclass(frozen=True)
class Summary:
    """What a list shows of a project without reading all of it.

    Attributes:
        saved: seconds since 1970.
        thumbnail: a PNG, or None.
    """

    name: str
    saved: float
    triangles: int
    photos: int
    step: int
    thumbnail: bytes | None = None


# Saving


def save_project(project: Project, path: Path | str, thumbnail: bytes | None = None) -> None:
    """Write a project; an earlier file of that name is replaced only when the new one is complete.

    Args:
        thumbnail: a PNG of what it looks like.
    Raises:
        InputError: the place cannot be written.
        WorkError: the disk filled up; the earlier file is unchanged.
    """
    path = Path(path)
    arrays = Arrays()
    tree = _tree(project, path.resolve().parent, arrays)
    text = json.dumps(tree, allow_nan=False, indent=1)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        file.writestr(_JSON, text, zipfile.ZIP_DEFLATED)
        if thumbnail is not None:
            file.writestr(_PICTURE, thumbnail)
        file.writestr(_ARRAYS, save_arrays(arrays.by_name))


def _tree(project: Project, folder: Path, arrays: Arrays) -> dict[str, Any]:
    """The contents of project.json in `folder`."""
    run, settings = project.run, project.settings
    return {
        "format": FORMAT,
        "version": VERSION,
        "program": __version__,
        "saved": time.time(),
        "name": project.name,
        "summary": {
            "triangles": project.scene.triangle_count(),
            "photos": 0 if project.photos is None else len(project.photos.names),
            "step": 0 if run is None else run.step,
        },
        "scene": pack(project.scene, arrays),
        "photos": None if project.photos is None else project.photos.pack(folder, arrays),
        "settings": {"preset": settings.preset, "help": settings.help, "values": settings.as_dict()},
        "effects": pack(project.effects, arrays),
        "other": pack(project.other, arrays),
        "camera": pack(project.camera, arrays),
        "view": pack(project.view, arrays),
        "looks": pack(project.looks, arrays),
        "kept": pack(project.kept, arrays),
        "run": None if run is None else _pack_run(run, arrays),
    }


def _pack_run(run: RunRecord, arrays: Arrays) -> dict[str, Any]:
    snapshot = None
    if run.snapshot is not None:
        kept = {name: value for name, value in vars(run.snapshot.whole()).items() if name != "on_gpu"}
        snapshot = pack(kept, arrays)
    terms = list(dict.fromkeys(term for row in run.history for term in row.losses))
    table = np.array([[row.losses.get(term, 0.0) for term in terms] for row in run.history], np.float64)
    there = np.array([[term in row.losses for term in terms] for row in run.history], np.bool_)
    rest = np.array([[row.psnr, row.seconds] for row in run.history], np.float64)
    steps = np.array([row.step for row in run.history], np.int64)
    curves = {"steps": steps, "psnr_seconds": rest, "losses": table, "there": there} if run.history else None
    return {
        "phase": run.phase,
        "step": run.step,
        "steps": run.steps,
        "checkpoint": run.checkpoint,
        "snapshot": snapshot,
        "terms": terms,
        "curves": pack(curves, arrays),
    }


# Loading


def load_project(path: Path | str) -> Project:
    """Read and check a project; the photos are not read, see PhotoReference.read.

    Raises:
        InputError: not a project, a damaged one, one of a newer version, or one with a value that
            does not fit; the line names the entry.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            tree = _read_tree(file, path)
            arrays = _read_arrays(file, path)
        return _project(tree, arrays, path)
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def summary(path: Path | str) -> Summary:
    """Name, time, sizes and picture of a project; raises as `load_project`."""
    path = Path(path)
    try:
        with _opened(path) as file:
            tree = _read_tree(file, path)
            picture = None
            if _PICTURE in file.namelist() and file.getinfo(_PICTURE).file_size <= _MAX_PICTURE_BYTES:
                picture = file.read(_PICTURE)
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    counts = unpack(dict[str, int], tree.get("summary", {}), {}, f"{path}: summary")
    name = unpack(str, tree.get("name"), {}, f"{path}: name")
    saved = unpack(float, tree.get("saved", 0.0), {}, f"{path}: saved")
    triangles, photos, step = (counts.get(key, 0) for key in ("triangles", "photos", "step"))
    return Summary(name, saved, triangles, photos, step, picture)


def _opened(path: Path) -> zipfile.ZipFile:
    check_readable(path, _WHAT)
    return zipfile.ZipFile(path)


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: is damaged or not a project ({describe(error)}), expected {_WHAT}")


def _read_tree(file: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """project.json brought to the present version."""
    if _JSON not in file.namelist() or file.getinfo(_JSON).file_size > MAX_JSON_BYTES:
        raise InputError(f"{path}: is a zip without {_JSON}, expected {_WHAT}")
    tree = parse_json(file.read(_JSON), f"{path}: {_JSON}", _WHAT)
    version = tree.get("version")
    if tree.get("format") != FORMAT or type(version) is not int or version < 1:
        raise InputError(f"{path}: is not a project of the studio, expected {_WHAT}")
    if version > VERSION:
        raise InputError(
            f"{path}: was saved by a newer studio (project version {version}, this one reads up to "
            f"{VERSION}); expected an older project, or a newer studio to open it"
        )
    for number in range(version, VERSION):
        tree = MIGRATIONS[number](tree)
    return tree


def _read_arrays(file: zipfile.ZipFile, path: Path) -> dict[str, np.ndarray]:
    if _ARRAYS not in file.namelist():
        raise InputError(f"{path}: {_ARRAYS} is missing, expected {_WHAT}")
    info = file.getinfo(_ARRAYS)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > path.stat().st_size:
        raise InputError(f"{path}: {_ARRAYS} is compressed, expected it stored")
    # Copies: what safetensors returns cannot be written to.
    return {name: np.array(array) for name, array in load_arrays(file.read(_ARRAYS)).items()}


def _project(tree: dict[str, Any], arrays: dict[str, np.ndarray], path: Path) -> Project:
    where = str(path)
    notes: list[str] = []

    def entry(hint: Any, name: str) -> Any:
        return unpack(hint, tree.get(name), arrays, f"{where}: {name}")

    scene: Scene = entry(Scene, "scene")
    check_scene(scene, where)
    camera: Camera | None = entry(Camera | None, "camera")
    run = _unpack_run(tree.get("run"), arrays, f"{where}: run")
    if run is not None and run.snapshot is not None:
        check_run(run.snapshot, where)
    photos = tree.get("photos")
    reference = None
    if photos is not None:
        reference = PhotoReference.unpack(photos, path.resolve().parent, arrays, f"{where}: photos")
    other = entry(Effects | None, "other")
    return Project(
        name=entry(str, "name"),
        scene=scene,
        photos=reference,
        settings=_settings(tree.get("settings"), where, notes),
        effects=_effects(entry(Effects, "effects"), f"{where}: effects", notes),
        other=None if other is None else _effects(other, f"{where}: other", notes),
        camera=camera,
        view=entry(dict[str, Any], "view"),
        looks=_looks(tree.get("looks", {}), where, notes),
        kept=_kept(tree.get("kept", {}), arrays, where, notes),
        run=run,
        notes=notes,
    )


def _settings(node: Any, where: str, notes: list[str]) -> FitSettings:
    """Settings that this version does not have are noted and left out; wrong values are refused."""
    settings = FitSettings()
    known = {param.name for param in settings.params()}
    read = unpack(dict[str, Any], node, {}, f"{where}: settings")
    values = unpack(dict[str, Any], read.get("values"), {}, f"{where}: settings.values")
    for name, value in values.items():
        if name not in known:
            notes.append(f"setting {name} is not known here and was left out")
            continue
        try:
            settings.set(name, value)
        except InputError as error:
            raise InputError(f"{where}: settings: {error}") from None
    settings.preset = unpack(str, read.get("preset", ""), {}, f"{where}: settings.preset")
    settings.help = unpack(str, read.get("help", ""), {}, f"{where}: settings.help")
    return settings


def _kept(node: Any, arrays: dict[str, np.ndarray], where: str, notes: list[str]) -> dict[str, KeptPicture]:
    """Kept pictures, with the effects that there are here."""
    kept = unpack(dict[str, KeptPicture], node, arrays, f"{where}: kept")
    check_kept(kept, f"{where}: kept")
    for name, entry in kept.items():
        own = _effects(Effects(entry.values, entry.on), f"{where}: kept.{name}", notes)
        entry.values, entry.on = own.values, own.on
    return dict(kept)


def _looks(node: Any, where: str, notes: list[str]) -> dict[str, dict[str, Any]]:
    """Checked values; what is not known here is noted and left out."""
    values = unpack(dict[str, dict[str, Any]], node, {}, f"{where}: looks")
    out: dict[str, dict[str, Any]] = {}
    for name, given in values.items():
        known = {param.name: param for param in LOOKS.get(name, ())}
        out[name] = {
            key: known[key].check(v, f"{where}: looks.{name}") for key, v in given.items() if key in known
        }
        notes += [
            f"look {name}.{key} is not known here and was left out" for key in given.keys() - known.keys()
        ]
    return out


def _effects(effects: Effects, where: str, notes: list[str]) -> Effects:
    """The effects that there are here, with checked values."""
    from studio.core.effects import registry

    out = Effects()
    for name, effect in registry().items():
        values = ParamSet(name, effect.params)
        known = {param.name for param in effect.params}
        for key, value in effects.values.get(name, {}).items():
            if key not in known:
                notes.append(f"effect {name}: {key} is not known here and was left out")
                continue
            try:
                values.set(key, value)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
        out.values[name] = values.as_dict()
        out.on[name] = effects.on.get(name, effect.enabled)
    for name in effects.on.keys() - out.on.keys():
        notes.append(f"effect {name} is not known here and was left out")
    return out


def _unpack_run(node: Any, arrays: dict[str, np.ndarray], where: str) -> RunRecord | None:
    if node is None:
        return None
    read = unpack(dict[str, Any], node, {}, where)
    steps, step = (unpack(int, read.get(key), {}, f"{where}.{key}") for key in ("steps", "step"))
    phase, checkpoint = (unpack(str, read.get(key), {}, f"{where}.{key}") for key in ("phase", "checkpoint"))
    given = node.get("snapshot")
    if isinstance(given, dict):  # earlier files name what only a running fit has
        given = {name: value for name, value in given.items() if name not in ("event", "on_gpu")}
    snapshot = unpack(Snapshot | None, given, arrays, f"{where}.snapshot")
    terms = unpack(list[str], node.get("terms"), {}, f"{where}.terms")
    curves = unpack(dict[str, np.ndarray] | None, node.get("curves"), arrays, f"{where}.curves")
    history = [] if curves is None else _rows(curves, terms, f"{where}.curves")
    return RunRecord(phase, step, steps, snapshot, history, checkpoint)


def _rows(curves: dict[str, np.ndarray], terms: list[str], where: str) -> list[HistoryRow]:
    count = len(curves.get("steps", ()))
    shapes = {"steps": (count,), "psnr_seconds": (count, 2)}
    shapes |= {"losses": (count, len(terms)), "there": (count, len(terms))}
    for name, shape in shapes.items():
        if name not in curves or curves[name].shape != shape:
            raise InputError(f"{where}.{name}: expected an array of shape {shape}")
    rows = []
    for step, rest, losses, there in zip(*(curves[name].tolist() for name in shapes)):
        known = {term: value for term, value, given in zip(terms, losses, there) if given}
        rows.append(HistoryRow(int(step), known, *rest))
    return rows
