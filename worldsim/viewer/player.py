"""The player: a thread that plays a world at its own speed, beside whatever shows the frames.

    player = Player(spec, lambda: Playthrough(Session(runtime), seed=0), start=0)
    player.keys.press("ArrowUp"); player.view.frame; player.pause(True); player.rewind(True); player.close()

The world is opened, begun and stepped on the thread, so that a window never waits for a model. Each frame takes the
keys held, or tapped since the last frame. Knows no window and no files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.runtime.savefile import Beginning, SavedPlay
from worldsim.spec import WorldSpec
from worldsim.viewer.latch import KeyLatch, Taken
from worldsim.viewer.playthrough import Playthrough
from worldsim.viewer.twin import TwinMoment

KEEPS_UP = 0.95  # of the world's speed
REWIND_SPEED = 2  # moments a frame time
SPEEDS = (0.5, 1.0, 2.0, math.inf)  # times the world's own; the last: as fast as the machine can
GLIMPSE = 0.1  # seconds from one frame shown to the next while a file is opened


@dataclasses.dataclass(frozen=True)
class View:
    """What there is to see of a moment.

    Attributes:
        frame: uint8 `[H, W, 3]`, as it is drawn. generated: the same, as it was generated, whatever the look.
        start: index of the start that play began at; None for frames from elsewhere.
        index: frames generated since then.
        action: index of the action that led here; None at the start itself.
        reward: sum of rewards since the start.
        ended: the world has ended, with this frame or an earlier one.
        uncertainty: how undecided the world was about the frame.
        drift: how far it is from the training frames, as a multiple of what real frames are; None if not known yet.
        strange: it is a beginning from elsewhere that is unlike anything that the world has learned.
        twin: the real game at this moment, if it is played beside and has come along.
        fps: frames generated a second, over about a second of unbroken play; None until it is known.
        pressed_at: when the key went down that this is the first frame of (`time.perf_counter`); else None.
        position, length: of the moment in what can be gone back to, and how many moments that has.
        marks: positions of bookmarks.
        branches: how many other lines of play can be returned to.
        tips: while time stands still, the last frame of each of those lines and its number, the latest left one last.
    """

    frame: np.ndarray
    generated: np.ndarray
    start: int | None
    index: int = 0
    action: int | None = None
    reward: float = 0.0
    ended: bool = False
    uncertainty: float = 0.0
    drift: float | None = None
    strange: bool = False
    twin: TwinMoment | None = None
    fps: float | None = None
    pressed_at: float | None = None
    position: int = 0
    length: int = 1
    marks: tuple[int, ...] = ()
    branches: int = 0
    tips: tuple[tuple[np.ndarray, int], ...] = ()


class Closed(Exception):
    """The player was closed while it was opening a file."""


class Player:
    """Plays one world on a thread of its own, from the moment it is made until `close()`.

    Args:
        spec: the world; it is played at `spec.fps` times `speed`, never faster.
        open_play: opens it, on the thread.
        start: index of the start to begin at.
        saved: play this again first, and pause where it was.
        agent: whether the policy plays first.
        changed: called, on the thread, whenever `view` or `error` has changed.

    Attributes:
        keys: tell it what is pressed.
        start: index of the start that play began at, or is about to.
        view: the `View` to show; None while the world is being opened.
        replaying: how many frames of a file were generated, and how many there are; None when that is done.
        agent: whether the policy plays.
        notice: the last thing to tell the player, and when it was said (`time.monotonic`).
        error: the exception that ended the thread, if one did.
    """

    def __init__(
        self,
        spec: WorldSpec,
        open_play: Callable[[], Playthrough],
        start: int = 0,
        saved: SavedPlay | None = None,
        agent: bool = False,
        changed: Callable[[], None] = lambda: None,
    ):
        self.spec, self.start, self.keys = spec, start, KeyLatch()
        self.view: View | None = None
        self.replaying: tuple[int, int] | None = None
        self.agent = agent
        self.notice = ("", -math.inf)
        self.error: Exception | None = None
        self._open_play, self._saved, self._changed = open_play, saved, changed
        self._wake = threading.Condition()
        self._paused, self._rewinding, self._closing = saved is not None, False, False
        self._speed = SPEEDS.index(1.0)
        self._single_steps = 0
        self._requests: deque[Callable[[Playthrough], object]] = deque()
        self._due = 0.0
        self._ready: deque[float] = deque(maxlen=2 + round(spec.fps))  # times at which the newest frames were ready
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
    def speed(self) -> float:
        """Times the world's own speed; infinite for as fast as the machine can."""
        return SPEEDS[self._speed]

    @property
    def keeps_up(self) -> bool:
        """False while the machine is slower than it was told to be."""
        view = self.view
        if view is None or view.fps is None or self.speed == math.inf:
            return True
        return view.fps >= KEEPS_UP * self.spec.fps * self.speed

    def pause(self, paused: bool) -> None:
        """Stop or go on; pending taps are dropped."""
        self._ask(lambda _: None, paused)

    def step_once(self) -> None:
        """Pause, and make one frame with the keys held or tapped since the last one."""
        with self._wake:
            self._paused = True
            self._single_steps += 1
            self._wake.notify()

    def change_speed(self, by: int) -> None:
        """To the next faster of `SPEEDS`, or with -1 to the next slower one."""
        with self._wake:
            self._speed = min(max(self._speed + by, 0), len(SPEEDS) - 1)
            self._ready.clear()
            self._due = time.perf_counter()
            self._wake.notify()

    def let_agent_play(self, agent: bool) -> None:
        """Hand over to the policy, or take over from it."""
        with self._wake:
            self.agent = agent
            self.keys.forget_taps()

    def go_to(self, start: int) -> None:
        """Begin anew at a start; what was played stays a branch."""
        self.start = start
        self._ask(lambda play: play.begin(start), paused=False)

    def begin_again(self) -> None:
        """Begin anew with what play began with."""
        self._ask(lambda play: play.begin_again(self.start), paused=False)

    def go_to_nearest(self) -> None:
        """Begin anew at the start that looks most like the moment shown."""

        def begin(play: Playthrough) -> None:
            self.start = play.begin_nearest()

        self._ask(begin, paused=False)

    def begin_with(self, beginning: Beginning) -> None:
        """Begin with something else than a start, and pause."""
        self._ask(lambda play: play.begin_with(beginning), paused=True)

    def rewind(self, backwards: bool) -> None:
        """Begin to run backwards, also from an end of the world, or stop doing so."""
        with self._wake:
            if backwards != self._rewinding:
                ended = self.view is not None and self.view.ended
                self._interrupt(self._paused and not ended)
                self._rewinding, self._due = backwards, time.perf_counter()

    def seek(self, position: int) -> None:
        """Pause at a moment that was played, by its position (see `View`)."""
        self._ask(lambda play: play.history.seek(position), paused=True)

    def move(self, moments: int) -> None:
        """Pause so many moments further on in what was played."""
        self._ask(lambda play: play.history.seek(play.history.position + moments), paused=True)

    def switch(self) -> None:
        """Pause at the end of the line of play that was left last; again and again, all come round."""

        def switch(play: Playthrough) -> None:
            play.history.switch()
            self._follow(play)

        self._ask(switch, paused=True)

    def show_branch(self, branch: int) -> None:
        """Pause at the end of a line of play, by its index in the `tips` of the view."""

        def show(play: Playthrough) -> None:
            if branch < len(play.history.branches):
                play.history.show(play.history.branches[branch])
                self._follow(play)

        self._ask(show, paused=True)

    def mark(self) -> None:
        """Set a bookmark at the moment shown, or take it away."""
        self._ask(lambda play: play.history.mark())

    def jump(self) -> None:
        """Pause at the next bookmark."""

        def jump(play: Playthrough) -> None:
            if play.history.jump():
                self._follow(play)

        self._ask(jump, paused=True)

    def ask(self, request: Callable[[Playthrough], str]) -> None:
        """Have something done between two frames, and what it returns, or its error that the user can fix, noticed."""
        self._ask(lambda play: self.say(request(play)))

    def say(self, notice: str) -> None:
        """Tell the player something."""
        self.notice = (notice, time.monotonic())
        self._changed()

    def close(self) -> None:
        """Let the thread end after the frame it may be at; doesn't wait for that."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def join(self) -> None:
        """Wait until the thread has ended, after `close`."""
        self._thread.join()

    def _ask(self, request: Callable[[Playthrough], object], paused: bool | None = None) -> None:
        with self._wake:
            if paused is not None:
                self._interrupt(paused)
            self._requests.append(request)
            self._wake.notify()

    def _interrupt(self, paused: bool) -> None:
        """Unbroken play ends here. The lock is held."""
        self._paused = paused
        self._single_steps = 0
        self._ready.clear()
        self.keys.forget_taps()
        self._wake.notify()

    def _follow(self, play: Playthrough) -> None:
        start = play.history.now.start
        self.start = self.start if start is None else start

    def _run(self) -> None:
        try:
            with contextlib.closing(self._open_play()) as play:
                self._open(play)
                while self._turn(play):
                    self._changed()
        except Closed:
            pass
        except Exception as error:
            self.error = error
            self._changed()

    def _open(self, play: Playthrough) -> None:
        """Begin at the start, or where a file was saved."""
        if self._saved is None:
            play.begin(self.start)
        else:
            shown_at = 0.0

            def progress(done: int, frames: int) -> None:
                nonlocal shown_at
                self.replaying = (done, frames)
                if self._closing:
                    raise Closed
                if time.monotonic() > shown_at + GLIMPSE:
                    shown_at = time.monotonic()
                    self._show(play)
                    self._changed()

            same = play.open(self._saved, progress)
            self.replaying = None
            self._follow(play)
            if not same:
                self.say("Saved on another kind of machine: these frames are not the same bit for bit")
        with self._wake:
            self._due = time.perf_counter() + 1 / self.spec.fps
        self._show(play)
        self._changed()

    def _turn(self, play: Playthrough) -> bool:
        """Wait for something to do, and do it; False to end."""
        request: Callable[[Playthrough], object] | None = None
        with self._wake:
            while not self._closing:
                now = time.perf_counter()
                runs = self._rewinding or not self._paused
                if self._requests:
                    request = self._requests.popleft()
                    break
                if self._single_steps or (runs and now >= self._due):
                    rewinds, agent = self._rewinding, self.agent
                    # A late frame is not made up for by haste.
                    self._due = max(self._due + 1 / (self.spec.fps * (1 if rewinds else self.speed)), now)
                    if not rewinds:
                        self._single_steps = max(0, self._single_steps - 1)
                    taken = Taken(frozenset()) if rewinds else self.keys.take()
                    break
                self._wake.wait(self._due - now if runs else None)
            else:
                return False
        if request is not None:
            self._obey(request, play)
        elif rewinds:
            play.history.seek(play.history.position - REWIND_SPEED)
            self._show(play)
        else:
            self._step(play, play.chosen() if agent else self.spec.action_for(taken.codes))
            self._show(play, taken.pressed_at)
        return True

    def _obey(self, request: Callable[[Playthrough], object], play: Playthrough) -> None:
        try:
            request(play)
        except WorldsimError as error:
            self.say(str(error))
        if play.history.now.index == 0:  # a beginning is shown for as long as any frame
            with self._wake:
                self._due = time.perf_counter() + 1 / self.spec.fps
        self._show(play)

    def _step(self, play: Playthrough, action: int) -> None:
        ended = play.history.now.ended
        moment = play.step(action)
        with self._wake:
            if not self._paused:
                self._ready.append(time.perf_counter())
            if moment.ended and not ended and not self._requests:
                self._paused = True

    def _show(self, play: Playthrough, pressed_at: float | None = None) -> None:
        history = play.history
        now = history.now
        frame = play.drawn(now.frame)
        tips = tuple((play.drawn(line.kept[-1][1].frame), line.last) for line in history.branches if self._paused)
        with self._wake:
            self.view = View(
                frame=frame,
                generated=now.frame,
                start=now.start,
                index=now.index,
                action=now.action,
                reward=now.reward,
                ended=now.ended,
                uncertainty=now.uncertainty,
                drift=now.drift,
                strange=play.strange,
                twin=now.twin,
                fps=self._fps(),
                pressed_at=pressed_at,
                position=history.position,
                length=len(history),
                marks=tuple(history.marked()),
                branches=len(history.branches),
                tips=tips,
            )

    def _fps(self) -> float | None:
        if len(self._ready) <= self.spec.fps / 2:
            return None
        return (len(self._ready) - 1) / (self._ready[-1] - self._ready[0])
