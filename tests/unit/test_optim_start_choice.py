"""Whether a fit begins with the hull or with a volume's surface, told by photos that trials did not see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from studio.core.errors import Cancelled, InputError
from studio.core.optim import start_choice
from studio.core.optim.checkpoint import load_checkpoint, save_checkpoint
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.remesh import mean_edge_length
from studio.core.optim.resume import restore, saved_settings, state_of
from studio.core.optim.settings import FitSettings
from studio.core.optim.start_choice import choose_start
from studio.core.optim.variables import box_of
from studio.core.scene import PhotoSet
from tests.unit.optim_scenes import photograph
from tests.unit.test_optim_start_volume import SETTINGS, hollow, volume

AUTO = SETTINGS | {"start": "auto"}


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(hollow(), count=24, size=64)


def chosen(photos: PhotoSet, hull: float, opened: float):
    """The choice for given scores of the two, and the (problem, settings, judges) that were tried."""
    tried = []

    def attempt(problem, settings, unseen):
        tried.append((problem, settings, unseen))
        return (hull, opened)[len(tried) - 1]

    settings = FitSettings(AUTO)
    choice = choose_start(FitProblem(photos), photos, settings, "cpu", lambda share, note: None, attempt)
    return choice, tried


@pytest.fixture
def open_bowl(monkeypatch):
    """The volume's surface without the volume."""
    monkeypatch.setattr(start_choice, "start_from_volume", lambda *given: (hollow(), "start: a bowl"))


@pytest.mark.usefixtures("open_bowl")
@pytest.mark.parametrize(("opened", "kind"), [(24.0, "volume"), (20.2, "hull"), (17.0, "hull")])
def test_the_volume_must_be_clearly_better(photos, opened, kind):
    choice, tried = chosen(photos, 20.0, opened)
    assert choice.kind == kind
    assert volume(tried[1][0].mesh) < 0.95 * volume(tried[0][0].mesh)  # one with the well open, one without
    assert volume(choice.mesh) == pytest.approx(volume(tried[kind == "volume"][0].mesh))
    assert any(f"start: {kind}" in note and "20.0" in note for note in choice.notes)


@pytest.mark.usefixtures("open_bowl")
def test_judges_are_not_among_the_photos_of_the_short_fits(photos):
    _, tried = chosen(photos, 20.0, 20.0)
    for problem, settings, unseen in tried:
        names = {photo.name for photo in problem.photos.photos}
        assert len(unseen) == 4
        assert not names & {photo.name for photo in unseen}
        assert settings["start"] == "mesh"
        assert settings["texture_steps"] == 0


def test_few_photos_take_the_hull_untried():
    few = photograph(hollow(), count=7, size=48)
    choice, tried = chosen(few, 0.0, 0.0)
    assert choice.kind == "hull"
    assert tried == []


@pytest.mark.usefixtures("open_bowl")
def test_light_fixed_to_the_camera_takes_the_hull_untried(photos):
    lit = FitSettings(AUTO | {"shading": "pbr", "light_fixed_to": "camera"})
    choice = choose_start(FitProblem(photos), photos, lit, "cpu", lambda share, note: None, refuse)
    assert choice.kind == "hull"
    assert "fixed to the camera" in choice.notes[0]


def refuse(problem, settings, unseen):
    raise AssertionError("nothing was to be tried")


def test_without_a_surface_in_the_volume_the_hull_is_taken(photos, monkeypatch):
    def nothing(*given):
        raise InputError("nothing is as dense")

    monkeypatch.setattr(start_choice, "start_from_volume", nothing)
    choice, tried = chosen(photos, 0.0, 0.0)
    assert choice.kind == "hull"
    assert tried == []
    assert "nothing is as dense" in choice.notes[0]


def test_a_fit_keeps_what_was_chosen(photos, tmp_path):
    """A bowl, whose well no outline shows, begins with the volume; a checkpoint goes on with it."""
    fit = Fit(FitProblem(photos), FitSettings(AUTO), "cpu")
    fit.prepare()
    assert fit.settings["start"] == "volume"
    save_checkpoint(tmp_path / "state.safetensors", state_of(fit))
    again = Fit(FitProblem(photos), FitSettings(AUTO), "cpu")
    restore(again, load_checkpoint(tmp_path / "state.safetensors", again.device))
    assert again.settings["start"] == "volume"
    assert again.settings["warm_up"] == FitSettings(AUTO)["warm_up"], "nothing was to be told of paints"


def test_many_paints_go_into_textures_as_they_are(photos, tmp_path):
    """Without a warm-up, in fewer steps, and in whatever goes on from a checkpoint."""
    given = {"start": "volume", "material": "textures", "steps": 20, "texture_steps": 9, "warm_up": 9}
    given |= {"texture_size": 64, "texture_faces": 400}
    settings = FitSettings(AUTO | given)
    fit = Fit(FitProblem(photos), settings, "cpu")
    fit.prepare()
    found = {name: fit.settings[name] for name in given}
    textures = {"warm_up": 0, "texture_size": 128, "texture_faces": 600}
    assert found == given | {"steps": 13, "texture_steps": 2} | textures
    save_checkpoint(tmp_path / "state.safetensors", state_of(fit))
    for before in (
        FitSettings(AUTO | given | {"start": "auto"}),
        saved_settings(tmp_path / "state.safetensors"),
    ):
        again = Fit(FitProblem(photos), before, "cpu")
        restore(again, load_checkpoint(tmp_path / "state.safetensors", again.device))
        assert {name: again.settings[name] for name in given} == found


def test_it_stops_when_told_while_trying(photos):
    said: list[str] = []
    fit = Fit(
        FitProblem(photos),
        FitSettings(AUTO),
        "cpu",
        lambda share, note: said.append(note),
        lambda: "Trying the hull" in said,
    )
    with pytest.raises(Cancelled):
        fit.prepare()


def test_plain_objects_begin_with_even_triangles(photos):
    """Without marks nothing says where the finer ones of a volume's surface belong."""
    gray = PhotoSet(
        [replace(p, image=p.image.mean(axis=2, keepdims=True).repeat(3, axis=2)) for p in photos.photos],
        photos.input_to_world,
    )
    coarse = {"start": "volume", "edge_coarse": 0.1, "edge_fine": 0.1, "texture_steps": 2, "warm_up": 9}
    edges = []
    for given in (photos, gray):
        fit = Fit(FitProblem(given), FitSettings(AUTO | coarse | {"material": "textures"}), "cpu")
        fit.prepare()
        mesh = fit.result().meshes[0]
        edges.append(mean_edge_length(mesh.vertices, mesh.faces) / box_of(mesh.vertices)[1])
        assert fit.settings["warm_up"] == (9 if given is gray else 0)
    assert edges[0] < 0.07
    assert edges[1] == pytest.approx(0.1, rel=0.2)
