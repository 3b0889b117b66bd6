"""Plans of effects as OpenGL draws, and a chain of made-up effects on a real context."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.core import plan as plan_module
from studio.core.effects import ordered
from studio.core.effects.effect import Effect, Image, Pass, Prepared, Surroundings
from studio.core.errors import WorkError
from studio.core.params import Param, ParamSet
from studio.core.plan import plan
from studio.core.scene import Light, Lighting, Material, Scene
from studio.core.scene.shapes import icosphere
from studio.gl.graph import draws
from tests.unit.gl_common import H, W, camera, context

__all__ = ["context"]  # fixture

TABLE = Image((np.full((4, 4, 1), 0.25, np.float32), np.full((2, 2, 1), 0.5, np.float32)))
MATRICES = np.stack([np.eye(4), 2 * np.eye(4)])
MATRICES[1, 0, 3] = 3.0


def prepare(surroundings: Surroundings, params: ParamSet) -> Prepared | None:
    return Prepared({"weights": np.array([0.25, 0.5]), "maps": MATRICES}, {"table": TABLE})


def effects() -> dict[str, Effect]:
    """Dust lies in the hollows (light stage, half size, two passes); paint takes it; veil blurs nothing."""
    half = Param("half_resolution", True, kind="bool")
    dust = Effect(
        name="dust",
        stage="light",
        reads=("soft_depth", "normal"),
        writes=("ao",),
        params=(half, Param("strength", 0.5, low=0.0, high=1.0)),
        apply=lambda frame, params: {},
        passes=(Pass("main", ("low",), size=1, half=True), Pass("spread", ("ao",))),
        prepare=prepare,
    )
    paint = Effect(
        name="paint",
        stage="shade",
        reads=("albedo",),
        writes=("color",),
        params=(),
        apply=lambda frame, params: {},
        takes=("ao", "emissive"),
        offers=("irradiance", "reflection"),
    )
    veil = Effect(
        name="veil",
        stage="screen",
        reads=("color", "irradiance"),
        writes=("color",),
        params=(Param("tint", "none", kind="choice", choices=("none", "blue")),),
        apply=lambda frame, params: {},
        passes=(Pass(), Pass("tint", ("color",), when="tint=blue"), Pass("glow", ("color",), adds=True)),
    )
    spots = Effect(
        name="spots",
        stage="post",
        reads=("color",),
        writes=("color",),
        params=(Param("half_resolution", False, kind="bool"), Param("darkness", 0.5, low=0.0, high=1.0)),
        apply=lambda frame, params: {},
        passes=(
            *(Pass("left", marks=True), Pass("main", mask="left")),
            *(Pass("right", marks=True, half=True), Pass("count", ("seen",), half=True, mask="right")),
            Pass("show", when="half_resolution"),
        ),
        idle=lambda params: params["darkness"] == 0.0,
    )
    return ordered([veil, paint, dust, spots])


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Effect]:
    made = effects()
    monkeypatch.setattr(plan_module, "registry", lambda: made)
    monkeypatch.setattr(plan_module, "get", made.__getitem__)
    monkeypatch.setattr("studio.gl.shading.get", made.__getitem__)
    return made


def on(registry: dict[str, Effect], *names: str, **values: Any) -> dict[str, ParamSet]:
    sets = {name: ParamSet(name, registry[name].params) for name in names}
    for name, value in values.items():
        owner, _, param = name.partition("_")
        sets[owner].set(param, value)
    return sets


def test_draws_have_the_defines_of_their_step(registry: dict[str, Effect]) -> None:
    todo = plan(on(registry, "dust", "paint", "veil"), ("reflection",), lacks={"emissive"})
    low, spread = draws(todo, "light")
    assert low.defines == ("PASS_MAIN", "WRITE_LOW 0", "HALF", "FAR")
    assert (low.reads, low.writes, low.halvings, low.over) == ((), ("low",), 1, "covered")
    assert low.image("low") == "dust.low"
    assert spread.defines == ("PASS_SPREAD", "WRITE_AO 0", "HALF", "FAR")
    assert (spread.reads, spread.halvings, spread.over) == (("low",), 0, "covered")
    assert (spread.image("ao"), spread.components("ao")) == ("ao", 1)
    (paint,) = draws(todo, "shade")
    assert paint.defines == (
        *("PASS_MAIN", "HAS_AO", "WRITE_COLOR 0"),
        *("WRITE_IRRADIANCE 1", "WRITE_REFLECTION 2", "FAR"),
    )
    assert paint.reads == ("ao",)
    assert paint.components("irradiance") == 4
    veil, _ = draws(todo, "screen")
    assert veil.reads == ("irradiance",)


def test_offers_nobody_wants_and_passes_left_out_are_not_there(registry: dict[str, Effect]) -> None:
    alone = plan(on(registry, "paint"))
    (paint,) = draws(alone, "shade")
    assert paint.defines == ("PASS_MAIN", "HAS_EMISSIVE", "WRITE_COLOR 0", "FAR")
    tinted = plan(on(registry, "paint", "veil", veil_tint="blue"))
    assert [draw.run.name for draw in draws(tinted, "screen")] == ["main", "tint", "glow"]
    full = plan(on(registry, "dust", **{"dust_half_resolution": False}))
    low, spread = draws(full, "light")
    assert (low.halvings, low.defines, low.over) == (0, ("PASS_MAIN", "WRITE_LOW 0", "FAR"), "covered")
    assert "HALF" not in spread.defines


def test_marks_write_nothing_and_masks_are_tested(registry: dict[str, Effect]) -> None:
    left, main, *_ = draws(plan(on(registry, "spots")), "post")
    assert (left.writes, left.over, left.defines) == ((), "", ("PASS_LEFT",))
    assert (main.writes, main.over) == (("color",), "spots.left")
    assert main.defines == ("PASS_MAIN", "WRITE_COLOR 0", "FAR")


def test_an_idle_effect_draws_nothing(registry: dict[str, Effect]) -> None:
    assert draws(plan(on(registry, "spots", spots_darkness=0.0)), "post") == ()


# On a context

DUST = """
#include "common/frame.glsl"
uniform float u_strength;
uniform float u_weights[4];
uniform mat4 u_maps[2];
uniform sampler2D u_table;
#ifdef PASS_MAIN
layout(location = WRITE_LOW) out float f_low;
void main() {
    if (!covered(pixel())) discard;
    f_low = float(u_step) + texelFetch(u_table, ivec2(1), 1).r;  // 2.5 at half size
}
#else
uniform sampler2D u_low;
layout(location = WRITE_AO) out vec4 f_ao;
void main() {
    ivec2 p = pixel();
    vec3 there = view_point(vec2(p) + 0.5, depth_at(p));
    bool same = distance(to_pixel(there), vec2(p) + 0.5) < 0.01;
    float moved = (u_maps[1] * vec4(1.0, 0.0, 0.0, 1.0)).x;  // 2 + 3
    float sum = u_weights[0] + u_weights[1] + u_weights[2] + u_weights[3];
    f_ao = vec4(same && moved == 5.0 ? u_strength * texelFetch(u_low, p / 2, 0).r * sum : -1.0);
}
#endif
"""
PAINT = """
#include "common/frame.glsl"
#include "common/lights.glsl"
layout(location = WRITE_COLOR) out vec4 f_color;
#ifdef WRITE_IRRADIANCE
layout(location = WRITE_IRRADIANCE) out vec4 f_irradiance;
#endif
#ifdef HAS_AO
uniform sampler2D u_ao;
#endif
void main() {
    f_color = vec4(0.5 * u_light_radiance[0], 1.0);
#ifdef HAS_AO
    f_color.rgb *= texelFetch(u_ao, pixel(), 0).r;
#endif
#ifdef HAS_EMISSIVE
    f_color.rgb += texelFetch(u_gbuffer_emission, pixel(), 0).rgb;
#endif
#ifdef WRITE_IRRADIANCE
    f_irradiance = vec4(texelFetch(u_gbuffer_albedo, pixel(), 0).rgb, 1.0);
#endif
}
"""
VEIL = """
#include "common/frame.glsl"
uniform sampler2D u_irradiance;
uniform int u_tint;
layout(location = WRITE_COLOR) out vec4 f_color;
#ifdef PASS_GLOW
void main() { f_color = vec4(0.0, 0.0, 0.125, 0.0); }
#else
void main() {
    vec3 color = texelFetch(u_color, pixel(), 0).rgb;
#ifdef PASS_MAIN
    // Background is 0 for effects of this stage, whatever is seen there in the end.
    float empty = length(texelFetch(u_color, ivec2(0), 0).rgb);
    f_color = vec4(color + texelFetch(u_irradiance, pixel(), 0).rgb + 10.0 * empty, 1.0);
#else
    f_color = vec4(color * vec3(0.0, 0.0, 1.0), 1.0);
#endif
}
#endif
"""

SPOTS = """
#include "common/frame.glsl"
uniform float u_darkness;
#if defined(PASS_LEFT)
void main() { if (gl_FragCoord.x > 20.0) discard; }
#elif defined(PASS_RIGHT)
void main() { if (pixel().x < 50) discard; }
#elif defined(PASS_COUNT)
layout(location = WRITE_SEEN) out vec4 f_seen;
void main() { f_seen = vec4(0.25); }
#else
layout(location = WRITE_COLOR) out vec4 f_color;
#ifdef PASS_SHOW
uniform sampler2D u_seen;
#endif
void main() {
    f_color = texelFetch(u_color, pixel(), 0);
#ifdef PASS_SHOW
    f_color += texelFetch(u_seen, pixel() / 2, 0);
#else
    f_color *= u_darkness;
#endif
}
#endif
"""


@pytest.fixture
def viewport(context: Any, registry: dict[str, Effect], tmp_path: Path) -> Any:
    from studio.gl.program import SHADERS
    from studio.gl.viewport import Viewport

    shutil.copytree(SHADERS, tmp_path / "shaders")
    for name, text in (("dust", DUST), ("paint", PAINT), ("veil", VEIL), ("spots", SPOTS)):
        (tmp_path / "shaders" / f"{name}.frag").write_text(text)
    with context:
        made = Viewport(context, tmp_path / "shaders")
        ball = icosphere(3, radius=0.6)
        ball.material = Material(base_color=(0.1, 0.2, 0.3), emissive=(0.0, 0.0, 0.25))
        lighting = Lighting(lights=[Light(intensity=2.0, color=(1.0, 0.5, 0.25))])
        made.set_scene(Scene(meshes=[ball], lighting=lighting, background=(0.7, 0.6, 0.5)))
        yield made
        assert context.error == "GL_NO_ERROR"
        made.release()
        assert made.resources.count == 0


CENTER, CORNER = (H // 2, W // 2), (0, 0)


def test_channels_buffers_and_prepared_values_reach_the_shaders(
    viewport: Any, registry: dict[str, Effect]
) -> None:
    viewport.set_effects(on(registry, "dust", "paint", "veil"))
    got = viewport.channels(camera(), ("ao", "irradiance", "emissive", "part", "id", "uv"))
    assert got["ao"].shape == (H, W, 1)
    assert got["ao"][CENTER] == pytest.approx(0.5 * 2.5 * 0.75)
    assert got["ao"][CORNER] == 1.0  # what there is where nothing is
    assert got["irradiance"][CENTER] == pytest.approx((0.1, 0.2, 0.3))
    assert got["emissive"][CENTER] == pytest.approx((0, 0, 0.25))
    assert got["part"][CENTER] == 1
    assert 1 <= got["id"][CENTER] <= 1280
    image = viewport.render_offline(camera(), samples=1)
    shade = 0.5 * 2.0 * np.array([1, 0.5, 0.25]) * 0.9375 + (0, 0, 0.25)
    assert image[CENTER][:3] == pytest.approx(shade + (0.1, 0.2, 0.3 + 0.125), abs=1e-6)
    assert image[CORNER][:3] == pytest.approx((0.7, 0.6, 0.5))


def test_changes_of_parameters_and_effects_show(viewport: Any, registry: dict[str, Effect]) -> None:
    viewport.set_effects(on(registry, "dust", "paint", "veil", **{"dust_half_resolution": False}))
    got = viewport.channels(camera(), ("ao",))
    assert got["ao"][CENTER] != pytest.approx(0.5 * 2.5 * 0.75)  # u_step is 1 now
    viewport.set_effects(on(registry, "paint", "veil", veil_tint="blue"))
    image = viewport.render_offline(camera(), samples=1)
    assert image[CENTER][:3] == pytest.approx((0, 0, 0.25 + 0.25 + 0.3 + 0.125))
    viewport.set_effects(on(registry, "veil"))  # nobody makes irradiance: the veil is left out
    image = viewport.render_offline(camera(), samples=1)
    assert image[CENTER][:3] == pytest.approx((0.1, 0.2, 0.3))


def test_a_masked_pass_leaves_the_other_pixels_alone(viewport: Any, registry: dict[str, Effect]) -> None:
    viewport.set_effects(on(registry, "paint"))
    plain = viewport.render_offline(camera(), samples=1)[..., :3]
    expected = plain.copy()
    expected[:, :20] *= 0.5
    viewport.set_effects(on(registry, "paint", "spots"))
    np.testing.assert_allclose(viewport.render_offline(camera(), samples=1)[..., :3], expected)
    viewport.set_effects(on(registry, "paint", "spots", **{"spots_half_resolution": True}))
    expected[:, 50:] += 0.25
    np.testing.assert_allclose(viewport.render_offline(camera(), samples=1)[..., :3], expected)
    viewport.set_effects(on(registry, "paint", "spots", spots_darkness=0.0))
    np.testing.assert_allclose(viewport.render_offline(camera(), samples=1)[..., :3], plain)


def test_an_effect_that_would_change_nothing_in_the_scene_is_left_out(
    viewport: Any, registry: dict[str, Effect]
) -> None:
    from dataclasses import replace

    registry["veil"] = replace(registry["veil"], reads=("color", "subsurface"))
    viewport.set_effects(on(registry, "paint", "veil"))
    assert viewport.chain.pointless == {"veil": "no material has subsurface"}
    assert [step.effect.name for step in viewport.chain.plan().steps] == ["paint"]
    ball = icosphere(1)
    ball.material = Material(subsurface=0.5)
    viewport.set_scene(Scene(meshes=[ball]))
    assert [step.effect.name for step in viewport.chain.plan().steps] == ["paint", "veil"]


def test_an_effect_that_is_not_ready_is_left_out_until_it_is(
    viewport: Any, registry: dict[str, Effect]
) -> None:
    from dataclasses import replace

    from tests.unit.gl_common import PLAIN, settle

    ready: list[bool] = []
    late = replace(registry["dust"], prepare=lambda s, p: prepare(s, p) if ready else None)
    registry["dust"] = late
    viewport.set_effects(on(registry, "dust", "paint"))
    options = replace(PLAIN, samples=1, background="scene")
    for _ in range(3):
        viewport.render(camera(), options)
    assert viewport.chain.waiting
    assert not viewport.settled
    without = viewport.read_image()
    ready.append(True)
    settle(viewport, camera(), options)
    assert not viewport.chain.waiting
    assert np.abs(viewport.read_image() - without)[CENTER].max() > 0.03


def test_spread_is_the_other_renderers(viewport: Any, registry: dict[str, Effect], tmp_path: Path) -> None:
    """The half-size table of pixel numbers at full size, odd size, on the ball and over its edge."""
    import torch

    from studio.core.ops.halves import spread, take_half

    (tmp_path / "shaders" / "dust.frag").write_text(SPREAD)
    viewport.set_effects(on(registry, "dust"))
    cam = camera(33, 21)
    got = viewport.channels(cam, ("ao", "depth", "normal", "alpha"))
    covered = got["alpha"] > 0
    columns, rows = np.meshgrid(np.arange(33), np.arange(21))
    numbers = np.where(covered, np.sin(columns + 2.3 * rows)[..., None], 0).astype(np.float32)
    depth = np.where(covered, got["depth"], cam.far).astype(np.float32)
    images = [torch.from_numpy(image)[None] for image in (numbers, depth, got["normal"])]
    expected = spread(take_half(images[0]), *images[1:])[0].numpy()
    assert 60 < covered.sum() < 33 * 21 - 100
    assert np.abs(got["ao"] - expected)[covered].max() < 1e-5


SPREAD = """
#include "common/frame.glsl"
#include "common/spread.glsl"
#ifdef PASS_MAIN
layout(location = WRITE_LOW) out float f_low;
void main() {
    ivec2 p = pixel();
    if (!covered(p)) discard;
    f_low = sin(float(p.x) + 2.3 * float(p.y));
}
#else
uniform sampler2D u_low;
layout(location = WRITE_AO) out float f_ao;
void main() {
    f_ao = spread(u_low, gl_FragCoord.xy).r;
}
#endif
"""


def test_tiles_see_beyond_their_edge(
    viewport: Any, registry: dict[str, Effect], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An effect that looks 30 pixels to the right finds the same in tiles of 40."""
    from studio.gl import renderer

    (tmp_path / "shaders" / "veil.frag").write_text(LOOKING_AWAY)
    viewport.set_effects(on(registry, "paint", "veil"))
    whole = viewport.render_offline(camera(), samples=1)
    monkeypatch.setattr(renderer, "TILE", 40)
    tiled = viewport.render_offline(camera(), samples=1)
    assert (np.abs(whole - tiled).max(-1) > 1e-4).sum() <= 2  # an edge through a pixel centre
    monkeypatch.setattr(renderer, "MARGIN", 0)
    seamed = viewport.render_offline(camera(), samples=1)
    assert (np.abs(whole - seamed).max(-1) > 1e-4).sum() > 50


LOOKING_AWAY = """
#include "common/frame.glsl"
layout(location = WRITE_COLOR) out vec4 f_color;
void main() {
#ifdef PASS_MAIN
    f_color = texelFetch(u_color, inside(pixel() + ivec2(30, 0)), 0);
#else
    f_color = vec4(0.0);
#endif
}
"""


def test_an_image_is_uploaded_once_and_bad_ones_are_refused(viewport: Any) -> None:
    from studio.gl.images import PreparedImages

    images = PreparedImages(viewport.resources)
    first = images.texture("a", TABLE)
    assert images.texture("a", TABLE) is first
    same_shape = Image(tuple(level + 1 for level in TABLE.levels))
    assert images.texture("a", same_shape) is first
    assert np.frombuffer(first.read(alignment=1), np.float32)[0] == 1.25
    other = images.texture("a", Image((np.zeros((8, 2, 4), np.float32),)))
    assert (other.size, other.components) == ((2, 8), 4)
    with pytest.raises(WorkError, match="levels"):
        images.texture("b", Image((np.zeros((4, 4, 1), np.float32), np.zeros((3, 3, 1), np.float32))))
    with pytest.raises(WorkError, match="levels"):
        images.texture("c", Image((np.zeros((4, 4, 3), np.float32),)))
