"""Pictures that are worth one core only: what lies between is kept from call to call.

A thread keeps the memory of a few combinations of mesh and image size, ready for the launch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import at_once, cover, launcher, relation, survey

MOST_ITEMS = 1 << 16
"""Triangles of all images together up to which memory is kept for them."""

_CPU = torch.device("cpu")
_NO_RAST, _NO_KEYS = torch.empty(0, 4), torch.empty(0, dtype=torch.int64)
_NO_IMAGE = torch.empty(0, 1)
_KEPT = 6
_kept = threading.local()


def _keep(key: Hashable, make: Callable[[], Any]) -> Any:
    """What `make` gave a thread for this key, of which it keeps the last few."""
    store: OrderedDict = _kept.__dict__.setdefault("store", OrderedDict())
    if key in store:
        store.move_to_end(key)
    else:
        store[key] = make()
        while len(store) > _KEPT:
            store.popitem(last=False)
    return store[key]


def _ready(kernel: Any, tensors: Sequence[Tensor]) -> list[Any]:
    """The last arguments of a kernel."""
    first = len(kernel.adj.args) - len(tensors)
    return launcher.arguments(kernel, [*(0,) * first, *tensors], _CPU)[first:]


class _RoomForOrder:
    """What comes of a survey of so many triangles, and what sorting them takes."""

    def __init__(self, items: int) -> None:
        shapes = [(1, 4), (items, 4), (1,), (survey.BUCKETS,), (items, 2), (items, 2)]
        tensors = [torch.empty(shape, dtype=torch.int32) for shape in shapes]
        self.packed, self.records, ends, *_, self.order = tensors
        ends.fill_(items)
        self.ready = _ready(at_once.find_order, tensors)


def find_order(scene: Sequence[Any], cull: bool, facing: Tensor, items: int) -> tuple[Tensor, Tensor, Tensor]:
    """The survey's `packed` and `records`, and the order of the large triangles, on CPU.

    They belong to the thread and are overwritten by its next call.

    Args:
        scene: pos, screen (to be written), tri, images, width, height.
        facing: to be written, or empty.
    """
    room = _keep(("order", items), lambda: _RoomForOrder(items))
    launcher.launch_in_band(at_once.find_order, 1, [*scene, int(cull), facing, *room.ready], _CPU)
    return room.packed, room.records, room.order


def _room_for_tiles(rows: int, width: int) -> list[Any]:
    tiles = ((rows - 1) // cover.TILE + 1) * ((width - 1) // cover.TILE + 1)
    return _ready(at_once.find_keys, [torch.empty(1, 2, tiles, dtype=torch.int32)])


def find_keys(
    scene: Sequence[Any],
    cull: bool,
    passed: Tensor,
    keys: Tensor,
    spans: Tensor,
    facing: Tensor,
    items: int,
) -> None:
    """Keys of the nearest triangles, the vertices' projections and the triangles' sides, on CPU.

    Args:
        scene, facing: as for `find_order`.
    """
    width, height = scene[4:]
    rows = scene[3].shape[0] * height
    room = _keep(("order", items), lambda: _RoomForOrder(items))
    tiles = _keep(("tiles", rows, width), lambda: _room_for_tiles(rows, width))
    inputs = [*scene, int(cull), passed, keys, spans, facing, *room.ready, *tiles]
    launcher.launch_in_band(at_once.find_keys, 1, inputs, _CPU)


def note_pieces(pixels: int, edges: int, pieces: int) -> None:
    """Remember how many pieces the silhouettes of a mesh had in an image of this size."""
    store: OrderedDict = _kept.__dict__.setdefault("pieces", OrderedDict())
    store[pixels, edges] = pieces
    while len(store) > _KEPT:
        store.popitem(last=False)


def pieces_last_time(pixels: int, edges: int) -> int:
    """What `note_pieces` was told, 0 if nothing."""
    count: int = _kept.__dict__.get("pieces", {}).get((pixels, edges), 0)
    return count


class _RoomForOutline:
    """Room for `capacity` pieces in an image of so many pixels; `heads` are zero between calls."""

    def __init__(self, pixels: int, capacity: int) -> None:
        self.heads = torch.zeros(pixels, dtype=torch.int32)
        self.numbers = torch.empty(2, 16, dtype=torch.int32)
        self.grow(capacity)

    def grow(self, capacity: int) -> None:
        self.capacity = capacity
        pieces = torch.empty(capacity, relation.PIECE_WORDS, dtype=torch.int32)
        scratch = torch.empty(capacity, relation.PART_WORDS // 2, dtype=torch.int64)
        self.ready = _ready(at_once.outline, [self.numbers, pieces, self.heads, scratch])


def outline(
    seen: Tensor,
    spans: Tensor,
    pos: Tensor,
    projected: Sequence[Tensor] | None,
    tri: Tensor,
    edges: Tensor,
    image: Tensor | None,
    source: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The three columns of Records on CPU, and if they are to be blended into an image [P, C], what a
    unit of each amount changes.

    Args:
        seen: rast [N, H, W, 4] or keys [N, H, W].
        spans: of keys, or empty; see `visible`.
        projected: screen and facing, see `Projected`, if at hand.
        source: what the image is to be a copy of; None: it is one as it is.
    """
    n, height, width = seen.shape[:3]
    room = _keep(
        ("outline", n * height * width), lambda: _RoomForOutline(n * height * width, 2 * n * (height + width))
    )
    keyed = seen.ndim == 3
    rast, keys = (_NO_RAST, seen.view(-1)) if keyed else (seen.view(-1, 4), _NO_KEYS)
    projects = projected is None
    if projected is None:
        projected = torch.empty_like(pos), torch.empty(n, len(tri), dtype=torch.int8)
    screen, facing = projected
    target = _NO_IMAGE if image is None else image
    source = _NO_IMAGE if source is None else source
    while True:
        most = room.capacity
        columns = [
            torch.empty(most, 4, dtype=torch.int32),
            torch.empty(most, 4),
            torch.empty(most, 4),
            torch.empty(0 if image is None else most, target.shape[1]),
        ]
        inputs = [most, projects, pos, screen, tri, edges, rast, keys, spans, width, height]
        inputs += [*columns[:3], source, target, columns[3], facing, *room.ready]
        launcher.launch_in_band(at_once.outline, 1, inputs, _CPU)
        (pieces, *_), (count, *_) = room.numbers.tolist()
        if pieces <= most:
            note_pieces(n * height * width, edges.shape[0], pieces)
            pixels, amount_a, amount_b, difference = (column[:count] for column in columns)
            return pixels, amount_a, amount_b, difference
        room.grow(pieces)
