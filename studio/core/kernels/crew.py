"""Threads that share launches without Python in between.

To hand work to another thread through Python takes 100 us, most of it waiting for Python's lock, and
the thread that calls waits for that again. Here a semaphore wakes threads that never go back to Python.
Nobody waits for one that does not come: the caller does itself what nobody has begun.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import warp as wp

from studio.core.kernels.direct import Entry

wp.set_module_options({"enable_backward": False})

_ROOM = 16384  # bytes for the packed arguments of the launches that are shared
_BOARD = 256  # bytes before them: the board itself, see _WORK
_MOST = 200  # who may join: the gate counts them in eight bits
_HEAD, _LINE = struct.Struct("@4q"), struct.Struct("@12q")
MOST_ZEROS = 4
"""Pieces of memory that can be cleared before a launch."""


class Part(NamedTuple):
    """One launch of several that may run at the same time.

    Attributes:
        values: the kernel's arguments, see `Entry.ready`.
        zeros: addresses and bytes of memory to be cleared before, MOST_ZEROS at most.
    """

    entry: Entry
    dims: Sequence[int]
    values: Sequence[Any]
    zeros: Sequence[tuple[int, int]] = ()


class Row(NamedTuple):
    """A launch over rows, in one dimension or, if one thread `walks` them, of one thread.

    Attributes:
        values: the kernel's arguments, those at the places below not used.
        begin_at, end_at, hand_at: places of the arguments that get the first row, the one after
            the last, and the number of the thread among those that share; -1 for none.
    """

    entry: Entry
    values: Sequence[Any]
    begin_at: int
    end_at: int
    hand_at: int


# The gate has, from its high bits on, how many may join, whether they still may, how many have, and
# how many of those are not done.
_WORK = """
    #if !defined(__CUDA_ARCH__)
    typedef void (*Kernel)(const void* bounds, const void* arguments);
    typedef signed Semaphore(void*);  // int is a macro where it stands before a bracket
    struct Bounds {  // of a launch in one dimension, see `direct`
        unsigned shape;
        size_t size, multiple;
    };
    const long long OPEN = 1ll << 23, JOINED = 1ll << 8;
    long long* gate = (long long*)board;
    signed* next = (signed*)(board + 64);
    signed *leave = (signed*)(board + 128), *late = leave + 1;
    void* bell = (void*)(board + 192);
    const char* arena = (const char*)board + BOARD;
    auto work = [=](const int hand) {
        const long long* head = (const long long*)arena;
        const int count = head[0], strip = head[1], launches = head[2], used = head[3];
        const long long* lines = head + 4;
        alignas(16) char own[ROOM];  // with its own rows
        if (launches > 0) memcpy(own, arena, used);
        for (;;) {
            const int begin = __atomic_fetch_add(next, strip, __ATOMIC_RELAXED);
            if (begin >= count) return;
            if (launches == 0) {
                const long long* line = lines + LINE * begin;
                for (int i = 4; i < LINE; i += 2) if (line[i + 1] > 0) memset((void*)line[i], 0, line[i + 1]);
                ((Kernel)line[0])(arena + line[2], arena + line[1]);
                continue;
            }
            const int end = begin + strip < count ? begin + strip : count;
            for (int i = 0; i < launches; ++i) {
                const long long* line = lines + LINE * i;
                char* arguments = own + line[1];
                memcpy(arguments + line[2], &begin, sizeof(int));
                if (line[3] >= 0) memcpy(arguments + line[3], &end, sizeof(int));
                if (line[4] >= 0) memcpy(arguments + line[4], &hand, sizeof(int));
                const unsigned threads = line[3] >= 0 ? 1 : end - begin;
                const Bounds bounds = {threads, threads, 1};
                ((Kernel)line[0])(&bounds, arguments);
            }
        }
    };
    BODY
    #endif
"""
_WORK = _WORK.replace("BOARD", f"{_BOARD}").replace("ROOM", f"{_ROOM}").replace("LINE", "12")

_SERVE = """
    while (true) {
        while (((Semaphore*)wait)(bell) != 0);
        if (__atomic_load_n(leave, __ATOMIC_ACQUIRE)) return;
        long long now = __atomic_load_n(gate, __ATOMIC_ACQUIRE);
        int joined = 0;
        bool in = false;
        while (!in && (now & OPEN) && (joined = (now >> 8) & 0x7fff) < now >> 24) {
            const long long then = now + JOINED + 1;
            in = __atomic_compare_exchange_n(gate, &now, then, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        }
        if (!in) continue;
        work(joined + 1);
        __atomic_fetch_sub(gate, 1, __ATOMIC_RELEASE);
    }
"""

_SHARE = """
    if (most > 0) {
        __atomic_store_n(next, 0, __ATOMIC_RELAXED);
        __atomic_store_n(gate, (long long)most << 24 | OPEN, __ATOMIC_RELEASE);
        for (int i = 0; i < most; ++i) ((Semaphore*)post)(bell);
        work(0);
        __atomic_fetch_and(gate, ~OPEN, __ATOMIC_ACQ_REL);
    }
    *late = 1;
    for (int i = 0; i < (most > 0 ? 5000 : 1) && *late; ++i) {
        if ((__atomic_load_n(gate, __ATOMIC_ACQUIRE) & 0xff) == 0) *late = 0;
        #if defined(__x86_64__)
        else __builtin_ia32_pause();
        #endif
    }
"""


@wp.func_native(_WORK.replace("BODY", _SERVE))
def serve_board(board: wp.int64, wait: wp.int64): ...


@wp.func_native(_WORK.replace("BODY", _SHARE))
def share_board(board: wp.int64, post: wp.int64, most: wp.int32): ...


@wp.kernel(enable_backward=False)
def serve(board: wp.int64, wait: wp.int64):
    """Join in whatever is shared on the board until told to leave; `wait` is the address of sem_wait."""
    serve_board(board, wait)


@wp.kernel(enable_backward=False)
def share(board: wp.int64, post: wp.int64, most: wp.int32):
    """Do what is on the board together with up to `most` others that join, and wait for these.

    If some take long, the board says so; go on waiting with `most` 0. `post` is the address of sem_post.
    """
    share_board(board, post, most)


class Crew:
    """Threads that join in what one thread at a time shares.

    Args:
        threads: how many, without the one that shares.
        entries: those of `serve` and `share`.
    Raises:
        OSError: the system has no semaphores in plain memory.
    """

    def __init__(self, threads: int, entries: tuple[Entry, Entry]) -> None:
        self._serve, self._share = entries
        self._memory = ctypes.create_string_buffer(_BOARD + _ROOM + 64)
        place = ctypes.addressof(self._memory)
        self._board = place + -place % 64  # on lines of cache of its own
        self._leave, self._late = (ctypes.c_int.from_address(self._board + at) for at in (128, 132))
        self._wait_at, self._post_at, self._ring = _semaphore(self._board + 192)
        self._busy = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, name=f"crew-{i + 1}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        self._serve((1,), [self._board, self._wait_at])

    def _run(self, most: int, written: bytes) -> bool:
        """Share what is written on the board with at most so many others."""
        if len(written) > _ROOM or not self._busy.acquire(blocking=False):
            return False
        try:
            ctypes.memmove(self._board + _BOARD, written, len(written))
            self._share((1,), [self._board, self._post_at, min(most, _MOST)])
        finally:
            self._wait()
            self._busy.release()
        return True

    def _wait(self) -> None:
        """For somebody whose core was taken away: whatever interrupts this, memory is still in use."""
        interrupt: BaseException | None = None
        while self._late.value:
            try:
                time.sleep(20e-6)
                self._share((1,), [self._board, self._post_at, 0])
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def parts(self, parts: Sequence[Part]) -> bool:
        """Run launches at the same time; False, and nothing done, if that is not possible now."""
        lines, packed, place = [], [], _HEAD.size + len(parts) * _LINE.size
        for part in parts:
            arguments, bounds = part.entry.pack(part.values), part.entry.bounds(part.dims)
            zeros = [number for pair in part.zeros for number in pair]
            zeros += [0] * (2 * MOST_ZEROS - len(zeros))
            lines.append(_LINE.pack(part.entry.address, place, place + _padded(arguments), 0, *zeros))
            packed += [arguments, bytes(_padded(arguments) - len(arguments))]
            packed += [bounds, bytes(_padded(bounds) - len(bounds))]
            place += _padded(arguments) + _padded(bounds)
        return self._run(len(parts) - 1, b"".join([_HEAD.pack(len(parts), 1, 0, place), *lines, *packed]))

    def rows(self, rows: int, strip: int, hands: int, launches: Sequence[Row]) -> bool:
        """Launch over strips of rows, in order for each; False if not possible now, and nothing is done.

        Args:
            strip: rows that a thread takes at a time, fewer at the end.
            hands: threads that share at most.
        """
        lines, packed, place = [], [], _HEAD.size + len(launches) * _LINE.size
        for entry, values, *at in launches:
            arguments = entry.pack(values)
            places = [entry.offset(number) if number >= 0 else -1 for number in at]
            lines.append(_LINE.pack(entry.address, place, *places, *[0] * 7))
            packed += [arguments, bytes(_padded(arguments) - len(arguments))]
            place += _padded(arguments)
        return self._run(
            hands - 1, b"".join([_HEAD.pack(rows, strip, len(launches), place), *lines, *packed])
        )

    def close(self) -> None:
        """End the threads."""
        self._leave.value = 1
        for _ in self._threads:
            self._ring()
        for thread in self._threads:
            thread.join()


def _semaphore(place: int) -> tuple[int, int, Callable[[], object]]:
    """One in the memory there: the addresses of sem_wait and sem_post, and what posts to it."""
    here = ctypes.c_void_p(place)
    try:
        libc = ctypes.CDLL(None)
        made, functions = libc.sem_init(here, 0, 0), (libc.sem_wait, libc.sem_post)
    except (AttributeError, TypeError) as error:
        raise OSError("no semaphores") from error
    if made != 0:
        raise OSError("no semaphores in plain memory")
    wait, post = (ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions)
    return wait, post, functools.partial(libc.sem_post, here)


def _padded(packed: bytes) -> int:
    return -(-len(packed) // 16) * 16
