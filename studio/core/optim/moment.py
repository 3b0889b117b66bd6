"""What a fit is at one step, and the snapshot of it: for watching, without a step that waits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from studio.core.arrival import on_cuda, recorded
from studio.core.optim.materials import array
from studio.core.optim.messages import OnGpu, Snapshot
from studio.core.optim.readings import StepResult
from studio.core.optim.variables import Variables
from studio.core.optim.views import refined
from studio.core.optim.watching import rates, vertex_gradient
from studio.core.scene import Camera

if TYPE_CHECKING:
    from studio.core.optim.fit import Fit


@dataclass(frozen=True, eq=False)
class AsOf:
    """What was, while steps go on.

    Attributes:
        event: recorded behind the copies that it is of; None where it is of the fit's own values.
    """

    event: Any

    @property
    def ready(self) -> bool:
        """Whether to read it is not to wait for steps that are under way."""
        return self.event is None or bool(self.event.query())


@dataclass(frozen=True, eq=False)
class Moment(AsOf):
    """The state after a step. On a GPU steps go on while it is read, on a stream of its own.

    Attributes:
        variables: copies that nobody moves, or the fit's own.
        drawn: what `Variables.drawn` gave.
    """

    step: int
    variables: Variables
    drawn: dict[str, Tensor]
    last: StepResult | None
    view_errors: dict[str, float]
    topology: int
    rates: dict[str, float]

    @classmethod
    def of(cls, fit: Fit, copied: bool) -> Moment:
        """The state now; with `copied` it may be read after further steps."""
        v = fit.variables
        drawn = v.drawn(fit.settings["shading"] == "unlit", fit._renderer.surface.incidence)
        kept = v.clone() if copied else v
        return cls(
            recorded() if copied else None,
            fit.steps_done,
            kept,
            drawn,
            fit._readings.last,
            dict(fit._view_errors),
            fit._topology,
            rates(fit),
        )


@dataclass(frozen=True, eq=False)
class Frozen(AsOf):
    """A snapshot that only has to be brought to the host.

    Attributes:
        made: does so.
    """

    made: Callable[[], Snapshot]

    @classmethod
    def of(cls, made: Callable[[], Snapshot], copied: bool) -> Frozen:
        """Of copies whose making was handed out just before, or of what nobody moves."""
        return cls(recorded() if copied else None, made)


M = TypeVar("M", bound=AsOf)


class Moments(Generic[M]):
    """The moment that a watched fit is waiting for.

    Args:
        device: of the fit.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = None
        self._coming: M | None = None

    def forget(self) -> None:
        """The variables are about to be others."""
        self._coming = None

    def ready(self, copied: Callable[[], M]) -> bool:
        """Whether a live snapshot can be had without waiting; from the first time on it is on its way.

        Args:
            copied: makes the moment of now.
        """
        if not on_cuda(self._device):
            return True
        if self._coming is None:
            self._coming = copied()
        return self._coming.ready

    def take(self, live: bool) -> M | None:
        """The one that is on its way, if somebody watches live."""
        coming, self._coming = self._coming, None
        return coming if live else None

    @contextlib.contextmanager
    def aside(self, moment: AsOf) -> Iterator[None]:
        """Here the host waits for the moment and for what is made of it, not for steps."""
        if moment.event is None:
            yield
            return
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        self._stream.wait_event(moment.event)
        with torch.cuda.stream(self._stream):
            yield
        # Its copies are given back to the stream of the steps.
        self._stream.synchronize()


def snapshot_of(fit: Fit, moment: Moment, live: bool) -> Snapshot:
    """An immutable copy of a fit's state at a moment."""
    gradient = vertex_gradient(fit, fit.gradient_term) if fit.gradient_term else None
    v, last = moment.variables, moment.last
    unlit = fit.settings["shading"] == "unlit"
    with fit._moments.aside(moment):
        shared = live and on_cuda(fit.device)
        pictures, lighting = fit._pictures.take(v, unlit, live, fit.variables)
        r, g, b = array(v.background).tolist()
        return Snapshot(
            step=moment.step,
            mesh=v.mesh_of(moment.drawn, fit._mesh, unlit, pictures),
            on_gpu=OnGpu(moment.drawn, moment.event or recorded()) if shared else None,
            lighting=lighting,
            background=(r, g, b),
            losses=dict(last.losses) if last else {},
            psnr=last.psnr if last else float("nan"),
            exposure=array(torch.exp2(v.views.stops().mean(dim=1))),
            cameras=_cameras(fit, v),
            view_errors=moment.view_errors,
            topology=moment.topology,
            rates=moment.rates,
            motion=fit._motion.take(v, moment.step),
            gradient=gradient,
        )


def _cameras(fit: Fit, variables: Variables) -> dict[str, Camera]:
    """The training photos' cameras by name, if poses were refined."""
    views = variables.views
    if not views.moving:
        return {}
    moves, center = array(views.moves()), array(views.center)
    return {p.name: refined(p.camera, move, center) for p, move in zip(fit.training, moves)}
