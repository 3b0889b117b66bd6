"""Everything the panels read: document, view, run, log. They write none of it but the view."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal

from imgui_bundle import hello_imgui

from studio.core.optim.messages import HistoryRow, Snapshot, Status
from studio.core.scene import Lighting, Photo, PhotoSet, Points, Scene, Volume
from studio.gl.options import Mode, Source
from studio.ui import choices, preferences
from studio.ui.commands import Act, Command, History, Path, Set
from studio.ui.document import Document, EffectSet
from studio.ui.jobs import Jobs

if TYPE_CHECKING:
    from studio.core.optim.metrics import PairMetrics
    from studio.ui.recovery import Recovery

Level = Literal["info", "warn", "fail", "good"]

LOG_LINES = 2000
NOTICE_SECONDS = 8.0
"""A notice of success leaves by itself after this; warnings and failures wait to be closed."""


@dataclass(eq=False)
class View:
    """How the document is looked at; not undoable, not part of it.

    Attributes:
        mode: one of studio.gl.options.MODES.
        left, right: what they compare, see studio.gl.options.SOURCES; what is not there is
            replaced, see AppState.left and AppState.right.
        error: what "difference" shows: "absolute", "squared", "relative", "flip" or "ssim".
        error_range: what has the brightest colour then.
        editing: the set of effects that the panel shows, "a" or "b".
        aov: the channel shown, "color" for the picture.
        wipe: where the divider stands, 0..1 of the picture's width.
        photo: index of the photo looked through, or None for the free camera.
        selected: what the scene tree has selected, e.g. "mesh:0", "light:0", "sky".
        truth: the photo is laid over the render, as opaque as `overlay`.
        aov_map, aov_range: see studio.gl.options.ViewOptions.
        tool: what the mouse does to the selected object or light: "select" nothing, "move",
            "rotate" or "scale"; "mask" paints on the photo that is looked through.
        wireframe, normals, clipping: drawn over the picture.
        lights: icons of the lights.
        inspector, histogram: their plates are open.
        pinned: pixel of the view that the inspector keeps to, or None to follow the mouse.
        turning: the camera goes round by itself.
        orthographic: the free camera sees without perspective.
        exposure: stops.
        worst_first: the strip and the bars are sorted by error.
        smoothing: 0..1, how much the past counts in the curves shown.
        dialog: what is taken away is chosen in this one: "picture", …; "" for none.
        gradients: the loss term whose gradient the arrows show, "" for no arrows.
    """

    mode: Mode = "render"
    left: Source = "render"
    right: Source = "photo"
    error: str = "absolute"
    error_range: float = 0.25
    editing: str = "a"
    aov: str = "color"
    wipe: float = 0.5
    photo: int | None = None
    selected: str = "mesh:0"
    truth: bool = False
    overlay: float = 0.5
    grid: bool = True
    cameras: bool = True
    gizmo: bool = True
    lights: bool = True
    tool: str = "select"
    wireframe: bool = False
    normals: bool = False
    clipping: bool = False
    inspector: bool = False
    histogram: bool = False
    pinned: tuple[int, int] | None = None
    turning: bool = False
    orthographic: bool = False
    aov_map: str = ""
    aov_range: tuple[float, float] | None = None
    exposure: float = 0.0
    worst_first: bool = False
    smoothing: float = 0.7
    gradients: str = ""
    picture_only: bool = False
    help_open: bool = False
    about_open: bool = False
    welcome_open: bool = False
    palette_open: bool = False
    preferences_open: bool = False
    dialog: str = ""


@dataclass(frozen=True, eq=False)
class Kept:
    """The state that a kept picture was drawn of; edits of the document do not reach it."""

    scene: Scene
    own: EffectSet


@dataclass(frozen=True, eq=False)
class Measured:
    """What is known of the two pictures that are compared.

    Attributes:
        mean: mean absolute difference of sRGB values over object and mask.
        more: all numbers and maps, once they have been worked out.
    """

    mean: float
    more: PairMetrics | None = None


@dataclass(frozen=True)
class LogLine:
    clock: str
    level: Level
    text: str


@dataclass(eq=False)
class Notice:
    """A message over the picture: what happened and what to do."""

    level: Level
    text: str
    hint: str = ""
    born: float = field(default_factory=time.monotonic)

    @property
    def expired(self) -> bool:
        return self.level in ("info", "good") and time.monotonic() - self.born > NOTICE_SECONDS


@dataclass(frozen=True, eq=False)
class Choice:
    """A button of a question."""

    title: str
    then: Callable[[], None]
    main: bool = False


@dataclass(frozen=True, eq=False)
class Question:
    """What has to be decided before something goes on; Esc cancels.

    Attributes:
        choices: from left to right, before Cancel.
    """

    title: str
    text: str
    choices: tuple[Choice, ...]


@dataclass(eq=False)
class RunView:
    """What the window knows of the optimizer's run.

    Attributes:
        snapshot: the newest one taken, or None before a run.
        timeline: snapshots kept along the way, for going back to look (see studio.ui.timeline).
        shown: the timeline entry being looked at instead of the newest, or None.
        plateau: step since which the loss has not got better in the last part of the run, or None.
        checkpoint: the file it can go on from, "" if it left none.
    """

    status: Status = field(default_factory=Status)
    history: list[HistoryRow] = field(default_factory=list)
    snapshot: Snapshot | None = None
    timeline: list[Snapshot] = field(default_factory=list)
    shown: Snapshot | None = None
    plateau: int | None = None
    checkpoint: str = ""

    @property
    def visible(self) -> Snapshot | None:
        """The snapshot the viewport shows."""
        return self.shown if self.shown is not None else self.snapshot

    @property
    def override(self) -> Snapshot | None:
        """The snapshot shown instead of the document: of a run under way, or one gone back to."""
        return self.visible if self.active or self.shown is not None else None

    @property
    def active(self) -> bool:
        """A run is under way: preparing, running or paused."""
        return self.status.phase in ("preparing", "running", "paused")


class AppState:
    """The whole state of one window.

    Attributes:
        ready: the heavy libraries are loaded, so fits and files can be opened.
        device: what the user asked for: auto, cpu or cuda; `compute` what that came to.
        preferences: of the person, not of the document; `choices` those of the dialogs, by name.
        renderer: name of the OpenGL renderer; `software` if the processor draws.
        pictures: how what a fit computes gets into OpenGL, and why (see studio.gl.interop).
        earlier: curves of the runs before this one, newest last.
        stills: pictures that are compared with the render: the path-traced "reference" of a view,
            as far as it is, the one of the differentiable renderer, those that were kept.
        kept: what the kept ones show, "a" and "b".
        measured: of the comparison on screen; None while it changes.
        version: grows with every change of the scene and the effects.
        skipped: set ("a", "b") -> effect -> why it cannot run, e.g. "needs irradiance, which pbr makes".
        channels: names of those that can be shown: the surface's, and what the effects that run make.
        gesture: grows between drags; edits of one gesture are undone together.
        holding: something that is no item of ImGui's is dragged, so that the gesture goes on.
        question: the dialog that waits for an answer, or None.
        panels: which of the dockable windows are shown; `layout` the name of the layout.
        recent: projects opened and saved last, newest first.
        recoveries: work that an earlier session lost, newest first; `recovery_put_off`: not now.
    """

    def __init__(self, jobs: Jobs, document: Document, device: str) -> None:
        self.document = document
        self.history = History(document, self._note_change)
        self.changes: list[Path] = []
        self.view = View()
        self.run = RunView()
        self.earlier: list[list[HistoryRow]] = []
        self.preferences = preferences.defaults()
        self.choices = choices.defaults()
        self.jobs = jobs
        self.device = device
        self.compute = ""
        self.ready = False
        self.starting_note = "Loading"
        self.renderer = ""
        self.software = False
        self.pictures = ""
        self.gesture = 1
        self.holding = False
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.notices: list[Notice] = []
        self.commands: list[Command] = []
        self.hovered: dict[str, Any] | None = None
        self.channels: tuple[str, ...] = ()
        self.stills: dict[Source, Photo] = {}
        self.kept: dict[Source, Kept] = {}
        self.measured: Measured | None = None
        self.version = 0
        self.skipped: dict[str, dict[str, str]] = {}
        self.fps = 0.0
        self.idle = False
        self.window_open = False
        self.question: Question | None = None
        self.recent: list[FilePath] = []
        self.recoveries: list[Recovery] = []
        self.recovery_put_off = False
        self.panels: dict[str, bool] = {}
        self.layout = ""

    # What panels call

    def send(self, command: Command) -> None:
        """Post a command; it is carried out before the next frame."""
        self.commands.append(command)

    def set(self, path: Path, value: Any, label: str) -> None:
        """Post one undoable edit."""
        self.commands.append(Set(path, value, label))

    def act(self, name: str, *args: Any) -> None:
        """Post an action, e.g. act("start")."""
        self.commands.append(Act(name, args))

    # What the app and its threads call

    def wake(self) -> None:
        """Draw a frame soon; from any thread, and harmless once the window is gone."""
        if self.window_open:
            hello_imgui.request_refresh()

    def say(self, text: str, level: Level = "info") -> None:
        """A line for the log."""
        self.log.append(LogLine(time.strftime("%H:%M:%S"), level, text))

    def notify(self, text: str, level: Level = "info", hint: str = "") -> None:
        """A notice over the picture that also stays in the log; of good news only the last one shows."""
        self.say(f"{text} {hint}".strip(), level)
        older = [n for n in self.notices if n.text != text and not n.level == level == "good"]
        self.notices = older[-2:] + [Notice(level, text, hint)]

    def _note_change(self, path: Path) -> None:
        self.changes.append(path)
        self.version += path[0] in ("scene", "effects", "enabled", "other", "looks")

    # What both read

    @property
    def scene(self) -> Scene:
        return self.document.scene

    @property
    def photos(self) -> PhotoSet | None:
        return self.document.photos

    def has(self, source: Source) -> bool:
        """Whether there is such a picture, or could be."""
        if source == "photo":
            return self.photos is not None
        if source == "effects":
            return self.document.other is not None
        if source == "diff":
            return self.ready and self.has_mesh
        return source == "render" or source in self.stills

    @property
    def has_mesh(self) -> bool:
        """Whether there is a mesh on screen: the document's or the run's."""
        snapshot = self.run.override
        return bool(self.scene.meshes) if snapshot is None or snapshot.emits else True

    @property
    def left(self) -> Source:
        """The left picture now: the chosen one if it is there, else the render."""
        return self.view.left if self.has(self.view.left) else "render"

    @property
    def right(self) -> Source | None:
        """The right picture now: the chosen one if it is there, else one that differs from the left."""
        others: tuple[Source, ...] = ("photo", "effects", "a", "b", "diff")
        for source in (self.view.right, *others):
            if self.has(source) and (source != self.left or source == self.view.right):
                return source
        return None

    @property
    def on_gpu(self) -> bool:
        """Whether fits and the differentiable renderer run on CUDA."""
        return self.compute.upper().startswith("CUDA")

    @property
    def unsaved(self) -> bool:
        """There is work that no project file holds."""
        return self.history.changed or self.run.active

    def comparing(self) -> bool:
        """Whether the present mode has something to compare with."""
        photo = "photo" in (self.left, self.right)
        return self.right is not None and not (photo and self.view.photo is None)

    @property
    def reference(self) -> Photo | None:
        """The path-traced picture, as far as it is."""
        return self.stills.get("reference")

    def visible_radiance(self) -> tuple[Volume | None, Points | None]:
        """Volume and points on screen: the run's while it makes some, else the document's."""
        snapshot = self.run.override
        if snapshot is not None and snapshot.emits:
            return snapshot.volume, snapshot.points
        return self.scene.volume, self.scene.points

    def shown_kinds(self) -> dict[str, bool]:
        """Whether meshes, volume and points are seen: as the document says; while a run makes one of them,
        that alone."""
        snapshot = self.run.override
        if snapshot is None:
            return {kind: bool(look["shown"]) for kind, look in self.document.looks.items()}
        made = {"meshes": snapshot.mesh, "volume": snapshot.volume, "points": snapshot.points}
        return {kind: it is not None for kind, it in made.items()}

    def lighting(self) -> Lighting:
        """The lighting on screen: the run's while it moves the light, else the document's."""
        snapshot = self.run.override
        if snapshot is not None and not snapshot.emits and self.document.settings.enabled("light"):
            return snapshot.lighting
        return self.document.scene.lighting

    def view_error(self, name: str) -> float | None:
        """Latest mean absolute error of a photo, sRGB 0..1, or None while unknown."""
        snapshot = self.run.snapshot
        return None if snapshot is None else snapshot.view_errors.get(name)
