"""GL/CUDA interop: tensors on the GPU go into GL buffers and textures without passing the host.

A GL buffer is registered with CUDA once. Each write makes interop's own stream wait for the event
that the tensor's writer recorded, maps the buffer, copies, and unmaps it: mapping orders the copy after
the drawing issued before, unmapping orders what is drawn later after the copy, and the host waits for
none of it. Before a buffer is resized or deleted it is unregistered.

Whether a machine can do this is found out by trying (other GPU than the fit's, WSL2, hybrid laptops,
remote desktops), and any resource that fails later falls back to the host by itself. cuda-python is
imported only where torch has a CUDA device and OpenGL runs on NVIDIA.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moderngl
import numpy as np
import torch
from torch import Tensor

from studio.core.device import cuda_available
from studio.core.errors import WorkError, describe
from studio.gl.context import ContextFacts, describe_context
from studio.gl.resources import Resources

RUNTIME = "cuda.bindings.runtime"
SHARED = ("cuda",)
"""Kinds of devices whose tensors are shared."""

_WRITE_DISCARD = 2  # cudaGraphicsRegisterFlagsWriteDiscard: every write replaces the whole buffer
_ALL_DEVICES = 16
_NON_BLOCKING = 1  # cudaStreamNonBlocking: work on the default stream is not waited for
_PROBE = 1024
_OFFLOAD = "__NV_PRIME_RENDER_OFFLOAD=1 __GLX_VENDOR_LIBRARY_NAME=nvidia"


class InteropError(WorkError):
    """A call of the CUDA runtime failed."""


class Runtime:
    """Calls of `cuda.bindings.runtime`, which return (error, value, ...), with errors raised.

    Args:
        module: `cuda.bindings.runtime`, or what stands in for it.
    """

    def __init__(self, module: Any):
        self.module = module

    def __call__(self, name: str, *args: Any) -> Any:
        """The value of a call, a tuple of several, or None.

        Raises:
            InteropError: names the call and its error, which is cleared.
        """
        error, *values = getattr(self.module, name)(*args)
        if int(error) != 0:
            self.module.cudaGetLastError()  # or the next call of anybody reports it again
            raise InteropError(f"{name}: {error.name}")
        return tuple(values) if len(values) > 1 else values[0] if values else None


def hindrance(facts: ContextFacts) -> str:
    """Why interop is out of the question, found without touching CUDA's runtime; "" if nothing is known."""
    if not cuda_available():
        return "no CUDA device"
    if facts.software:
        return "the processor draws: no driver for OpenGL, or a remote desktop"
    if _on_wsl():
        return "WSL2 has no GL/CUDA interop"
    if "nvidia" not in facts.vendor.lower():
        hint = f"; a laptop with two GPUs draws on NVIDIA's with {_OFFLOAD}" if _linux() else ""
        return f"OpenGL runs on {facts.short}, not on an NVIDIA GPU{hint}"
    return ""


def _linux() -> bool:
    return sys.platform.startswith("linux")


def _on_wsl() -> bool:
    try:
        return _linux() and "microsoft" in Path("/proc/version").read_text("utf-8").lower()
    except OSError:
        return False


class Interop:
    """What of a GL context can be shared with CUDA; tried at the first use.

    Everything here runs on the thread that made it, which is that of the GL context.

    Args:
        resources: of the context.
        say: told once of each thing that falls back to the host.
    Attributes:
        reason: why tensors go through the host, one line; "" while nothing speaks against interop.
        tried: a buffer has been shared, so that an empty `reason` is more than a hope.
    """

    def __init__(self, resources: Resources, say: Callable[[str], None] | None = None):
        self.reason = hindrance(describe_context(resources.ctx))
        self.tried = False
        self._resources = resources
        self._say = say
        self._thread = threading.get_ident()
        self._runtime: Runtime | None = None
        self._device: torch.device | None = None
        self._stream: Any = None
        self._said: set[str] = set()

    def describe(self) -> str:
        """One line for `doctor` and the status bar."""
        if self.reason:
            return f"through host memory: {self.reason}"
        return "shared with CUDA" if self.tried else "to be shared with CUDA once a fit draws"

    def ready(self, device: torch.device) -> bool:
        """Whether tensors of a device can be shared; finds out at the first call.

        Raises:
            RuntimeError: on another thread than that of the context.
        """
        self._check_thread()
        if self.tried:
            return not self.reason and device == self._device
        if self.reason or device.type not in SHARED:
            return False
        self.tried = True
        try:
            self._try(device)
        except (InteropError, ImportError, RuntimeError, moderngl.Error) as error:
            self.release(str(error) if isinstance(error, InteropError) else describe(error))
            self.note(f"Pictures go through host memory: {self.reason}")
        return not self.reason

    def _try(self, device: torch.device) -> None:
        """Share a small buffer and read it back.

        Raises:
            InteropError: what does not work. ImportError: cuda-python is missing.
        """
        runtime = Runtime(importlib.import_module(RUNTIME))
        index = device.index or 0
        runtime("cudaSetDevice", index)
        found = runtime("cudaGLGetDevices", _ALL_DEVICES, runtime.module.cudaGLDeviceList.cudaGLDeviceListAll)
        devices = [int(number) for number in found[1][: int(found[0])]]
        if index not in devices:
            drawing = ", ".join(map(str, devices)) or "none of CUDA's devices"
            raise InteropError(f"OpenGL draws on device {drawing}, the fit runs on {index}")
        self._runtime, self._device = runtime, device
        self._stream = runtime("cudaStreamCreateWithFlags", _NON_BLOCKING)
        expected = torch.arange(_PROBE, dtype=torch.float32, device=device)
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        probe = self._resources.buffer(np.zeros(_PROBE, np.float32))
        shared = SharedBuffer(self, "probe", probe)
        try:
            shared.copy(expected, None)
            arrived = np.frombuffer(probe.read(), np.float32)
            if not np.array_equal(arrived, np.arange(_PROBE, dtype=np.float32)):
                raise InteropError("a buffer written by CUDA reads differently from OpenGL")
        finally:
            shared.release()
            self._resources.release(probe)

    def buffer(self, name: str, buffer: moderngl.Buffer) -> SharedBuffer:
        """Share a GL buffer, whose owner calls `release` before it resizes or deletes it."""
        self._check_thread()
        return SharedBuffer(self, name, buffer)

    def image(self, name: str) -> SharedImage:
        """A texture to be filled from tensors."""
        self._check_thread()
        return SharedImage(self, self._resources, name)

    def call(self, name: str, *args: Any) -> Any:
        """A call of the runtime; see Runtime."""
        self._check_thread()
        if self._runtime is None:
            raise InteropError(self.reason or "interop has not been tried")
        return self._runtime(name, *args)

    @property
    def device_to_device(self) -> Any:
        """The kind of copy."""
        assert self._runtime is not None
        return self._runtime.module.cudaMemcpyKind.cudaMemcpyDeviceToDevice

    @property
    def stream(self) -> Any:
        """On which everything is mapped and copied."""
        return self._stream

    def keep(self, tensor: Tensor) -> None:
        """Memory of a tensor in use on the stream is not given to others before the stream is through."""
        if tensor.is_cuda:
            stream = torch.cuda.ExternalStream(int(self._stream), device=tensor.device)  # type: ignore[no-untyped-call]
            tensor.record_stream(stream)

    def note(self, line: str) -> None:
        """Say it, if it has not been said."""
        if line not in self._said:
            self._said.add(line)
            if self._say is not None:
                self._say(line)

    def release(self, reason: str = "the window is closed") -> None:
        """Share nothing any more; what was shared is released by its owners before."""
        self._check_thread()
        runtime, stream = self._runtime, self._stream
        self._runtime = self._stream = None
        self.reason = self.reason or reason
        if runtime is not None and stream is not None:
            with contextlib.suppress(InteropError):
                runtime("cudaStreamDestroy", stream)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("interop: used on another thread than that of the OpenGL context")


class SharedBuffer:
    """A GL buffer that CUDA writes into.

    Attributes:
        works: False from the first failure on; its owner writes from the host then.
    """

    def __init__(self, interop: Interop, name: str, buffer: moderngl.Buffer):
        self._interop = interop
        self._name = name
        self._buffer = buffer
        self._handle: Any = None
        self.works = True

    def write(self, tensor: Tensor, event: Any) -> bool:
        """Replace the buffer's content by a tensor's.

        Args:
            tensor: contiguous, of exactly the buffer's bytes.
            event: recorded when it was written (with `cuda_event`, its handle), or None.
        Returns:
            done: False where the caller has to write from the host: now and from now on.
        """
        if not self.works or not self._interop.ready(tensor.device):
            return False
        try:
            self.copy(tensor, event)
        except InteropError as error:
            self.works = False
            self._drop()
            self._interop.note(f"{self._name} go through host memory: {error}")
        return self.works

    def copy(self, tensor: Tensor, event: Any) -> None:
        """As `write`; raises InteropError."""
        call, stream = self._interop.call, self._interop.stream
        size = tensor.numel() * tensor.element_size()
        if self._handle is None:
            self._handle = call("cudaGraphicsGLRegisterBuffer", self._buffer.glo, _WRITE_DISCARD)
        if event is not None:
            call("cudaStreamWaitEvent", stream, event.cuda_event, 0)
        call("cudaGraphicsMapResources", 1, self._handle, stream)
        try:
            pointer, room = call("cudaGraphicsResourceGetMappedPointer", self._handle)
            if int(room) != size or not tensor.is_contiguous():
                raise InteropError(f"a buffer of {room} bytes, expected {size} in one piece")
            kind = self._interop.device_to_device
            call("cudaMemcpyAsync", pointer, tensor.data_ptr(), size, kind, stream)
            self._interop.keep(tensor)
        except InteropError:
            with contextlib.suppress(InteropError):  # the first error is the one that says why
                call("cudaGraphicsUnmapResources", 1, self._handle, stream)
            raise
        call("cudaGraphicsUnmapResources", 1, self._handle, stream)

    def _drop(self) -> None:
        """Unregister after a failure; memory that may still be mapped is left to the driver."""
        if self._handle is not None:
            self.release()
            self._buffer.orphan()

    def release(self) -> None:
        """Unregister, before the buffer is resized or deleted. A second call does nothing."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            self._interop.call("cudaGraphicsUnregisterResource", handle)
        except InteropError as error:  # whatever it is, the buffer goes
            self._interop.note(f"{self._name}: {error}")


class SharedImage:
    """A float texture that is filled from tensors: by CUDA through a pixel buffer, or by the host."""

    def __init__(self, interop: Interop, resources: Resources, name: str):
        self._interop = interop
        self._resources = resources
        self._name = name
        self._texture: moderngl.Texture | None = None
        self._pixels: moderngl.Buffer | None = None
        self._shared: SharedBuffer | None = None
        self.by_interop = False

    def write(self, image: Tensor, event: Any = None) -> moderngl.Texture:
        """The texture with this image in it; another size makes another texture.

        Args:
            image: [H, W, C] float32 contiguous, C 1, 2 or 4, row 0 at the bottom.
            event: see SharedBuffer.write.
        """
        height, width, components = image.shape
        texture = self._texture
        if texture is None or (*texture.size, texture.components) != (width, height, components):
            self.release()
            texture = self._resources.texture((width, height), components, dtype="f4", nearest=False)
            self._texture = texture
        self.by_interop = self._by_interop(texture, image, event)
        if not self.by_interop:
            texture.write(image.detach().cpu().numpy(), alignment=1)
        return texture

    def _by_interop(self, texture: moderngl.Texture, image: Tensor, event: Any) -> bool:
        if self._shared is None:
            if not self._interop.ready(image.device):
                return False
            self._pixels = self._resources.room(image.numel() * image.element_size())
            self._shared = self._interop.buffer(self._name, self._pixels)
        if not self._shared.write(image.detach(), event):
            return False
        texture.write(self._pixels, alignment=1)
        return True

    def release(self) -> None:
        """Give texture and pixel buffer back."""
        if self._shared is not None:
            self._shared.release()
        self._resources.release(self._texture, self._pixels)
        self._texture = self._pixels = self._shared = None
