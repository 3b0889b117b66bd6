"""Settings, presets, schedule, and which photos are held out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from studio.core.errors import InputError
from studio.core.optim.messages import GROUPS
from studio.core.optim.schedule import Schedule
from studio.core.optim.settings import PARAMS, PRESETS, SECTIONS, TERMS, FitSettings, load_preset
from studio.core.optim.targets import split_holdout
from tests.unit.optim_scenes import coloured_ball, photograph


@pytest.mark.parametrize("param", PARAMS, ids=lambda p: p.name)
def test_every_setting_has_range_and_help(param):
    assert param.help
    assert param.check(param.default) == param.default
    if param.kind in ("int", "float"):
        assert math.isfinite(param.low)
        assert math.isfinite(param.high)
    if param.kind == "choice":
        assert param.default in param.choices


def test_sections_hold_every_setting_once():
    names = [param.name for section in SECTIONS.values() for param in section]
    assert sorted(names) == sorted({param.name for param in PARAMS})


def test_groups_and_terms_have_settings():
    settings = FitSettings()
    for group in GROUPS:
        assert isinstance(settings.enabled(group), bool)
        assert settings.rate(group) > 0
    for term in TERMS:
        assert settings.weight(term) >= 0


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load(name):
    settings = load_preset(name)
    assert settings.preset == name
    assert settings.help
    assert settings["steps"] > 0
    assert settings.enabled("vertices")
    assert settings["edge_fine"] <= settings["edge_coarse"]


def test_presets_grow():
    quick, standard, fine = (load_preset(name) for name in PRESETS)
    assert quick["steps"] < standard["steps"] < fine["steps"]
    assert quick["edge_fine"] > standard["edge_fine"] > fine["edge_fine"]


def test_unknown_preset_lists_the_known():
    with pytest.raises(InputError, match="quick, standard, fine"):
        load_preset("best")


def test_a_preset_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('help = "mine"\n[run]\nsteps = 7\n[groups]\nalbedo = { rate = 0.5 }\n')
    settings = load_preset(str(path))
    assert settings["steps"] == 7
    assert settings.rate("albedo") == 0.5
    assert settings.preset == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nsteps = -1", "steps must be in"),
        ("[run]\nspeed = 3", "no parameter 'speed'"),
        ("steps = 3", "outside a"),
        ("[run", "mine.toml"),
    ],
)
def test_a_broken_preset_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_preset(str(path))


def test_optimize_enables_exactly_the_named():
    settings = FitSettings()
    settings.optimize("albedo, light")
    assert [group for group in GROUPS if settings.enabled(group)] == ["albedo", "light"]
    with pytest.raises(InputError, match="no group 'colour'"):
        settings.optimize("vertices,colour")


def test_copies_are_independent():
    settings = load_preset("quick")
    copy = settings.copy()
    copy.set("steps", 3)
    assert settings["steps"] != 3
    assert copy.preset == "quick"


def test_every_kth_photo_is_held_out():
    photos = photograph(coloured_ball(), count=10, size=16).photos
    train, held = split_holdout(photos, 4)
    assert [photo.name for photo in held] == ["v00", "v04", "v08"]
    assert len(train) == 7
    assert split_holdout(photos, 0) == (photos, [])
    with pytest.raises(InputError, match="none to train"):
        split_holdout(photos, 1)


def test_copies_of_held_out_photos_teach_nothing():
    photos = photograph(coloured_ball(), count=8, size=32).photos
    copy = replace(photos[4], name="copy", image=photos[4].image + 1e-4)
    beside = replace(photos[4], name="beside", camera=photos[5].camera)
    brighter = replace(photos[4], name="brighter", image=1.5 * photos[4].image)
    train, held = split_holdout([*photos, photos[0], copy, beside, brighter], 4)
    assert [photo.name for photo in held] == ["v00", "v04", "v00"]
    assert [photo.name for photo in train] == ["v01", "v02", "v03", "v05", "v06", "v07", "beside", "brighter"]


def test_schedule_goes_from_coarse_to_fine():
    schedule = Schedule(600, 3, 256, 0.04, 0.02)
    assert [schedule.stage(step) for step in (0, 149, 150, 349, 350, 599)] == [0, 0, 1, 1, 2, 2]
    assert [schedule.resolution(stage) for stage in range(3)] == [128, 181, 256]
    assert schedule.edge_length(0) == pytest.approx(0.04)
    assert schedule.edge_length(2) == pytest.approx(0.02)
    assert Schedule(10, 1, 48, 0.04, 0.02).edge_length(0) == pytest.approx(0.02)
    assert Schedule(10, 3, 48, 0.04, 0.02).resolution(0) == 48


def test_parts_lie_side_by_side_and_say_what_stage_says():
    schedule = Schedule(100, 3, 256, 0.04, 0.02, texture_steps=30, field_steps=11)
    parts = schedule.parts()
    assert [part.name for part in parts] == ["field", "shape 1", "shape 2", "shape 3", "textures"]
    assert [part.begin for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert (parts[0].begin, parts[-1].end) == (0, 100)
    for part in parts:
        assert {schedule.stage(step) for step in range(part.begin, part.end)} == {part.stage}
    assert [part.resolution for part in parts] == [128, 128, 181, 256, 256]


def test_a_run_of_nothing_has_one_part():
    assert [part.name for part in Schedule(0, 1, 64, 0.04, 0.02).parts()] == ["shape"]
    assert Schedule(0, 1, 64, 0.04, 0.02).stage(0) == 0
    assert [part.name for part in Schedule(10, 1, 64, 0.04, 0.02, texture_steps=20).parts()] == ["textures"]


def test_what_is_left_counts_larger_pictures_as_dearer():
    schedule = Schedule(700, 2, 256, 0.04, 0.02)
    assert schedule.left(700, 10.0) == 0.0
    assert schedule.left(300, 10.0) == pytest.approx(40.0)
    assert schedule.left(100, 10.0) == pytest.approx(20.0 + 2 * 40.0)
