"""Comparing pictures: what is on the two sides, how far they are apart, and pictures that are kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.errors import InputError
from studio.core.scene import Photo, Scene
from studio.gl.options import STILLS, Mode, Source, ViewOptions
from studio.gl.sides import Pair
from studio.ui.capture import frozen
from studio.ui.commands import Edits, Set
from studio.ui.differentiable import Differentiable, Drawn
from studio.ui.document import EffectSet
from studio.ui.jobs import Job
from studio.ui.reference import Reference
from studio.ui.state import AppState, Kept, Measured

if TYPE_CHECKING:
    from studio.core.optim.metrics import PairMetrics
    from studio.ui.panels.viewport import ViewportPanel

TITLES: dict[Source, str] = {
    **{"render": "Render", "effects": "Set B", "photo": "Photo", "diff": "Differentiable"},
    **{"reference": "Path-traced", "a": "Kept A", "b": "Kept B"},
}
MAPS = ("flip", "ssim")
"""Errors that are worked out in the background and shown as a map."""

ERROR_RANGES = {"absolute": 0.25, "squared": 0.0625, "relative": 1.0, "flip": 1.0, "ssim": 1.0}
"""What has the brightest colour, unless somebody says otherwise."""

SHARE = 0.1
"""Share of a processor that comparing may take from a fit."""


class Comparing:
    """Carries out what the Compare menu asks for, and keeps pictures and numbers up to date.

    Args:
        apply: carries out an edit of the document.
        shown_scene: the scene on screen, with the mesh of the run if there is one.

    Attributes:
        viewport: set once the OpenGL context exists.
        bring: opens what is missing, e.g. photos; called with the name of an action.
    """

    def __init__(
        self, state: AppState, apply: Callable[[Set | Edits], None], shown_scene: Callable[[], Scene]
    ) -> None:
        self._state = state
        self._apply = apply
        self._shown_scene = shown_scene
        self.viewport: ViewportPanel | None = None
        self.reference = Reference(state)
        self._given: dict[Source, Photo | None] = {}
        self._pair_key: tuple[Any, ...] | None = None
        self._mapped: np.ndarray | None = None
        self._diff_key: tuple[Any, ...] | None = None
        self._differentiable = Differentiable()
        self._busy: set[str] = set()
        self._rest: dict[str, float] = {}

    # What the menu does

    def act_mode(self, mode: Mode) -> None:
        """Compare in this way, or not at all if that is the way already."""
        view = self._state.view
        view.mode = "render" if view.mode == mode else mode
        self._need_photo()

    def act_side(self, which: str, source: Source) -> None:
        """Put a picture on a side ("left" or "right"); what there is not yet is made."""
        if source == "photo" and self._state.photos is None:
            self._state.act("open_photos")
            return
        if source == "effects" and self._state.document.other is None:
            self.act_make_other()
        elif source == "reference" and not self._state.has(source):
            self.act_path_trace()
        elif source in ("a", "b") and not self._state.has(source):
            self.act_keep(source)
        other = "right" if which == "left" else "left"
        if getattr(self._state, other) == source:  # the two change places
            setattr(self._state.view, other, getattr(self._state, which))
        setattr(self._state.view, which, source)
        self._need_photo()

    def act_swap_sides(self) -> None:
        view, right = self._state.view, self._state.right
        if right is not None:
            view.left, view.right = right, self._state.left

    def act_error(self, error: str) -> None:
        """Show the difference in this measure."""
        view = self._state.view
        view.error, view.error_range = error, ERROR_RANGES[error]
        if view.mode != "difference":
            self.act_mode("difference")

    def _need_photo(self) -> None:
        state = self._state
        if state.view.mode == "render" and state.left != "photo":
            return
        if state.view.photo is None and "photo" in (state.left, state.right):
            self.act_look_through(0)

    # Sets of effects

    def act_make_other(self) -> None:
        """Set B begins as what A is now."""
        self._apply(Set(("other",), _copied(self._state.document.own), "Make set B"))
        self._state.view.right = "effects"

    def act_toggle_other(self) -> None:
        """Show set B instead of A, and back; there is a set B from the first time on."""
        view = self._state.view
        if self._state.document.other is None:
            self.act_make_other()
            self._state.notify("Set B is a copy of these effects. Change one and press B to compare.", "info")
            return
        view.left, view.right = "render", "effects"
        view.mode = "render" if view.mode == "target" else "target"

    def act_swap_sets(self) -> None:
        document = self._state.document
        other = document.other
        if other is not None:
            sets = (
                Set(("effects",), other.effects, ""),
                Set(("enabled",), other.enabled, ""),
                Set(("other",), document.own, ""),
            )
            self._apply(Edits(sets, "Swap sets A and B"))

    def act_drop_other(self) -> None:
        self._apply(Set(("other",), None, "Remove set B"))
        self._state.view.editing = "a"
        self._gone("effects")

    # Pictures of other renderers, and those that are kept

    def act_path_trace(self) -> None:
        if self.viewport is not None:
            self.reference.start(self.viewport.camera.camera(*self.viewport.pixels))

    def act_drop_reference(self) -> None:
        self.reference.drop()
        self._gone("reference")

    def act_keep(self, name: Source) -> None:
        """Keep the render of this view, and the state that it is drawn of, as "a" or "b"."""
        if self.viewport is None:
            return
        self._state.stills[name] = self.viewport.still(name)
        self._state.kept[name] = Kept(frozen(self._shown_scene()), _copied(self._state.document.own))
        self._state.notify(f"Kept this picture as {name.upper()}", "good", "Choose it in the bar to compare.")
        self._left_the_file()

    def _left_the_file(self) -> None:
        """Kept pictures belong to a project, if there is one, though no edit."""
        if self._state.document.path is not None:
            self._state.history.mark_unsaved()

    def act_drop_kept(self, name: Source) -> None:
        self._state.stills.pop(name, None)
        self._state.kept.pop(name, None)
        self._gone(name)
        self._left_the_file()

    def act_restore(self, name: Source) -> None:
        """Go back to what a kept picture shows: scene, effects and camera."""
        kept = self._state.kept.get(name)
        if kept is None:
            raise InputError(f"compare: no picture is kept as {name.upper()}")
        if self._state.run.active:
            raise InputError("compare: a run is under way; stop it first")
        own = _copied(kept.own)
        sets = (
            Set(("scene",), frozen(kept.scene), ""),
            Set(("effects",), own.effects, ""),
            Set(("enabled",), own.enabled, ""),
        )
        self._apply(Edits(sets, f"Go back to {name.upper()}"))
        if self.viewport is not None:
            self._state.view.photo = None
            self.viewport.camera.look_through(self._state.stills[name].camera)

    def _gone(self, source: Source) -> None:
        """A picture has been taken away: compare with the photo again, if one is looked through."""
        view = self._state.view
        view.left = "render" if view.left == source else view.left
        view.right = "photo" if view.right == source else view.right
        if self._state.right == "diff" or not self._state.comparing():
            view.mode = "render"

    # Photos

    def act_look_through(self, index: int) -> None:
        photos = self._state.photos
        if photos is not None and 0 <= index < len(photos.photos):
            self._state.view.photo = index

    def act_look_photo(self) -> None:
        if self._state.view.photo is None:
            self.act_look_through(0)
        else:
            self.act_leave_photo()

    def act_leave_photo(self) -> None:
        """Back to the free camera; a comparison with the photo ends then, too."""
        view = self._state.view
        if view.photo is not None and "photo" in (self._state.left, self._state.right):
            view.mode = "render"
        view.photo, view.truth = None, False

    def act_step_photo(self, by: int) -> None:
        if self._state.photos is not None:
            now, total = self._state.view.photo, len(self._state.photos.photos)
            self.act_look_through(0 if now is None else (now + by) % total)

    # Once a frame

    def follow(self, panel: ViewportPanel, options: ViewOptions) -> None:
        """Hand pictures to the viewport, have the missing ones made, and measure. After drawing."""
        for name in STILLS:
            picture = self._state.stills.get(name)
            if picture is not self._given.get(name):
                self._given[name] = picture
                panel.gl.set_still(name, picture)
                self._state.wake()
        shown = {self._state.left} | ({self._state.right} if options.mode != "render" else set())
        if "diff" in shown:
            self._render(panel)
        if options.mode == "render" or not self._state.comparing():
            self._state.measured, self._pair_key = None, None
        else:
            self._measure(panel, options)
        self._show_map(panel)

    def _free(self, what: str) -> bool:
        """Whether a piece of background work may begin: one at a time, and a fit comes first."""
        if what in self._busy:
            return False
        return not self._state.run.active or time.monotonic() > self._rest.get(what, 0.0)

    def _begin(self, what: str, title: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        began = time.monotonic()
        self._busy.add(what)

        def timed(job: Job) -> Any:
            try:
                return work()
            finally:
                self._rest[what] = time.monotonic() + (time.monotonic() - began) / SHARE
                self._busy.discard(what)

        self._state.jobs.start(title, timed, then, quiet=True)

    def _render(self, panel: ViewportPanel) -> None:
        """The view by the differentiable renderer: live while it moves, then as a still picture."""
        state = self._state
        camera = panel.camera.camera(*panel.pixels)
        pose = (camera.width, camera.height, camera.fx, camera.view_to_world.tobytes())
        shown = (state.version, id(state.run.override))
        live = panel.moving or (state.run.active and state.on_gpu)
        key = (shown, pose, live)
        if key == self._diff_key or not (self._free("diff") or (state.on_gpu and "diff" not in self._busy)):
            return
        self._diff_key = key
        own, scene, device = _copied(state.document.own), frozen(self._shown_scene()), state.device
        draw = self._differentiable.draw_live if live else self._differentiable.draw

        def take(made: Drawn | Photo) -> None:
            if isinstance(made, Photo):
                state.stills["diff"] = made
            else:
                panel.gl.set_live("diff", made.image, made.event, made.camera, 0 if made.painted else 2)
                state.wake()

        def work() -> Drawn | Photo:
            made = draw(shown, scene, camera, own, device)
            return made if live else made.photo()

        self._begin("diff", "Rendering", work, take)

    def _measure(self, panel: ViewportPanel, options: ViewOptions) -> None:
        state, gl = self._state, panel.gl
        if not gl.settled:
            state.measured, self._pair_key = None, None
            return
        sides = (state.left, state.right, tuple(id(state.stills.get(s)) for s in STILLS))
        key = (gl.frames_drawn, options.exposure, options.photo, sides, panel.pixels)
        if key == self._pair_key or not self._free("measure"):
            return
        pair = gl.pair()
        if pair is None:
            return
        self._pair_key = key
        state.measured = measured = Measured(pair.mean)

        def take(more: PairMetrics) -> None:
            if state.measured is measured:
                state.measured = Measured(measured.mean, more)

        self._begin("measure", "Comparing", lambda: _measured(pair), take)

    def _show_map(self, panel: ViewportPanel) -> None:
        """The map of the chosen error, if it is of the present pictures."""
        more = None if self._state.measured is None else self._state.measured.more
        kind = self._state.view.error
        wanted = (
            None if more is None or kind not in MAPS else (more.flip_map, more.ssim_map)[MAPS.index(kind)]
        )
        if wanted is not self._mapped:
            self._mapped = wanted
            panel.gl.set_error_map(wanted)
            self._state.wake()

    @property
    def has_map(self) -> bool:
        """Whether the error on screen is the chosen map."""
        return self._mapped is not None


def _copied(effects: EffectSet) -> EffectSet:
    return EffectSet({name: values.copy() for name, values in effects.effects.items()}, dict(effects.enabled))


def _measured(pair: Pair) -> PairMetrics:
    from studio.core.optim.metrics import pair_metrics

    return pair_metrics(pair.left, pair.right, pair.weight)
