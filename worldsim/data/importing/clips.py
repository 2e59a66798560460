"""The frames of one source -> clips at one size and clock, and what was left of it and why.

Frames are taken by their time stamps. A frame that repeats the one before it between two that move is left out, as
screen captures and film have them; a still stretch is shortened; a shot ends where a cut is, or frames are missing.
Where a source names actions, its frames are taken one by one instead, without looking for cuts or black bars: every one
of them is a step.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np

from worldsim.data.importing.decode import DamagedFrames, Timed
from worldsim.data.importing.shape import Bars, Shape, find_bars
from worldsim.data.importing.shots import CutDetector, is_same
from worldsim.data.importing.sources import Source
from worldsim.errors import WorldsimError

SAMPLED = 9  # frames of a source, by which its bars are found
PAUSE = 1.0  # seconds of a still stretch that are kept: in a game, doing nothing is play too
GAP = 1.0  # seconds without a frame, after which a shot is over
LEAST = 16  # frames of a clip
THUMBNAILS = 8  # of what was left of a source


@dataclasses.dataclass
class Leftovers:
    """What was left of a source.

    Attributes:
        frames: how many by reason: "repeated", "still", "in clips too short".
        cuts: how many were found. bars: black, that were cut off. notes: for people.
        thumbnails: some of them, (reason, uint8 RGB `[H, W, 3]`).
    """

    frames: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    cuts: int = 0
    bars: Bars = dataclasses.field(default_factory=Bars)
    notes: list[str] = dataclasses.field(default_factory=list)
    thumbnails: list[tuple[str, np.ndarray]] = dataclasses.field(default_factory=list)

    def add(self, reason: str, *frames: np.ndarray) -> None:
        """Count frames, and keep a thumbnail of the first."""
        self.frames[reason] += len(frames)
        kept = sum(reason == other for other, _ in self.thumbnails)
        if kept == 0 or len(self.thumbnails) < THUMBNAILS:
            self.thumbnails.append((reason, frames[0]))


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames uint8 `[n, H, W, 3]` of one shot that follow each other, and the actions between them, by name, if they
    are known."""

    frames: np.ndarray
    actions: tuple[str, ...] = ()


def clips_of(source: Source, shape: Shape, fps: float, longest: int, left: Leftovers) -> Iterator[Clip]:
    """The clips of a source, in order, none of more than `longest` frames; what is not in them is told to `left`.

    Raises:
        NoVideo: if it is none.
        WorldsimError: if its table of actions is too short.
    """
    left.bars = Bars() if source.actions else find_bars(source.sample(SAMPLED))
    clip = _Builder(source, longest, left)
    cut_before = CutDetector()
    shown: tuple[float, ...] = ()
    try:
        frames = source.frames(fps)
        for gap, raw in _one_by_one(frames) if source.actions else at_clock(frames, fps):
            frame = shape(raw, left.bars)
            other = bool(shown) and raw.shape != shown
            shown = raw.shape
            is_cut = not source.actions and cut_before(frame)
            left.cuts += is_cut
            if is_cut or gap or other:
                yield from clip.end()
            yield from clip.add(frame, still_after=round(PAUSE * fps))
    except DamagedFrames as error:
        left.notes.append(f"damaged: {error}")
    yield from clip.end()


def at_clock(frames: Iterator[Timed], fps: float) -> Iterator[tuple[bool, np.ndarray]]:
    """Frames at every 1/fps seconds, and whether there is a gap before each: the first whose time has come, and that
    again where the next is late, as screen captures hold a frame as long as nothing happens."""
    tick, last, held = 0, -np.inf, np.empty(0)
    for now, frame in frames:
        due = int(round(now * fps, 3))
        gap = np.isfinite(last) and not 0 <= now - last <= GAP  # time runs back where files were put together
        if due < tick and not gap:
            continue
        if not gap and np.isfinite(last):
            yield from ((False, held) for _ in range(due - tick))
        yield bool(gap), frame
        tick, last, held = due + 1, now, frame


def _one_by_one(frames: Iterator[Timed]) -> Iterator[tuple[bool, np.ndarray]]:
    return ((False, frame) for _, frame in frames)


class _Builder:
    """Collects the frames of a shot, and gives out clips."""

    def __init__(self, source: Source, longest: int, left: Leftovers):
        self._source, self._longest, self._left = source, longest, left
        self._frames: list[np.ndarray] = []
        self._number = 0  # of the next frame of the source
        self._same: list[np.ndarray] = []  # that repeat the last frame, not yet decided on

    def add(self, frame: np.ndarray, still_after: int) -> Iterator[Clip]:
        number, self._number = self._number, self._number + 1
        if self._source.actions:
            if number >= len(self._source.actions):
                lines = len(self._source.actions)
                raise WorldsimError(
                    f"{self._source.name} has more frames than its table of actions has lines ({lines})"
                )
        elif self._frames and is_same(frame, self._frames[-1]):
            self._same.append(frame)
            return
        yield from self._decide(still_after)
        self._frames.append(frame)
        if len(self._frames) == self._longest:
            yield from self._give()

    def _decide(self, still_after: int) -> Iterator[Clip]:
        """What becomes of frames that repeat the last one, now that another follows."""
        same, self._same = self._same, []
        if len(same) == 1:
            self._left.add("repeated", *same)
        elif len(same) > still_after:
            self._left.add("still", *same[still_after:])
            self._frames += same[:still_after]
            yield from self._give()
        else:
            self._frames += same

    def end(self) -> Iterator[Clip]:
        if self._same:
            self._left.add("still", *self._same)
            self._same = []
        yield from self._give()

    def _give(self) -> Iterator[Clip]:
        frames, self._frames = self._frames, []
        while len(frames) > self._longest:  # still frames were added to it
            yield Clip(np.stack(frames[: self._longest]))
            frames = frames[self._longest :]
        if len(frames) < LEAST:
            if frames:
                self._left.add("in clips too short", *frames)
            return
        first = self._number - len(frames)
        yield Clip(np.stack(frames), self._source.actions[first : self._number - 1])
