"""Stands in for cuda.bindings.runtime: records every call, and moves bytes on the CPU.

A mapped GL buffer is ordinary memory here: what was copied into it reaches OpenGL when it is unmapped.
"Device memory" is that of CPU tensors.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import moderngl
from torch import Tensor


class Error(IntEnum):
    cudaSuccess = 0
    cudaErrorNoDevice = 100
    cudaErrorUnknown = 999


class Device(IntEnum):
    cudaGLDeviceListAll = 1


class Kind(IntEnum):
    cudaMemcpyDeviceToDevice = 3


@dataclass
class Event:
    """As torch.cuda.Event: its handle."""

    cuda_event: int = 77


class FakeCuda:
    """The calls that studio.gl.interop makes, with CUDA's rules enforced.

    Attributes:
        calls: (name, arguments), in order.
        fail: name of a call -> its error, from the `after`-th such call on.
        devices: CUDA devices that draw.
    """

    cudaGLDeviceList = Device
    cudaMemcpyKind = Kind

    def __init__(self, ctx: moderngl.Context, devices: tuple[int, ...] = (0,)) -> None:
        self.ctx = ctx
        self.devices = devices
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.fail: dict[str, Error] = {}
        self.after: dict[str, int] = {}
        self.cleared = 0
        self.wrong = False
        self._numbers = itertools.count(1000)
        self._buffers: dict[int, moderngl.Buffer] = {}
        self._registered: dict[int, int] = {}
        self._mapped: dict[int, ctypes.Array] = {}
        self._dirty: set[int] = set()

    @property
    def names(self) -> list[str]:
        """The calls without their arguments and without CUDA's prefix."""
        return [name.removeprefix("cuda").removeprefix("Graphics") for name, _ in self.calls]

    @property
    def open(self) -> tuple[int, int]:
        """Handles registered and mapped now."""
        return len(self._registered), len(self._mapped)

    def knows(self, buffer: moderngl.Buffer) -> moderngl.Buffer:
        """OpenGL names buffers by numbers; this is where their owner is looked up."""
        self._buffers[buffer.glo] = buffer
        return buffer

    def _enter(self, name: str, *args: Any) -> Error:
        self.calls.append((name, args))
        if name in self.fail:
            left = self.after.get(name, 0)
            self.after[name] = left - 1
            if left <= 0:
                return self.fail[name]
        return Error.cudaSuccess

    def cudaGetLastError(self) -> tuple[Error]:
        self.cleared += 1
        return (Error.cudaErrorUnknown,)

    def cudaSetDevice(self, index: int) -> tuple[Error]:
        return (self._enter("cudaSetDevice", index),)

    def cudaGLGetDevices(self, most: int, which: Device) -> tuple[Error, int | None, list[int] | None]:
        error = self._enter("cudaGLGetDevices", most, which)
        return (error, None, None) if error else (error, len(self.devices), [*self.devices, 0, 0])

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Error, int | None]:
        error = self._enter("cudaStreamCreateWithFlags", flags)
        return error, None if error else 5

    def cudaStreamDestroy(self, stream: int) -> tuple[Error]:
        return (self._enter("cudaStreamDestroy", stream),)

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple[Error]:
        return (self._enter("cudaStreamWaitEvent", stream, event, flags),)

    def cudaGraphicsGLRegisterBuffer(self, name: int, flags: int) -> tuple[Error, int | None]:
        error = self._enter("cudaGraphicsGLRegisterBuffer", name, flags)
        if error:
            return error, None
        assert name not in self._registered.values(), "registered twice"
        handle = next(self._numbers)
        self._registered[handle] = name
        return error, handle

    def cudaGraphicsMapResources(self, count: int, handle: int, stream: int) -> tuple[Error]:
        error = self._enter("cudaGraphicsMapResources", count, handle, stream)
        if not error:
            assert handle in self._registered, "mapped without being registered"
            assert handle not in self._mapped, "mapped twice"
            buffer = self._buffers[self._registered[handle]]
            self._mapped[handle] = ctypes.create_string_buffer(buffer.read(), buffer.size)
        return (error,)

    def cudaGraphicsResourceGetMappedPointer(self, handle: int) -> tuple[Error, int | None, int | None]:
        error = self._enter("cudaGraphicsResourceGetMappedPointer", handle)
        if error:
            return error, None, None
        memory = self._mapped[handle]
        return error, ctypes.addressof(memory), len(memory)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: Kind, stream: int) -> tuple[Error]:
        error = self._enter("cudaMemcpyAsync", to, source, size, kind, stream)
        if not error:
            ctypes.memmove(to, source, size)
            if self.wrong:
                ctypes.memset(to, 1, 1)
        return (error,)

    def cudaGraphicsUnmapResources(self, count: int, handle: int, stream: int) -> tuple[Error]:
        error = self._enter("cudaGraphicsUnmapResources", count, handle, stream)
        if not error:
            memory = self._mapped.pop(handle)
            self._buffers[self._registered[handle]].write(bytes(memory))
        return (error,)

    def cudaGraphicsUnregisterResource(self, handle: int) -> tuple[Error]:
        error = self._enter("cudaGraphicsUnregisterResource", handle)
        if not error:
            assert handle in self._registered, "unregistered twice"
            self._mapped.pop(handle, None)
            del self._registered[handle]
        return (error,)


def install(monkeypatch: Any, fake: FakeCuda) -> None:
    """Let studio.gl.interop find this runtime, on a machine that looks as if it could share."""
    import sys

    from studio.gl import interop
    from studio.gl.resources import Resources

    monkeypatch.setitem(sys.modules, interop.RUNTIME, fake)
    monkeypatch.setattr(interop, "hindrance", lambda facts: "")
    monkeypatch.setattr(interop, "SHARED", ("cpu",))
    for maker in ("buffer", "room"):
        made = getattr(Resources, maker)
        monkeypatch.setattr(Resources, maker, lambda self, what, made=made: fake.knows(made(self, what)))


def same_bytes(buffer: moderngl.Buffer, tensor: Tensor) -> bool:
    return buffer.read() == tensor.numpy().tobytes()
