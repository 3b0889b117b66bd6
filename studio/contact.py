"""The contact sheet: every effect off and on, and what it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from studio.compare import difference, encoded
from studio.core.effects import registry
from studio.core.optim.sheet import sheet
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.plan import plan
from studio.core.scenes import built_in

SHEET = Path(__file__).resolve().parent.parent / "docs" / "images" / "effects.png"
TILE = 200
"""Pixels a side of a picture on the sheet."""

# Where an effect is seen best; anything else shows on the tea set.
_SCENES = {
    **{"pbr": "balls", "environment": "balls", "sss": "bust"},
    **dict.fromkeys(("shadows", "ssao", "bloom"), "cornell"),
}
_OTHER = "teaset"
_BESIDE = {"sss": {"shadows"}, "ssr": {"environment"}, "ssao": {"shadows"}}
"""Effects that are on in both pictures, besides those without which nothing is to be seen."""
_SETTINGS = {"tonemap": {"curve": "aces"}}
"""Where the defaults change nothing."""


def beside(name: str) -> set[str]:
    """The effects under which one is shown."""
    known = registry()
    under = {other for other in _BESIDE.get(name, set()) if other in known}
    if name == "pbr":
        return under
    names = {name, "pbr", *under}
    skipped = plan({n: ParamSet(n, known[n].params) for n in names}).skipped
    return (names | set(skipped)) - {name}


def _sky() -> np.ndarray:
    """[64, 128, 3] a sky with four windows in it: something for mirrors to show."""
    row, column = np.mgrid[0:64, 0:128]
    up = (row / 63 - 0.5)[..., None]
    image = np.where(up > 0, (0.25, 0.3, 0.4) + up * (0.3, 0.5, 0.9), (0.16, 0.13, 0.1) + 0 * up)
    panes = (
        (row > 36) & (row < 50) & (column % 32 > 8) & (column % 32 < 24) & (column % 16 != 0) & (row != 43)
    )
    return np.where(panes[..., None], (6.0, 5.5, 4.8), image).astype(np.float32)


def pictures(name: str, size: int = TILE) -> tuple[np.ndarray, np.ndarray]:
    """An effect off and on, each [size, size, 3] sRGB values, by the differentiable renderer on CPU."""
    known = registry()
    scene = built_in(_SCENES.get(name, _OTHER))
    if name == "environment":
        scene.lighting = scene.lighting.with_environment(_sky())
    camera = scene.cameras[0].resized(size, size)
    under = beside(name)
    off, on = (
        encoded(
            render_image(scene, camera, {n: ParamSet(n, known[n].params, _SETTINGS.get(n)) for n in chosen})
        )
        for chosen in (under, under | {name})
    )
    return off, on


def contact_sheet(size: int = TILE) -> np.ndarray:
    """[H, W, 3] sRGB values: a row for each effect."""
    rows, names = [], []
    for name, effect in registry().items():
        off, on = pictures(name, size)
        rows.append([off, on, difference(off, on).map])
        names.append(f"{name}\n({effect.stage})")
    return sheet(rows, ["off", "on", "difference"], names)
