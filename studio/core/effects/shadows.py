"""Soft shadows of direct lights, from one atlas of depth moments that both renderers read.

**Maps.** Every light that casts shadows gets a square map: suns an orthographic view of the scene's
sphere, spots their cone, point and area lights one perspective of the scene from outside it; inside,
point lights the six faces of a cube and area lights 78 degrees around their axis. A map holds depth
along the light's axis, linear and scaled to 0..1, and its square. Both are antialiased along
silhouettes before anything else happens, so a texel's moments are those of what it covers. That is
what gives occluders a gradient: without it, the shadow of a moving edge has the wrong sign more
often than the right one.

**Test.** For moments m1, m2 and a receiver at depth t > m1, Chebyshev's inequality bounds the share
of the texel that lies no nearer than the receiver by p = v / (v + (t - m1)^2), v = m2 - m1^2 + least
variance. For two depths, occluder and receiver, this is the share exactly. The receiver is moved by
`bias` texels along its normal, and its depth follows its tangent plane from tap to tap.

**Filters.** *Hard* weighs the tests of the 2x2 nearest texels bilinearly. *Blurred* averages them
over a box of 2 `pcf_radius` + 1 texels. *Soft* estimates the penumbra: four taps over the disc in
which blockers can lie give the mean depth between blockers and receiver,

    gap = sum (t - m1 + shift p) / (sum (1 - p) + 0.02),

shift being how much deeper the tangent plane is at the tap. The light's disc seen through a hole at
that height has the radius size * gap / (t * (t - gap)) (size * gap for suns). The taps then look
again over 1.3 times that radius, which leaves out most of what does not shade the receiver. Eight
taps over the final disc, each a trilinear lookup in box means as wide as half the radius, are tested
and averaged. A tap whose own blocker is too near the receiver to reach that far counts as lit; tests
below `light_bleeding` count as dark. At half size all this is done for every second pixel, and the
rest is interpolated along surfaces.

**Differences from a sampled light.** See benchmarks/shadow_reference.py: penumbrae are right within a
tenth where the receiver faces the light and up to a quarter too narrow where it is tilted. Wide
lights over several depths, beyond the scene's edge or across the faces of a cube fail visibly. Which
face of a cube a receiver falls into and which taps count have no gradient.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.effects.effect import Effect, Image, Pass, Prepared, Surroundings
from studio.core.gbuffer import Frame, LightTensors
from studio.core.ops.halves import spread, take_half
from studio.core.ops.light_view import LightViews, light_views
from studio.core.ops.shadow import (
    MODES,
    filter_constants,
    shadow_atlas,
    shadow_thickness,
    shadow_visibility,
)
from studio.core.params import Param, ParamSet
from studio.core.tensors import SceneTensors


def _maps(
    surfaces: SceneTensors, lights: LightTensors, world_to_light: Tensor, side: int
) -> tuple[LightViews, Tensor]:
    """Views and atlas of all lights: the same for both renderers."""
    low, high = (torch.as_tensor(np.asarray(b, np.float32)) for b in surfaces.bounds)
    views = light_views(lights, (low, high), side, world_to_light)
    return views, shadow_atlas(surfaces.vertices, surfaces.faces, surfaces.topology, views)


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """How much of each direct light reaches covered pixels.

    Args:
        frame: with rast, position, normal, and the scene's surfaces.
    Returns:
        shadow: [N, H, W, 4] share of light i that arrives; 1 for lights that cast no shadow.
        thickness: [N, H, W, 4] if wanted: world distance that light i has gone behind the first
            surface it met.
    Gradients:
        To: position, normal, vertices, the lights' vector, axis, size and shape, softness.
        Not to: bias, light_bleeding; the face of a cube; camera poses.
    Reference:
        See studio.core.ops.shadow.
    """
    if frame.surfaces is None:
        raise ValueError("shadows: the frame has no surfaces to draw maps of")
    world_to_light = frame.world_to_light()
    if not frame.lights.fixed_to_camera:
        world_to_light = world_to_light[:1]
    views, atlas = _maps(frame.surfaces, frame.lights, world_to_light.detach(), int(params["map_size"]))
    place = (frame["rast"], frame["position"], frame["normal"])
    half = bool(params["half_resolution"])
    rast, position, normal = (take_half(image).contiguous() for image in place) if half else place
    shadow = shadow_visibility(
        rast,
        position,
        normal,
        atlas,
        views,
        sizes=views.sizes * frame.value(params, "softness"),
        mode=params["mode"],
        radius=params["pcf_radius"],
        bias=params["bias"],
        bleeding=params["light_bleeding"],
    )
    out = {"shadow": _spread(frame, shadow) if half else shadow}
    if frame.wants("thickness"):
        out["thickness"] = shadow_thickness(*place, atlas, views, bias=params["bias"])
    return out


def _spread(frame: Frame, low: Tensor) -> Tensor:
    """[N, H, W, 4] visibility of every second pixel at full size."""
    covered = frame["rast"][..., 3:] > 0
    along = frame.cameras.world_to_view[:, None, None, 2]
    depth = -(frame["position"] * along[..., :3]).sum(3, keepdim=True) - along[..., 3:]
    depth = torch.where(covered, depth, frame.cameras.far.view(-1, 1, 1, 1))
    dark = spread(1.0 - low, depth, frame["normal"])  # exactly none among neighbours that have none
    return torch.where(covered, 1.0 - dark, 1.0)


_kept: list[tuple[Any, Any, Prepared]] = []
"""What `prepare` made last, newest first: of which scene (a weak reference), of what, and it."""

_ARRAYS = {"place": "places", "lens": "lenses", "range": "ranges", "matrix": "matrices"}
"""What the uniforms with all tiles are called, by what is said of one."""

_KEPT = 4
"""Two sets of effects side by side, in two windows."""


def prepare(around: Surroundings, params: ParamSet) -> Prepared:
    """The atlas and the lights' matrices for the shader; kept while nothing they show changes."""
    camera = around.lighting.fixed_to == "camera"
    key = (
        around.version,
        params["mode"],
        params["map_size"],
        float(params["softness"]),
        around.world_to_view.tobytes() if camera else b"",
        tuple(np.ascontiguousarray(a).tobytes() for a in around.lighting.arrays()),
    )
    for scene, of, prepared in _kept:
        if scene() is around.surfaces and of == key:
            return prepared
    with torch.no_grad():
        made = _prepared(around, params)
    _kept.insert(0, (weakref.ref(around.surfaces), key, made))
    del _kept[_KEPT:]
    return made


def _picture(views: LightViews, atlas: Tensor) -> np.ndarray:
    """[h, 3/2 w, 4] the maps with their box means, each texel beside the one to its right.

    All in one level, and two texels in one: where the processor draws, a look-up takes half as
    long so. The means over 2^k texels begin at column w and row h (1 - 2^(1 - k)).
    """
    out = torch.zeros(views.height, views.width + views.width // 2, 4)
    starts = views.starts()
    for k in range(views.count):
        height, width = views.height >> k, views.width >> k
        level = atlas[0, starts[k] : starts[k + 1]].view(height, width, 2)
        row, col = (views.height - 2 * height, views.width) if k else (0, 0)
        out[row : row + height, col : col + width, :2] = level
        out[row : row + height, col : col + width, 2:] = level.roll(-1, dims=1)
    return out.numpy()


def _prepared(around: Surroundings, params: ParamSet) -> Prepared:
    lights = LightTensors.from_lighting(around.lighting)
    world_to_light = torch.eye(4)[None]
    if lights.fixed_to_camera:
        world_to_light = torch.as_tensor(around.world_to_view, dtype=torch.float32)[None]
    views, atlas = _maps(around.surfaces(), lights, world_to_light, int(params["map_size"]))
    picture = _picture(views, atlas)
    defines = [f"MODE {MODES.index(params['mode'])}"]
    uniforms: dict[str, Any] = {
        "shadow_extent": (views.width, views.height, 1 / picture.shape[1], 1 / picture.shape[0]),
        "shadow_sizes": (views.sizes * float(params["softness"])).numpy(),
        **filter_constants(),
    }
    matrices, tiles = views.matrices[0].numpy(), views.tiles[0].numpy()
    parts = {"place": tiles[:, 0:4], "lens": tiles[:, 4:8], "range": tiles[:, 8:12], "matrix": matrices}
    for light, (first, faces) in enumerate(zip(views.first.tolist(), views.faces.tolist(), strict=True)):
        if faces == 1:
            defines.append(f"MAP_{light}")
            uniforms |= {f"shadow_{part}_{light}": rows[first] for part, rows in parts.items()}
        elif faces:
            defines.append(f"CUBE_{light} {first}")
            uniforms |= {f"shadow_{_ARRAYS[part]}": rows for part, rows in parts.items()}
    return Prepared(uniforms, {"shadow_atlas": Image((picture,))}, tuple(defines))


EFFECT = Effect(
    name="shadows",
    stage="light",
    reads=("rast", "position", "normal"),
    writes=("shadow",),
    offers=("thickness",),
    params=(
        Param(
            "mode",
            "vssm",
            kind="choice",
            choices=MODES,
            titles=("Hard", "Blurred", "Soft"),
            help="Hard edges, edges blurred by a fixed width, or penumbrae as wide as the lights are",
        ),
        Param(
            "map_size",
            "512",
            kind="choice",
            choices=("2048", "1024", "512", "256"),
            titles=("2048", "1024", "512", "256"),
            help="Side of a light's map in texels; cube faces have half",
        ),
        Param(
            "softness",
            1.0,
            low=0.0,
            high=10.0,
            step=0.05,
            help="Multiplies the size of all lights",
            differentiable=True,
        ),
        Param(
            "bias",
            1.5,
            low=0.0,
            high=10.0,
            step=0.1,
            unit="texels",
            help="Offset along the normal; too little spots lit surfaces, too much detaches shadows",
        ),
        Param(
            "light_bleeding",
            0.1,
            low=0.0,
            high=0.9,
            step=0.01,
            help="Visibility below this counts as dark; more takes away light that leaks, and penumbra",
        ),
        Param(
            "pcf_radius",
            1,
            kind="int",
            low=1,
            high=8,
            step=1,
            unit="texels",
            label="Blur radius",
            help="Half width of the box that Blurred averages over",
        ),
        Param(
            "half_resolution",
            False,
            kind="bool",
            help="Work on every second pixel of every second row: faster, and edges are less fine",
        ),
    ),
    apply=apply,
    prepare=prepare,
    help="Shadows of direct lights: hard, blurred, or with penumbrae",
    citations=(
        "Williams 1978, Casting Curved Shadows on Curved Surfaces",
        "Reeves et al. 1987, Rendering Antialiased Shadows with Depth Maps",
        "Donnelly and Lauritzen 2006, Variance Shadow Maps",
        "Fernando 2005, Percentage-Closer Soft Shadows",
        "Dong and Yang 2010, Variance Soft Shadow Mapping",
    ),
    order=10,
    enabled=False,
    passes=(
        Pass("low", writes=("dark",), half=True, when="half_resolution"),
        Pass(),
    ),
    draft={"half_resolution": True},
)
