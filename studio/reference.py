"""The same scene by path tracing: Mitsuba 3 (Jakob et al. 2022), against which effects are judged.

An optional extra, `pip install "studio[reference]"`. What the two do not share is translated as
closely as Mitsuba allows:

- materials become its `principled` BSDF (Burley 2012): GGX with f0 0.04 like ours, but with
  Disney's diffuse lobe and without energy compensation;
- a point light with a size becomes a sphere that the camera does not see; spots and directional
  lights stay sharp, and a spot fades linearly with the angle;
- a texture wins over vertex values, for Mitsuba does not multiply the two;
- spherical harmonics become a map of 256 x 128 directions, negative radiance cut;
- a mesh that shines lights the scene, and a light at its place is left out;
- nothing scatters below a surface.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from studio.core.errors import InputError, WorkError
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Light, Material, Mesh, Scene
from studio.core.scene.environment import equirect_directions, sh_basis

_PASS = 16
"""Samples per pixel between two looks at whether to go on."""

_MAP_SIZE = (128, 256)


def load_mitsuba() -> ModuleType:
    """The package, its variant chosen; WorkError with what to do where it is missing."""
    try:
        import mitsuba
    except ImportError:
        raise WorkError('Mitsuba is not installed: pip install "mitsuba>=3.5"') from None
    # The one that compiles with LLVM is faster, but where the system's LLVM does not suit it, it
    # takes the process down.
    mitsuba.set_variant("scalar_rgb")
    module: ModuleType = mitsuba
    return module


def render_reference(
    scene: Scene,
    camera: Camera,
    samples: int = 64,
    bounces: int = 8,
    seed: int = 0,
    transparent: bool = False,
    background: np.ndarray | None = None,
    progress: Callable[[float, str], None] | None = None,
    partly: Callable[[np.ndarray], None] | None = None,
) -> np.ndarray:
    """Path-trace a scene.

    Args:
        samples: paths per pixel.
        bounces: surfaces that light may meet on its way; 1 is direct light only.
        seed: of the paths; the same seed gives the same picture.
        transparent: leave the background out.
        background: [3] or [H, W, 3] linear, row 0 at the bottom; the scene's if None.
        progress: called between passes with the share done and a line that says what is done; it
            may raise to end the work.
        partly: called with the picture as it is after each pass but the last.
    Returns:
        image: [H, W, 4] float32 linear, over the background, row 0 at the bottom.
    Raises:
        WorkError: Mitsuba is not there. InputError: the camera's pixels are not square.
    """
    if abs(camera.fx / camera.fy - 1) > 0.01:
        raise InputError(f"reference: focal lengths {camera.fx:g} and {camera.fy:g}, expected equal ones")
    mi = load_mitsuba()
    behind = np.asarray(scene.background if background is None else background, np.float32)
    world: Any = mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": bounces + 1, "hide_emitters": True},
            "sensor": _sensor(mi, camera),
            **{f"mesh_{i}": _mesh(mi, mesh) for i, mesh in enumerate(scene.meshes)},
            **_lights(mi, scene, camera),
        }
    )
    emitted = None
    if any(max(mesh.material.emissive) > 0 for mesh in scene.meshes):
        # Hidden with the lamps, but these are to be seen.
        emitted = render_image(scene, camera, channel="emissive")
    total = np.zeros((camera.height, camera.width, 4))

    def finished() -> np.ndarray:
        image = (total / done)[::-1].astype(np.float32)
        if not transparent:
            image[..., :3] += (1 - image[..., 3:]) * behind
        if emitted is not None:
            image[..., :3] += emitted
        return np.ascontiguousarray(image)

    done = 0
    while done < samples:
        count = min(_PASS, samples - done)
        picture = np.array(mi.render(world, spp=count, seed=seed * 100_003 + done))
        total += count * np.nan_to_num(picture, posinf=0.0, neginf=0.0)
        done += count
        if progress is not None:
            progress(done / samples, f"Path tracing: {done}/{samples} samples")
        if partly is not None and done < samples:
            partly(finished())
    return finished()


def _sensor(mi: Any, camera: Camera) -> dict[str, Any]:
    # Mitsuba's camera looks along +Z with +X to the left.
    pose = camera.view_to_world @ np.diag([-1.0, 1.0, -1.0, 1.0])
    return {
        "type": "perspective",
        "fov": math.degrees(2 * math.atan(camera.width / (2 * camera.fx))),
        "fov_axis": "x",
        "principal_point_offset_x": 0.5 - camera.cx / camera.width,
        "principal_point_offset_y": 0.5 - camera.cy / camera.height,
        "near_clip": camera.near,
        "far_clip": camera.far,
        "to_world": mi.ScalarTransform4f(pose.tolist()),
        "film": {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            "pixel_format": "rgba",
            "component_format": "float32",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent"},
    }


def _mesh(mi: Any, mesh: Mesh) -> Any:
    """A Mitsuba mesh with its vertex attributes."""
    properties = mi.Properties()
    properties["mesh_bsdf"] = mi.load_dict(_bsdf(mi, mesh))
    emissive = np.asarray(mesh.material.emissive, np.float64)
    if emissive.max() > 0:
        radiance = {"type": "rgb", "value": emissive.tolist()}
        texture = mesh.material.emissive_texture
        if texture is not None and mesh.uvs is not None:
            radiance = _bitmap(mi, texture * emissive.astype(np.float32))
        properties["mesh_emitter"] = mi.load_dict({"type": "area", "radiance": radiance})
    made = mi.Mesh(
        mesh.name,
        len(mesh.vertices),
        len(mesh.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=mesh.uvs is not None,
        props=properties,
    )
    for name, values in _attributes(mesh).items():
        made.add_attribute(f"vertex_{name}", values.shape[1], values.ravel().tolist())
    params = mi.traverse(made)
    params["vertex_positions"] = np.ascontiguousarray(mesh.vertices, np.float32).ravel()
    params["vertex_normals"] = np.ascontiguousarray(mesh.vertex_normals(), np.float32).ravel()
    params["faces"] = np.ascontiguousarray(mesh.faces, np.uint32).ravel()
    if mesh.uvs is not None:
        params["vertex_texcoords"] = np.ascontiguousarray(mesh.uvs, np.float32).ravel()
    params.update()
    return made


def _attributes(mesh: Mesh) -> dict[str, np.ndarray]:
    """Vertex values that Mitsuba looks up, factors multiplied in."""
    out = {}
    if mesh.colors is not None:
        out["color"] = mesh.colors * np.asarray(mesh.material.base_color, np.float32)
    if mesh.roughness is not None:
        out["roughness"] = mesh.roughness
    if mesh.metallic is not None:
        out["metallic"] = mesh.metallic
    return out


def _bitmap(mi: Any, image: np.ndarray) -> dict[str, Any]:
    """A texture of linear values. The first row is at v = 0 in Mitsuba, too: its loaders turn v over."""
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(image, np.float32)),
        "raw": True,
    }


def _bsdf(mi: Any, mesh: Mesh) -> dict[str, Any]:
    """Our material as Mitsuba's principled BSDF, seen from both sides."""
    m: Material = mesh.material
    given = _attributes(mesh)

    def texture(name: str, constant: Any, image: np.ndarray | None) -> Any:
        if image is not None and mesh.uvs is not None:
            return _bitmap(mi, image)
        if name in given:
            return {"type": "mesh_attribute", "name": f"vertex_{name}"}
        return constant

    color = (
        None
        if m.base_color_texture is None
        else m.base_color_texture[..., :3] * np.asarray(m.base_color, np.float32)
    )
    orm = m.orm_texture
    rough = None if orm is None else orm[..., 1:2] * np.float32(m.perceptual_roughness)
    metal = None if orm is None else orm[..., 2:3] * np.float32(m.metallic)
    surface = {
        "type": "principled",
        "base_color": texture("color", {"type": "rgb", "value": list(m.base_color)}, color),
        "roughness": texture("roughness", float(m.perceptual_roughness), rough),
        "metallic": texture("metallic", float(m.metallic), metal),
        "specular": 0.5,
    }
    if m.normal_texture is not None and mesh.uvs is not None:
        surface = {"type": "normalmap", "normalmap": _bitmap(mi, m.normal_texture), "bsdf": surface}
    return {"type": "twosided", "bsdf": surface}


def _stands_for(light: Light, mesh: Mesh) -> bool:
    """Whether the light is there because the mesh shines, which our renderers do not let it do."""
    if max(mesh.material.emissive) <= 0 or light.kind not in ("point", "area"):
        return False
    low, high = mesh.bounds()
    margin = 0.1 * float(np.linalg.norm(high - low))
    place = np.asarray(light.position)
    return bool(((place >= low - margin) & (place <= high + margin)).all())


def _lights(mi: Any, scene: Scene, camera: Camera) -> dict[str, Any]:
    """Emitters; irradiance is pi times what our lights call intensity."""
    lighting = scene.lighting
    kept = [light for light in lighting.lights if not any(_stands_for(light, m) for m in scene.meshes)]
    to_world = camera.view_to_world if lighting.fixed_to == "camera" else np.eye(4)
    out = {f"light_{i}": _light(mi, light, to_world) for i, light in enumerate(kept)}
    radiance = lighting.environment
    if radiance is None:
        radiance = np.maximum(sh_basis(equirect_directions(*_MAP_SIZE)) @ lighting.sh, 0)
    if radiance.max() > 0:
        # Mitsuba's maps begin looking along -Z, where ours have their middle, and at the top.
        turned = np.roll(radiance, radiance.shape[1] // 2, axis=1)[::-1]
        rotation = np.eye(4)
        rotation[:3, :3] = to_world[:3, :3]
        out["environment"] = {
            "type": "envmap",
            "bitmap": mi.Bitmap(np.ascontiguousarray(turned, np.float32)),
            "to_world": mi.ScalarTransform4f(rotation.tolist()),
        }
    return out


def _light(mi: Any, light: Light, to_world: np.ndarray) -> dict[str, Any]:
    radiance = np.asarray(light.color, np.float64) * light.intensity
    axis, right = (to_world[:3, :3] @ side for side in light.frame())
    position = to_world[:3, :3] @ np.asarray(light.position, np.float64) + to_world[:3, 3]
    strength = {"type": "rgb", "value": (math.pi * radiance).tolist()}
    if light.kind == "directional":
        return {"type": "directional", "direction": (-axis).tolist(), "irradiance": strength}
    pose = np.eye(4)
    pose[:3, 3] = position
    if light.kind == "area":
        columns = (0.5 * light.width * right, 0.5 * light.height * np.cross(right, axis), -axis)
        pose[:3, :3] = np.stack(columns, axis=1)
        return {"type": "rectangle", "to_world": mi.ScalarTransform4f(pose.tolist()), **_shining(radiance)}
    if light.kind == "spot":
        pose[:3, :3] = np.stack([right, np.cross(-axis, right), -axis], axis=1)
        return {
            "type": "spot",
            "to_world": mi.ScalarTransform4f(pose.tolist()),
            "intensity": strength,
            "cutoff_angle": light.outer_angle,
            "beam_width": light.inner_angle,
        }
    if light.size > 0:
        # As bright from afar as the point: pi r^2 of radiance L make the intensity pi L r^2.
        sphere = {"type": "sphere", "center": position.tolist(), "radius": light.size}
        return sphere | _shining(radiance / light.size**2)
    return {"type": "point", "position": position.tolist(), "intensity": strength}


def _shining(radiance: np.ndarray) -> dict[str, Any]:
    """The emitter of a shape that does nothing but shine."""
    return {
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance.tolist()}},
        "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}},
    }
