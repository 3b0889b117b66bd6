"""Reading back: one pixel under the mouse, whole channels."""

from __future__ import annotations

import numpy as np

from studio.gl.options import PixelInfo
from studio.gl.targets import GBUFFER, Targets


def read_gbuffer(targets: Targets) -> dict[str, np.ndarray]:
    """All channels as float32 [H, W, C], row 0 at the bottom, zero where nothing is.

    Returns:
        covered 1 · albedo 3 · normal 3 · perceptual_roughness 1 · position 3 · depth 1 ·
        metallic 1 · occlusion 1 · part 1 · triangle 1, the last two counted from 0.
    """
    width, height = targets.size
    raw = {}
    for attachment, name in enumerate(GBUFFER):
        data = targets.gbuffer_fbo.read(components=4, attachment=attachment, dtype="f4", alignment=1)
        raw[name] = np.frombuffer(data, np.float32).reshape(height, width, 4)
    return {
        "covered": raw["albedo"][..., 3:].copy(),
        "albedo": raw["albedo"][..., :3].copy(),
        "normal": raw["normal"][..., :3].copy(),
        "perceptual_roughness": raw["normal"][..., 3:].copy(),
        "position": raw["position"][..., :3].copy(),
        "depth": raw["position"][..., 3:].copy(),
        "metallic": raw["material"][..., :1].copy(),
        "occlusion": raw["material"][..., 1:2].copy(),
        "part": raw["material"][..., 2:3].copy(),
        "triangle": raw["material"][..., 3:].copy(),
    }


def read_pixel(targets: Targets, x: int, y: int, triangle_ids: bool = False) -> PixelInfo | None:
    """What the G-buffer holds at a pixel (y from below), or None where nothing is."""
    rows = {}
    for attachment, name in enumerate(GBUFFER):
        data = targets.gbuffer_fbo.read((x, y, 1, 1), components=4, attachment=attachment, dtype="f4")
        rows[name] = np.frombuffer(data, np.float32)
    if rows["albedo"][3] == 0:
        return None
    return PixelInfo(
        position=rows["position"][:3].copy(),
        normal=rows["normal"][:3].copy(),
        albedo=rows["albedo"][:3].copy(),
        roughness=float(rows["normal"][3]),
        metallic=float(rows["material"][0]),
        depth=float(rows["position"][3]),
        part=int(rows["material"][2]),
        triangle=int(rows["material"][3]) if triangle_ids else None,
    )
