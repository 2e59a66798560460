"""What is played: a session and its history, stepped, rewound, branched, saved and opened. Not thread-safe, no clock.

play = Playthrough(session, seed=7); play.begin(0); play.step(1); play.history.seek(0)
save_play(play.saved(), "door.world")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from worldsim.runtime.looks import Looks
from worldsim.runtime.savefile import Beginning, SavedLine, SavedPlay, frame_digest
from worldsim.runtime.session import Session
from worldsim.viewer.capture import Capture
from worldsim.viewer.drift import DriftGauge
from worldsim.viewer.history import MOST_BRANCHES, MOST_BYTES, SECONDS, History, Line
from worldsim.viewer.moment import Moment
from worldsim.viewer.twin import Twin, TwinMoment, rows_of

if TYPE_CHECKING:
    from worldsim_policies.base import Policy


class Playthrough:
    """Plays one world.

    Args:
        session: of the world.
        seed: of all random numbers; after `open`, the one that was saved.
        capture: films what is generated.
        policy: chooses the actions that nobody else does, for one row.
        twin: the real game, played beside.
        looks: what it can be drawn in.

    Attributes:
        history: everything that was played.
        look: what all of it is drawn in; "" for as it was generated.
    """

    def __init__(
        self,
        session: Session,
        seed: int,
        capture: Capture | None = None,
        policy: Policy | None = None,
        twin: Twin | None = None,
        looks: Looks | None = None,
        look: str = "",
    ):
        self.session, self.spec, self.seed = session, session.spec, seed
        self.history = self._empty_history()
        self._capture, self._policy, self._twin, self._looks = capture, policy, twin, looks
        self.look = ""
        if looks:
            self.change_look(look or looks.names[0])
        self._gauge = DriftGauge(session)
        self._newest: Moment | None = None  # the last one generated
        self._chosen_at: Moment | None = None  # the last one that the policy saw
        self._expected: Moment | None = None  # the one that followed it
        self._every = max(1, round(self.spec.fps))  # frames from one measurement of drift to the next

    def begin(self, start: int) -> None:
        """Begin at a start; with a real game beside, in its episode of that number. What was played stays a branch."""
        if self._twin is None:
            return self.begin_with(Beginning(start, self.seed))
        self.begin_with(*self._twin.begin(start, self.seed))

    def begin_with(self, beginning: Beginning, twin: TwinMoment | None = None) -> None:
        """Begin with something else.

        Raises:
            WorldsimError: for frames that do not fit the world.
        """
        state = beginning.state(self.session)
        moment = Moment.packed(state, beginning.start)
        self.history.begin(dataclasses.replace(moment, drift=self._gauge.of_state(state), twin=twin), beginning)

    def begin_again(self, start: int) -> None:
        """Begin with the frames from elsewhere that the line shown began with, or else at a start."""
        beginning = self.history.line.beginning
        if beginning.start is None and self._twin is None:
            self.begin_with(beginning)
        else:
            self.begin(start)

    @property
    def strange(self) -> bool:
        """Whether the moment shown is a beginning from elsewhere that is unlike anything that the world has learned."""
        now = self.history.now
        begun = now.index == 0 and now.start is None
        return begun and now.drift is not None and now.drift > self._gauge.strangeness.limit

    def verdict(self) -> str:
        """What to say, before play goes on, of frames from elsewhere that it has just begun with."""
        return self._gauge.strangeness.verdict(self.history.now.drift or 0.0)

    def begin_nearest(self) -> int:
        """Begin at the start that looks most like the moment shown; returns it."""
        start = self._gauge.nearest_start(self.history.now.state)
        self.begin(start)
        return start

    def change_look(self, look: str = "") -> str:
        """Draw everything in a look, or in the next one; no state changes. Returns its name.

        Raises:
            WorldsimError: for a look that there isn't.
        """
        assert self._looks is not None
        names = self._looks.names
        self.look = self._looks.check(look or names[(names.index(self.look) + 1) % len(names)])
        if self._capture:
            self._capture.change_look(self.look)
        return self.look

    def drawn(self, frame: np.ndarray, look: str = "") -> np.ndarray:
        """A frame uint8 `[H, W, 3]` as it is to be seen: in the look, or in the one of now."""
        return frame if self._looks is None else self._looks.draw(frame[None], look or self.look)[0]

    def step(self, action: int) -> Moment:
        """Generate the frame after the moment shown."""
        return self._step(self.history.now, action)

    def chosen(self) -> int:
        """The action that the policy chooses at the moment shown, of the frame alone or of what the real game tells."""
        assert self._policy is not None
        now = self.history.now
        if now is not self._expected:  # it hasn't seen what came before
            self._policy.begin(np.zeros(1, np.int64), [self.seed])
        self._chosen_at = now
        infos = rows_of(now.twin.info) if now.twin else {}
        return int(self._policy.act(now.frame[None], infos)[0])

    def close(self) -> None:
        """End the real game, if one is played beside."""
        if self._twin:
            self._twin.close()

    def saved(self) -> SavedPlay:
        """What a save file holds."""
        history, lines = self.history, self.history.lines()
        number = {line: i for i, line in enumerate(lines)}
        return SavedPlay(
            world=self.spec.name,
            title=self.spec.title,
            digest=self.session.runtime.digest,
            lines=tuple(_saved_line(line, number) for line in lines),
            branches=tuple(number[line] for line in history.branches),
            shown=number[history.line],
            number=history.number,
            marks=tuple((number[line], n) for line, n in history.marks if line in number),
            frame=frame_digest(history.now.frame),
        )

    def open(self, saved: SavedPlay, progress: Callable[[int, int], None] = lambda *_: None) -> bool:
        """Play again what was saved, in place of everything that was played.

        Args:
            saved: fits the world.
            progress: called after each frame with how many are done, and how many there are.

        Returns:
            Whether the frame shown is the one that was saved, bit for bit: always, on the same runtime.

        Raises:
            WorldsimError: if the world hasn't its starts, or its frames are of another size.
        """
        history = self.history = self._empty_history()
        history.forgets = False  # before its last line is there
        owner = saved.shown
        while saved.number <= saved.lines[owner].fork:
            owner = saved.lines[owner].parent
        forks = {(line.parent, line.fork) for line in saved.lines if line.beginning is None}
        kept: dict[tuple[int, int], Moment] = {}  # moments that lines leave, and the one shown
        lines: list[Line[Moment]] = []
        done = 0
        capture, self._capture = self._capture, None  # a film is of what is played from now on
        for i, line in enumerate(saved.lines):
            if line.beginning is not None:
                self.begin_with(line.beginning)
                moment = history.now
            else:
                history.fork(lines[line.parent], line.fork)
                moment = kept[line.parent, line.fork]
            lines.append(history.line)
            for action in (None, *line.actions):
                if action is not None:
                    moment = self._step(moment, action)
                    done += 1
                    progress(done, saved.frames)
                if (i, history.number) in forks or (i, history.number) == (owner, saved.number):
                    kept[i, history.number] = moment
        self._capture, self._newest = capture, None
        history.forgets = True
        shown = lines[saved.shown] if lines[saved.shown].kept else lines[-1]
        branches = [lines[i] for i in dict.fromkeys(saved.branches) if lines[i].kept and lines[i] is not shown]
        history.arrange(shown, branches[-MOST_BRANCHES:], saved.number)
        history.marks = [(lines[i], n) for i, n in saved.marks]
        self.seed = shown.beginning.seed
        return frame_digest(kept[owner, saved.number].frame) == saved.frame

    def _step(self, before: Moment, action: int) -> Moment:
        state, made = self.session.step(before.state, np.array([action]))
        filmed = None
        if self._capture:
            if before is not self._newest:  # the film's last frame is not the one before this
                lead_in = self.history.path() if before.filmed is None else ()
                self._capture.begin(before.start, self.history.line.beginning.seed, before.filmed, lead_in)
            filmed = self._capture.write(self.drawn(made.frame[0]), action)
        drift = self._gauge.of_state(state) if int(state.index[0]) % self._every == 0 else before.drift
        twin = None
        if self._twin and before.twin:
            twin = self._twin.step(before.twin, action, made.frame[0])
        moment = dataclasses.replace(
            Moment.packed(state, before.start),
            action=action,
            reward=before.reward + float(made.reward[0]),
            ended=before.ended or bool(made.ended[0]),
            drift=drift,
            filmed=filmed,
            twin=twin,
        )
        self.history.append(moment, action)
        self._newest, self._expected = moment, moment if before is self._chosen_at else None
        return moment

    def _empty_history(self) -> History[Moment]:
        return History(round(SECONDS * self.spec.fps), MOST_BYTES, lambda moment: moment.nbytes)


def _saved_line(line: Line[Moment], number: dict[Line[Moment], int]) -> SavedLine:
    if line.parent is None:
        return SavedLine(line.beginning, -1, -1, tuple(line.actions))
    return SavedLine(None, number[line.parent], line.fork, tuple(line.actions))
