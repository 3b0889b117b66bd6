"""A latest-only mailbox: the writer never waits, the reader gets the newest or nothing."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds at most one value; a newer one replaces it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: T | None = None

    def put(self, value: T) -> None:
        with self._lock:
            self._value = value

    def take(self) -> T | None:
        """The newest value not yet taken, or None."""
        with self._lock:
            value, self._value = self._value, None
            return value

    @property
    def empty(self) -> bool:
        return self._value is None
