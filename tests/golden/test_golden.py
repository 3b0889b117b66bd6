"""Pictures of every effect on every small scene, compared with the committed ones.

After a change that is meant to be visible: look at out/golden of the failed run, then

    .venv/bin/python -m tests.golden.test_golden

writes the new pictures beside this file; commit them with the change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.color import display
from studio.core.effects import registry
from studio.core.pipeline import render_image
from tests.needs import ROOT
from tests.scenes import SCENES, effects_with

HERE = Path(__file__).parent / "expected"
OUT = ROOT / "out" / "golden"
# Steps of an 8-bit picture. Rounding alone may differ by one between compilers; a pixel on an
# edge whose coverage moved in the last bit by a little more.
MAX_STEPS, MEAN_STEPS = 3.0, 0.1

CASES = [
    (scene, effect, changed)
    for scene in SCENES
    for effect in [*registry(), "none"]
    for changed in (False, True)
]
CASES = [case for case in CASES if not (case[1] == "none" and case[2])]


def picture(scene_name: str, effect: str, changed: bool) -> np.ndarray:
    """[64, 64, 4] uint8 as a file stores it: top row first, sRGB, straight alpha."""
    scene = SCENES[scene_name]()
    effects = {} if effect == "none" else effects_with(effect, changed)
    image = render_image(scene, scene.cameras[0], effects)
    image[..., :3] = display(image[..., :3])
    return np.round(image[::-1].clip(0, 1) * 255).astype(np.uint8)


def file_name(scene_name: str, effect: str, changed: bool) -> str:
    return f"{scene_name}-{effect}{'-changed' if changed else ''}.png"


@pytest.mark.parametrize(("scene_name", "effect", "changed"), CASES)
def test_golden(scene_name: str, effect: str, changed: bool) -> None:
    name = file_name(scene_name, effect, changed)
    actual = picture(scene_name, effect, changed)
    path = HERE / name
    assert path.exists(), f"{name} is not there: see the top of this file"
    expected = np.asarray(Image.open(path).convert("RGBA"))
    steps = np.abs(actual.astype(int) - expected.astype(int))
    if steps.max() > MAX_STEPS or steps.mean() > MEAN_STEPS:
        OUT.mkdir(parents=True, exist_ok=True)
        stem = name.removesuffix(".png")
        Image.fromarray(actual).save(OUT / f"{stem}-actual.png")
        Image.fromarray(expected).save(OUT / f"{stem}-expected.png")
        visible = np.minimum(steps[..., :3] * 20, 255).astype(np.uint8)
        Image.fromarray(visible).save(OUT / f"{stem}-difference.png")
        pytest.fail(f"{name}: off by up to {steps.max()} steps, mean {steps.mean():.3f}; see {OUT}")


def test_no_orphans() -> None:
    names = {file_name(*case) for case in CASES}
    assert {path.name for path in HERE.glob("*.png")} == names


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for old in HERE.glob("*.png"):
        old.unlink()
    for case in CASES:
        Image.fromarray(picture(*case)).save(HERE / file_name(*case), optimize=True)
        print(file_name(*case))
