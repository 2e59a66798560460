"""The player: a thread that steps a session at its world's own speed, beside whatever shows the frames.

    player = Player(spec, lambda: Session(runtime), start=0, seed=0)
    player.keys.press("ArrowUp"); player.view.frame; player.pause(True); player.close()

The session is opened, started and stepped on the thread, so that a window never waits for a model. Each frame takes the
keys held, or tapped since the last frame. Knows no window and no files.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from worldsim.runtime.session import Frame, Session
from worldsim.spec import WorldSpec
from worldsim.viewer.capture import Capture
from worldsim.viewer.latch import KeyLatch

KEEPS_UP = 0.95  # of the world's speed


@dataclasses.dataclass(frozen=True)
class View:
    """What there is to see after a frame.

    Attributes:
        frame: uint8 `[H, W, 3]`.
        start: index of the start that play began at.
        index: frames generated since then.
        action: index of the action that led here; None at the start itself.
        reward: sum of rewards since the start.
        fps: frames generated a second, over about a second of unbroken play; None until it is known.
        ended: the world has ended, with this frame or an earlier one.
    """

    frame: np.ndarray
    start: int
    index: int = 0
    action: int | None = None
    reward: float = 0.0
    fps: float | None = None
    ended: bool = False


class Player:
    """Plays one world on a thread of its own, from the moment it is made until `close()`.

    Args:
        spec: the world; it is played at `spec.fps`, never faster.
        open_session: makes the session, on the thread.
        start: index of the start to begin at.
        seed: of all random numbers.
        changed: called, on the thread, whenever `view` or `error` has changed.
        capture: films what is played.

    Attributes:
        keys: tell it what is pressed.
        view: the newest `View`; None while the world is being opened.
        error: the exception that ended the thread, if one did.
    """

    def __init__(
        self,
        spec: WorldSpec,
        open_session: Callable[[], Session],
        start: int = 0,
        seed: int = 0,
        changed: Callable[[], None] = lambda: None,
        capture: Capture | None = None,
    ):
        self.spec, self.seed, self.keys = spec, seed, KeyLatch()
        self.view: View | None = None
        self.error: Exception | None = None
        self._open_session, self._changed, self._capture = open_session, changed, capture
        self._wake = threading.Condition()
        self._paused = self._closing = False
        self._single_steps = 0
        self._wanted_start: int | None = start
        self._due = 0.0
        self._ready: deque[float] = deque(maxlen=2 + round(spec.fps))  # times at which the newest frames were ready
        self._thread = threading.Thread(target=self._run, name="player")
        self._thread.start()

    @property
    def paused(self) -> bool:
        """True while time stands still."""
        return self._paused

    @property
    def keeps_up(self) -> bool:
        """False while the machine is slower than the world."""
        view = self.view
        return view is None or view.fps is None or view.fps >= KEEPS_UP * self.spec.fps

    def pause(self, paused: bool) -> None:
        """Stop or go on; pending taps are dropped."""
        with self._wake:
            self._paused = paused
            self._single_steps = 0
            self._ready.clear()
            self.keys.forget_taps()
            self._wake.notify()

    def step_once(self) -> None:
        """Pause, and make one frame with the keys held or tapped since the last one."""
        with self._wake:
            self._paused = True
            self._single_steps += 1
            self._wake.notify()

    def go_to(self, start: int) -> None:
        """Begin anew at a start."""
        with self._wake:
            self._paused, self._single_steps, self._wanted_start = False, 0, start
            self.keys.forget_taps()
            self._wake.notify()

    def close(self) -> None:
        """Let the thread end after the frame it may be at; doesn't wait for that."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def join(self) -> None:
        """Wait until the thread has ended, after `close`."""
        self._thread.join()

    def _run(self) -> None:
        try:
            session = self._open_session()
            while (turn := self._next_turn()) is not None:
                begin, codes = turn
                if begin is not None:
                    state = session.start([begin], [self.seed])
                    if self._capture:
                        self._capture.begin(begin, self.seed)
                    self.view = View(state.frame[0], begin)
                else:
                    action = self.spec.action_for(codes)
                    state, made = session.step(state, np.array([action]))
                    if self._capture:
                        self._capture.write(made.frame[0], action)
                    self._show(made, action)
                self._changed()
        except Exception as error:
            self.error = error
            self._changed()

    def _next_turn(self) -> tuple[int | None, frozenset[str]] | None:
        """Wait for something to do: (start to begin at, or None for a frame; keys for that frame). None to end."""
        with self._wake:
            while not self._closing:
                now = time.perf_counter()
                if self._wanted_start is not None:
                    begin, self._wanted_start = self._wanted_start, None
                    self._ready.clear()
                    self._due = now + 1 / self.spec.fps
                    return begin, frozenset()
                if self._single_steps or (not self._paused and now >= self._due):
                    self._single_steps = max(0, self._single_steps - 1)
                    self._due = max(self._due + 1 / self.spec.fps, now)  # a late frame is not made up for by haste
                    return None, self.keys.take()
                self._wake.wait(None if self._paused else self._due - now)
            return None

    def _show(self, made: Frame, action: int) -> None:
        view = self.view
        assert view is not None
        with self._wake:
            if not self._paused:
                self._ready.append(time.perf_counter())
            ended = view.ended or bool(made.ended[0])
            if ended and not view.ended and self._wanted_start is None:
                self._paused = True
            reward = view.reward + float(made.reward[0])
            self.view = View(made.frame[0], view.start, view.index + 1, action, reward, self._fps(), ended)

    def _fps(self) -> float | None:
        if len(self._ready) <= self.spec.fps / 2:
            return None
        return (len(self._ready) - 1) / (self._ready[-1] - self._ready[0])
