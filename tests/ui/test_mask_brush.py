"""Strokes over a photo correct its mask in the real window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui

from studio.core.project_photos import PhotoReference
from studio.core.scene import PhotoSet
from studio.ui.commands import Set
from tests.needs import need
from tests.ui.driving import SIZE, drive, make_app, sphere_photos, wait, wait_ready


@pytest.fixture(scope="module", autouse=True)
def window() -> None:
    need("display")


def bitten() -> tuple[PhotoSet, np.ndarray]:
    """The ball's photos, the first with a mask that lacks the right half; and what it should be."""
    photos = sphere_photos()
    whole = photos.photos[0].mask
    assert whole is not None
    half = whole.copy()
    half[:, SIZE // 2 :] = 0
    return replace(photos, photos=[replace(photos.photos[0], mask=half), *photos.photos[1:]]), whole


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a > 0.5, b > 0.5
    return float((a & b).sum() / (a | b).sum())


def stroke(ctx: Any, app: Any, start: tuple[float, float], by: tuple[float, float], button: int = 0) -> None:
    """From a share of the photo's width and height (from the upper left), by some pixels."""
    camera = app.state.photos.photos[app.state.view.photo].camera
    at = np.array([[start[0] * camera.width, (1 - start[1]) * camera.height]])
    point = app.viewport.brush._to_screen(at, camera)[0]
    ctx.mouse_move_to_pos((point.x, point.y))
    ctx.mouse_drag_with_delta(by, button)


def test_strokes_correct_the_mask_of_a_photo(tmp_path: Path) -> None:
    app = make_app()
    state, (photos, truth) = app.state, bitten()

    def mask() -> np.ndarray:
        return state.photos.photos[0].mask  # type: ignore[no-any-return,union-attr]

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        state.send(Set(("photos",), photos, "Bite"))
        ctx.yield_(3)
        ctx.key_press(imgui.Key.b | imgui.Key.mod_shift)
        wait(
            ctx,
            lambda: state.view.tool == "mask" and state.view.photo == 0,
            "the first photo is looked through",
        )
        assert state.view.mode == "target"
        wait(ctx, lambda: app.viewport.brush.photo is not None, "the camera has arrived")
        before, depth = mask(), state.history.depth
        assert overlap(before, truth) < 0.6
        stroke(ctx, app, (0.55, 0.5), (20, 10))
        wait(ctx, lambda: mask() is not before, "the object is cut")
        assert overlap(mask(), truth) > 0.9
        assert state.photos.photos[0].painted
        assert state.photos.photos[1] is photos.photos[1], "the others stay"
        assert state.history.depth == depth + 1
        whole = mask()
        stroke(ctx, app, (0.5, 0.5), (30, 0), button=1)
        wait(ctx, lambda: mask() is not whole, "what is none of it is taken away")
        height, width = whole.shape
        assert mask()[height // 2, width // 2] == 0
        assert app.viewport.lens == 0, "painting leaves the camera where it is"
        state.act("undo")
        wait(ctx, lambda: mask() is whole, "undone")
        ctx.key_press(imgui.Key.b | imgui.Key.mod_shift)
        wait(ctx, lambda: state.view.tool == "select", "the tool is put down")
        kept = PhotoReference.of(state.photos).masks
        assert list(kept) == [state.photos.photos[0].name]
        assert overlap(kept[state.photos.photos[0].name] / 255, truth) > 0.9

    drive(app, script)
