"""A fit as a plain object that is stepped: no thread, no window, no files."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from studio.core.device import configure_threads, pick_device
from studio.core.errors import Cancelled, InputError, WorkError
from studio.core.kernels import launcher
from studio.core.optim.distance import without_floaters
from studio.core.optim.evaluate import Evaluation, evaluate_photos
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.largesteps import AdamUniform
from studio.core.optim.material_stage import (
    Pictures,
    attune,
    finished,
    pace,
    schedule_of,
    share_gradients,
    textured,
    trade,
)
from studio.core.optim.materials import TextureMaterial
from studio.core.optim.messages import GROUPS, Snapshot
from studio.core.optim.moment import Moment, Moments, snapshot_of
from studio.core.optim.one_pass import OnePass
from studio.core.optim.preparing import can_remesh, edge_length, first_variables, settle, smoothness
from studio.core.optim.ranks import Ranks
from studio.core.optim.readings import Readings, StepResult
from studio.core.optim.recovery import KEEP_EVERY, Keeper
from studio.core.optim.remesh import mean_thickness
from studio.core.optim.rendering import Renderer
from studio.core.optim.room import free_bytes, views_that_fit
from studio.core.optim.schedule import FIELD, Schedule
from studio.core.optim.settings import TERMS, FitSettings
from studio.core.optim.start import FitProblem, evened
from studio.core.optim.target_groups import Part, TargetGroups
from studio.core.optim.targets import check_formats, split_holdout
from studio.core.optim.variables import Variables
from studio.core.optim.watching import Motion
from studio.core.rasterizer import PARAMS, Rasterizer, needed_modules
from studio.core.scene import Photo, Scene

__all__ = ["Fit", "FitProblem", "StepResult"]

ALONE = Ranks()

_CHECK_EVERY = 25
"""Steps between looks for lost vertices."""


class Fit:
    """Moves a scene until its renders match photos.

    `prepare` once, then `step` until `steps_done` reaches `steps`. Everything lives in the
    photos' normalised world. Runs on the thread that calls it; one thread at a time.

    Args:
        problem: photos, and what is known beforehand.
        settings: copied; changed later by the set_ methods.
        device: auto, cpu or cuda.
        progress: called with (0..1, note) while preparing.
        cancel: asked while preparing; true makes it raise Cancelled.
        ranks: processes that share every step's photos.
    Attributes:
        steps_done, steps: where the run is, and its length.
        settings: as they are now.
        training, holdout: the photos.
        notes: decisions worth telling the user, one line each.
        gradient_term: loss term whose gradient by the vertices snapshots carry, "" for none.
    """

    def __init__(
        self,
        problem: FitProblem,
        settings: FitSettings,
        device: str = "auto",
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        if settings["representation"] != "mesh":
            raise InputError(
                f"representation: this fit moves a mesh, expected mesh, got {settings['representation']}"
            )
        self.problem = problem
        self.settings = settings.copy()
        self.device = pick_device(device)
        self.steps_done = 0
        self.notes: list[str] = []
        self.training, self.holdout = split_holdout(problem.photos.photos, self.settings["holdout"])
        self.ranks = ranks
        if self.settings["views_per_step"] < ranks.count:
            self.settings.set("views_per_step", ranks.count)
            self.notes.append(f"{ranks.count} photos per step, one for each process")
        self._progress = progress
        self._cancel = cancel
        self._targets: dict[int, TargetGroups] = {}
        self._view_errors: dict[str, float] = {}
        self._topology = 0
        self._readings = Readings()
        self._start: Variables | None = None
        self._keeper = Keeper()
        self._pictures = Pictures()
        self._motion = Motion()
        self._moments: Moments[Moment] = Moments(self.device)
        self._pass = OnePass(self.device, bool(self.settings["cuda_graphs"]))
        self.gradient_term = ""

    @property
    def steps(self) -> int:
        return int(self.settings["steps"])

    # Preparing

    def prepare(self) -> None:
        """Carve or take the start shape, read its colours off the photos, build the first stage.

        Raises:
            InputError: the photos or the start mesh do not allow it.
            Cancelled: `cancel` said so.
        """
        self.prepare_machine()
        made = first_variables(
            self.problem, self.training, self.settings, self.device, self._report, self._attempt, self._cancel
        )
        settle(self.settings, made.decided)
        self._start, self._mesh, self._thickness = made.variables, made.mesh, made.thickness
        self._fixed_to = made.fixed_to
        self.notes += made.notes
        self.reset()
        self._report(1.0, "Ready")

    def _attempt(self, problem: FitProblem, settings: FitSettings, unseen: list[Photo]) -> float:
        """PSNR of photos that are not among the problem's after a whole fit of its own, in dB."""
        fit = Fit(problem, settings, str(self.device), cancel=self._cancel)
        fit.prepare()
        while fit.steps_done < fit.steps:
            fit.step()
            if self._cancel is not None and self._cancel():
                raise Cancelled("stopped while preparing")
        return fit.evaluate(unseen).mean("psnr") or 0.0

    def prepare_machine(self) -> None:
        """What every run needs first, also one that goes on from a checkpoint."""
        configure_threads()
        launcher.preload(
            needed_modules(str(self.settings["rasterizer"])),
            lambda done, total, _name: self._report(0.0, f"Compiling kernels: {done} of {total}"),
            self.device,
        )
        check_formats(self.problem.photos.photos)

    def _report(self, fraction: float, note: str) -> None:
        if self._cancel is not None and self._cancel():
            raise Cancelled("stopped while preparing")
        if self._progress is not None:
            self._progress(fraction, note)

    def reset(self) -> None:
        """Back to the state before step 0, bit for bit; settings stay as they are."""
        if self._start is None:
            raise InputError("fit: prepare it before resetting it")
        self.steps_done = 0
        self._stage = 0 if self._start.lasting else FIELD
        self._view_errors = {}
        self._readings = Readings()
        self._topology += 1
        self._queue: list[int] = []
        self._random = np.random.default_rng(int(self.settings["seed"]))
        self._generator = torch.Generator(self.device).manual_seed(int(self.settings["seed"]))
        self._keeper = Keeper()
        self.adopt(self._start.clone())

    def adopt(
        self,
        variables: Variables,
        rest_shape: Tensor | None = None,
        optimizers: dict[str, dict[int, Any]] | None = None,
    ) -> None:
        """Make these the moving variables, with fresh optimizers or ones of the given states.

        Args:
            rest_shape: [V, 3] vertices whose curvature the regularizers keep; theirs if None.
            optimizers: `state_dict()["state"]` of each group's optimizer.
        """
        self._pass.forget()
        self._moments.forget()
        self.variables = variables
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        for group in GROUPS:
            tensors = variables.tensors(group)
            if group == "vertices" and variables.lasting:
                self._optimizers[group] = AdamUniform(tensors)
            elif tensors:
                self._optimizers[group] = torch.optim.Adam(tensors, fused=True)
            if optimizers is not None and group in self._optimizers:
                optimizer = self._optimizers[group]
                optimizer.load_state_dict(optimizer.state_dict() | {"state": optimizers[group]})
        with torch.no_grad():
            self._rest_shape = variables.box_vertices() if rest_shape is None else rest_shape
            self._terms = variables.surface_terms(self._rest_shape)
        unlit = self.settings["shading"] == "unlit"
        mesh = variables.mesh(self._mesh, unlit)
        rasterizer = Rasterizer.from_settings(self.settings)
        self._renderer = Renderer(variables, mesh, unlit, self.problem.effects, rasterizer)
        self._keeper.keep(self.steps_done, variables, self._optimizers)

    # Stepping

    def step(self) -> StepResult:
        """Compare a few photos with their renders and move every enabled group once.

        If the values become infinite or memory runs out, the last good values come back, the
        rates or the photos per step are halved, `notes` says so, and the step is done again.

        Returns:
            The newest result that has arrived: on CPU this step's, on a GPU that of some steps
            before, since nobody waits for numbers. `take_results` gives all, in order.
        Raises:
            WorkError: it failed, and more care would not help; the last good values are there.
        """
        if self._start is None:
            raise InputError("fit: prepare it before stepping it")
        while True:
            try:
                self._try_step()
                done = self.steps_done + 1
                # What is kept has to be known to be good, a run to be through, a result to be there.
                due = done % KEEP_EVERY == 0 or done >= self.steps
                self._receive(wait=due or self._readings.last is None)
                break
            except WorkError as error:
                self._recover(error)
        self.steps_done = done
        self._topology += not self.variables.lasting
        if self.steps_done % KEEP_EVERY == 0:
            self._keeper.keep(self.steps_done, self.variables, self._optimizers)
        assert self._readings.last is not None
        return self._readings.last

    def take_results(self) -> list[StepResult]:
        """Results that have arrived since the last call, oldest first; all of them after the last step."""
        return self._readings.take()

    def _receive(self, wait: bool = False) -> None:
        """Look at the numbers that have arrived; raises Diverged."""
        for result in self._readings.receive(wait):
            self._view_errors.update(result.view_errors)

    def _try_step(self) -> None:
        with self.ranks.together():
            self._enter_stage()
            attune(self.variables, self.settings, self.steps_done)
            targets = self._current_targets()
            views = self._draw_views(targets)
            own = self.ranks.own(views)
            parts = targets.parts(views)
            measured, box = self._pass.run(self, parts, own, len(views), self._backgrounds(parts))
        measured = self.ranks.combine(measured, own, len(views))
        moved = [group for group in self._optimizers if self.settings.enabled(group)]
        leaves = [leaf for group in moved for leaf in self.variables.tensors(group)]
        self.ranks.sum_gradients(leaves)
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        names = tuple(targets.names[view] for view in views)
        looking = self.steps_done % _CHECK_EVERY == 0
        self._readings.send(self.steps_done + 1, measured, names, gradients, box if looking else None)
        self._receive()
        self._update(moved)

    def _recover(self, error: WorkError) -> None:
        """Take back the last good values; raises `error` where that will not help."""
        variables, optimizers, views, note = self._keeper.recover(
            error, self.settings["views_per_step"], self.ranks.count
        )
        self.settings.set("views_per_step", views)
        self.notes.append(f"step {self.steps_done + 1}: {note}")
        self._readings.forget()
        self.adopt(variables, self._rest_shape, {k: o["state"] for k, o in optimizers.items()})

    def _update(self, moved: list[str]) -> None:
        share_gradients(self.variables, self.settings, self.steps_done)
        trade(self.variables, self.settings, self.steps_done)
        for group in moved:
            optimizer = self._optimizers[group]
            for options in optimizer.param_groups:
                factor = pace(self.settings, group, self.variables, self.steps_done)
                options["lr"] = self.settings.rate(group) * factor * self._keeper.caution
            optimizer.step()
        self.variables.clamp()

    def _draw_views(self, targets: TargetGroups) -> list[int]:
        """The next photos: all of them once in random order, then again."""
        count = min(int(self.settings["views_per_step"]), len(self.training))
        while len(self._queue) < count:
            self._queue += targets.spread(self._random.permutation(len(self.training)).tolist())
        views, self._queue = self._queue[:count], self._queue[count:]
        return views

    def _backgrounds(self, parts: list[Part]) -> list[Tensor]:
        """[3] or [N, H, W, 3] linear colour behind object and photo, for each part of a step."""
        mode = self.settings["training_background"]
        if parts[0].targets.mask is None or mode == "fixed":
            return [self.variables.background] * len(parts)
        if mode != "noise":
            return [torch.rand(3, generator=self._generator, device=self.device)] * len(parts)
        shapes = [(len(part.views), *part.targets.size, 3) for part in parts]
        return [torch.rand(shape, generator=self._generator, device=self.device) for shape in shapes]

    # Stages

    @property
    def schedule(self) -> Schedule:
        """The stages that the settings call for now."""
        return schedule_of(self.settings)

    def _current_targets(self) -> TargetGroups:
        """The photos at this stage's resolution; the previous stage's are let go."""
        resolution = self.schedule.resolution(self._stage)
        if resolution not in self._targets:
            # These lie within the masks; another start may reach beyond what is left of a photo.
            crop = self.settings["start"] in ("hull", "volume", "sdf")
            self._targets = {resolution: TargetGroups.build(self.training, resolution, self.device, crop)}
            self._plan_memory(self._targets[resolution])
        return self._targets[resolution]

    def _plan_memory(self, targets: TargetGroups) -> None:
        """Fewer photos per step from here on, where the GPU has no room for all."""
        material = self.variables.material
        texels = int(self.settings["texture_size"]) ** 2 if isinstance(material, TextureMaterial) else 0
        views = min(int(self.settings["views_per_step"]), len(self.training))
        vertices = len(self.variables.differential)
        fitting, note = views_that_fit(
            free_bytes(self.device),
            targets.size,
            views,
            self.ranks.count,
            vertices,
            texels,
            self.settings.weight("ssim") > 0,
        )
        if note:
            self.settings.set("views_per_step", fitting)
            self.notes.append(note)

    def _enter_stage(self) -> None:
        """Move on to the stage that the step count calls for; it never goes back."""
        schedule = self.schedule
        stage = max(self._stage, schedule.stage(self.steps_done))
        if stage == self._stage:
            return
        self._receive(wait=True)  # what goes on is also kept
        self._stage = stage
        last = stage == schedule.stages
        v = self.variables
        mesh = v.mesh(self._mesh, unlit=False)
        if not v.lasting:
            mesh = without_floaters(mesh)
            self._thickness = mean_thickness(mesh.vertices, mesh.faces) / v.scale
        fine = None
        if can_remesh(mesh, self.settings):
            length = edge_length(mesh, self.settings, stage, v.scale)
            mesh, fine = finished(mesh, self.settings) if last else (evened(mesh, length), None)
        new = v.on_mesh(mesh, smoothness(self.settings, self._thickness))
        self._topology += 1
        if last:
            new = textured(new, self.settings, self.steps_done, fine)
        self.adopt(new)

    # Live settings

    def set_rate(self, group: str, rate: float) -> None:
        """Learning rate of a group of messages.GROUPS, from the next step on."""
        self.settings.set(f"{_known(group, GROUPS, 'group')}_rate", rate)

    def set_group(self, group: str, enabled: bool) -> None:
        """Let a group of messages.GROUPS move, or hold it."""
        self.settings.set(f"{_known(group, GROUPS, 'group')}_enabled", enabled)

    def set_weight(self, term: str, weight: float) -> None:
        """Weight of a loss term of settings.TERMS, from the next step on."""
        self.settings.set(f"{_known(term, TERMS, 'loss term')}_weight", weight)

    def set_steps(self, steps: int) -> None:
        """New total number of steps; more than were done extends the run."""
        self.settings.set("steps", steps)

    def set_rasterizer(self, name: str, value: object) -> None:
        """A setting of studio.core.rasterizer.PARAMS, from the next step on."""
        self.settings.set(_known(name, tuple(p.name for p in PARAMS), "rasterizer setting"), value)
        self._renderer.rasterizer = Rasterizer.from_settings(self.settings)

    # Results

    def snapshot(self, live: bool = False) -> Snapshot:
        """An immutable copy of the state now; its arrays are never written again.

        Args:
            live: for watching a run; its textures may be a second old, and on a GPU it is of the
                moment when `snapshot_ready` was asked first.
        """
        return snapshot_of(self, self._moments.take(live) or Moment.of(self, copied=False), live)

    def snapshot_ready(self) -> bool:
        """Whether `snapshot(live=True)` would not wait; asked for the first time, it sets one under way."""
        return self._moments.ready(lambda: Moment.of(self, copied=True))

    def result(self) -> Scene:
        """The scene as it is now, in the normalised world; PhotoSet.input_to_world leads back."""
        return self.problem.scene_of(self.snapshot())

    def evaluate(self, photos: list[Photo], resolution: int | None = None, pictures: int = 0) -> Evaluation:
        """Metrics of photos, held out or not, and pictures of the first few.

        Args:
            photos: of the problem's set.
            resolution: long side in pixels; the settings' if None.
            pictures: how many photos to keep render and target of.
        """
        known = {photo.name: i for i, photo in enumerate(self.training)}
        views = self.variables.views
        # The row after the last stands for photos that were not trained with.
        places = [known.get(photo.name, len(self.training)) for photo in photos]
        stops, moves = (F.pad(t.detach(), (0, 0, 0, 1))[places] for t in (views.stops(), views.moves()))
        return evaluate_photos(
            self._renderer, photos, stops, moves, resolution or int(self.settings["resolution"]), pictures
        )


def _known(name: str, names: tuple[str, ...], what: str) -> str:
    if name not in names:
        raise InputError(f"fit: no {what} {name!r}; there are {', '.join(names)}")
    return name
