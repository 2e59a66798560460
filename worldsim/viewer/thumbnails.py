"""Moving thumbnails: a few frames of each world's own play, generated one world after the other on a thread.

    thumbnails = Thumbnails(worlds, open_session); thumbnails.want(2); frames = thumbnails.frames(2); thumbnails.close()

A world is opened, played at random for a second from each of its first starts, and let go. Knows no window and draws
nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session
from worldsim.viewer.script import at_random

STARTS, SECONDS = 3, 1.0  # that are played from, and how long each


class Thumbnails:
    """Frames of every world, as they come.

    Args:
        worlds: to be played.
        open_session: makes the session of one; called on the thread.
        changed: called, on the thread, whenever those of another world are there.
    """

    def __init__(
        self,
        worlds: Sequence[Bundle],
        open_session: Callable[[Bundle], Session],
        changed: Callable[[], None] = lambda: None,
    ):
        self._worlds, self._open_session, self._changed = worlds, open_session, changed
        self._made: dict[int, np.ndarray] = {}
        self._failed: set[int] = set()
        self._wanted = 0
        self._wake = threading.Condition()
        self._resting, self._closing = True, False
        self._thread: threading.Thread | None = None

    def frames(self, world: int) -> np.ndarray | None:
        """Of a world by its index, uint8 `[T, H, W, 3]`, all generated; None until they are there."""
        return self._made.get(world)

    def want(self, world: int) -> None:
        """Make those of this world next, if they are not there."""
        self._wanted = world

    def rest(self, resting: bool) -> None:
        """Leave the machine to others, or go on."""
        with self._wake:
            self._resting = resting
            self._wake.notify()
        if not resting and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="thumbnails", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End after the frame that is being made."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while self._may_go_on():
            missing = [i for i in range(len(self._worlds)) if i not in self._made and i not in self._failed]
            if not missing:
                return
            world = self._wanted if self._wanted in missing else missing[0]
            try:
                frames = self._play(self._worlds[world])
            except Exception:  # a still picture stays; the reason is shown when the world is opened
                self._failed.add(world)
                continue
            if frames is not None:
                self._made[world] = frames
                self._changed()

    def _play(self, world: Bundle) -> np.ndarray | None:
        """Frames of a world; None if it was closed before they were there."""
        session = self._open_session(world)
        frames: list[np.ndarray] = []
        for start in range(min(STARTS, len(world.starts))):
            state, actions = session.start([start], [0]), at_random(len(world.spec.actions), start)
            for _ in range(round(SECONDS * world.spec.fps)):
                if not self._may_go_on():
                    return None
                state, made = session.step(state, np.array([next(actions)]))
                frames.append(made.frame[0])
                if made.ended[0]:
                    break
        return np.stack(frames)

    def _may_go_on(self) -> bool:
        """Wait while others need the machine; False to end."""
        with self._wake:
            while self._resting and not self._closing:
                self._wake.wait()
            return not self._closing
