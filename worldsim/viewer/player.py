"""The player: a thread that steps a session at its world's own speed, beside whatever shows the frames.

    player = Player(spec, lambda: Session(runtime), start=0, seed=0)
    player.keys.press("ArrowUp"); player.view.frame; player.pause(True); player.rewind(True); player.close()

The session is opened, started and stepped on the thread, so that a window never waits for a model. Each frame takes the
keys held, or tapped since the last frame. Knows no window and no files.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from worldsim.runtime.session import Session, State
from worldsim.spec import WorldSpec
from worldsim.viewer.capture import Capture
from worldsim.viewer.history import History, most_moments
from worldsim.viewer.latch import KeyLatch

KEEPS_UP = 0.95  # of the world's speed
REWIND_SPEED = 2  # moments a frame time


@dataclasses.dataclass(frozen=True)
class View:
    """What there is to see of a moment.

    Attributes:
        frame: uint8 `[H, W, 3]`.
        start: index of the start that play began at.
        index: frames generated since then.
        action: index of the action that led here; None at the start itself.
        reward: sum of rewards since the start.
        ended: the world has ended, with this frame or an earlier one.
        fps: frames generated a second, over about a second of unbroken play; None until it is known.
        position, length: of the moment in what can be gone back to, and how many moments that has.
        branches: how many other lines of play can be returned to.
    """

    frame: np.ndarray
    start: int
    index: int = 0
    action: int | None = None
    reward: float = 0.0
    ended: bool = False
    fps: float | None = None
    position: int = 0
    length: int = 1
    branches: int = 0


class Moment(NamedTuple):
    """A state of the session, what is seen of it, and the number of its frame in the film, if it was filmed."""

    state: State
    view: View
    filmed: int | None = None


class Turn(NamedTuple):
    """What the thread does next.

    Attributes:
        kind: begin at a start; generate a frame; move by so many moments; seek a position; switch to a branch.
        number: the start, the moments or the position.
        codes: keys held for the frame.
    """

    kind: Literal["begin", "step", "move", "seek", "switch"]
    number: int = 0
    codes: frozenset[str] = frozenset()


class Player:
    """Plays one world on a thread of its own, from the moment it is made until `close()`.

    Args:
        spec: the world; it is played at `spec.fps`, never faster.
        open_session: makes the session, on the thread.
        start: index of the start to begin at.
        seed: of all random numbers.
        changed: called, on the thread, whenever `view` or `error` has changed.
        capture: films what is generated.

    Attributes:
        keys: tell it what is pressed.
        start: index of the start that play began at, or is about to.
        view: the `View` to show; None while the world is being opened.
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
        self.spec, self.start, self.seed, self.keys = spec, start, seed, KeyLatch()
        self.view: View | None = None
        self.error: Exception | None = None
        self._open_session, self._changed, self._capture = open_session, changed, capture
        self._wake = threading.Condition()
        self._paused = self._rewinding = self._closing = False
        self._single_steps = 0
        self._requests = deque([Turn("begin", start)])
        self._due = 0.0
        self._ready: deque[float] = deque(maxlen=2 + round(spec.fps))  # times at which the newest frames were ready
        self._history: History[Moment] | None = None
        self._newest: Moment | None = None  # the last one generated
        self._thread = threading.Thread(target=self._run, name="player")
        self._thread.start()

    @property
    def paused(self) -> bool:
        """True while time stands still."""
        return self._paused

    @property
    def rewinding(self) -> bool:
        """True while time runs backwards."""
        return self._rewinding

    @property
    def keeps_up(self) -> bool:
        """False while the machine is slower than the world."""
        view = self.view
        return view is None or view.fps is None or view.fps >= KEEPS_UP * self.spec.fps

    def pause(self, paused: bool) -> None:
        """Stop or go on; pending taps are dropped."""
        with self._wake:
            self._interrupt(paused)

    def step_once(self) -> None:
        """Pause, and make one frame with the keys held or tapped since the last one."""
        with self._wake:
            self._paused = True
            self._single_steps += 1
            self._wake.notify()

    def go_to(self, start: int) -> None:
        """Begin anew at a start; what was played stays a branch."""
        with self._wake:
            self._interrupt(paused=False)
            self.start = start
            self._requests.append(Turn("begin", start))

    def rewind(self, backwards: bool) -> None:
        """Begin to run backwards, also from an end of the world, or stop doing so."""
        with self._wake:
            if backwards != self._rewinding:
                ended = self.view is not None and self.view.ended
                self._interrupt(self._paused and not ended)
                self._rewinding, self._due = backwards, time.perf_counter()

    def seek(self, position: int) -> None:
        """Pause at a moment that was played, by its position (see `View`)."""
        with self._wake:
            self._interrupt(paused=True)
            self._requests.append(Turn("seek", position))

    def switch(self) -> None:
        """Pause at the end of the line of play that was left last; again and again, all come round."""
        with self._wake:
            self._interrupt(paused=True)
            self._requests.append(Turn("switch"))

    def close(self) -> None:
        """Let the thread end after the frame it may be at; doesn't wait for that."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def join(self) -> None:
        """Wait until the thread has ended, after `close`."""
        self._thread.join()

    def _interrupt(self, paused: bool) -> None:
        """Unbroken play ends here. The lock is held."""
        self._paused = paused
        self._single_steps = 0
        self._ready.clear()
        self.keys.forget_taps()
        self._wake.notify()

    def _run(self) -> None:
        try:
            session = self._open_session()
            while turn := self._next_turn():
                self._take(turn, session)
                self._changed()
        except Exception as error:
            self.error = error
            self._changed()

    def _next_turn(self) -> Turn | None:
        """Wait for something to do; None to end."""
        with self._wake:
            while not self._closing:
                now = time.perf_counter()
                runs = self._rewinding or not self._paused
                if self._requests:
                    return self._requests.popleft()
                if self._single_steps or (runs and now >= self._due):
                    self._due = max(self._due + 1 / self.spec.fps, now)  # a late frame is not made up for by haste
                    if self._rewinding:
                        return Turn("move", -REWIND_SPEED)
                    self._single_steps = max(0, self._single_steps - 1)
                    return Turn("step", codes=self.keys.take())
                self._wake.wait(self._due - now if runs else None)
            return None

    def _take(self, turn: Turn, session: Session) -> None:
        if turn.kind == "begin":
            state = session.start([turn.number], [self.seed])
            moment = Moment(state, View(state.frame[0], turn.number))
            if self._history is None:
                self._history = History(most_moments(state, self.spec.fps))
            self._history.begin(moment)
            with self._wake:
                self._due = time.perf_counter() + 1 / self.spec.fps
        assert self._history is not None
        if turn.kind == "step":
            self._step(session, self._history, turn.codes)
        elif turn.kind == "move":
            self._history.seek(self._history.position + turn.number)
        elif turn.kind == "seek":
            self._history.seek(turn.number)
        elif turn.kind == "switch":
            self._history.switch()
            self.start = self._history.now.view.start
        self._show(self._history)

    def _step(self, session: Session, history: History[Moment], codes: frozenset[str]) -> None:
        before, action = history.now, self.spec.action_for(codes)
        state, made = session.step(before.state, np.array([action]))
        filmed = None
        if self._capture:
            if before is not self._newest:  # the film's last frame is not the one before this
                self._capture.begin(before.view.start, self.seed, before.filmed)
            filmed = self._capture.write(made.frame[0], action)
        seen = before.view
        ended = seen.ended or bool(made.ended[0])
        reward = seen.reward + float(made.reward[0])
        self._newest = Moment(state, View(made.frame[0], seen.start, seen.index + 1, action, reward, ended), filmed)
        history.append(self._newest)
        with self._wake:
            if not self._paused:
                self._ready.append(time.perf_counter())
            if ended and not seen.ended and not self._requests:
                self._paused = True

    def _show(self, history: History[Moment]) -> None:
        with self._wake:
            self.view = dataclasses.replace(
                history.now.view,
                fps=self._fps(),
                position=history.position,
                length=len(history),
                branches=history.branches,
            )

    def _fps(self) -> float | None:
        if len(self._ready) <= self.spec.fps / 2:
            return None
        return (len(self._ready) - 1) / (self._ready[-1] - self._ready[0])
