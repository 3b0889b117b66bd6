"""Recording and replaying by torch's own calls, with a stand-in for what they do; see fake_graphs.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from studio.core.optim import graphs as module
from studio.core.optim.graphs import KEPT, SETTLED, CudaGraph, Graphs
from tests.fake_graphs import FakeGraphs

CPU = torch.device("cpu")


@pytest.fixture
def fake(monkeypatch) -> FakeGraphs:
    monkeypatch.setattr(module, "on_cuda", lambda device: True)
    return FakeGraphs(monkeypatch)


class Task:
    """Something with a gradient, of inputs of several shapes."""

    def __init__(self) -> None:
        self.leaf = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        self.runs = 0

    def work(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        self.runs += 1
        loss = (given["x"] * self.leaf.exp()).square().mean()
        loss.backward()
        return {"loss": loss.detach()}

    def step(self, graphs: Graphs, size: int) -> tuple[Tensor, Tensor]:
        """(loss, gradient), however they came."""
        x = torch.randn(size, 3)
        self.leaf.grad = None
        out = graphs.run(size, {"x": x}, [self.leaf], self.work) if graphs.ready(size) else None
        if out is None:
            out = self.work({"x": x})
        assert self.leaf.grad is not None
        found = out["loss"].clone(), self.leaf.grad.clone()
        self.leaf.grad = None
        self.work({"x": x})
        torch.testing.assert_close(found, (self.work({"x": x})["loss"], 0.5 * self.leaf.grad))
        return found


def made(fake: FakeGraphs, kind: str) -> list[Any]:
    return [event[1:] for event in fake.events if event[0] == kind]


def test_a_graph_per_shape_that_shapes_come_back_to(fake):
    task, graphs = Task(), Graphs(CPU, True)
    for _ in range(4):
        for size in (4, 7):
            task.step(graphs, size)
    assert made(fake, "capture") == [(1, 1), (2, 1)], "one pool for both"
    for _ in range(3):
        for size in (7, 4):
            task.step(graphs, size)
    assert made(fake, "replay")[-6:] == [(2,), (1,)] * 3
    assert (graphs.recorded, graphs.replayed) == (2, 8)
    assert len(made(fake, "capture")) == 2


def test_what_was_not_seen_for_longest_is_dropped(fake):
    task, graphs = Task(), Graphs(CPU, True)
    for size in range(1, KEPT + 2):
        for _ in range(SETTLED + 1):
            task.step(graphs, size)
    assert graphs.recorded == KEPT + 1
    assert {pool for _, pool in made(fake, "capture")} == {1}, "also once the first of them is gone"
    task.step(graphs, KEPT + 1)
    assert graphs.recorded == KEPT + 1
    for _ in range(SETTLED + 1):
        task.step(graphs, 1)
    assert graphs.recorded == KEPT + 2


def test_other_variables_are_recorded_anew_in_another_pool(fake):
    task, graphs = Task(), Graphs(CPU, True)
    for _ in range(SETTLED + 1):
        task.step(graphs, 4)
    graphs.forget()
    task.leaf = torch.tensor([1.0, 0.0, 0.3], requires_grad=True)
    for _ in range(SETTLED + 2):
        task.step(graphs, 4)
    assert made(fake, "capture") == [(1, 1), (2, 2)]
    assert made(fake, "replay")[-1] == (2,)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: out of memory\nmore of it"), ValueError("no")])
def test_what_cannot_be_captured_is_launched(fake, error):
    """At the second shape; the first one's graph goes, too: whatever failed may have broken it."""
    task, graphs = Task(), Graphs(CPU, True)
    fake.fail = [None, error]
    for size in (4, 7, 4):
        for _ in range(SETTLED + 2):
            task.step(graphs, size)
    assert len(made(fake, "capture")) == 2
    assert graphs.replayed == 2
    assert graphs.reason
    assert "\n" not in graphs.reason


def test_looking_at_a_number_ends_recording(fake):
    task, graphs = Task(), Graphs(CPU, True)
    plain = task.work
    task.work = lambda given: plain(given) if float(given["x"].sum()) < 1e9 else {}
    for _ in range(SETTLED + 3):
        task.step(graphs, 4)
    assert "not permitted when stream is capturing" in graphs.reason
    assert graphs.replayed == 0


def test_a_recording_gives_what_its_work_returned(fake):
    place = torch.zeros(2)
    graph = CudaGraph()
    out = graph.record(lambda: place * 2 + 1)
    place.fill_(3.0)
    graph.replay()
    assert out.tolist() == [7.0, 7.0]
    assert graph.pool == 1
