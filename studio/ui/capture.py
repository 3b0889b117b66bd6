"""The document as a project and back: what is captured belongs to no one else any more."""

from __future__ import annotations

import io
import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.looks import looks
from studio.core.optim.messages import Status
from studio.core.params import ParamSet
from studio.core.scene import Camera, Scene
from studio.gl.colormap import COLORMAPS
from studio.gl.options import MODES, SOURCES, Source
from studio.ui.commands import Set
from studio.ui.document import EffectSet
from studio.ui.state import AppState, Kept, RunView, View

if TYPE_CHECKING:
    from studio.core.project import Effects, Project, RunRecord
    from studio.core.project_kept import KeptPicture
    from studio.gl.navigation import OrbitCamera
    from studio.ui.panels.viewport import ViewportPanel

VIEW = (
    *("mode", "left", "right", "error", "error_range", "editing", "aov", "wipe", "photo", "selected"),
    *("truth", "overlay", "grid", "cameras", "gizmo", "lights", "exposure", "worst_first"),
    *("wireframe", "normals", "clipping", "orthographic", "aov_map"),
)
"""What a project keeps of the View; the rest is of the moment."""

_CHOICES: dict[str, tuple[str, ...]] = {
    "mode": MODES,
    "left": SOURCES,
    "right": SOURCES,
    "error": ("absolute", "squared", "relative", "flip", "ssim"),
    "editing": ("a", "b"),
    "aov_map": ("", *COLORMAPS),
}

PICTURE_WIDTH = 320

KEPT: tuple[Source, ...] = ("a", "b")


def frozen(scene: Scene) -> Scene:
    """A copy that edits do not reach; arrays are shared, since nobody writes into them."""
    lighting = replace(scene.lighting, lights=[replace(light) for light in scene.lighting.lights])
    meshes = [replace(mesh, material=replace(mesh.material)) for mesh in scene.meshes]
    effects = {name: dict(values) for name, values in scene.effects.items()}
    return replace(scene, meshes=meshes, lighting=lighting, effects=effects, cameras=list(scene.cameras))


def captured(state: AppState, viewport: ViewportPanel | None) -> Project:
    """The whole document with view and run, as it stands."""
    from studio.core.project import Effects, Project
    from studio.core.project_photos import PhotoReference

    document = state.document
    photos = document.missing if document.photos is None else PhotoReference.of(document.photos)

    def plain(values: EffectSet) -> Effects:
        return Effects({k: v.as_dict() for k, v in values.effects.items()}, dict(values.enabled))

    return Project(
        document.title,
        frozen(document.scene),
        photos,
        document.settings.copy(),
        plain(document.own),
        None if document.other is None else plain(document.other),
        None if viewport is None else _camera(viewport),
        _view(state.view, None if viewport is None else viewport.camera),
        run_record(state),
        {name: values.as_dict() for name, values in document.looks.items()},
        _kept(state),
    )


def _kept(state: AppState) -> dict[str, KeptPicture]:
    """The pictures that are kept, with what they show."""
    from studio.core.project_kept import KeptPicture

    out = {}
    for name, kept in state.kept.items():
        values = {key: params.as_dict() for key, params in kept.own.effects.items()}
        out[name] = KeptPicture(state.stills[name], frozen(kept.scene), values, dict(kept.own.enabled))
    return {str(name): entry for name, entry in out.items()}


def restore_kept(state: AppState, kept: dict[str, KeptPicture], effects: dict[str, Any]) -> None:
    """The pictures of another document, in place of those that are kept.

    Args:
        effects: the registry.
    """
    for name in KEPT:
        state.stills.pop(name, None)
        state.kept.pop(name, None)
        entry = kept.get(name)
        if entry is None:
            continue
        own = {key: ParamSet(key, effect.params, entry.values.get(key)) for key, effect in effects.items()}
        on = {key: entry.on.get(key, effect.enabled) for key, effect in effects.items()}
        state.stills[name] = entry.picture
        state.kept[name] = Kept(entry.scene, EffectSet(own, on))


def run_record(state: AppState) -> RunRecord | None:
    """The run under way, else the one whose result the document holds."""
    from studio.core.project import RunRecord

    run = state.run
    if not run.active or run.snapshot is None:
        return state.document.result
    step, history = run.snapshot.step, list(run.history)
    return RunRecord(run.status.phase, step, run.status.steps, run.snapshot, history, run.checkpoint)


def run_view(record: RunRecord | None) -> RunView:
    """How the window shows a run that no worker holds."""
    if record is None:
        return RunView()
    status = Status("idle", record.step, record.steps)
    return RunView(status, list(record.history), record.snapshot, checkpoint=record.checkpoint)


def _camera(viewport: ViewportPanel) -> Camera:
    width, height = viewport.pixels
    return replace(viewport.camera.camera(max(width, 1), max(height, 1)), name="view")


def _view(view: View, camera: OrbitCamera | None) -> dict[str, Any]:
    values = {name: getattr(view, name) for name in VIEW}
    if camera is not None:
        azimuth, elevation, pivot, distance = camera.placement()
        values["orbit"] = {
            "azimuth": float(azimuth),
            "elevation": float(elevation),
            "pivot": [float(v) for v in pivot],
            "distance": float(distance),
        }
    return values


def restore_view(state: AppState, viewport: ViewportPanel | None, values: dict[str, Any]) -> None:
    """Look at the document as a project says; what does not fit is left as it is."""
    view, plain = state.view, View()
    known = {f.name for f in fields(View)}
    for name in VIEW:
        value, usual = values.get(name), getattr(plain, name)
        numbers = isinstance(usual, float) and isinstance(value, int | float) and math.isfinite(value)
        if name in _CHOICES and value not in _CHOICES[name]:
            continue
        if name in known and name != "photo" and (type(value) is type(usual) or numbers):
            setattr(view, name, value)
    photo, count = values.get("photo"), 0 if state.photos is None else len(state.photos.photos)
    view.photo = photo if type(photo) is int and 0 <= photo < count else None
    if not state.comparing():
        view.mode = plain.mode
    orbit = values.get("orbit")
    if viewport is None or not isinstance(orbit, dict):
        return
    try:
        numbers_of = [orbit["azimuth"], orbit["elevation"], *orbit["pivot"], orbit["distance"]]
        azimuth, elevation, x, y, z, distance = (float(v) for v in numbers_of)
    except (KeyError, TypeError, ValueError):
        return
    if all(map(math.isfinite, (azimuth, elevation, x, y, z, distance))):
        viewport.camera.place(azimuth, elevation, np.array([x, y, z]), distance)


def document_edits(project: Project, effects: dict[str, Any]) -> tuple[Set, ...]:
    """The edits that make the document what a project holds, without its photos.

    Args:
        effects: the registry.
    """

    def sets(given: Effects) -> EffectSet:
        values = {name: ParamSet(name, e.params, given.values.get(name)) for name, e in effects.items()}
        return EffectSet(values, {name: given.on.get(name, e.enabled) for name, e in effects.items()})

    own = sets(project.effects)
    return (
        Set(("scene",), project.scene, ""),
        Set(("settings",), project.settings, ""),
        Set(("effects",), own.effects, ""),
        Set(("enabled",), own.enabled, ""),
        Set(("other",), None if project.other is None else sets(project.other), ""),
        Set(("name",), project.name, ""),
        Set(("result",), project.run, ""),
        Set(("looks",), looks(project.looks), ""),
    )


def picture_of(viewport: ViewportPanel | None) -> bytes | None:
    """The picture as last drawn, small, as a PNG; None before the first."""
    from PIL import Image

    from studio.core.errors import InputError

    if viewport is None:
        return None
    try:
        image = viewport.gl.read_image()[::-1, :, :3]
    except InputError:
        return None
    stride = max(1, image.shape[1] // (2 * PICTURE_WIDTH))
    image = image[::stride, ::stride]
    encoded = np.where(image <= 0.0031308, 12.92 * image, 1.055 * image ** (1 / 2.4) - 0.055)
    small = Image.fromarray((np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8))
    small.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
    out = io.BytesIO()
    small.save(out, format="PNG")
    return out.getvalue()
