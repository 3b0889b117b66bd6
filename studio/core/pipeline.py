"""The differentiable renderer: G-buffer, effects in stage order, antialiasing.

    vertices -> rasterize + interpolate -> G-buffer -> shade -> screen -> antialias -> post

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

from studio.core.effects import get, registry
from studio.core.errors import InputError
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.ops import antialias, draw, interpolate, nmr, rasterize, rasterize_interpolate
from studio.core.ops.compose import check_background, compose
from studio.core.ops.normals import vertex_normals
from studio.core.ops.packing import unpack
from studio.core.params import ParamSet
from studio.core.plan import Effects
from studio.core.rasterizer import Rasterizer, soft_buffer, soft_picture
from studio.core.scene import Camera, Scene
from studio.core.tensors import SceneTensors

__all__ = ["AOVS", "Effects", "SceneTensors", "default_effects", "render", "render_image"]

_PACKED = {
    **{"normal": 3, "position": 3, "albedo": 3, "perceptual_roughness": 1, "metallic": 1},
    **{"occlusion": 1, "uv": 2},
}
"""Interpolated channels in the order in which they lie in the packed G-buffer; occlusion only
with SoftRas, which looks textures up before it mixes."""

_SURFACE = ("albedo", "perceptual_roughness", "metallic", "occlusion")
"""Channels that textures take part in."""

AOVS = (
    *("color", "alpha", "albedo", "normal", "position", "depth", "perceptual_roughness", "metallic"),
    *("occlusion", "uv", "covered", "id", "part"),
)
"""Channels that render_image can return. id is the triangle and part the mesh, both plus one."""


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
        channels: further channels to make, any of AOVS.
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
        To: all of tensors (silhouettes included), lights, background, effect parameters.
        Discontinuous in: visibility inside the object; see antialias.
    Raises:
        InputError: an unknown effect, channel or rasterizer. ShapeError: a tensor that does not fit.
    """
    how = Rasterizer(rasterizer) if isinstance(rasterizer, str) else rasterizer
    wanted = _wanted(effects or {}, channels)
    if background is None:
        background = torch.zeros(3, device=tensors.vertices.device)
    frame = Frame(cameras, lights, background)
    pos = clip_positions(tensors.vertices, cameras)
    chosen = [effect for effect in registry().values() if effect.name in (effects or {})]
    shaded = any(effect.stage == "shade" for effect in chosen)
    if how.name == "antialias" and not shaded and not tensors.textured and not wanted:
        rgba = _draw_albedo(frame, tensors, pos, cull_backfaces)
    else:
        _geometry_buffer(frame, tensors, pos, wanted | {"albedo"}, cull_backfaces, how)
        _run(frame, effects, "shade")
        if not shaded:
            frame.channels["color"] = frame["albedo"]
        _run(frame, effects, "screen")
        rgba = _composed(frame, tensors, pos, how)
    _set_picture(frame, rgba)
    if any(effect.stage == "post" for effect in chosen):
        _run(frame, effects, "post")
        _set_picture(frame, torch.cat([frame["color"], frame["alpha"]], dim=3))
    return frame


def _wanted(effects: Effects, channels: Iterable[str]) -> set[str]:
    """Channels to make; InputError for unknown names."""
    wanted: set[str] = set()
    for name in effects:
        wanted |= set(get(name).reads)
    for name in channels:
        if name not in AOVS:
            raise InputError(f"render: no channel {name!r}; there are {', '.join(AOVS)}")
        wanted.add(name)
    return wanted - {"color", "alpha", "rgba"}


def _set_picture(frame: Frame, rgba: Tensor) -> None:
    frame.channels.update(rgba=rgba, color=rgba[..., :3], alpha=rgba[..., 3:])


def _run(frame: Frame, effects: Effects | None, stage: str) -> None:
    for name, effect in registry().items():
        if effect.stage == stage and effects and name in effects:
            frame.channels.update(effect.apply(frame, effects[name]))


def _composed(frame: Frame, tensors: SceneTensors, pos: Tensor, how: Rasterizer) -> Tensor:
    """[N, H, W, 4] the shaded colour over the background, and coverage, with gradients at silhouettes."""
    soft = how.name == "softras"
    if soft and how.softras_aggregation == "soft":
        check_background("render", frame.background, frame["color"].shape)
        return soft_picture(frame["color"], frame["alpha"], frame.background)
    rgba = compose(frame["color"], frame["rast"], frame.background)
    if soft:
        return torch.cat([rgba[..., :3], frame["alpha"]], dim=3)
    if how.name == "nmr":
        return nmr(rgba, frame["rast"], pos, tensors.faces, outlines_only=True)
    return antialias(rgba, frame["rast"], pos, tensors.faces, tensors.topology)


def _draw_albedo(frame: Frame, tensors: SceneTensors, pos: Tensor, cull: bool) -> Tensor:
    """[N, H, W, 4] antialiased colour over the background, and coverage, in one operation."""
    attributes = torch.cat([tensors.colors, torch.ones_like(tensors.colors[:, :1])], dim=1)
    size = (frame.cameras.height, frame.cameras.width)
    check_background("render", frame.background, torch.Size((len(pos), *size)))
    behind = torch.cat([frame.background, torch.zeros_like(frame.background[..., :1])], dim=-1)
    return draw(pos, tensors.faces, attributes[None], size, tensors.topology, behind, cull)


def _geometry_buffer(
    frame: Frame, tensors: SceneTensors, pos: Tensor, wanted: set[str], cull: bool, how: Rasterizer
) -> None:
    """All wanted channels of the nearest surface, or of SoftRas's mixture of surfaces."""
    soft = how.name == "softras"
    interpolated = {name for name in _PACKED if name in wanted} - {"occlusion"}
    if "depth" in wanted:
        interpolated.add("position")
    textured = tensors.textured and bool(wanted & set(_SURFACE))
    if textured:
        interpolated |= {"uv", "perceptual_roughness", "metallic"}
    if soft and "occlusion" in wanted:
        interpolated.add("occlusion")
    names = [name for name in _PACKED if name in interpolated]
    attributes = torch.cat([_attribute(tensors, name) for name in names], dim=1)
    size = (frame.cameras.height, frame.cameras.width)
    if soft:
        starts = {name: sum(_PACKED[n] for n in names[:i]) for i, name in enumerate(names)}
        image, alpha, rast = soft_buffer(pos, tensors, attributes, starts, size, how)
        packed = image.clone()  # unpack writes to it, the adjoint of SoftRas needs it as it was
        frame.channels["alpha"] = alpha
    elif textured:
        first = sum(_PACKED[name] for name in names[: names.index("uv")])
        rast, rast_db = rasterize(None, pos, tensors.faces, size, cull_backfaces=cull)
        packed, uv_da = interpolate(attributes[None], rast, tensors.faces, rast_db, [first, first + 1])
        rast = rast.detach()
    else:
        packed, rast = rasterize_interpolate(pos, tensors.faces, attributes[None], size, cull)
    normal = names.index("normal") if "normal" in names else -1
    views = unpack(packed, rast, tuple(_PACKED[name] for name in names), normal)
    frame.channels.update(zip(names, views), rast=rast)
    covered = (rast[..., 3:] > 0).to(rast.dtype)
    if wanted & {"covered", "depth", "occlusion"} or tensors.textured:
        frame.channels["covered"] = covered
    if "occlusion" in wanted and not soft:
        frame.channels["occlusion"] = covered
    if "depth" in wanted:
        row = frame.cameras.world_to_view[:, 2]
        along = torch.einsum("nhwc,nc->nhw", frame["position"], row[:, :3]) + row[:, 3, None, None]
        frame.channels["depth"] = -along[..., None] * covered
    if wanted & {"id", "part"}:
        _identify(frame, tensors)
    if textured and not soft:
        _apply_textures(frame, tensors, uv_da)


def _attribute(tensors: SceneTensors, name: str) -> Tensor:
    """[V, C] vertex values of a packed channel."""
    if name == "normal":
        if tensors.normals is not None:
            return tensors.normals
        return vertex_normals(tensors.vertices, tensors.faces, tensors.incidence)
    if name == "occlusion":
        return torch.ones_like(tensors.metallic)
    fields = {"position": tensors.vertices, "albedo": tensors.colors, "uv": tensors.uvs}
    return fields[name] if name in fields else getattr(tensors, name)


def _part_numbers(frame: Frame, tensors: SceneTensors) -> Tensor:
    """[N, H, W, 1] int64 part of each pixel, -1 where empty."""
    triangle = frame["rast"][..., 3:].long() - 1
    return torch.where(triangle >= 0, tensors.face_part[triangle.clamp(min=0)], -1)


def _identify(frame: Frame, tensors: SceneTensors) -> None:
    frame.channels["id"] = frame["rast"][..., 3:]
    frame.channels["part"] = _part_numbers(frame, tensors).float() + 1


def _apply_textures(frame: Frame, tensors: SceneTensors, uv_da: Tensor) -> None:
    """Multiply what textures say into the surface channels, part by part.

    Args:
        uv_da: [N, H, W, 4] screen derivatives of uv, for the mip level.
    """
    uv = frame["uv"].contiguous()
    number = _part_numbers(frame, tensors) if len(tensors.parts) > 1 else None
    for i, part in enumerate(tensors.parts):
        if not part.textured:
            continue
        mask = frame["covered"] > 0 if number is None else number == i
        if part.base_color_texture is not None:
            _multiply(frame, "albedo", part.sample("base_color_texture", uv, uv_da), mask)
        if part.orm_texture is not None:
            orm = part.sample("orm_texture", uv, uv_da)
            _multiply(frame, "perceptual_roughness", orm[..., 1:2], mask)
            _multiply(frame, "metallic", orm[..., 2:3], mask)
        if part.occlusion_texture is not None and "occlusion" in frame.channels:
            _multiply(frame, "occlusion", part.sample("occlusion_texture", uv, uv_da), mask)


def _multiply(frame: Frame, name: str, factor: Tensor, mask: Tensor) -> None:
    frame.channels[name] = frame[name] * torch.where(mask, factor, 1.0)


def render_image(
    scene: Scene,
    camera: Camera,
    effects: Effects | None = None,
    device: torch.device | str = "cpu",
    channel: str | None = None,
    rasterizer: Rasterizer | str = "antialias",
) -> np.ndarray:
    """One picture of a scene, without gradients.

    Args:
        effects: those that are on; None for the default ones with the scene's values.
        channel: one of AOVS instead of the picture.
        rasterizer: see render.
    Returns:
        [H, W, 4] float32: linear colour over the scene's background, and alpha; or
        [H, W, C] of the channel. Row 0 is the bottom.
    Raises:
        InputError: nothing to render, an unknown effect or channel.
    """
    chosen = default_effects(scene) if effects is None else effects
    with torch.no_grad():
        frame = render(
            SceneTensors.from_scene(scene, device),
            CameraBatch.from_cameras([camera], device),
            LightTensors.from_lighting(scene.lighting, device),
            torch.tensor(scene.background, dtype=torch.float32, device=device),
            chosen,
            () if channel is None else (channel,),
            rasterizer=rasterizer,
        )
    image: np.ndarray = frame[channel or "rgba"][0].contiguous().cpu().numpy()
    return image
