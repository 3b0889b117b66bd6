"""The copied commands are understood by the real command line, and mean what the window shows."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.cli import commands
from studio.core.effects import registry
from studio.core.errors import InputError
from studio.core.optim.settings import PARAMS, FitSettings, load_preset
from studio.core.params import ParamSet
from studio.core.project_photos import ASSETS
from studio.core.scene import Camera, Material, Photo, PhotoSet, Reading, Scene, Similarity
from studio.core.scene.camera import framing_camera
from studio.core.scene.shapes import icosphere
from studio.core.scenes import built_in
from studio.fit_inputs import settings_for
from studio.gl.navigation import OrbitCamera
from studio.options import chosen_effects, parse_size, scene_camera
from studio.ui import as_command
from studio.ui.commands import Edits, Set
from studio.ui.dialogs import FileDialogs
from studio.ui.document import Document, EffectSet
from studio.ui.jobs import Jobs
from studio.ui.shots import Shots
from studio.ui.state import AppState
from tests.property.test_project import some_of


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """(the command's name, its parameters) as the real parser reads a command line."""
    words = shlex.split(command)
    assert words[:2] == ["python", "main.py"]
    name, sub, rest = commands.resolve_command(click.Context(commands), words[2:])
    assert name is not None
    assert sub is not None
    return name, sub.make_context(name, rest).params


def photo_set(**reading: Any) -> PhotoSet:
    camera = Camera(4, 4, 4, 4, 2, 2, np.eye(4), name="one")
    photo = Photo("one", np.zeros((4, 4, 3), np.float32), camera)
    return PhotoSet(
        [photo], Similarity(), str(ASSETS / "demo" / "transforms.json"), reading=Reading(**reading)
    )


def make_state(scene: Scene | None = None, photos: PhotoSet | None = None) -> AppState:
    document = Document(scene or Scene([icosphere(2, 0.5)]), photos, load_preset("standard"))
    document.effects = {name: ParamSet(name, effect.params) for name, effect in registry().items()}
    document.enabled = {name: effect.enabled for name, effect in registry().items()}
    document.settings.set("start", "hull")
    state = AppState(Jobs(lambda *_: None, lambda: None), document, "auto")
    state.ready = True
    return state


def said_settings(parameters: dict[str, Any]) -> FitSettings:
    """What `fit` makes of its flags."""
    known = {param.name for param in PARAMS}
    flags = {k.replace("_", "-"): v for k, v in parameters.items() if k in known and v is not None}
    return settings_for(None, None, parameters["preset"], flags, parameters["optimize"])


@settings(max_examples=40, deadline=None)
@given(values=some_of(PARAMS), preset=st.sampled_from(("quick", "standard", "fine", "")))
def test_a_copied_fit_has_the_same_settings(values: dict[str, Any], preset: str) -> None:
    state = make_state(photos=photo_set(masks="plain"))
    chosen = load_preset(preset) if preset else FitSettings()
    for name, value in values.items():
        chosen.set(name, value)
    if chosen["start"] == "mesh":
        chosen.set("start", "hull")
    chosen.set("light_enabled", True)
    state.document.settings = chosen
    name, found = parsed(as_command.fit(state).command)
    assert name == "fit"
    assert said_settings(found).as_dict() == chosen.as_dict()
    assert found["source"] == ASSETS / "demo" / "transforms.json"
    assert found["masks"] == "plain"


def test_a_fit_that_no_flag_describes_asks_for_a_project(tmp_path: Path) -> None:
    def refused(change: Any, words: str) -> None:
        state = make_state(photos=photo_set())
        state.document.settings.set("light_enabled", True)
        as_command.fit(state)
        change(state)
        with pytest.raises(InputError, match=words):
            as_command.fit(state)
        state.document.path = tmp_path / "saved as.studio"
        state.history.mark_saved()
        name, found = parsed(as_command.fit(state).command)
        assert name == "fit"
        assert found["source"] == tmp_path / "saved as.studio"
        assert found["steps"] is None, "the project has the settings"

    refused(lambda s: s.document.settings.set("start", "mesh"), "a mesh that no file holds")
    refused(lambda s: s.document.settings.set("light_enabled", False), "light is held")
    refused(lambda s: setattr(s.scene, "background", (1.0, 0.0, 0.0)), "background")
    refused(lambda s: setattr(s.scene.meshes[0], "material", Material(metallic=1.0)), "material of its own")
    refused(lambda s: setattr(s.document, "photos", photo_set(mask_files="ignore")), "no flag says")
    refused(lambda s: setattr(s.photos.photos[0], "painted", True), "corrected by hand")
    with pytest.raises(InputError, match="open photos first"):
        as_command.fit(make_state())


def test_a_fit_from_a_mesh_names_its_file(tmp_path: Path) -> None:
    file = tmp_path / "start.obj"
    file.write_text("v 0 0 0\n")
    state = make_state(photos=photo_set())
    state.document.origin = str(file)
    state.document.settings.set("light_enabled", True)
    state.document.settings.set("start", "mesh")
    _, found = parsed(as_command.fit(state).command)
    assert found["mesh_file"] == file


def _viewport(scene: Scene, azimuth: float = -40.0) -> Any:
    camera = OrbitCamera(azimuth=azimuth, elevation=25.0)
    camera.set_bounds(*scene.bounds())
    camera.frame(*scene.bounds(), 1.5, smooth=False)
    return SimpleNamespace(camera=camera, pixels=(300, 200))


@settings(max_examples=20, deadline=None)
@given(
    values=st.fixed_dictionaries({name: some_of(effect.params) for name, effect in registry().items()}),
    on=st.fixed_dictionaries({name: st.booleans() for name in registry()}),
)
def test_a_copied_render_has_the_same_effects(values: dict[str, Any], on: dict[str, bool]) -> None:
    state = make_state(built_in("cornell"))
    state.document.origin = "cornell"
    state.document.effects = {
        name: ParamSet(name, effect.params, values[name]) for name, effect in registry().items()
    }
    state.document.enabled = on
    name, found = parsed(as_command.render(state, None).command)
    assert name == "render"
    known = {f"{e.name}-{p.name}".replace("_", "-") for e in registry().values() for p in e.params}
    flags = {
        k.replace("_", "-"): v for k, v in found.items() if k.replace("_", "-") in known and v is not None
    }
    chosen = chosen_effects(found["effect_names"], flags)
    wanted = state.document.own.on()
    assert list(chosen) == list(wanted)
    assert {k: v.as_dict() for k, v in chosen.items()} == {k: v.as_dict() for k, v in wanted.items()}


def test_a_copied_render_looks_from_the_same_place() -> None:
    scene = built_in("teaset")
    state = make_state(scene)
    state.document.origin = "teaset"
    viewport = _viewport(scene)
    copied = as_command.render(state, viewport)
    assert copied.note == ""
    _, found = parsed(copied.command)
    size = parse_size(found["size_text"])
    assert size == (300, 200)
    seen = scene_camera(scene, found["camera_text"], *size)
    shown = viewport.camera.camera(300, 200)
    np.testing.assert_allclose(seen.view_to_world, shown.view_to_world, atol=1e-4)
    assert seen.fx == pytest.approx(shown.fx, rel=1e-5)
    viewport.camera.pan(80, 30, 200)
    copied = as_command.render(state, viewport)
    assert "--camera" not in copied.command
    assert "not around the middle" in copied.note
    state.apply = None  # type: ignore[attr-defined]
    state.history.apply(Set(("scene", "background"), (0.5, 0.5, 0.5), "Change background"))
    with pytest.raises(InputError, match="save the project first"):
        as_command.render(state, viewport)


def test_an_opened_mesh_is_named_until_it_is_edited() -> None:
    state = make_state(Scene())
    sets = (Set(("scene",), Scene([icosphere(1, 0.5)]), ""), Set(("origin",), "/models/cup no. 1.glb", ""))
    state.history.apply(Edits(sets, "Open cup"))
    name, found = parsed(as_command.export(state).command)
    assert (name, found["scene"]) == ("export", Path("/models/cup no. 1.glb"))
    state.history.apply(Set(("effects", "pbr", "specular_f0"), 0.06, "Change reflectance"))
    _, found = parsed(as_command.render(state, None).command)
    assert found["effect_names"].startswith("pbr:specular_f0=0.06")
    state.history.apply(Set(("scene", "lighting", "lights", 0, "intensity"), 2.0, "Change intensity"))
    with pytest.raises(InputError, match="in no file yet"):
        as_command.export(state)
    state.history.undo()
    as_command.export(state)


def test_a_copied_comparison_has_both_sets() -> None:
    state = make_state(built_in("bust"))
    document = state.document
    document.origin = "bust"
    document.other = EffectSet({k: v.copy() for k, v in document.effects.items()}, dict(document.enabled))
    document.other.enabled["ssao"] = True
    document.other.effects["ssao"].set("strength", 1.75)
    state.view.right = "effects"
    name, found = parsed(as_command.compare(state, None).command)
    assert name == "compare"
    b = chosen_effects(found["names_b"], {})
    assert b["ssao"]["strength"] == 1.75
    assert "ssao" not in chosen_effects(found["names_a"], {})
    document.photos = photo_set()
    state.view.right = "photo"
    _, found = parsed(as_command.compare(state, None).command)
    assert found["view_name"] == "one"
    state.view.left, state.view.right = "diff", "photo"
    document.other = None
    with pytest.raises(InputError, match="compares two sets of effects"):
        as_command.compare(state, None)


def test_the_framing_of_the_window_and_of_the_command_line_agree() -> None:
    bounds = (np.array([-1.0, -0.5, -2.0]), np.array([1.0, 1.5, 0.5]))
    orbit = OrbitCamera(azimuth=200.0, elevation=-12.0)
    orbit.set_bounds(*bounds)
    orbit.frame(*bounds, 1.0, smooth=False)
    azimuth, elevation, _, distance = orbit.placement()
    radius = float(np.linalg.norm(bounds[1] - bounds[0])) / 2
    seen = framing_camera(bounds, 100, 100, np.degrees(azimuth), np.degrees(elevation), distance / radius)
    np.testing.assert_allclose(seen.view_to_world, orbit.camera(100, 100).view_to_world, atol=1e-9)


def test_what_the_dialogs_choose_is_in_the_command() -> None:
    state = make_state(built_in("teaset"))
    state.document.origin = "teaset"
    state.choices["film"].set("seconds", 2.5)
    state.choices["film"].set("fps", 12)
    name, found = parsed(as_command.turntable(state).command)
    assert (name, found["seconds"], found["fps"], found["size_text"]) == ("turntable", 2.5, 12.0, "480x480")
    state.choices["mesh"].set("format", "obj")
    state.choices["mesh"].set("up", "z")
    state.choices["mesh"].set("environment", True)
    name, found = parsed(as_command.export(state).command)
    assert name == "export"
    assert found["out"].suffix == ".obj"
    assert (found["up"], found["environment"], found["textures"]) == ("z", True, None)
    shots = Shots(state, FileDialogs(native=False))
    state.channels = ("color", "normal", "depth")
    for key, value in {"size": "custom", "locked": False, "width": 640, "height": 300}.items():
        shots.choose(key, value)
    for key, value in {"format": "exr", "transparent": True, "layer_normal": True}.items():
        shots.choose(key, value)
    viewport: Any = SimpleNamespace(pixels=(800, 500), camera=OrbitCamera())
    name, found = parsed(as_command.picture(state, viewport, shots).command)
    assert name == "render"
    assert (found["size_text"], found["transparent"], found["aov_names"]) == ("640x300", True, "normal")
    assert found["out"].suffix == ".exr"
    shots.choose("format", "png")
    shots.choose("draw", "depth")
    state.view.exposure = 1.0
    copied = as_command.picture(state, viewport, shots)
    assert parsed(copied.command)[1]["aov_names"] == "depth"
    assert "exposure" in copied.note


def test_a_copied_picture_without_perspective_has_the_same_camera() -> None:
    state = make_state(built_in("teaset"))
    state.document.origin, state.view.orthographic = "teaset", True
    orbit = OrbitCamera(50.0, 30.0)
    orbit.orthographic = True
    orbit.set_bounds(*state.scene.bounds())
    orbit.frame(*state.scene.bounds(), 1.5, smooth=False)
    viewport: Any = SimpleNamespace(pixels=(300, 200), camera=orbit)
    _, found = parsed(as_command.render(state, viewport).command)
    assert found["orthographic"]
    size = parse_size(found["size_text"])
    camera = scene_camera(state.scene, found["camera_text"], *size, found["orthographic"])
    shown = orbit.camera(300, 200)
    for point in ((0, 0, 0), (0.5, 0.2, -0.3), (-0.4, 0.1, 0.6)):
        places = [(c.world_to_clip @ (*point, 1))[[0, 1, 3]] for c in (camera, shown)]
        x, y = (p[:2] / p[2] for p in places)
        assert np.abs(x - y).max() < 1e-4
