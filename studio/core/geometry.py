"""The G-buffer: surface channels of the nearest surface, or of SoftRas's mixture of surfaces."""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor

from studio.core.gbuffer import Frame
from studio.core.ops import interpolate, rasterize, rasterize_interpolate
from studio.core.ops.antialias import edge_values, pull_along
from studio.core.ops.bend import tangents
from studio.core.ops.normals import vertex_normals
from studio.core.ops.packing import Coat, set_apart, unpack
from studio.core.rasterizer import Rasterizer, soft_buffer
from studio.core.tensors import SceneTensors

_PACKED = {
    **{"normal": 3, "position": 3, "albedo": 3, "perceptual_roughness": 1, "metallic": 1},
    **{"occlusion": 1, "emissive": 3, "subsurface": 1, "uv": 2},
}
"""Interpolated channels in the order in which they lie in the packed G-buffer; occlusion is
interpolated only with SoftRas, which looks textures up before it mixes."""

EDGE_DEPTHS = frozenset({"soft_depth", "edge_depth", "swept_depth"})


def geometry_buffer(
    frame: Frame, tensors: SceneTensors, pos: Tensor, wanted: Set[str], cull: bool, how: Rasterizer
) -> None:
    """Make all wanted surface channels but the depths that know silhouettes; see `edge_channels`.

    Args:
        frame: gets `rast` and the channels, [N, H, W, C].
        pos: [N, V, 4] clip space of the scene's vertices.
        wanted: names of surface channels.
        cull: leave out triangles seen from behind.
    Gradients:
        To: tensors, pos. Tangents of normal textures jump from triangle to triangle; SoftRas, which
        mixes surfaces before anything is bent, leaves normal textures out.
    """
    if wanted & EDGE_DEPTHS:
        wanted = wanted | {"depth"}
    soft = how.name == "softras"
    interpolated = {name for name in _PACKED if name in wanted} - {"occlusion"}
    if "depth" in wanted:
        interpolated.add("position")
    textured = any(part.layers(wanted) for part in tensors.parts)
    if textured:
        interpolated.add("uv")
    if textured and soft:  # whose layers have both side by side
        interpolated |= {"perceptual_roughness", "metallic"}
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
    if textured and not soft:
        first = sum(_PACKED[name] for name in names[: names.index("uv")])
        packed, uv = set_apart(packed, first, 2)
        made = [name for name in names if name in wanted or name == "position"]
        if "occlusion" in wanted:
            made.append("occlusion")
        source = _places(names, made)
        coats = _coats(tensors, made, uv, uv_da)
    else:
        made, source, coats = names, (), []
    normal = made.index("normal") if "normal" in made else -1
    views = unpack(packed, rast, tuple(_PACKED[name] for name in made), normal, source, coats)
    frame.channels.update(zip(made, views), rast=rast)
    covered = (rast[..., 3:] > 0).to(rast.dtype)
    if wanted & {"covered", "depth", "occlusion"}:
        frame.channels["covered"] = covered
    if "occlusion" in wanted and "occlusion" not in frame.channels:
        frame.channels["occlusion"] = covered
    if "depth" in wanted:
        row = frame.cameras.world_to_view[:, 2]
        along = torch.einsum("nhwc,nc->nhw", frame["position"], row[:, :3]) + row[:, 3, None, None]
        frame.channels["depth"] = -along[..., None] * covered
    if wanted & {"id", "part"}:
        _identify(frame, tensors)


def _attribute(tensors: SceneTensors, name: str) -> Tensor:
    """[V, C] vertex values of a packed channel."""
    if name == "normal":
        if tensors.normals is not None:
            return tensors.normals
        return vertex_normals(tensors.vertices, tensors.faces, tensors.incidence)
    if name == "occlusion":
        return torch.ones_like(tensors.metallic)
    if name == "emissive" and tensors.emissive is None:
        return torch.zeros_like(tensors.colors)
    if name == "subsurface" and tensors.subsurface is None:
        return torch.zeros_like(tensors.metallic)
    fields = {"position": tensors.vertices, "albedo": tensors.colors, "uv": tensors.uvs}
    return fields[name] if name in fields else getattr(tensors, name)


def _part_numbers(frame: Frame, tensors: SceneTensors) -> Tensor:
    """[N, H, W, 1] int64 part of each pixel, -1 where empty."""
    triangle = frame["rast"][..., 3:].long() - 1
    return torch.where(triangle >= 0, tensors.face_part[triangle.clamp(min=0)], -1)


def _identify(frame: Frame, tensors: SceneTensors) -> None:
    frame.channels["id"] = frame["rast"][..., 3:]
    frame.channels["part"] = _part_numbers(frame, tensors).float() + 1


def _places(names: list[str], wanted: list[str]) -> tuple[int, ...]:
    """Where each channel of `wanted` lies among those of `names`; -1 for one that is 1 there."""
    starts = {name: sum(_PACKED[n] for n in names[:i]) for i, name in enumerate(names)}
    return tuple(starts[name] + k if name in starts else -1 for name in wanted for k in range(_PACKED[name]))


def _coats(tensors: SceneTensors, made: list[str], uv: Tensor, uv_da: Tensor) -> list[Coat]:
    """What the textures of each part say about the channels `made`.

    Args:
        uv: [N, H, W, 2]. uv_da: [N, H, W, 4] its screen derivatives, for the mip level.
    """
    coats = []
    several = len(tensors.parts) > 1
    for i, part in enumerate(tensors.parts):
        there = part.layers(made)
        if not there:
            continue
        texels = part.sample(there, uv, uv_da)
        flat = [name for name in there if name != "normal"]
        which, along, turn = i if several else -1, None, None
        if "normal" in there:
            along, turn = tangents(tensors.vertices, tensors.uvs, tensors.faces, tensors.face_part, which)
        factor = _places(flat, made)
        coats.append(Coat(texels, factor, tensors.face_part, which, along, turn))
    return coats


def follow_cameras(frame: Frame) -> None:
    """Let gradients of position and normal go on to the cameras; values stay.

    Shading takes cameras as constants. Where the light goes with the camera, what it sees of them
    are the normal and the position in view space; in the world, the way from the surface to the
    camera, which also changes where the surface moves the other way. So both are bent by a motion
    that is nothing now and whose derivative is the cameras'.

    Exact for pbr and environment without point, spot and area lights in the world, which look at
    positions for themselves; other effects feel the cameras through their geometry only.
    """
    matrix = frame.cameras.world_to_view
    if frame.lights.fixed_to_camera:
        back = matrix[:, :3, :3].detach().transpose(1, 2)
        turn = (back @ matrix[:, :3, :3])[:, None]
        shift = (back @ (matrix[:, :3, 3:] - matrix[:, :3, 3:].detach()))[:, None, None, :, 0]
        for name in {"normal", "position"} & frame.channels.keys():
            channel = frame[name]
            turned = channel.detach() @ turn.transpose(2, 3)
            frame.channels[name] = channel + (turned - turned.detach())
    else:
        position = frame.cameras.position
        shift = (position.detach() - position)[:, None, None]
    if frame.has("position"):
        frame.channels["position"] = frame["position"] + shift


def edge_channels(frame: Frame, pos: Tensor, wanted: Set[str]) -> None:
    """Make those of soft_depth, swept_depth and edge_depth, [N, H, W, 1], that are wanted.

    soft_depth is the plain depth, and `far` where nothing is. Its gradient is that of the
    antialiased depth, so that what looks at depths feels a silhouette move. swept_depth is the same
    with that part of the gradient alone which comes from silhouettes that move. edge_depth, without
    gradient, is the depth that most of a pixel is blended with there, elsewhere soft_depth. Where
    they differ, the derivative of an effect's expectation over sub-pixel positions is not the
    slope of its formula f but the secant (f(edge) - f(own)) / (edge - own): see the effects.

    Other rasterizers than antialias have no outline: the gradient is then that of depth alone.
    """
    far = frame.cameras.far[:, None, None, None]
    depth = torch.where(frame["rast"][..., 3:] > 0, frame["depth"], far)
    plain = depth.detach()
    if frame.outline is None:
        frame.channels.update(soft_depth=depth, swept_depth=plain, edge_depth=plain)
        return
    if "soft_depth" in wanted:
        frame.channels["soft_depth"] = pull_along(depth, pos, frame.outline)
    if "swept_depth" in wanted:
        frame.channels["swept_depth"] = pull_along(plain, pos, frame.outline)
    if "edge_depth" in wanted:
        frame.channels["edge_depth"] = edge_values(plain, frame.outline)
