"""What the tests of the viewport share: a context, a viewport without leaks, small scenes."""

from __future__ import annotations

import numpy as np
import pytest

from studio.core.scene import Camera, Material, Mesh, Photo, PhotoSet, Similarity, look_at
from studio.gl.options import ViewOptions
from tests.needs import need

W, H = 96, 64
PLAIN = ViewOptions(grid=False, axes=False, frusta=False)


@pytest.fixture(scope="module")
def context():
    need("gl")
    from studio.gl.context import headless_context

    with headless_context() as ctx:
        yield ctx


@pytest.fixture
def viewport(context):
    from studio.gl.viewport import Viewport

    with context:
        made = Viewport(context)
        yield made
        assert context.error == "GL_NO_ERROR"
        made.release()
        assert made.resources.count == 0


def camera(width: int = W, height: int = H, eye=(0.4, 0.5, 3.0)) -> Camera:
    focal = 1.2 * height
    pose = look_at(np.array(eye), np.zeros(3))
    return Camera(width, height, focal, focal, width / 2, height / 2, pose, near=0.1, far=20)


def triangle(points, color=(1.0, 1.0, 1.0)) -> Mesh:
    material = Material(base_color=color)
    return Mesh(np.array(points, np.float32), np.array([[0, 1, 2]], np.int32), material=material)


def photo_set(cameras: list[Camera], color=(0.5, 0.5, 0.5), mask=None) -> PhotoSet:
    def image(c: Camera) -> np.ndarray:
        return np.full((c.height, c.width, 3), color, np.float32)

    photos = [Photo(str(i), image(c), c, mask=mask) for i, c in enumerate(cameras)]
    return PhotoSet(photos, Similarity())


def settle(viewport, cam: Camera, options: ViewOptions) -> np.ndarray:
    """[H, W, 3] sRGB values 0..255 of the finished picture, row 0 at the bottom."""
    for _ in range(options.samples + 2):
        texture = viewport.render(cam, options)
    assert viewport.settled
    data = np.frombuffer(texture.read(alignment=1), np.uint8).reshape(texture.height, texture.width, 4)
    assert (data[..., 3] == 255).all()
    return data[..., :3].astype(int)


def screen(cam: Camera, point) -> tuple[float, float]:
    """Pixel coordinates of a world point, from the upper left corner."""
    clip = cam.world_to_clip @ np.array([*point, 1.0])
    x, y = (clip[:2] / clip[3] + 1) / 2 * (cam.width, cam.height)
    return x, cam.height - y
