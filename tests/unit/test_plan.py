"""The order of effects, what they need, and what is wrong with a description."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from studio.core import plan as module
from studio.core.channels import CHANNELS, aovs, channel
from studio.core.effects import ordered, problems
from studio.core.effects.effect import Effect, Pass
from studio.core.errors import InputError
from studio.core.params import Param, ParamSet
from studio.core.plan import plan


def effect(name: str, stage: Any, reads: tuple = (), writes: tuple = ("color",), **more: Any) -> Effect:
    return Effect(name, stage, reads, writes, more.pop("params", ()), lambda frame, params: {}, **more)


LIGHT = effect("dust", "light", ("normal", "depth"), ("ao",), offers=("thickness",))
SHADE = effect("paint", "shade", ("albedo",), takes=("ao", "emissive"), offers=("irradiance", "reflectance"))
SCREEN = effect("blur", "screen", ("color", "irradiance"), takes=("thickness",))
POST = effect("grade", "post", ("color",))


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ordered([POST, SCREEN, LIGHT, SHADE])
    monkeypatch.setattr(module, "registry", lambda: found)
    monkeypatch.setattr(module, "get", found.__getitem__)


def on(*names: str) -> dict[str, ParamSet]:
    return {name: ParamSet(name, ()) for name in names}


def test_steps_run_in_the_order_of_the_stages() -> None:
    made = plan(on("grade", "blur", "paint", "dust"))
    assert [step.effect.name for step in made.steps] == ["dust", "paint", "blur", "grade"]
    assert [step.effect.name for step in made.stage("light", "shade")] == ["dust", "paint"]


def test_offers_are_made_only_when_wanted() -> None:
    writes = {step.effect.name: step.writes for step in plan(on("dust", "paint", "blur")).steps}
    assert writes == {"dust": ("ao", "thickness"), "paint": ("color", "irradiance"), "blur": ("color",)}
    assert plan(on("dust", "paint")).steps[0].writes == ("ao",)
    assert plan(on("paint"), ["reflectance"]).steps[0].writes == ("color", "reflectance")


def test_takes_are_present_when_somebody_makes_them() -> None:
    assert plan(on("paint")).steps[0].present == {"emissive"}
    assert plan(on("paint"), lacks={"emissive"}).steps[0].present == set()
    assert plan(on("dust", "paint")).steps[1].present == {"ao", "emissive"}


def test_the_surface_is_what_is_read_taken_or_asked_for() -> None:
    assert plan({}).surface == set()
    assert plan(on("grade")).surface == set()
    assert plan(on("dust", "paint"), ["uv", "ao", "shaded"], {"emissive"}).surface == {
        *("normal", "depth", "albedo", "uv")
    }


def test_an_effect_whose_channel_nobody_makes_is_skipped() -> None:
    made = plan(on("blur", "grade"))
    assert made.skipped == {"blur": "needs irradiance, which paint makes"}
    assert [step.effect.name for step in made.steps] == ["grade"]


def test_a_channel_needs_its_effect() -> None:
    with pytest.raises(InputError, match="channel ao is made by dust, which is off"):
        plan(on("paint"), ["ao"])
    with pytest.raises(InputError, match="no channel 'aoo'; there are color, albedo"):
        plan(on("paint"), ["aoo"])


def test_names() -> None:
    assert channel("roughness").name == "perceptual_roughness"
    assert aovs()[:9] == (
        *("color", "albedo", "normal", "depth", "position", "perceptual_roughness", "metallic", "uv", "id"),
    )
    assert all(CHANNELS[name].name == name for name in CHANNELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reads": ("nothing",)}, "no channel 'nothing'"),
        ({"params": (Param("ao", 1.0),)}, "parameter ao has the name of a channel"),
        ({"passes": (Pass(writes=("buffer",)),)}, "no pass writes ao"),
        ({"passes": (Pass(half=True),)}, "pass main needs the parameter half_resolution"),
        ({"passes": (Pass(mask="spots"),)}, "pass main needs an earlier pass spots"),
        ({"draft": {"steps": 3}}, "draft of no parameter steps"),
        ({"passes": (Pass(when="mode=soft"),)}, "pass main needs the parameter mode"),
    ],
)
def test_a_wrong_description_is_refused(change: dict[str, Any], message: str) -> None:
    wrong = replace(LIGHT, **change)
    assert any(message in line for line in problems(wrong))
    with pytest.raises(ValueError, match=message):
        ordered([wrong])


def test_two_effects_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="a name twice"):
        ordered([LIGHT, replace(LIGHT, order=1)])


def test_when_a_pass_runs() -> None:
    params = ParamSet(
        "x",
        (
            Param("half_resolution", True, kind="bool"),
            Param("mode", "soft", kind="choice", choices=("hard", "soft")),
        ),
    )
    assert Pass(when="mode=soft").runs(params)
    assert not Pass(when="mode=hard").runs(params)
    assert Pass(when="half_resolution").runs(params)
    assert [Pass().halvings(params), Pass(half=True).halvings(params), Pass(shrink=2).halvings(params)] == [
        *(0, 1, 2)
    ]
