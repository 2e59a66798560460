"""Stopping a long command where that is safe: a signal asks for it, and the command looks when it can."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """An event that is set by the first SIGINT or SIGTERM in the block; a second one ends the process at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread hears signals
        return
    before = {kind: signal.getsignal(kind) or signal.SIG_DFL for kind in (signal.SIGINT, signal.SIGTERM)}

    def stop(kind: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(kind, before[signal.Signals(kind)])

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield event
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
