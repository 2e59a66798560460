"""The keys a player holds, so that no tap between two frames is lost. Thread-safe; knows no window and no world."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple


class Taken(NamedTuple):
    """Keys for one frame.

    Attributes:
        codes: held, or tapped since the last frame.
        pressed_at: when the first of them that is new went down, by `time.perf_counter`; None if none is.
    """

    codes: frozenset[str]
    pressed_at: float | None = None


class KeyLatch:
    """Keys held now, and those tapped since the last frame: a tap shorter than a frame is not lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._tapped: set[str] = set()
        self._pressed_at: float | None = None

    def press(self, code: str) -> None:
        """A key went down."""
        with self._lock:
            if code not in self._held and self._pressed_at is None:
                self._pressed_at = time.perf_counter()
            self._held.add(code)
            self._tapped.add(code)

    def release(self, code: str) -> None:
        """A key came up."""
        with self._lock:
            self._held.discard(code)

    def release_all(self) -> None:
        """The window lost the keyboard: no key is down, and no tap is pending."""
        with self._lock:
            self._held.clear()
            self._tapped.clear()
            self._pressed_at = None

    def forget_taps(self) -> None:
        """Drop pending taps; keys held stay held."""
        with self._lock:
            self._tapped.clear()
            self._pressed_at = None

    def take(self) -> Taken:
        """Keys for one frame: held now, or tapped since the last `take`."""
        with self._lock:
            taken = Taken(frozenset(self._held | self._tapped), self._pressed_at)
            self._tapped.clear()
            self._pressed_at = None
            return taken

    def held(self) -> frozenset[str]:
        """Codes held now."""
        with self._lock:
            return frozenset(self._held)
