"""The G-buffer: surface channels of the nearest surface, or of SoftRas's mixture of surfaces."""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor

from studio.core.gbuffer import Frame
from studio.core.ops import interpolate, rasterize, rasterize_interpolate
from studio.core.ops.antialias import edge_values, pull_along
from studio.core.ops.bend import bend_normals
from studio.core.ops.normals import vertex_normals
from studio.core.ops.packing import unpack
from studio.core.rasterizer import Rasterizer, soft_buffer
from studio.core.tensors import SceneTensors

_PACKED = {
    **{"normal": 3, "position": 3, "albedo": 3, "perceptual_roughness": 1, "metallic": 1},
    **{"occlusion": 1, "emissive": 3, "subsurface": 1, "uv": 2},
}
"""Interpolated channels in the order in which they lie in the packed G-buffer; occlusion only
with SoftRas, which looks textures up before it mixes."""

_SURFACE = ("albedo", "perceptual_roughness", "metallic", "occlusion", "emissive", "normal")
"""Channels that textures take part in."""

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
        if part.emissive_texture is not None and "emissive" in frame.channels:
            _multiply(frame, "emissive", part.sample("emissive_texture", uv, uv_da), mask)
        if part.normal_texture is not None and "normal" in frame.channels:
            bent = bent_normals(frame, tensors, part.sample("normal_texture", uv, uv_da))
            frame.channels["normal"] = torch.where(mask, bent, frame["normal"])


def _multiply(frame: Frame, name: str, factor: Tensor, mask: Tensor) -> None:
    frame.channels[name] = frame[name] * torch.where(mask, factor, 1.0)


def bent_normals(frame: Frame, tensors: SceneTensors, texels: Tensor) -> Tensor:
    """[N, H, W, 3] normals tilted by what a normal texture says.

    The tangent is the direction on the triangle's plane in which u grows, made perpendicular to
    the interpolated normal, and the bitangent is perpendicular to both, towards growing v: glTF
    2.0, section 3.7.2.1, but each triangle has its own tangent. Where uv stand still, normals stay.

    Args:
        texels: [N, H, W, 3], tangent space encoded as 0..1.
    """
    corners = tensors.faces.long()
    side = tensors.vertices[corners[:, 1:]] - tensors.vertices[corners[:, :1]]
    step = tensors.uvs[corners[:, 1:]] - tensors.uvs[corners[:, :1]]
    turn = torch.sign(torch.linalg.det(step.detach()))
    along = turn[:, None] * (side[:, 0] * step[:, 1, 1:] - side[:, 1] * step[:, 0, 1:])
    # Brought to unit length, as u may grow over a millionth of the scene.
    along = along / along.detach().norm(dim=1, keepdim=True).clamp_min(1e-30)
    return bend_normals(frame["rast"], frame["normal"], texels, along, turn)


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
