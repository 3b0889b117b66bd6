"""Driving the real window from a test: a small document, waiting, and starting the app."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from imgui_bundle import hello_imgui, imgui
from imgui_bundle.immapp import testing

from studio.core.optim.settings import FitSettings, load_preset
from studio.core.scene import Camera, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.shapes import icosphere
from studio.ui.app import App
from studio.ui.commands import Edits, Set
from studio.ui.panels.lamps import project

SIZE = 64
RADIUS = 0.45
PATIENCE = 25.0
"""Seconds a condition may take."""


def sphere_photos(count: int = 6) -> PhotoSet:
    """Photos of an orange ball of RADIUS, lit from above, with masks; cameras on a circle."""
    photos = []
    for i in range(count):
        angle = 2 * math.pi * i / count
        eye = (3 * math.sin(angle), 0.8, 3 * math.cos(angle))
        camera = Camera(
            SIZE,
            SIZE,
            90.0,
            90.0,
            SIZE / 2,
            SIZE / 2,
            look_at(np.array(eye), np.zeros(3)),
            0.1,
            10.0,
            f"view_{i}",
        )
        photos.append(_photo(camera))
    return PhotoSet(photos, Similarity(), source="ball", object_radius=1.0)


def _photo(camera: Camera) -> Photo:
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, -np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    rays = rays @ camera.view_to_world[:3, :3].T
    along = -(rays @ camera.position)
    squared = along**2 - (camera.position @ camera.position - RADIUS**2)
    mask = (squared > 0).astype(np.float32)
    hit = camera.position + rays * (along - np.sqrt(np.maximum(squared, 0)))[..., None]
    shade = 0.6 + 0.4 * hit[..., 1:2] / RADIUS
    image = np.array([0.8, 0.4, 0.15]) * shade * mask[..., None]
    return Photo(camera.name, image.astype(np.float32), camera, mask)


def small_settings(steps: int = 400) -> FitSettings:
    """A fit that moves visibly within seconds on two cores."""
    settings = load_preset("quick")
    for name, value in {
        "steps": steps,
        "start": "sphere",
        "resolution": SIZE,
        "sphere_subdivisions": 3,
    }.items():
        settings.set(name, value)
    return settings


def make_app(document: bool = True, demo: bool = False, **given: Any) -> App:
    """The window without preferences; with the ball to fit unless `document` is false."""
    app = App([], "cpu", preferences=False, demo=demo, **given)
    if document:
        scene = Scene(meshes=[icosphere(3, 0.75)], name="ball")
        sets = (
            Set(("scene",), scene, ""),
            Set(("photos",), sphere_photos(), ""),
            Set(("settings",), small_settings(), ""),
            Set(("name",), "ball", ""),
        )
        app.state.send(Edits(sets, "Open the ball"))
    return app


def drive(app: App, test: Callable[[Any], None]) -> None:
    """Run the window and click in it; an assertion of `test` is raised here."""

    def patient(ctx: Any) -> None:
        # Of the engine's own accord a test ends after 60 s; ours end when a wait is in vain.
        imgui.test_engine.get_io(hello_imgui.get_imgui_test_engine()).config_watchdog_kill_test = 600.0
        scripts[0](ctx)

    scripts = [test]  # emptied at the end: the engine keeps what it calls, and that the whole app
    try:
        testing.run(test_function=patient, runner_params=app.params, add_ons_params=App.add_ons())
    finally:
        scripts.clear()
        app.let_go()


def wait(ctx: Any, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Let frames pass until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert not ctx.is_error(), f"the test engine failed before: {what}"
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        ctx.yield_()


def wait_ready(ctx: Any, app: App) -> None:
    """The libraries are loaded and nothing is being opened."""
    wait(ctx, lambda: app.state.ready and not app.state.jobs.running, "the studio is ready", 40.0)


def still(ctx: Any, app: Any) -> None:
    """The picture and everything that follows it have come to rest."""
    ctx.yield_(4)
    panel, jobs = app.viewport, app.state.jobs
    wait(ctx, lambda: panel.gl.settled and not panel.moving and not jobs.quiet, "the picture stands still")
    ctx.yield_(3)


def at(app: Any, point: Any) -> tuple[float, float]:
    """Where a world point is on the screen."""
    panel = app.viewport
    camera = panel.camera.camera(*panel.pixels)
    x, y = project(np.array([point], np.float64), camera)[0]
    return panel.low.x + x * panel.size.x, panel.low.y + y * panel.size.y


def choose(ctx: Any, combo: str, title: str) -> None:
    """Open a drop-down of the viewport and click an entry."""
    ctx.item_click(f"//Viewport/##{combo}")
    ctx.yield_(2)
    ctx.item_click(f"//$FOCUSED/{title}")
    ctx.yield_(2)


def shown(ctx: Any, app: Any) -> np.ndarray:
    """[H, W, 3] linear picture of the viewport, read on the thread that has the OpenGL context."""
    got: list[np.ndarray] = []
    app.on_frame = lambda: got.append(app.viewport.gl.read_image()[..., :3])
    ctx.yield_(2)
    app.on_frame = None
    return got[-1]
