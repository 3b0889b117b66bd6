"""The differentiable renderer: G-buffer, effects in stage order, antialiasing.

    vertices -> rasterize + interpolate -> G-buffer -> light -> shade -> screen -> antialias -> post

Two published alternatives take the place of the rasterizer's gradient at silhouettes: NMR
stands where antialias does, and SoftRas makes a G-buffer that is smooth itself.

Every arrow carries gradients back. Only the channels that an enabled effect reads, or that
the caller asks for, are made: without effects the picture is the albedo, and the G-buffer
holds nothing but colour and coverage. That is the optimizer's fast path, not another renderer.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from studio.core.channels import CHANNELS, aovs, channel
from studio.core.effects import registry
from studio.core.errors import InputError
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.geometry import EDGE_DEPTHS, edge_channels, follow_cameras, geometry_buffer
from studio.core.ops import draw, nmr
from studio.core.ops.antialias import antialias_along
from studio.core.ops.compose import check_background, compose
from studio.core.ops.silhouettes import find_outline
from studio.core.params import ParamSet
from studio.core.plan import Effects, Step, plan
from studio.core.rasterizer import Rasterizer, soft_picture
from studio.core.scene import Camera, Scene
from studio.core.tensors import SceneTensors

__all__ = [
    *("AOVS", "Effects", "SceneTensors", "default_effects"),
    *("render", "render_channels", "render_image"),
]

AOVS = (*(name for name in aovs() if not CHANNELS[name].effect), "covered")
"""Channels that can be asked for whatever is on. id is the triangle and part the mesh, both plus one."""


def default_effects(scene: Scene | None = None) -> dict[str, ParamSet]:
    """The effects that are on by default, with the scene's values."""
    values = scene.effects if scene is not None else {}
    return {
        name: ParamSet(name, effect.params, values.get(name))
        for name, effect in registry().items()
        if effect.enabled
    }


def clip_positions(vertices: Tensor, cameras: CameraBatch) -> Tensor:
    """[N, V, 4] clip space of [V, 3] world positions; differentiable in both."""
    matrix = cameras.world_to_clip
    moved = torch.matmul(vertices, matrix[:, :, :3].transpose(1, 2))
    return moved + matrix[:, None, :, 3]


def render(
    tensors: SceneTensors,
    cameras: CameraBatch,
    lights: LightTensors,
    background: Tensor | None = None,
    effects: Effects | None = None,
    channels: Iterable[str] = (),
    cull_backfaces: bool = False,
    rasterizer: Rasterizer | str = "antialias",
) -> Frame:
    """Render a scene from N cameras, differentiably.

    Args:
        tensors: the scene's surfaces.
        cameras: N cameras of one size.
        lights: see LightTensors; unused without a shade effect.
        background: [3] or [N, H, W, 3] linear (an image of noise makes holes costly while
            fitting); None is black.
        effects: those that are on, by name. Without one of stage "shade" the colour is the
            albedo.
        channels: further channels to make: any of AOVS, and those of the effects that are on.
        cull_backfaces: leave out triangles seen from behind; a third faster for closed meshes.
            Not with softras, whose picture would jump where a face turns away.
        rasterizer: "antialias", "softras" or "nmr", or a Rasterizer with parameters. With
            softras the surface channels of all faces of a pixel are mixed (textures looked up
            face by face) and the mixture is shaded once; colour lies over the background by
            the soft silhouette, which is alpha. With nmr the picture is not antialiased, and
            only outlines get its gradient.
    Returns:
        A frame whose channels are those read, written and asked for, and always
        rgba [N, H, W, 4], color [N, H, W, 3] (linear, over the background) and
        alpha [N, H, W, 1], all three antialiased. Take the loss on rgba: color and alpha are
        slices of it, and slicing costs a copy in the backward pass.
    Gradients:
        To: all of tensors (silhouettes included), lights, background, effect parameters, and the
        cameras' world_to_view, world_to_clip and position (see follow_cameras).
        Discontinuous in: visibility inside the object; see antialias.
    Raises:
        InputError: an unknown effect, channel or rasterizer. ShapeError: a tensor that does not fit.
    """
    how = Rasterizer(rasterizer) if isinstance(rasterizer, str) else rasterizer
    todo = plan(effects or {}, channels, tensors.lacks)
    for name, reason in todo.skipped.items():
        raise InputError(f"effects: {name} {reason}: switch that on too, or {name} off")
    if background is None:
        background = torch.zeros(3, device=tensors.vertices.device)
    frame = Frame(cameras, lights, background, wanted=todo.wanted, surfaces=tensors)
    pos = clip_positions(tensors.vertices, cameras)
    before = todo.stage("light", "shade", "screen")
    if how.name == "antialias" and not before and not tensors.textured and not todo.surface:
        rgba = _draw_albedo(frame, tensors, pos, cull_backfaces)
    else:
        geometry_buffer(frame, tensors, pos, todo.surface | {"albedo"}, cull_backfaces, how)
        if how.name == "antialias":
            frame.outline = find_outline(frame["rast"], pos, tensors.faces, tensors.topology)
        if todo.surface & EDGE_DEPTHS:
            edge_channels(frame, pos, todo.surface)
        if cameras.world_to_view.requires_grad:
            follow_cameras(frame)
        _run(frame, todo.stage("light", "shade"))
        if not todo.stage("shade"):
            frame.channels["color"] = frame["albedo"]
        _run(frame, todo.stage("screen"))
        rgba = _composed(frame, tensors, pos, how)
    _set_picture(frame, rgba)
    if todo.stage("post"):
        _run(frame, todo.stage("post"))
        _set_picture(frame, torch.cat([frame["color"], frame["alpha"]], dim=3))
    return frame


def _set_picture(frame: Frame, rgba: Tensor) -> None:
    frame.channels.update(rgba=rgba, color=rgba[..., :3], alpha=rgba[..., 3:])


def _run(frame: Frame, steps: Iterable[Step]) -> None:
    for step in steps:
        frame.channels.update(step.effect.apply(frame, step.params))


def _composed(frame: Frame, tensors: SceneTensors, pos: Tensor, how: Rasterizer) -> Tensor:
    """[N, H, W, 4] the shaded colour over the background, and coverage, with gradients at silhouettes."""
    background = frame.channels.get("background", frame.background)
    soft = how.name == "softras"
    if soft and how.softras_aggregation == "soft":
        check_background("render", background, frame["color"].shape)
        return soft_picture(frame["color"], frame["alpha"], background)
    rgba = compose(frame["color"], frame["rast"], background)
    if soft:
        return torch.cat([rgba[..., :3], frame["alpha"]], dim=3)
    if how.name == "nmr":
        return nmr(rgba, frame["rast"], pos, tensors.faces, outlines_only=True)
    assert frame.outline is not None
    return antialias_along(rgba, pos, frame.outline)


def _draw_albedo(frame: Frame, tensors: SceneTensors, pos: Tensor, cull: bool) -> Tensor:
    """[N, H, W, 4] antialiased colour over the background, and coverage, in one operation."""
    attributes = torch.cat([tensors.colors, torch.ones_like(tensors.colors[:, :1])], dim=1)
    size = (frame.cameras.height, frame.cameras.width)
    check_background("render", frame.background, torch.Size((len(pos), *size)))
    behind = torch.cat([frame.background, torch.zeros_like(frame.background[..., :1])], dim=-1)
    return draw(pos, tensors.faces, attributes[None], size, tensors.topology, behind, cull)


def render_channels(
    scene: Scene,
    camera: Camera,
    effects: Effects | None = None,
    names: Iterable[str] = (),
    device: torch.device | str = "cpu",
    rasterizer: Rasterizer | str = "antialias",
) -> dict[str, np.ndarray]:
    """A picture of a scene and channels of the same render, without gradients.

    Args:
        effects: those that are on; None for the default ones with the scene's values.
        names: see `channels` of `render`.
        rasterizer: see render.
    Returns:
        Each of the names with [H, W, C] float32, and rgba: [H, W, 4], linear colour over the
        scene's background, and alpha. Row 0 is the bottom.
    Raises:
        InputError: nothing to render, an unknown effect or channel, a channel whose effect is off.
    """
    chosen = default_effects(scene) if effects is None else effects
    names = tuple(names)
    with torch.no_grad():
        frame = render(
            SceneTensors.from_scene(scene, device),
            CameraBatch.from_cameras([camera], device),
            LightTensors.from_lighting(scene.lighting, device),
            torch.tensor(scene.background, dtype=torch.float32, device=device),
            chosen,
            names,
            rasterizer=rasterizer,
        )
    made = {name: frame[channel(name).name] for name in (*names, "rgba")}
    return {name: image[0].contiguous().cpu().numpy() for name, image in made.items()}


def render_image(
    scene: Scene,
    camera: Camera,
    effects: Effects | None = None,
    device: torch.device | str = "cpu",
    channel: str | None = None,
    rasterizer: Rasterizer | str = "antialias",
) -> np.ndarray:
    """[H, W, 4] picture of a scene, or [H, W, C] of one channel; see `render_channels`."""
    names = () if channel is None else (channel,)
    return render_channels(scene, camera, effects, names, device, rasterizer)[channel or "rgba"]
