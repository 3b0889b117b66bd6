"""Threads that share launches without Python: everything once, whoever comes, and what if they cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
import warp as wp

from studio.core.kernels import crew as crew_module
from studio.core.kernels import launcher
from studio.core.kernels.crew import Crew, Part, Row

CPU = torch.device("cpu")


@wp.kernel(enable_backward=False)
def add_up(rounds: wp.int32, value: wp.float32, out: wp.array(dtype=wp.float32)):
    i = wp.tid()
    for _ in range(rounds):
        out[i] = out[i] + value


@wp.kernel(enable_backward=False)
def note_hand(hand: wp.int32, begin: wp.int32, end: wp.int32, seen: wp.array(dtype=wp.int32)):
    for row in range(begin, end):
        seen[row] = seen[row] + 1 + 100 * hand


@wp.kernel(enable_backward=False)
def double_row(seen: wp.array(dtype=wp.int32), begin: wp.int32):
    row = begin + wp.tid()
    seen[row] = seen[row] * 2


@pytest.fixture(params=[1, 2, 5])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    former = launcher.use_threads(1 + request.param)
    made = launcher.crew()
    assert made is not None
    yield made
    launcher.use_threads(former)


def _part(rounds: int, value: float, out: torch.Tensor, zeros: bool = False) -> Part:
    entry = launcher.entry(add_up)
    assert entry is not None
    cleared = [(out.data_ptr(), out.nbytes)] if zeros else []
    return Part(entry, (len(out),), [rounds, value, out], cleared)


def test_each_part_is_run_once_and_cleared_before(crew: Crew) -> None:
    for _ in range(300):
        outs = [torch.full((n,), 7.0) for n in (3, 1, 40, 5)]
        assert crew.parts([_part(2, 0.5 + i, out, zeros=i != 1) for i, out in enumerate(outs)])
        assert [out.unique().tolist() for out in outs] == [[1.0], [10.0], [5.0], [7.0]]


def test_parts_of_others_that_take_long_are_waited_for(crew: Crew) -> None:
    outs = [torch.zeros(1), torch.zeros(1), torch.zeros(1)]
    assert crew.parts([_part(rounds, 1.0, out) for rounds, out in zip((1, 6_000_000, 1), outs, strict=True)])
    assert [float(out) for out in outs] == [1.0, 6_000_000.0, 1.0]


@pytest.mark.parametrize(("rows", "strip"), [(1, 1), (7, 3), (100, 7), (5, 64)])
def test_each_row_is_taken_once_in_order_by_a_known_hand(crew: Crew, rows: int, strip: int) -> None:
    noting, doubling = launcher.entry(note_hand), launcher.entry(double_row)
    assert noting is not None
    assert doubling is not None
    for _ in range(50):
        seen = torch.zeros(rows + 2, dtype=torch.int32)
        launches = [Row(noting, [0, 0, 0, seen], 1, 2, 0), Row(doubling, [seen, 0], 1, -1, -1)]
        assert crew.rows(rows, strip, 2, launches)
        assert set(seen[:rows].tolist()) <= {2, 202}
        assert not seen[rows:].any()


def test_two_that_share_at_once_do_not_mix(crew: Crew) -> None:
    wrong = []

    def work(value: float) -> None:
        for _ in range(200):
            outs = [torch.zeros(50), torch.zeros(50)]
            parts = [_part(20, value, out) for out in outs]
            if not crew.parts(parts):  # the other one has the crew
                continue
            if any(bool((out != 20 * value).any()) for out in outs):
                wrong.append(value)

    callers = [threading.Thread(target=work, args=(value,)) for value in (1.0, 2.0)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_what_has_no_room_is_refused(crew: Crew) -> None:
    outs = [torch.zeros(2) for _ in range(200)]
    assert not crew.parts([_part(1, 1.0, out) for out in outs])
    assert not any(bool(out.any()) for out in outs)


def test_its_threads_end_with_the_pool() -> None:
    former = launcher.use_threads(1)
    before = threading.active_count()
    launcher.use_threads(3)
    assert launcher.crew() is launcher.crew() is not None
    assert threading.active_count() == before + 4  # two of the pool, two of the crew
    launcher.use_threads(1)
    assert launcher.crew() is None
    assert threading.active_count() == before
    launcher.use_threads(former)


def test_without_semaphores_bands_go_through_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(place: int) -> None:
        raise OSError("none")

    monkeypatch.setattr(crew_module, "_semaphore", none)
    least_work = launcher.pool().least_work
    former = launcher.use_threads(2, 1e6)
    try:
        assert launcher.crew() is None
        out = torch.zeros(10)
        launcher.launch(add_up, 10, [3, 2.0, launcher.Sliced(out)], CPU)
        assert out.unique().tolist() == [6.0]
    finally:
        launcher.use_threads(former, least_work)
