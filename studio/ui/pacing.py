"""How often frames are drawn, so that the window and the optimizer share a machine well.

With a GPU the display sets the pace. Where the processor draws (software OpenGL), every
frame takes a core from the optimizer: while it runs and nobody touches the window, few
frames at half resolution are enough; on input the picture moves at 16 frames a second. The
fit's threads keep their normal priority: in the few runs compared, making them nice gave
neither side anything.
"""

from __future__ import annotations

import time
from typing import Any

from imgui_bundle import hello_imgui, imgui

from studio.ui.state import AppState

TOUCH_SECONDS = 1.0
"""So long after the last input the window counts as being used."""

IDLE_FPS = 4.0
RUNNING_IDLE_FPS = 3.0
"""A frame with a new snapshot of 40k triangles costs 60 ms: three leave 90 % of two cores to the fit."""

RUNNING_FPS = 16.0
"""Orbiting 40k triangles at half resolution costs 40 ms of processor time a frame: 16 of them
leave 68 % of two cores to the fit."""

SNAPSHOT_RATE = 30.0
CROWDED_SNAPSHOT_RATE = 10.0
"""While a hand moves the picture: each snapshot costs the fit 4 ms and the window an upload."""


class Pacing:
    """Watches input and the run, and sets hello_imgui's idling to match."""

    def __init__(self) -> None:
        self._last_input = time.monotonic()
        self._last_mouse = (0.0, 0.0)
        self._last_snapshot = 0.0
        self._crowded = False
        self.resolution_scale = 1.0
        self.samples = 8

    @property
    def touched(self) -> bool:
        """Somebody moved the mouse or pressed something a moment ago."""
        return time.monotonic() - self._last_input < TOUCH_SECONDS

    def update(self, state: AppState, params: hello_imgui.RunnerParams, worker: Any) -> None:
        """Call before every frame."""
        self._watch_input()
        running = state.run.status.phase in ("preparing", "running")
        self._crowded = running and state.software
        idling = params.fps_idling
        idling.time_active_after_last_event = 0.3
        idling.fps_idle = RUNNING_IDLE_FPS if self._crowded else IDLE_FPS
        if running and not state.software:
            idling.fps_idle = 60.0
        idling.fps_max = RUNNING_FPS if self._crowded else 0.0
        self.resolution_scale = 0.5 if self._crowded else 1.0
        self.samples = 8 if not self._crowded else 1 if self.touched else 2
        if worker is not None:
            worker.max_snapshot_rate = self._snapshot_rate()

    def _snapshot_rate(self) -> float:
        if not self._crowded:
            return SNAPSHOT_RATE
        return CROWDED_SNAPSHOT_RATE if self.touched else RUNNING_IDLE_FPS

    def snapshot_due(self) -> bool:
        """Whether this frame may take a new snapshot."""
        gap = 0.9 / self._snapshot_rate() if self._crowded else 0.0
        now = time.monotonic()
        if now - self._last_snapshot < gap:
            return False
        self._last_snapshot = now
        return True

    def _watch_input(self) -> None:
        io = imgui.get_io()
        mouse = (io.mouse_pos.x, io.mouse_pos.y)
        pressed = any(imgui.is_mouse_down(button) for button in range(3))
        if mouse != self._last_mouse or pressed or io.mouse_wheel or io.want_text_input:
            self._last_input = time.monotonic()
        self._last_mouse = mouse
