"""A cloud of Gaussians fitted to photos with masks, from the surface of the visual hull on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.arrival import sent
from studio.core.kernels import splat, splat_project
from studio.core.ops import Splats
from studio.core.optim.emitted import POINTS, PointsView, splatted, views_of
from studio.core.optim.hull import Progress, visual_hull
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.recovery import Diverged
from studio.core.optim.targets import Targets
from studio.core.scene import Camera, Mesh, Points

_FIRST_SHARE = 0.5
"""Of the points: how many there are at first; the rest comes where it is needed."""

_GROW = (0.08, 0.6)
"""Shares of the steps between which points are added and removed."""

_GROWTHS = 12
"""How often."""

_FAINT = 0.01
"""Opacity below which a point is removed."""

_SPLIT = 1.6
"""Two points that take the place of a large one are smaller by this."""

_FLAT = -1.2
"""Logarithm of a first point's thickness, of its width."""

_FIRST_LOGIT = 0.0

_DECAY = {"centers": 0.01, "log_sizes": 0.2, "turns": 0.2, "opacity_logits": 0.2, "colors": 0.1}
"""Rates fall to this fraction by the last step."""

_MASK_WEIGHT = 0.5


class PointsFit(RadianceFit):
    """Moves Gaussians until their pictures are the photos; see RadianceFit.

    Its own settings are those called points_*, and views_per_step.

    Attributes:
        values: the cloud's arrays as tensors, by name; there after `prepare`.
    """

    KIND = "points"
    values: dict[str, Tensor]

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._error: Tensor | None = None
        self._queue: list[int] = []

    # Beginning

    def _modules(self) -> list[Any]:
        return [splat.over.module, splat_project.project.module]

    def _carve(self, progress: Progress) -> Mesh:
        return visual_hull(
            self.training,
            self.photos.object_center,
            self.photos.object_radius,
            self.settings["hull_resolution"],
            self.settings["hull_misses"],
            1.0,
            progress,
            self._cancel,
        )

    def _load_photos(self) -> None:
        self.targets = Targets.build(self.training, int(self.settings["resolution"]), self.device, crop=True)
        self._views = views_of(self.targets.cameras)

    def _generator_device(self) -> torch.device:
        return torch.device("cpu")

    def _begin(self, hull: Mesh) -> None:
        """Flat grey discs that cover the hull."""
        count = max(1, round(_FIRST_SHARE * int(self.settings["points_count"])))
        random = self._random
        corners = hull.vertices[hull.faces].astype(np.float64)
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = 0.5 * np.linalg.norm(cross, axis=1)
        chosen = random.choice(len(area), count, p=area / area.sum())
        a, b = np.sort(random.random((2, count)), axis=0)
        shares = np.stack([a, b - a, 1 - b], axis=1)
        centers = np.einsum("pk,pkc->pc", shares, corners[chosen])
        normal = cross[chosen] / np.maximum(np.linalg.norm(cross[chosen], axis=1, keepdims=True), 1e-20)
        width = math.log(math.sqrt(area.sum() / count / math.pi))
        self._extent = float((centers.max(axis=0) - centers.min(axis=0)).max())
        kinds = (int(self.settings["points_degree"]) + 1) ** 2
        arrays = {
            "centers": centers,
            "log_sizes": np.tile([width, width, width + _FLAT], (count, 1)),
            "turns": _turns_to(normal),
            "opacity_logits": np.full(count, _FIRST_LOGIT),
            "colors": np.zeros((count, kinds, 3)),
        }
        self.values = {
            name: torch.tensor(array, dtype=torch.float32, device=self.device).requires_grad_()
            for name, array in arrays.items()
        }
        self._forget()

    def _forget(self) -> None:
        """New values have new moments and no history."""
        groups = [{"params": [self.values[name]], "lr": 0.0, "name": name} for name in POINTS]
        self._adam = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)
        count = len(self.values["centers"])
        self._pull = torch.zeros(2, count, device=self.device)

    def _own_state(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "moments": {name: dict(self._adam.state[self.values[name]]) for name in POINTS},
            "pull": self._pull,
            "extent": self._extent,
            "queue": self._queue,
        }

    def _adopt(self, own: dict[str, Any]) -> None:
        self.values, self._extent, self._queue = own["values"], own["extent"], own["queue"]
        self._forget()
        for name, moments in own["moments"].items():
            if moments:
                self._adam.state[self.values[name]] = moments
        self._pull = own["pull"]

    # Stepping

    def step(self) -> None:
        """Compare a few photos with their pictures and move the points.

        Raises:
            Diverged: no points are left.
        """
        self._grow_if_due()
        views = self._next_views()
        targets = self.targets.select(views)
        assert targets.mask is not None
        background = sent(torch.rand(3, generator=self._generator), self.device)
        splats, color, alpha = splatted(self.values, self._views[views], targets.size)
        splats.numbers.retain_grad()
        wanted = targets.color * targets.mask[..., None] + background * (1 - targets.mask[..., None])
        difference = color + (1 - alpha)[..., None] * background - wanted
        outline = (alpha - targets.mask) ** 2
        if targets.weight is not None:
            difference, outline = difference * targets.weight[..., None], outline * targets.weight
        loss = difference.abs().mean() + _MASK_WEIGHT * outline.mean()
        self._set_rates()
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        self._note_pull(splats)
        said = targets.mask.mean(dim=(1, 2)).clamp_min(1e-6)
        squares = (difference.detach() ** 2 * targets.mask[..., None]).mean(dim=(1, 2, 3))
        self._note_errors(views, squares / said)
        self._error = squares.mean() / said.mean()
        self.steps_done += 1

    def error(self) -> Tensor | None:
        """Inside the masks."""
        return self._error

    def _next_views(self) -> Tensor:
        """Photos in random order, each once before any twice."""
        count = min(len(self.training), int(self.settings["views_per_step"]))
        while len(self._queue) < count:
            self._queue += torch.randperm(len(self.training), generator=self._generator).tolist()
        chosen, self._queue = self._queue[:count], self._queue[count:]
        return sent(chosen, self.device)

    def _set_rates(self) -> None:
        done = self.steps_done / max(1, self.steps)
        for group in self._adam.param_groups:
            rate = float(self.settings[f"points_{group['name'].removesuffix('_logits')}_rate"])
            scale = self._extent if group["name"] == "centers" else 1.0
            group["lr"] = self.caution * rate * scale * _DECAY[group["name"]] ** done

    # Adding and removing

    def _note_pull(self, splats: Splats) -> None:
        """How hard the photos pull each point across the picture, summed, and how often they saw it."""
        assert splats.numbers.grad is not None
        pull = splats.numbers.grad[:, :2].norm(dim=1).view(-1, splats.views)
        self._pull[0] += pull.sum(dim=1)
        self._pull[1] += (pull > 0).sum(dim=1)

    def _grow_if_due(self) -> None:
        first, last = (round(share * self.steps) for share in _GROW)
        every = max(1, (last - first) // _GROWTHS)
        if first <= self.steps_done <= last and (self.steps_done - first) % every == 0:
            self._grow((self.steps_done - first) // every + 1)

    @torch.no_grad()
    def _grow(self, number: int) -> None:
        """Remove what is faint; split or double what is pulled hardest.

        The only wait for a GPU, for how many points stay: tensors of another size come of it.
        """
        bright = torch.sigmoid(self.values["opacity_logits"]) > _FAINT
        kept = bright.nonzero()[:, 0]
        if len(kept) == 0:
            raise Diverged("fit: all points have faded; lower points_opacity_rate")
        most = int(self.settings["points_count"])
        wanted = round(most * (_FIRST_SHARE + (1 - _FIRST_SHARE) * min(1.0, number / _GROWTHS)))
        score = torch.where(bright, self._pull[0] / self._pull[1].clamp_min(1), -1.0)
        extra = min(len(kept), max(0, wanted - len(kept)))
        chosen = score.topk(extra).indices
        sizes = self.values["log_sizes"]
        large = sizes[chosen].amax(dim=1) > sizes[kept].amax(dim=1).median()
        away = sent(torch.randn(2, extra, 3, generator=self._generator), self.device)
        offset = _turned(self.values["turns"][chosen], away * sizes[chosen].exp())
        offset = offset * large[:, None]
        smaller = math.log(_SPLIT) * large[:, None].float()
        added = {name: value.detach()[chosen] for name, value in self.values.items()}
        changed = {name: value.detach().clone() for name, value in self.values.items()}
        added["centers"] = added["centers"] + 0.5 * offset[0]
        added["log_sizes"] = added["log_sizes"] - smaller
        changed["centers"][chosen] += 0.5 * offset[1]
        changed["log_sizes"][chosen] -= smaller
        self._replace(changed, kept, added)

    def _replace(self, changed: dict[str, Tensor], kept: Tensor, added: dict[str, Tensor]) -> None:
        """Other numbers of points; those that stay, `kept` by number, keep their moments."""
        moments = {name: self._adam.state[self.values[name]] for name in POINTS}
        self.values = {
            name: torch.cat([changed[name][kept], added[name]]).requires_grad_() for name in POINTS
        }
        self._forget()
        for name in POINTS:
            old = moments[name]
            if old:
                new = {key: torch.cat([old[key][kept], torch.zeros_like(added[name])])
                       for key in ("exp_avg", "exp_avg_sq")}  # fmt: skip
                self._adam.state[self.values[name]] = {"step": old["step"], **new}

    # Results

    def frozen(self, half: bool = False) -> Callable[[], Points]:
        copies = {name: value.detach().clone() for name, value in self.values.items()}

        def made() -> Points:
            arrays: dict[str, Any] = {name: value.cpu().numpy() for name, value in copies.items()}
            return Points(**arrays, world_to_input=self.photos.input_to_world.inverse())

        return made

    def render(self, camera: Camera) -> np.ndarray:
        """See Look."""
        return PointsView(self.values).picture(camera)


def _turns_to(normal: np.ndarray) -> np.ndarray:
    """[P, 4] quaternions (w, x, y, z) that turn the z axis to [P, 3] unit vectors."""
    x, y, z = normal.T
    turns = np.stack([1 + z, -y, x, np.zeros_like(x)], axis=1)
    opposite = z < -1 + 1e-6
    turns[opposite] = (0.0, 1.0, 0.0, 0.0)
    return np.asarray(turns / np.linalg.norm(turns, axis=1, keepdims=True))


def _turned(turns: Tensor, vectors: Tensor) -> Tensor:
    """[..., P, 3] vectors turned by [P, 4] quaternions."""
    turns = torch.nn.functional.normalize(turns, dim=1)
    axis = turns[:, 1:].expand_as(vectors)
    across = 2 * torch.cross(axis, vectors, dim=-1)
    return vectors + turns[:, :1] * across + torch.cross(axis, across, dim=-1)
