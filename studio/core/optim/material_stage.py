"""The last part of a fit: the mesh is finished, and textures take the place of vertex attributes."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor

from studio.core.ops.normals import vertex_normals
from studio.core.optim.materials import TextureMaterial
from studio.core.optim.occlusion import arriving
from studio.core.optim.remesh import mean_edge_length
from studio.core.optim.schedule import FIELD, Schedule, progress
from studio.core.optim.settings import FitSettings
from studio.core.optim.simplify import simplified
from studio.core.optim.start import evened
from studio.core.optim.variables import Variables
from studio.core.scene import Lighting, Mesh

_LIVE_SECONDS = 1.0
"""While a run is watched its textures are copied and uploaded this often: 1024 x 1024 take 0.1 s."""


def schedule_of(settings: FitSettings) -> Schedule:
    """The stages that the settings call for."""
    s = settings
    textures = s["texture_steps"] if s["material"] == "textures" else 0
    return Schedule(
        s["steps"], s["stages"], s["resolution"], s["edge_coarse"], s["edge_fine"], textures, s["field_steps"]
    )


def finished(mesh: Mesh, settings: FitSettings) -> tuple[Mesh, Mesh | None]:
    """(the mesh with at most about `texture_faces` triangles, the one whose details its textures begin with).

    Many paints say where fine triangles belong. Details without them are noise, which triangles of one
    edge length leave behind.
    """
    most = int(settings["texture_faces"])
    if len(mesh.faces) <= most:
        return mesh, None
    if painted(settings):
        return simplified(mesh, most), mesh
    longer = math.sqrt(len(mesh.faces) / most)
    return evened(mesh, mean_edge_length(mesh.vertices, mesh.faces) * longer), None


def painted(settings: FitSettings) -> bool:
    """Whether the shape began as a volume's surface of many paints, with which its textures begin."""
    return bool(settings["start"] == "volume" and settings["warm_up"] == 0)


def textured(variables: Variables, settings: FitSettings, step: int, fine: Mesh | None = None) -> Variables:
    """The variables with textures over a new atlas, after `step` steps.

    They show what the vertices showed, or those of the mesh `fine` that was simplified, or one material
    where a warm-up follows.
    """
    seen = None
    if (
        settings["ambient_occlusion"]
        and settings["shading"] != "unlit"
        and not _directed(variables, settings)
    ):
        seen = variables.visibility()
    out = variables.textured(int(settings["texture_size"]), seen, fine)
    assert isinstance(out.material, TextureMaterial)
    out.material.began = step
    if has_sky(settings):
        out = out.under_sky()
    if warm_up_steps(settings) > 0:
        _level(out, settings)
    return out


_RELIT = (0.0, 0.5, 1.0)
"""Shares of the warm-up after which occlusion is made anew; the light changes most there."""

_RELIT_LATER = (1 / 3, 2 / 3)
"""The same of the rest."""


def _directed(variables: Variables, settings: FitSettings) -> bool:
    """Whether occlusion is that of the light found: it must stand still and be a map."""
    wished = settings["ambient_occlusion"] and settings["directed_occlusion"]
    return bool(wished and has_sky(settings) and variables.fixed_to == "world")


@torch.no_grad()
def _occlude(variables: Variables, material: TextureMaterial, settings: FitSettings, step: int) -> None:
    """Make occlusion anew for the light as it is, where the step after `step` calls for it."""
    if variables.sky is None:
        return
    warm = warm_up_steps(settings)
    rest = int(settings["steps"]) - material.began - warm
    due = {round(share * warm) for share in _RELIT} | {warm + round(share * rest) for share in _RELIT_LATER}
    if step - material.began not in due or not _directed(variables, settings):
        return
    vertices = variables.to_world(variables.box_vertices())
    ambient, light = arriving(
        vertices,
        variables.faces,
        vertex_normals(vertices, variables.faces),
        variables.sky,
        material.colors(len(vertices)),
    )
    material.occlude(light, ambient)


_UNIFORM = ("albedo", "roughness", "metallic")
"""Groups that have one value for the whole surface while light settles."""

_PARTING = 0.8
"""Share of the textures' steps in which their smoothness fades to what is set."""

_TRADE = 0.06
"""Largest change of the common factor in a step, as a logarithm, at first."""

_WHITE, _WHITEST = 0.98, 0.01
"""Paint is not made brighter when this share of it is as bright as paint can be."""

_SETTLING, _SETTLED = 0.1, 0.02
"""Rates of the light during the warm-up and after it; it must not follow the texels then."""


_OPENED = 2.0
"""Times the vertices' rate on a volume's surface that is full of marks, which say where it belongs."""

_PAINTED = 0.3
"""Times the rates of its textures, which begin as its vertices were."""


_ROUGHNESS, _GLOSS_HELD = 0.3, 1.5
"""Where roughness begins with textures, and how many warm-ups it stays there.

Under one paint dark spots shine too much for their base colour, which light twice too bright on a
rough surface explains; from there the way back is a flat valley.
"""


def warm_up_steps(settings: FitSettings) -> int:
    """Length of the warm-up: none where the light is known or there is none, at most a third.

    Light and base colour explain a photo together, and a base colour that is free from the
    beginning takes shading for paint. So at first the whole surface is one material, under which
    the light finds the shading that needs no paint; then the texels may move.
    """
    if settings["shading"] == "unlit" or not settings.enabled("light"):
        return 0
    return int(min(settings["warm_up"], schedule_of(settings).texture_steps // 3))


def warming_up(settings: FitSettings, variables: Variables, step: int) -> bool:
    """Whether the step after `step` belongs to the warm-up."""
    material = variables.material
    return isinstance(material, TextureMaterial) and step < material.began + warm_up_steps(settings)


def _uniform_leaves(variables: Variables, settings: FitSettings) -> list[Tensor]:
    return [t for group in _UNIFORM if settings.enabled(group) for t in variables.tensors(group)]


@torch.no_grad()
def _level(variables: Variables, settings: FitSettings) -> None:
    """Every texel takes the mean of its texture, and roughness begins anew."""
    material = variables.material
    assert isinstance(material, TextureMaterial)
    inside = material.atlas.covered[..., 0]
    for leaf in _uniform_leaves(variables, settings):
        leaf.copy_(leaf[inside].mean(dim=0).expand_as(leaf))
    if settings.enabled("roughness"):
        material.roughness.fill_(_ROUGHNESS)


def share_gradients(variables: Variables, settings: FitSettings, step: int) -> None:
    """Texels of textures that are still of one value get the mean of their gradients.

    Base colour is so during the warm-up, roughness and metallic longer: a highlight says little
    about one texel, and while paint is still mistaken for light it says the wrong thing.
    """
    material = variables.material
    if not isinstance(material, TextureMaterial) or warm_up_steps(settings) == 0:
        return
    steps = schedule_of(settings).texture_steps
    ends = {"albedo": warm_up_steps(settings)}
    ends |= dict.fromkeys(("roughness", "metallic"), min(int(settings["gloss_from"]), 2 * steps // 3))
    for group in _UNIFORM:
        if step - material.began < max(ends[group], ends["albedo"]) and settings.enabled(group):
            for leaf in variables.tensors(group):
                if leaf.grad is not None:
                    leaf.grad = leaf.grad.mean(dim=(1, 2), keepdim=True).expand_as(leaf).contiguous()


@torch.no_grad()
def trade(variables: Variables, settings: FitSettings, step: int) -> None:
    """Light and base colour exchange a common factor, with a step of its own along its gradient.

    Brighter light on darker paint shows the same but for the highlights, whose strength is that of
    the light alone. So they tell the factor; but among the gradients of thousands of texels, which
    all hold light and paint to their product, theirs is not heard, and roughness makes up for
    highlights of the wrong strength. Call after the gradients are there.
    """
    material, sky = variables.material, variables.sky
    if not isinstance(material, TextureMaterial) or sky is None or warm_up_steps(settings) == 0:
        return
    shade = material.shade
    if warming_up(settings, variables, step) or sky.grad is None or shade.grad is None:
        return
    slope = sky.grad.sum() - 0.5 * (shade.grad * shade).sum()  # of the logarithm of the light
    first, second, count = material.traded
    first, second, count = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2, count + 1
    material.traded = (first, second, count)
    mean, deviation = first / (1 - 0.9**count), (second / (1 - 0.99**count)).sqrt()
    began = material.began + warm_up_steps(settings)
    rate = _TRADE * float(settings["decay"]) ** progress(step, began, int(settings["steps"]))
    change = -rate * mean / deviation.clamp_min(1e-20)
    if shade.device.type != "cpu" or float(change) < 0:  # on a GPU it is dearer to ask
        covered = material.atlas.covered
        white = (shade.amax(dim=3, keepdim=True) > _WHITE) & covered
        full = white.sum() > _WHITEST * covered.sum()
        change = torch.where(full & (change < 0), torch.zeros_like(change), change)
    sky.add_(change)
    shade.mul_(torch.exp(-0.5 * change)).clamp_(max=1.0)


def attune(variables: Variables, settings: FitSettings, step: int) -> None:
    """What changes with the steps of the textures' part: occlusion, and how even colours must be."""
    material = variables.material
    if not isinstance(material, TextureMaterial):
        return
    _occlude(variables, material, settings, step)
    length = _PARTING * schedule_of(settings).texture_steps
    left = 1.0 - min(1.0, (step - material.began) / max(1.0, length))
    parting = warm_up_steps(settings) > 0
    material.evenness = float(settings["parting_smoothness"]) ** left if parting else 1.0


def has_sky(settings: FitSettings) -> bool:
    """Whether the settings call for an environment map."""
    return settings["light_model"] == "environment" and settings["shading"] != "unlit"


def pace(settings: FitSettings, group: str, variables: Variables, step: int) -> float:
    """What a group's rate is multiplied with at a step: decay within the part of the run."""
    if group == "pose" and step < settings["pose_from"]:
        return 0.0
    decay, material = float(settings["decay"]), variables.material
    if not isinstance(material, TextureMaterial):
        stage = 0 if variables.lasting else FIELD
        factor = _OPENED if group == "vertices" and painted(settings) else 1.0
        return factor * decay ** schedule_of(settings).progress(stage, step)
    warming, steps = warming_up(settings, variables, step), warm_up_steps(settings)
    factor = decay ** progress(step, material.began + steps, int(settings["steps"]))
    if group == "vertices":
        factor *= float(settings["texture_vertices"]) * (_OPENED if painted(settings) else 1.0)
    if group in _UNIFORM and painted(settings):
        factor *= _PAINTED
    if group == "light" and steps > 0:
        factor *= (_SETTLING if warming else _SETTLED) / max(settings.rate("light"), 1e-9)
    held = group == "roughness" and step < material.began + _GLOSS_HELD * steps
    return 0.0 if held or (warming and group == "normal_map") else factor


class Pictures:
    """Textures and sky for snapshots, made anew at most once a second while a run is watched."""

    def __init__(self) -> None:
        self._of: Variables | None = None
        self._made: dict[str, np.ndarray] = {}
        self._lighting = Lighting()
        self._time = -math.inf

    def take(
        self, variables: Variables, unlit: bool, live: bool, own: Variables | None = None
    ) -> tuple[dict[str, np.ndarray], Lighting]:
        """(textures, light); live ones may be a second old. Nobody writes to them again.

        Args:
            own: whose copy the variables are.
        """
        now, own = time.monotonic(), own or variables
        old = own is not self._of or now - self._time > _LIVE_SECONDS
        if not live or old:
            self._of, self._time = own, now
            self._made = variables.material.pictures(unlit)
        if not live or old or variables.sky is None:
            self._lighting = variables.scene_lighting()
        return self._made, self._lighting
