"""The keys a player holds, so that no tap between two frames is lost. Thread-safe; knows no window and no world."""

from __future__ import annotations

import threading


class KeyLatch:
    """Keys held now, and those tapped since the last frame: a tap shorter than a frame is not lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._tapped: set[str] = set()

    def press(self, code: str) -> None:
        """A key went down."""
        with self._lock:
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

    def forget_taps(self) -> None:
        """Drop pending taps; keys held stay held."""
        with self._lock:
            self._tapped.clear()

    def take(self) -> frozenset[str]:
        """Codes for one frame: held now, or tapped since the last `take`."""
        with self._lock:
            codes = frozenset(self._held | self._tapped)
            self._tapped.clear()
            return codes

    def held(self) -> frozenset[str]:
        """Codes held now."""
        with self._lock:
            return frozenset(self._held)
