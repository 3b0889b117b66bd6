"""Cameras out: a transforms.json that nerfstudio, instant-ngp and this program read."""

from __future__ import annotations

import json
from pathlib import Path

from studio.core.io.files import write_bytes
from studio.core.scene.camera import Camera
from studio.core.scene.photo import Photo
from studio.core.scene.similarity import Similarity


def save_cameras(path: Path | str, photos: list[Photo], world_to_output: Similarity) -> None:
    """Write the cameras of photos, each frame with its own intrinsics, without distortion.

    Args:
        path: .json; an earlier file is replaced only when done.
        photos: with cameras in our world.
        world_to_output: `PhotoSet.input_to_world.inverse()` restores the capture's coordinates.
    Raises:
        InputError: the place cannot be written.
        WorkError: the disk filled up.
    """
    own = [photo.without_canvas() for photo in photos]  # the files have none
    write_cameras(path, [(photo.path or photo.name, photo.camera) for photo in own], world_to_output)


def write_cameras(path: Path | str, cameras: list[tuple[str, Camera]], world_to_output: Similarity) -> None:
    """The same for cameras with the files of their photos."""
    frames = []
    for file, camera in cameras:
        frames.append(
            {
                "file_path": file,
                "w": camera.width,
                "h": camera.height,
                "fl_x": camera.fx,
                "fl_y": camera.fy,
                "cx": camera.cx,
                "cy": camera.cy,
                "transform_matrix": world_to_output.apply_to_pose(camera.view_to_world).tolist(),
            }
        )
    text = json.dumps({"camera_model": "PINHOLE", "frames": frames}, indent=1)
    write_bytes(path, text.encode())
