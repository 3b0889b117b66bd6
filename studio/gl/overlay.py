"""Cameras of the photos drawn in the scene: thin pyramids that carry their photos."""

from __future__ import annotations

import moderngl
import numpy as np

from studio.core.scene import Camera, Photo, PhotoSet
from studio.gl.options import ViewOptions
from studio.gl.photos import same_pose
from studio.gl.program import Program, ProgramCache
from studio.gl.resources import Resources
from studio.gl.targets import Targets

THUMBNAIL_PIXELS = 96
"""Long side of the photos on the frusta: they are seldom larger on the screen."""

FRUSTUM_SHARE = 0.11
"""Length of a frustum as a share of the cameras' median distance from the object."""

THUMBNAIL_UNIT, POSITION_UNIT = 4, 5
LINE_PIXELS = 1.3
# (colour, colour, alpha, alpha): the display keeps its alpha of 1 whatever is drawn over it.
KEEP_ALPHA = (moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA, moderngl.ZERO, moderngl.ONE)
ACCENT_ENCODED = (0.353, 0.663, 1.0)
"""#5aa9ff; the overlay is drawn over the encoded picture."""


def thumbnail(photo: Photo, width: int, height: int) -> np.ndarray:
    """[height, width, 4] uint8 sRGB, row 0 at the bottom, alpha 255: a photo made small.

    Means over a few samples of each cell, not over all pixels: a thumbnail of a hundred
    photos must not cost the time of reading every one of them.
    """
    rows = _sample_positions(photo.image.shape[0], height)
    columns = _sample_positions(photo.image.shape[1], width)
    picked = photo.image[np.ix_(rows.ravel(), columns.ravel())][..., :3]
    cells = picked.reshape(height, rows.shape[1], width, columns.shape[1], 3).mean(axis=(1, 3))
    linear = np.clip(cells, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    out = np.full((height, width, 4), 255, np.uint8)
    out[..., :3] = np.round(255 * encoded)
    return out


def _sample_positions(length: int, cells: int) -> np.ndarray:
    """[cells, s] indices spread evenly over each cell; s is at most 4."""
    per_cell = int(np.clip(length // cells, 1, 4))
    centers = (np.arange(cells * per_cell) + 0.5) * length / (cells * per_cell)
    return np.minimum(centers.astype(np.int64), length - 1).reshape(cells, per_cell)


def frustum_corners(camera: Camera, length: float) -> np.ndarray:
    """[5, 3] world points: the eye, then the image's corners lower left, right, upper right, left."""
    left, right = -camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx
    top, bottom = camera.cy / camera.fy, -(camera.height - camera.cy) / camera.fy
    plane = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    view = np.column_stack([plane, -np.ones(4)]) * length
    points = np.vstack([np.zeros(3), view])
    return np.asarray(points @ camera.view_to_world[:3, :3].T + camera.view_to_world[:3, 3])


class PhotoOverlay:
    """Frusta and thumbnails of one set of photos."""

    def __init__(self, resources: Resources, programs: ProgramCache):
        self._resources = resources
        self._programs = programs
        self._cameras: list[Camera] = []
        self._length = 1.0
        self._thumbnails: moderngl.TextureArray | None = None
        self._corners = np.zeros((0, 5, 3), np.float32)
        self._buffers: dict[str, moderngl.Buffer] = {}
        self._arrays: dict[str, moderngl.VertexArray] = {}
        self._photos: list[Photo] = []

    def set(self, photos: PhotoSet | None) -> None:
        """Take the cameras; thumbnails are made when they are first drawn."""
        self.release()
        self._photos = [] if photos is None else photos.photos
        self._cameras = [photo.camera for photo in self._photos]
        if photos is None or not self._cameras:
            return
        center = np.asarray(photos.object_center)
        distance = float(np.median([np.linalg.norm(c.position - center) for c in self._cameras]))
        self._length = max(FRUSTUM_SHARE * distance, 1e-6)
        self._corners = np.stack([frustum_corners(c, self._length) for c in self._cameras]).astype(np.float32)

    def draw(self, targets: Targets, camera: Camera, options: ViewOptions) -> None:
        """Over the display image; what lies behind the scene is only hinted at."""
        if not self._cameras:
            return
        self._build()
        ctx = self._resources.ctx
        targets.display_fbo.use()
        targets.gbuffer["position"].use(POSITION_UNIT)
        ctx.enable_only(moderngl.BLEND)
        ctx.blend_func = KEEP_ALPHA  # type: ignore[assignment]  # four are allowed
        if options.thumbnails:
            self._draw_thumbnails(targets, camera, options)
        self._draw_lines(targets, camera, options)
        ctx.enable_only(moderngl.NOTHING)

    def _uniforms(self, program: Program, targets: Targets, camera: Camera, options: ViewOptions) -> None:
        hidden = [i for i, c in enumerate(self._cameras) if same_pose(camera, c)]
        depth = float(np.linalg.norm(camera.position - self._corners[:, 0].mean(axis=0)))
        spread = float(np.linalg.norm(np.ptp(self._corners[:, 0], axis=0))) + 4 * self._length
        program.set_matrix("u_world_to_clip", camera.world_to_clip)
        program.set("u_size", (float(targets.size[0]), float(targets.size[1])))
        program.set("u_position", POSITION_UNIT)
        program.set("u_hidden", hidden[0] if hidden else -1)
        program.set("u_current", -1 if options.photo is None else options.photo)
        program.set("u_fade", (max(depth - 0.6 * spread, 0.0), depth + 0.6 * spread))
        program.set("u_length", self._length)

    def _draw_thumbnails(self, targets: Targets, camera: Camera, options: ViewOptions) -> None:
        program = self._programs.get("thumbnail.vert", "thumbnail.frag")
        self._uniforms(program, targets, camera, options)
        if self._thumbnails is None:
            self._thumbnails = self._make_thumbnails()
        self._thumbnails.use(THUMBNAIL_UNIT)
        program.set("u_thumbnails", THUMBNAIL_UNIT)
        depth = (self._corners[:, 0] - camera.position) @ -camera.view_to_world[:3, 2]
        order = np.argsort(-depth)  # far ones first: they are blended
        self._buffers["order"].write(self._instances()[order])
        self._arrays["thumbnails"].render(moderngl.TRIANGLE_STRIP, vertices=4, instances=len(order))

    def _draw_lines(self, targets: Targets, camera: Camera, options: ViewOptions) -> None:
        program = self._programs.get("line.vert", "line.frag")
        self._uniforms(program, targets, camera, options)
        program.set("u_line_width", LINE_PIXELS * options.ui_scale * options.resolution_scale)
        program.set("u_accent", ACCENT_ENCODED)
        segments = len(self._cameras) * len(_EDGES)
        self._arrays["lines"].render(moderngl.TRIANGLE_STRIP, vertices=4, instances=segments)

    def _instances(self) -> np.ndarray:
        """[P, 13] float32: four corners of each image and the index of its photo."""
        count = len(self._corners)
        numbers = np.arange(count, dtype=np.float32)[:, None]
        return np.hstack([self._corners[:, 1:].reshape(count, 12), numbers])

    def _build(self) -> None:
        if self._arrays:
            return
        count = len(self._corners)
        ends = self._corners[:, _EDGES].reshape(count * len(_EDGES), 6)
        numbers = np.repeat(np.arange(count, dtype=np.float32), len(_EDGES))[:, None]
        self._buffers["lines"] = self._resources.buffer(np.hstack([ends, numbers]))
        self._buffers["order"] = self._resources.buffer(self._instances())
        line = self._programs.get("line.vert", "line.frag").glo
        quad = self._programs.get("thumbnail.vert", "thumbnail.frag").glo
        self._arrays["lines"] = self._resources.vertex_array(
            line, [(self._buffers["lines"], "3f 3f 1f/i", "in_from", "in_to", "in_photo")]
        )
        names = ("in_corner0", "in_corner1", "in_corner2", "in_corner3", "in_photo")
        self._arrays["thumbnails"] = self._resources.vertex_array(
            quad, [(self._buffers["order"], "3f 3f 3f 3f 1f/i", *names)]
        )

    def _make_thumbnails(self) -> moderngl.TextureArray:
        first = self._cameras[0]
        scale = THUMBNAIL_PIXELS / max(first.width, first.height)
        width, height = max(1, round(first.width * scale)), max(1, round(first.height * scale))
        layers = np.stack([thumbnail(photo, width, height) for photo in self._photos])
        return self._resources.texture_array((width, height, len(layers)), 4, layers.tobytes())

    def release(self) -> None:
        self._resources.release(*self._arrays.values(), *self._buffers.values(), self._thumbnails)
        self._arrays.clear()
        self._buffers.clear()
        self._thumbnails = None
        self._cameras, self._photos = [], []


# Pairs of points of `frustum_corners`: the rays, then the image's border.
_EDGES = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])
