"""The conventions of docs/conventions.md that belong to no other test file."""

from __future__ import annotations

import numpy as np
import torch

from studio.core.color import srgb_to_linear
from studio.core.effects import registry
from studio.core.io.images import load_image, save_png
from studio.core.ops import rasterize
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Light, Lighting, Mesh, Scene, look_at
from studio.core.scene.light import ambient_sh


def camera(width: int = 40, height: int = 30, **kwargs: float) -> Camera:
    values = {"fx": 50.0, "fy": 40.0, "cx": 18.0, "cy": 17.0, **kwargs}
    pose = look_at(np.array((1.0, 2.0, 3.0)), np.zeros(3))
    return Camera(width, height, view_to_world=pose, near=0.1, far=10.0, **values)


def project(cam: Camera, point: np.ndarray) -> np.ndarray:
    """(column, row from the top) in pixels."""
    clip = cam.world_to_clip @ np.append(point, 1.0)
    ndc = clip[:3] / clip[3]
    return np.array([(ndc[0] + 1) / 2 * cam.width, (1 - ndc[1]) / 2 * cam.height])


def test_camera_looks_along_minus_z() -> None:
    view = camera().world_to_view @ np.array((0.0, 0.0, 0.0, 1.0))
    assert view[2] < 0
    np.testing.assert_allclose(view[:2], 0, atol=1e-12)
    up = camera().world_to_view[:3, :3] @ np.array((0.0, 1.0, 0.0))
    assert up[1] > 0


def test_matrix_names_compose() -> None:
    cam = camera()
    np.testing.assert_allclose(cam.world_to_view @ cam.view_to_world, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(cam.world_to_clip, cam.view_to_clip @ cam.world_to_view)


def test_principal_point_projects_to_itself() -> None:
    cam = camera()
    np.testing.assert_allclose(project(cam, np.zeros(3)), (18.0, 17.0), atol=1e-9)
    half = cam.resized(20, 15)
    np.testing.assert_allclose(project(half, np.zeros(3)), (9.0, 8.5), atol=1e-9)
    # One unit to the right at depth d moves the image by fx / d pixels, up by fy / d.
    depth = -(cam.world_to_view @ np.array((0, 0, 0, 1.0)))[2]
    right, up = cam.view_to_world[:3, 0], cam.view_to_world[:3, 1]
    np.testing.assert_allclose(project(cam, right), (18 + 50 / depth, 17), atol=1e-9)
    np.testing.assert_allclose(project(cam, up), (18, 17 - 40 / depth), atol=1e-9)


def test_clip_depth_range() -> None:
    cam = camera()
    for depth, expected in ((0.1, -1.0), (10.0, 1.0)):
        clip = cam.view_to_clip @ np.array((0.0, 0.0, -depth, 1.0))
        np.testing.assert_allclose(clip[2] / clip[3], expected, atol=1e-12)


def test_pixel_centres() -> None:
    # A triangle around the centre of pixel (row 1, col 2) of a 4x4 image and no other centre.
    x, y, r = (2 * 2 + 1) / 4 - 1, (2 * 1 + 1) / 4 - 1, 0.2
    pos = torch.tensor([[[x - r, y - r, 0, 1], [x + r, y - r, 0, 1], [x, y + r, 0, 1]]])
    rast, _ = rasterize(None, pos, torch.tensor([[0, 1, 2]], dtype=torch.int32), (4, 4))
    assert (rast[0, :, :, 3] > 0).nonzero().tolist() == [[1, 2]]


def test_row_zero_is_the_bottom(tmp_path) -> None:
    image = np.zeros((2, 1, 3), np.float32)
    image[0] = srgb_to_linear(np.float32(0.5))  # bottom row is grey
    save_png(tmp_path / "a.png", image)
    from PIL import Image

    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert pixels[0, 0, 0] == 0  # files count from the top
    assert abs(int(pixels[1, 0, 0]) - 128) <= 1
    np.testing.assert_allclose(load_image(tmp_path / "a.png")[..., :3], image, atol=2e-3)


def quad(color: float) -> Mesh:
    """A unit square in the xy plane, facing +Z."""
    vertices = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], np.float32)
    return Mesh(
        vertices=vertices,
        faces=np.array([(0, 1, 2), (0, 2, 3)], np.int32),
        colors=np.full((4, 3), color, np.float32),
        roughness=np.ones((4, 1), np.float32),
        metallic=np.zeros((4, 1), np.float32),
    )


def lit(lighting: Lighting) -> float:
    """Radiance at the middle of a Lambertian white square seen from the front."""
    scene = Scene(meshes=[quad(1.0)], lighting=lighting)
    scene.meshes[0].material.base_color = (1.0, 1.0, 1.0)
    pose = look_at(np.array((0.0, 0.0, 3.0)), np.zeros(3))
    cam = Camera(16, 16, 16, 16, 8, 8, view_to_world=pose)
    effects = {name: ParamSet(name, e.params) for name, e in registry().items()}
    effects["pbr"].set("specular_f0", 0.0)
    return float(render_image(scene, cam, effects=effects)[8, 8, 1])


def test_directional_light_intensity() -> None:
    sun = Light(direction=(0.0, 0.0, 1.0), intensity=0.6)
    value = lit(Lighting(lights=[sun], sh=ambient_sh((0.0, 0.0, 0.0))))
    # F_Schlick leaves a little specular even at f0 = 0, hence the tolerance above.
    assert abs(value - 0.6) < 0.01


def test_constant_environment() -> None:
    value = lit(Lighting(lights=[], sh=ambient_sh((0.4, 0.4, 0.4))))
    assert abs(value - 0.4) < 0.03  # the analytic DFG term at f0 = 0 keeps a Fresnel remainder
