"""GL/CUDA interop against a stand-in for CUDA's runtime, and that machines without CUDA see none of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.optim.messages import OnGpu
from studio.core.scene import Scene
from studio.core.scene.shapes import icosphere
from studio.gl import interop as module
from studio.gl import meshes
from studio.gl.context import ContextFacts
from studio.gl.interop import Interop, InteropError, Runtime
from studio.gl.resources import Resources
from tests.fake_cuda import Error, Event, FakeCuda, install, same_bytes
from tests.needs import ROOT
from tests.unit.gl_common import PLAIN, camera, context, settle
from tests.unit.optim_scenes import coloured_ball, photograph

__all__ = ["context"]  # a fixture

CPU = torch.device("cpu")
WRITE = ["StreamWaitEvent", "MapResources", "ResourceGetMappedPointer", "MemcpyAsync", "UnmapResources"]


@pytest.fixture
def fake(context, monkeypatch):
    made = FakeCuda(context)
    install(monkeypatch, made)
    with context:
        yield made


@pytest.fixture
def said():
    return []


@pytest.fixture
def shared(context, fake, said):
    """Interop on the stand-in, tried, with the calls of that forgotten."""
    resources = Resources(context)
    made = Interop(resources, said.append)
    assert made.ready(CPU)
    fake.calls.clear()
    yield made
    resources.release_all()
    assert context.error == "GL_NO_ERROR"


def values(count: int = 12) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float32)


def test_trying_shares_a_buffer_and_leaves_nothing(context, fake):
    resources = Resources(context)
    made = Interop(resources)
    assert made.describe() == "to be shared with CUDA once a fit draws"
    assert made.ready(CPU)
    before = ["SetDevice", "GLGetDevices", "StreamCreateWithFlags", "GLRegisterBuffer"]
    assert fake.names == [*before, *WRITE[1:], "UnregisterResource"]
    assert fake.open == (0, 0)
    assert resources.count == 0
    assert made.describe() == "shared with CUDA"
    assert made.ready(CPU)
    assert fake.names.count("GLGetDevices") == 1, "tried once"
    made.release()
    assert fake.names[-1] == "StreamDestroy"


def test_a_buffer_is_registered_once_and_mapped_for_each_write(shared, fake):
    buffer = shared._resources.buffer(np.zeros(12, np.float32))
    target = shared.buffer("vertices", buffer)
    assert target.write(values(), Event())
    assert same_bytes(buffer, values())
    assert target.write(values() + 1, Event())
    assert same_bytes(buffer, values() + 1)
    target.release()
    target.release()
    assert fake.names == ["GLRegisterBuffer", *WRITE, *WRITE, "UnregisterResource"]
    assert fake.calls[0][1] == (buffer.glo, 2)
    streams = {call[-1] for name, call in fake.calls if name.endswith(("MapResources", "MemcpyAsync"))}
    assert streams == {shared.stream}, "all on one stream"
    assert fake.calls[1] == ("cudaStreamWaitEvent", (shared.stream, 77, 0))


def test_without_an_event_nobody_waits(shared, fake):
    buffer = shared._resources.buffer(np.zeros(12, np.float32))
    assert shared.buffer("vertices", buffer).write(values(), None)
    assert "StreamWaitEvent" not in fake.names


@pytest.mark.parametrize(
    "call",
    [
        "cudaGraphicsGLRegisterBuffer",
        "cudaStreamWaitEvent",
        "cudaGraphicsMapResources",
        "cudaGraphicsResourceGetMappedPointer",
        "cudaMemcpyAsync",
        "cudaGraphicsUnmapResources",
    ],
)
@pytest.mark.parametrize("after", [0, 1])
def test_an_error_anywhere_leads_to_the_host_once_and_for_all(shared, fake, said, call, after):
    buffer = shared._resources.buffer(np.zeros(12, np.float32))
    other = shared._resources.buffer(np.zeros(12, np.float32))
    target, beside = shared.buffer("vertices", buffer), shared.buffer("normals", other)
    if after:
        if call.endswith("RegisterBuffer"):
            return  # it is registered once only
        assert target.write(values(), Event())
    fake.fail[call] = Error.cudaErrorUnknown
    assert not target.write(values(), Event())
    assert fake.open == (0, 0), "neither mapped nor registered any more"
    assert fake.cleared >= 1, "the error does not haunt the next call"
    buffer.write(values().numpy() + 5)
    assert same_bytes(buffer, values() + 5), "the host can write"
    tried = len(fake.calls)
    assert not target.write(values(), Event())
    assert len(fake.calls) == tried, "not tried again"
    assert said == [f"vertices go through host memory: {call}: cudaErrorUnknown"]
    fake.fail.clear()
    assert beside.write(values(), Event()), "the others go on"


def test_an_error_of_unregistering_is_said_and_no_more(shared, fake, said):
    target = shared.buffer("vertices", shared._resources.buffer(np.zeros(12, np.float32)))
    assert target.write(values(), None)
    fake.fail["cudaGraphicsUnregisterResource"] = Error.cudaErrorUnknown
    target.release()
    assert said == ["vertices: cudaGraphicsUnregisterResource: cudaErrorUnknown"]


def test_another_size_is_refused(shared, said):
    target = shared.buffer("vertices", shared._resources.buffer(np.zeros(11, np.float32)))
    assert not target.write(values(), None)
    assert "44 bytes, expected 48" in said[0]


def test_another_thread_is_refused(shared):
    caught = []

    def use() -> None:
        try:
            shared.ready(CPU)
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert caught == ["interop: used on another thread than that of the OpenGL context"]


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda fake: setattr(fake, "devices", (1,)), "OpenGL draws on device 1, the fit runs on 0"),
        (lambda fake: setattr(fake, "devices", ()), "OpenGL draws on device none of CUDA's devices"),
        (lambda fake: fake.fail.update(cudaGLGetDevices=Error.cudaErrorNoDevice), "cudaErrorNoDevice"),
        (lambda fake: fake.fail.update(cudaSetDevice=Error.cudaErrorUnknown), "cudaSetDevice"),
        (lambda fake: fake.fail.update(cudaGraphicsMapResources=Error.cudaErrorUnknown), "MapResources"),
        (lambda fake: setattr(fake, "wrong", True), "reads differently"),
    ],
)
def test_what_does_not_work_is_found_by_trying(context, fake, said, prepare, reason):
    prepare(fake)
    resources = Resources(context)
    made = Interop(resources, said.append)
    assert not made.ready(CPU)
    assert reason in made.reason
    assert "\n" not in made.describe()
    assert made.describe().startswith("through host memory: ")
    assert len(said) == 1
    assert not made.ready(CPU)
    assert len(said) == 1
    assert fake.open == (0, 0)
    assert resources.count == 0


def facts(renderer: str, vendor: str, software: bool = False) -> ContextFacts:
    return ContextFacts(renderer, vendor, "4.6", software)


def test_reasons_known_beforehand(monkeypatch):
    nvidia = facts("NVIDIA RTX 4070/PCIe/SSE2", "NVIDIA Corporation")
    assert module.hindrance(nvidia) == "no CUDA device"
    monkeypatch.setattr(module, "cuda_available", lambda: True)
    monkeypatch.setattr(module, "_on_wsl", lambda: False)
    monkeypatch.setattr(module, "_linux", lambda: True)
    assert module.hindrance(nvidia) == ""
    assert "remote desktop" in module.hindrance(facts("llvmpipe (LLVM 15)", "Mesa", True))
    hybrid = module.hindrance(facts("Mesa Intel(R) UHD Graphics 620 (KBL GT2)", "Intel"))
    assert "OpenGL runs on Mesa Intel" in hybrid
    assert "__NV_PRIME_RENDER_OFFLOAD=1" in hybrid
    monkeypatch.setattr(module, "_on_wsl", lambda: True)
    assert "WSL2" in module.hindrance(facts("D3D12 (NVIDIA)", "Microsoft Corporation"))


# Images


def test_an_image_goes_through_a_pixel_buffer(shared, fake):
    target = shared.image("picture")
    image = torch.rand(5, 7, 4)
    texture = target.write(image, Event())
    assert target.by_interop
    assert texture.read(alignment=1) == image.numpy().tobytes()
    assert fake.names == ["GLRegisterBuffer", *WRITE]
    assert target.write(image + 1, Event()) is texture
    larger = torch.rand(6, 9, 4)
    fake.calls.clear()
    other = target.write(larger, Event())
    assert other.read(alignment=1) == larger.numpy().tobytes()
    assert fake.names == ["UnregisterResource", "GLRegisterBuffer", *WRITE], (
        "unregistered before it is resized"
    )
    target.release()
    assert fake.open == (0, 0)


def test_an_image_falls_back_to_the_host(shared, fake, said):
    target = shared.image("picture")
    image = torch.rand(5, 7, 2)
    fake.fail["cudaMemcpyAsync"] = Error.cudaErrorUnknown
    texture = target.write(image, Event())
    assert not target.by_interop
    assert texture.read(alignment=1) == image.numpy().tobytes()
    assert len(said) == 1


# In the viewport


def watched(mesh) -> OnGpu:
    """The mesh's values as a fit on the GPU would hand them over."""
    arrays = {"vertices": mesh.vertices, "normals": mesh.vertex_normals(), "colors": mesh.colors}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a, np.float32)) for name, a in arrays.items()}
    return OnGpu(tensors, Event())


def moved(mesh, factor: float):
    return replace(mesh, vertices=mesh.vertices * np.float32(factor), normals=mesh.vertex_normals())


def painted():
    mesh = icosphere(3)
    return replace(mesh, colors=(0.5 + 0.5 * mesh.vertices).astype(np.float32))


def picture_after(context, mesh, on_gpu) -> np.ndarray:
    from studio.gl.viewport import Viewport

    made = Viewport(context)
    made.set_scene(Scene(meshes=[painted()]))
    for step in (0.9, 0.8):
        made.update_mesh(0, moved(mesh, step), None if on_gpu is None else on_gpu(moved(mesh, step)))
    out = settle(made, camera(), PLAIN)
    made.release()
    assert made.resources.count == 0
    assert context.error == "GL_NO_ERROR"
    return out


def test_the_viewport_shows_the_same_by_interop_and_by_the_host(context, fake):
    mesh = painted()
    expected = picture_after(context, mesh, None)
    assert fake.calls == [], "nothing is tried while nothing lies on the GPU"
    shown = picture_after(context, mesh, watched)
    assert np.array_equal(shown, expected)
    assert fake.names.count("MemcpyAsync") == 1 + 2 * 3  # the try; two states of three attributes
    assert fake.names.count("GLRegisterBuffer") == fake.names.count("UnregisterResource") == 1 + 3
    assert fake.open == (0, 0)


@pytest.mark.parametrize("first_good", [0, 2, 5])
def test_the_viewport_shows_the_same_when_interop_fails_on_the_way(context, fake, first_good):
    mesh = painted()
    expected = picture_after(context, mesh, None)
    fake.fail["cudaMemcpyAsync"] = Error.cudaErrorUnknown
    fake.after["cudaMemcpyAsync"] = first_good
    assert np.array_equal(picture_after(context, mesh, watched), expected)
    assert fake.open == (0, 0)


def test_another_number_of_vertices_is_unregistered_first(context, fake):
    from studio.gl.viewport import Viewport

    made = Viewport(context)
    made.set_scene(Scene(meshes=[painted()]))
    made.update_mesh(0, painted(), watched(painted()))
    fake.calls.clear()
    finer = replace(icosphere(4), colors=icosphere(4).vertices)
    made.update_mesh(0, finer, watched(finer))
    assert fake.names == ["UnregisterResource"] * 3, "a new part comes from the host, the next by interop"
    fake.calls.clear()
    made.update_mesh(0, finer, watched(finer))
    assert fake.names.count("GLRegisterBuffer") == 3
    made.release()
    assert fake.open == (0, 0)


def test_snapshots_of_a_fit_look_the_same_by_interop(context, fake, monkeypatch):
    """Their tensors are no fit's any more: what it does next does not change them."""
    from studio.core.optim.fit import Fit, FitProblem
    from studio.core.optim.settings import FitSettings
    from studio.gl.viewport import Viewport

    values = {"steps": 9, "resolution": 32, "stages": 1, "views_per_step": 2, "start": "mesh"}
    fit = Fit(FitProblem(photograph(coloured_ball(), 3, 32), icosphere(2, 0.5)), FitSettings(values), "cpu")
    fit.prepare()
    fit.step()
    plain = fit.snapshot(live=True)
    assert plain.on_gpu is None
    monkeypatch.setattr("studio.core.optim.moment.on_cuda", lambda device: True)
    monkeypatch.setattr("studio.core.optim.moment.recorded", Event)
    shared = fit.snapshot(live=True)
    assert fit.snapshot().on_gpu is None, "only for those who watch"
    fit.step()
    for name, tensor in shared.on_gpu.arrays.items():
        assert tensor.is_contiguous()
        assert np.array_equal(tensor.numpy(), getattr(plain.mesh, name)), name
    assert set(shared.on_gpu.arrays) == {"vertices", "normals", "colors", "roughness", "metallic"}
    pictures = []
    for snapshot in (plain, shared):
        made = Viewport(context)
        made.set_scene(Scene(meshes=[snapshot.mesh]))
        made.update_mesh(0, replace(snapshot.mesh), snapshot.on_gpu)
        pictures.append(settle(made, camera(), PLAIN))
        made.release()
    assert np.array_equal(*pictures)
    assert fake.names.count("MemcpyAsync") == 1 + 5


def test_a_live_picture_is_compared_like_a_still_one(context, fake):
    """As the differentiable renderer's is: by interop, by the host when that fails, and as a photo."""
    from studio.core.scene import Photo
    from studio.gl.viewport import Viewport

    seen = camera()
    image = torch.zeros(seen.height, seen.width, 4)
    image[10:40, 20:60] = torch.tensor([0.2, 0.5, 0.1, 1.0])
    still = Photo("diff", image[..., :3].numpy(), seen, mask=image[..., 3].numpy())
    options = replace(PLAIN, mode="wipe", right="diff", wipe=0.4)
    made = Viewport(context)
    made.set_scene(Scene(meshes=[painted()]))
    plain = settle(made, seen, options)
    made.set_still("diff", still)
    expected = settle(made, seen, options)
    assert not np.array_equal(expected, plain)
    for failing in ((), ("cudaMemcpyAsync",)):
        made.set_still("diff", None)
        fake.fail.update(dict.fromkeys(failing, Error.cudaErrorUnknown))
        made.set_live("diff", image, Event(), seen, 2)
        assert np.array_equal(settle(made, seen, options), expected)
    made.set_still("diff", None)
    assert np.array_equal(settle(made, seen, options), plain)
    made.release()
    assert made.resources.count == 0
    assert fake.open == (0, 0)


# The real bindings


def test_the_bindings_take_the_arguments(shared, fake):
    """Every call is made once more of the real module, which without a driver only looks at its arguments."""
    import cuda.bindings.runtime as runtime

    if int(runtime.cudaGetDeviceCount()[0]) == 0:
        return  # made-up handles are for machines without a driver only
    target = shared.buffer("vertices", shared._resources.buffer(np.zeros(12, np.float32)))
    target.write(values(), Event())
    target.release()
    shared.ready(CPU)
    fake.calls += [("cudaSetDevice", (0,)), ("cudaStreamCreateWithFlags", (1,))]
    fake.calls += [("cudaGLGetDevices", (16, runtime.cudaGLDeviceList.cudaGLDeviceListAll))]
    fake.calls += [("cudaStreamDestroy", (runtime.cudaStream_t(0),))]
    kinds = {"cudaMemcpyAsync": {3: runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice}}
    for name, given in fake.calls:
        args = list(given)
        for place, value in kinds.get(name, {}).items():
            assert int(args[place]) == int(value)
            args[place] = value
        if name in ("cudaGraphicsMapResources", "cudaGraphicsUnmapResources"):
            args[1] = runtime.cudaGraphicsResource_t(args[1])
        error, *_ = getattr(runtime, name)(*args)
        assert error.name == "cudaErrorInsufficientDriver", name
    with pytest.raises(InteropError, match="cudaSetDevice: cudaErrorInsufficientDriver"):
        Runtime(runtime)("cudaSetDevice", 0)


def test_nothing_of_cuda_is_imported_or_said_where_there_is_none(context):
    script = """
import sys
import torch
def cuda():
    return {name for name in sys.modules if name == "cuda" or name.startswith(("cuda.", "pynvml"))}
torch_has = cuda()  # torch looks into cuda-python by itself
from studio.gl import meshes
from studio.gl.context import headless_context
from studio.gl.viewport import Viewport
with headless_context() as ctx:
    viewport = Viewport(ctx)
    assert viewport.interop.describe() == "through host memory: no CUDA device", viewport.interop.describe()
    assert not viewport.interop.ready(torch.device("cuda", 0))
    viewport.release()
import studio.doctor
[line] = [f.text for f in studio.doctor.examine() if f.name == "GL/CUDA interop"]
assert "no CUDA device" in line, line
assert cuda() <= torch_has, cuda() - torch_has
"""
    if torch.cuda.is_available():
        return  # there is something to import
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_what_is_shared_is_not_made_on_the_host(context, fake, monkeypatch):
    """Normals of a mesh that has none, for one, would be computed to be thrown away."""
    from studio.gl.viewport import Viewport

    made = Viewport(context)
    made.set_scene(Scene(meshes=[painted()]))
    asked: list[str] = []
    plain = meshes.attribute
    monkeypatch.setattr(meshes, "attribute", lambda mesh, name: asked.append(name) or plain(mesh, name))
    made.update_mesh(0, moved(painted(), 0.9), watched(painted()))
    assert asked == []
    made.update_mesh(0, moved(painted(), 0.9))
    assert asked == ["in_position", "in_normal", "in_color"]
    made.release()
