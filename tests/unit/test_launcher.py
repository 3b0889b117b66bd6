"""The launcher: bands, private accumulators, several callers at once, errors, preloading."""

from __future__ import annotations

import threading

import pytest
import torch
import warp as wp
from torch import Tensor

from studio.core import device as device_module
from studio.core.errors import InputError
from studio.core.kernels import direct, launcher, warp_modules
from studio.core.kernels.inputs import balanced
from studio.core.ops import Topology, antialias, interpolate, rasterize, rasterize_interpolate, texture
from tests import ops_reference as reference

CPU = torch.device("cpu")


@wp.kernel
def fill(begin: wp.int32, out: wp.array(dtype=wp.int32)):
    i = begin + wp.tid()
    out[i] = i


@wp.kernel
def fill_slice(values: wp.array(dtype=wp.float32), out: wp.array(dtype=wp.float32)):
    i = wp.tid()
    out[i] = 2.0 * values[i]


@wp.kernel
def count_into(begin: wp.int32, out: wp.array(dtype=wp.float32)):
    i = begin + wp.tid()
    wp.atomic_add(out, i % 3, 1.0)


@wp.kernel
def count_begins(begin: wp.int32, out: wp.array2d(dtype=wp.float32), begins: wp.array(dtype=wp.int32)):
    begins[begin + wp.tid()] = begin


@wp.kernel
def square(
    values: wp.array(dtype=wp.float32), shared: wp.array(dtype=wp.float32), out: wp.array(dtype=wp.float32)
):
    i = wp.tid()
    out[i] = shared[0] * values[i] * values[i]


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    former = launcher.use_threads(request.param)
    yield request.param
    launcher.use_threads(former)


def test_bands_cover_everything_once(threads) -> None:
    for length in (1, 2, 7, 100):
        bands = launcher.bands(CPU, length)
        assert len(bands) == min(threads, length)
        assert [b.begin for b in bands] == [0, *(b.end for b in bands[:-1])]
        assert bands[-1].end == length
        assert max(b.end - b.begin for b in bands) - min(b.end - b.begin for b in bands) <= 1
    assert len(launcher.bands(CPU, 100, limit=1)) == 1


def test_begin_and_slices(threads) -> None:
    out = torch.empty(50, dtype=torch.int32)
    launcher.launch(fill, 50, [launcher.BEGIN, out], CPU)
    assert out.tolist() == list(range(50))
    values, doubled = torch.rand(50), torch.empty(50)
    launcher.launch(fill_slice, 50, [launcher.Sliced(values), launcher.Sliced(doubled)], CPU)
    assert torch.equal(doubled, 2 * values)
    launcher.launch(fill, 0, [launcher.BEGIN, out[:0]], CPU)  # nothing to do is no error


def test_scatter_adds_up(threads) -> None:
    out = torch.ones(3)
    for _ in range(20):
        launcher.launch(count_into, 300, [launcher.BEGIN, launcher.Scatter(out)], CPU)
    assert out.tolist() == [2001.0] * 3


@pytest.mark.parametrize("busy", [slice(0, 300), slice(0, 30), slice(290, 300), slice(7, 8), slice(0, 0)])
def test_bands_share_the_columns_that_are_work(threads, busy: slice) -> None:
    spans = torch.zeros(300, 2, dtype=torch.int32)
    spans[busy] = torch.tensor([1000, 4000], dtype=torch.int32)
    out, begins = torch.ones(3), torch.empty(300, dtype=torch.int32)
    inputs = [launcher.BEGIN, launcher.Scatter(out)]
    launcher.launch(count_into, 300, inputs, CPU, spans=spans)
    assert out.tolist() == [101.0] * 3
    parts = balanced(launcher.bands(CPU, 300), spans)
    assert [band.begin for band in parts] == [0, *(band.end for band in parts[:-1])]
    work = (spans[:, 1] - spans[:, 0] + 1).tolist()
    shares = [sum(work[band.begin : band.end]) for band in parts]
    assert max(shares) - min(shares) <= 2 * max(work)
    # What needs no copies in equal bands stays in them: each band writes into its own row.
    rows = torch.zeros(len(parts), 3)
    unit = 300 // len(parts)
    launcher.launch(
        count_begins, 300, [launcher.BEGIN, launcher.Scatter(rows, unit), begins], CPU, spans=spans
    )
    assert len(begins.unique()) == threads


def test_generated_adjoint_in_bands(threads) -> None:
    values, shared, out = torch.rand(40), torch.tensor([3.0]), torch.empty(40)
    upstream, to_values, to_shared = torch.rand(40), torch.zeros(40), torch.zeros(1)
    inputs = [launcher.Sliced(values), shared, launcher.Sliced(out)]
    gradients = [launcher.Sliced(to_values), launcher.Scatter(to_shared), launcher.Sliced(upstream)]
    launcher.launch(square, 40, inputs, CPU, adjoint=gradients)
    torch.testing.assert_close(to_values, 6 * values * upstream)
    torch.testing.assert_close(to_shared[0], (values.square() * upstream).sum())


def test_an_error_in_a_band_reaches_the_caller(threads) -> None:
    def body(band: launcher.Band) -> None:
        if band.index == band.count - 1:
            raise ValueError("band failed")

    with pytest.raises(ValueError, match="band failed"):
        launcher.run(CPU, 10, body)
    seen: list[int] = []
    launcher.run(CPU, 10, lambda band: seen.append(band.index))  # and the pool still works
    assert sorted(seen) == list(range(min(threads, 10)))


def test_a_worker_that_does_not_come_is_not_waited_for() -> None:
    pool = launcher.BandPool(2)
    busy, free = threading.Event(), threading.Event()

    def occupy(band: launcher.Band) -> None:
        if band.index == 1:
            busy.set()
            free.wait()
        else:
            busy.wait()  # until the worker has the other band

    other = threading.Thread(target=pool.run, args=(pool.split(2), occupy))
    other.start()
    assert busy.wait(10)
    done: list[int] = []
    mine = threading.Thread(target=pool.run, args=(pool.split(2), lambda band: done.append(band.index)))
    mine.start()
    mine.join(10)
    free.set()
    other.join(10)
    pool.close()
    assert done == [0, 1]


def test_nested_calls_do_not_wait_for_themselves(threads) -> None:
    done: list[int] = []
    launcher.run(CPU, 4, lambda _: launcher.run(CPU, 4, lambda band: done.append(band.index)))
    assert len(done) == min(threads, 4) * min(threads, 4)


def everything(seed: int, device: torch.device = CPU) -> list[Tensor]:
    """Outputs and gradients of all primitives on one scene; random, but not from shared state."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator).to(device)

    vertices, tri = reference.sphere(3)
    shifts = [(0.05 * seed, 0.1), (-0.1, 0.02 * seed), (0.0, 0.0)]
    pos = reference.perspective(vertices, shifts).to(device).requires_grad_()
    tri = tri.to(device)
    attr = random(1, len(vertices), 4).requires_grad_()
    tex = random(1, 9, 8, 4).requires_grad_()
    rast, rast_db = rasterize(None, pos, tri, (33, 47))
    value, da = interpolate(attr, rast, tri, rast_db, diff_attrs="all")
    fused, _ = rasterize_interpolate(pos, tri, attr, (33, 47))
    sampled = texture(tex, value[..., :2].contiguous())
    out = antialias(value + sampled + fused, rast, pos, tri, Topology.build(tri, vertices))
    total = (out * random(*out.shape)).sum() + (da * random(*da.shape)).sum()
    return [t.detach() for t in (rast, rast_db, out, *torch.autograd.grad(total, [pos, attr, tex]))]


def test_bands_change_no_result() -> None:
    results = []
    for threads in (1, 2, 3):
        former = launcher.use_threads(threads)
        results.append(everything(1))
        launcher.use_threads(former)
    for other in results[1:]:
        for ours, expected in zip(other[:3], results[0][:3]):
            assert torch.equal(ours, expected)
        for ours, expected in zip(other[3:], results[0][3:]):
            # Sums of up to a thousand float32 terms, in another order.
            torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_two_threads_at_once() -> None:
    expected = [everything(0), everything(1)]
    wrong: list[str] = []

    def work(seed: int) -> None:
        for _ in range(8):
            for ours, right in zip(everything(seed), expected[seed]):
                if not torch.allclose(ours, right, rtol=1e-3, atol=1e-3):
                    wrong.append(f"scene {seed}")

    callers = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_threads_end_with_the_pool() -> None:
    before = threading.active_count()
    pool = launcher.BandPool(4)
    assert threading.active_count() == before + 3
    pool.close()
    assert threading.active_count() == before


def test_preload_tells_how_far_it_is() -> None:
    modules = [m for m in warp_modules() if m.name.endswith((".compose", ".rasterize"))]
    assert len(modules) == 2
    told: list[tuple[int, int, str]] = []
    launcher.preload(modules, lambda *progress: told.append(progress))
    assert [t[:2] for t in told] == [(0, 2), (1, 2), (2, 2)]
    assert {told[0][2], told[1][2]} == {"compose", "rasterize"}


def test_device_choices(monkeypatch) -> None:
    assert device_module.pick_device("cpu") == CPU
    with pytest.raises(InputError, match="device: expected one of auto, cpu, cuda, got gpu"):
        device_module.pick_device("gpu")
    monkeypatch.setattr(device_module, "cuda_available", lambda: False)
    assert device_module.pick_device("auto") == CPU
    with pytest.raises(InputError, match="cuda was asked for"):
        device_module.pick_device("cuda")


def test_number_of_bands(monkeypatch) -> None:
    monkeypatch.setenv("STUDIO_THREADS", "5")
    assert device_module.band_count() == 5
    monkeypatch.setenv("STUDIO_THREADS", "many")
    with pytest.raises(InputError, match="STUDIO_THREADS: expected a whole number of at least 1, got 'many'"):
        device_module.band_count()
    monkeypatch.delenv("STUDIO_THREADS")
    assert device_module.band_count() >= 1


def test_starting_says_nothing() -> None:
    import subprocess
    import sys

    code = "from studio.core.device import start_warp; start_warp()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout + result.stderr == ""


@wp.kernel
def mixed(
    begin: wp.int32,
    scale: wp.float32,
    long_number: wp.int64,
    flag: wp.bool,
    matrices: wp.array2d(dtype=wp.mat22),
    vectors: wp.array(dtype=wp.vec3),
    out: wp.array2d(dtype=wp.float64),
):
    i, j = wp.tid()
    i += begin
    value = scale * (matrices[i, j][0, 1] + vectors[j][2]) + wp.float32(long_number)
    if flag:
        out[i, j] = wp.float64(value)


def _run_mixed() -> Tensor:
    torch.manual_seed(0)
    matrices, vectors = torch.rand(6, 3, 2, 2), torch.rand(3, 5)[:, 1:4]  # strided outside the vectors
    out = torch.zeros(6, 3, dtype=torch.float64)
    inputs = [launcher.BEGIN, 2.0, 1 << 20, True, matrices, vectors, out]
    launcher.launch(mixed, (6, 3), inputs, CPU)
    expected = 2 * (matrices[:, :, 0, 1] + vectors[None, :, 2]) + (1 << 20)
    torch.testing.assert_close(out, expected.double())
    return out


def test_direct_and_plain_launches_agree(threads, monkeypatch) -> None:
    one = _run_mixed()
    assert launcher._entries[mixed] is not None
    monkeypatch.setattr(direct, "_layouts_match", lambda: False)
    monkeypatch.setattr(launcher, "_entries", {})
    assert torch.equal(_run_mixed(), one)
    assert launcher._entries[mixed] is None


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(4, dtype=torch.float64), torch.zeros(4, 1), torch.zeros(4, 2, dtype=torch.int32)],
)
def test_a_tensor_that_is_not_the_kernels_is_refused(wrong) -> None:
    with pytest.raises(TypeError, match=r"kernel fill: argument 1 takes 1 dimensions of torch\.int32"):
        launcher.launch(fill, 4, [launcher.BEGIN, wrong], CPU)


def test_shared_arguments_keep_their_tensors() -> None:
    ready = launcher.arguments(fill_slice, [torch.full((1000,), 3.0), torch.empty(1000)], CPU)
    others = [torch.full((1000,), 7.0) for _ in range(50)]  # would take the freed memory
    result = next(value for value in ready[1] if isinstance(value, Tensor))
    launcher.launch_in_band(fill_slice, 1000, ready, CPU)
    assert float(result.sum()) == 6000.0
    assert len(others) == 50


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_copies_have_no_graph(threads, size: int) -> None:
    """Small ones, and such as are made in bands past the caches, begun within a line of them."""
    source = torch.rand(size + 1).requires_grad_()[1:]
    copy = launcher.copied(source)
    assert torch.equal(copy, source)
    assert not copy.requires_grad
    assert copy.data_ptr() != source.data_ptr()
