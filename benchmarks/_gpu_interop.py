"""The parts of gpu_check about OpenGL: bits that arrive, and what a frame takes."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from benchmarks._gpu_report import Section
from benchmarks._models import subdivided_sphere
from studio.core.arrival import on_cuda, recorded
from studio.core.effects import get
from studio.core.optim.messages import OnGpu
from studio.core.params import ParamSet
from studio.core.scene import Camera, Mesh, Scene, look_at
from studio.gl.context import headless_context
from studio.gl.interop import Interop
from studio.gl.options import ViewOptions
from studio.gl.resources import Resources
from studio.gl.viewport import Viewport
from studio.ui.differentiable import Differentiable
from studio.ui.document import EffectSet

FULL_HD = (1920, 1080)
FRAME_TARGET = 0.3
"""Milliseconds that a frame's picture may take from CUDA to a texture, at 1080p."""

LIVE_TARGET = 16.0
"""Milliseconds of a picture of the differentiable renderer while the view moves, at 1080p."""


def exactness(device: torch.device, reduced: bool) -> Section:
    """A tensor written on the device is what OpenGL reads, from a buffer and from a texture."""
    section = Section("Shared with OpenGL, bit by bit")
    width, height = (64, 48) if reduced else FULL_HD
    with headless_context() as ctx:
        resources = Resources(ctx)
        interop = Interop(resources, section.lines.append)
        works = interop.ready(device)
        section.lines.insert(0, f"OpenGL: {ctx.info['GL_RENDERER']}; {interop.describe()}")
        if on_cuda(device) and not works:
            section.wrong.append(interop.reason)
        values = torch.rand(width * height, generator=torch.Generator().manual_seed(1)).to(device)
        buffer = resources.room(4 * len(values))
        event = recorded() if on_cuda(device) else None
        target = interop.buffer("values", buffer)
        if not target.write(values, event):
            buffer.write(values.cpu().numpy())
        if buffer.read() != values.cpu().numpy().tobytes():
            section.wrong.append("a buffer differs from the tensor written into it")
        image = torch.rand(height, width, 4, generator=torch.Generator().manual_seed(2)).to(device)
        picture = interop.image("picture")
        texture = picture.write(image, recorded() if on_cuda(device) else None)
        if texture.read(alignment=1) != image.cpu().numpy().tobytes():
            section.wrong.append("a texture differs from the tensor written into it")
        way = "shared" if picture.by_interop else "through the host"
        section.lines.append(f"A buffer of {len(values)} floats and a picture of {width}x{height}: {way}.")
        section.values["shared"] = picture.by_interop
        target.release()
        picture.release()
        interop.release()
        resources.release_all()
    return section


def frames(device: torch.device, reduced: bool) -> Section:
    """Milliseconds to bring a picture, and a mesh, from the device to the screen's texture."""
    section = Section("Frames with interop and without")
    width, height = (64, 48) if reduced else FULL_HD
    section.columns = ["what", "interop, ms", "host, ms"]
    with headless_context() as ctx:
        image = torch.rand(height, width, 4, device=device)
        times = []
        for shared in (True, False):
            resources = Resources(ctx)
            interop = Interop(resources)
            if not shared:
                interop.reason = "switched off"
            picture = interop.image("picture")
            times.append(_timed(ctx, device, lambda p=picture: p.write(image), 3 if reduced else 100))
            picture.release()
            interop.release()
            resources.release_all()
        _row(section, f"picture {width}x{height}", *times, device)
        if on_cuda(device):
            section.target("interop frame, ms", times[0], most=FRAME_TARGET)
        times = [_mesh_time(ctx, device, shared, (width, height), reduced) for shared in (True, False)]
        _row(section, f"mesh and its picture {width}x{height}", *times, device)
    return section


def live(device: torch.device, reduced: bool) -> Section:
    """The differentiable renderer's picture of a moving view: until it is given out, and until it is done."""
    section = Section("A moving view by the differentiable renderer")
    section.columns = ["picture", "given out, ms", "done, ms", "size it settles at"]
    model = subdivided_sphere(2 if reduced else 6)
    vertices = model.vertices.astype(np.float32)
    scene = Scene(
        meshes=[Mesh(vertices, model.faces, normals=vertices, colors=model.colors.astype(np.float32))]
    )
    effect = get("pbr")
    effects = EffectSet({effect.name: ParamSet(effect.name, effect.params)}, {effect.name: True})
    for width, height in ((64, 48),) if reduced else (FULL_HD, (3840, 2160)):
        drawing, given, done = Differentiable(), [], []
        focal = 1.2 * height
        for i in range(3 if reduced else 60):
            eye = 3.0 * np.array((np.sin(0.02 * i), 0.2, np.cos(0.02 * i)))
            pose = look_at(eye, np.zeros(3))
            camera = Camera(width, height, focal, focal, width / 2, height / 2, pose, near=0.1, far=20)
            began = time.perf_counter()
            drawn = drawing.draw_live("live", scene, camera, effects, device.type)
            given.append(1e3 * (time.perf_counter() - began))
            if on_cuda(device):
                torch.cuda.synchronize(device)
            done.append(1e3 * (time.perf_counter() - began))
        if not bool(torch.isfinite(drawn.image).all()) or float(drawn.image[..., 3].max()) < 0.9:
            section.wrong.append(f"the picture of {width}x{height} is not one of the object")
        size = f"{drawn.camera.width}x{drawn.camera.height}"
        found = float(np.median(done[len(done) // 3 :]))
        section.add(f"{width}x{height}", f"{np.median(given):.2f}", f"{found:.2f}", size)
        if on_cuda(device) and (width, height) == FULL_HD:
            section.target("live picture at 1080p, ms", found, most=LIVE_TARGET)
    return section


def _row(section: Section, what: str, shared: float, host: float, device: torch.device) -> None:
    section.add(what, f"{shared:.3f}" if on_cuda(device) else "–", f"{host:.3f}")


def _timed(ctx, device: torch.device, call, rounds: int) -> float:
    """Median milliseconds of a call, up to the end of both sides' work."""
    walls = []
    for i in range(rounds + 3):
        began = time.perf_counter()
        call()
        ctx.finish()
        if on_cuda(device):
            torch.cuda.synchronize(device)
        if i >= 3:
            walls.append(1e3 * (time.perf_counter() - began))
    return float(np.median(walls))


def _mesh_time(ctx, device: torch.device, shared: bool, size: tuple[int, int], reduced: bool) -> float:
    """Milliseconds of a frame with a new state of a mesh, as the window draws one."""
    model = subdivided_sphere(2 if reduced else 5)
    vertices = model.vertices.astype(np.float32)
    mesh = Mesh(vertices, model.faces, normals=vertices, colors=model.colors.astype(np.float32))
    focal = 1.2 * size[1]
    pose = look_at(np.array((0.4, 0.5, 3.0)), np.zeros(3))
    camera = Camera(*size, focal, focal, size[0] / 2, size[1] / 2, pose, near=0.1, far=20)
    options = ViewOptions(grid=False, axes=False, frusta=False, samples=1)
    arrays = {"vertices": mesh.vertices, "normals": mesh.normals, "colors": mesh.colors}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)).to(device) for name, a in arrays.items()}
    viewport = Viewport(ctx)
    viewport.set_scene(Scene(meshes=[mesh]))

    def frame() -> None:
        there = OnGpu(tensors, recorded()) if on_cuda(device) else None
        if shared or there is None:
            viewport.update_mesh(0, replace(mesh), there)
        else:
            host = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
            viewport.update_mesh(0, replace(mesh, **host))
        viewport.render(camera, options)

    out = _timed(ctx, device, frame, 2 if reduced else 50)
    viewport.release()
    return out
