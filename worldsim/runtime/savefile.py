"""Save files: what was played in a world, as one JSON file from which the same frames are generated again.

    save_play(SavedPlay(...), "door.world")
    saved = load_play("door.world"); saved.check_fits(bundle)

    {"format": 1, "world", "title", "digest",               the bundle
     "lines": [{"start", "seed", "actions"},                a line of play from a start; or with "context", after frames
               {"parent", "fork", "actions"}, ...],         one that leaves an earlier line after its moment `fork`
     "branches": [...], "shown", "number",                  lines to return to; the line and the moment on screen
     "marks": [[line, number], ...], "frame"}               bookmarks; sha256 of the frame on screen

Moments of a line are numbered from the beginning of play, which is 0. Actions are pairs of an index and how often.
Knows no window; bounded and checked when read.

T frames of context, H x W pixels.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import atomic
from worldsim.errors import WorldsimError
from worldsim.rng import SEEDS
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session, State
from worldsim.safe_read import read_json

FORMAT = 1
SUFFIX = ".world"
WAY_OUT = "Save it again, or give another file."
MOST_LINES = 4096
MOST_ACTIONS = 2**20  # of all lines together: 19 hours at 15 frames a second
MOST_CONTEXT = 2**26  # bytes of the frames that play began after


@dataclasses.dataclass(frozen=True, eq=False)
class Beginning:
    """What play begins with.

    Attributes:
        start: one of the world's starts; None for frames from elsewhere.
        seed: of all random numbers.
        frames: uint8 `[T, H, W, 3]`, if it is no start. actions: int64 `[T-1]`, those taken between them.
    """

    start: int | None
    seed: int
    frames: np.ndarray | None = None
    actions: np.ndarray | None = None

    def state(self, session: Session) -> State:
        """The first state of play, one row.

        Raises:
            WorldsimError: if the world hasn't that start, or frames of another size.
        """
        if self.frames is None:
            return session.start([self.start or 0], [self.seed])
        actions = np.zeros(0, np.int64) if self.actions is None else self.actions
        return session.reset(self.frames[None], actions[None], [self.seed])


@dataclasses.dataclass(frozen=True)
class SavedLine:
    """A line of play.

    Attributes:
        beginning: of play; None for a line that leaves another.
        parent, fork: that other line, an earlier one, and the last moment of it that they share.
        actions: that led to this line's own moments.
    """

    beginning: Beginning | None
    parent: int
    fork: int
    actions: Sequence[int]

    @property
    def last(self) -> int:
        """The number of its last moment."""
        return max(0, self.fork) + len(self.actions)


@dataclasses.dataclass(frozen=True)
class SavedPlay:
    """What a save file holds; see the module."""

    world: str
    title: str
    digest: str
    lines: tuple[SavedLine, ...]
    branches: tuple[int, ...]
    shown: int
    number: int
    marks: tuple[tuple[int, int], ...]
    frame: str

    @property
    def frames(self) -> int:
        """How many frames are to be generated to open it."""
        return sum(len(line.actions) for line in self.lines)

    def check_fits(self, bundle: Bundle) -> None:
        """Make sure that a world gives these frames.

        Raises:
            WorldsimError: if it is another world or has other weights, or if the file names starts, actions or frames
                that it can't have.
        """
        if self.digest != bundle.digest:
            raise WorldsimError(
                f"this play is of world {self.world!r} with other weights or starts ({self.digest[:12]}), not of "
                f"{bundle.spec.name!r} as it is here ({bundle.digest[:12]}). Open it with the world it was saved in."
            )
        for line in self.lines:
            begin = line.beginning or Beginning(0, 0)
            taken = np.zeros(0, np.int64) if begin.actions is None else begin.actions
            fits = max([0, *line.actions, *taken]) < len(bundle.spec.actions)
            if begin.frames is None:
                fits &= (begin.start or 0) < len(bundle.starts)
            else:
                fits &= begin.frames.shape == (len(taken) + 1, bundle.spec.height, bundle.spec.width, 3)
            if not fits:
                raise WorldsimError(f"this play can't be of world {bundle.spec.name!r}. {WAY_OUT}")


def only_begun(beginning: Beginning, bundle: Bundle) -> SavedPlay:
    """Play in a world that begins with frames `[T, H, W, 3]`, without a move yet."""
    assert beginning.frames is not None
    return SavedPlay(
        world=bundle.spec.name,
        title=bundle.spec.title,
        digest=bundle.digest,
        lines=(SavedLine(beginning, -1, -1, ()),),
        branches=(),
        shown=0,
        number=0,
        marks=(),
        frame=frame_digest(beginning.frames[-1]),
    )


def frame_digest(frame: np.ndarray) -> str:
    """Names a frame, uint8 `[H, W, 3]`: sha256 of its pixels."""
    return hashlib.sha256(np.ascontiguousarray(frame).tobytes()).hexdigest()


def save_play(saved: SavedPlay, path: str | Path) -> None:
    """Write it, whole or not at all.

    Raises:
        WorldsimError: if it can't be written.
    """
    content = {
        "format": FORMAT,
        "world": saved.world,
        "title": saved.title,
        "digest": saved.digest,
        "lines": [_line_to_json(line) for line in saved.lines],
        "branches": saved.branches,
        "shown": saved.shown,
        "number": saved.number,
        "marks": saved.marks,
        "frame": saved.frame,
    }
    atomic.write_text(path, json.dumps(content, indent=1) + "\n")


def load_play(path: str | Path) -> SavedPlay:
    """Read what `save_play` wrote.

    Raises:
        WorldsimError: if there is no such file, it is cut or changed, or of a newer format.
    """
    content = read_json(path, WAY_OUT)
    if content.get("format") != FORMAT:
        raise WorldsimError(
            f"{path} is no save file of format {FORMAT}, but {content.get('format')!r:.20}. "
            "Open it with the version of worldsim that wrote it."
        )
    try:
        return _from_json(content)
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
        raise WorldsimError(f"{path} is not a whole save file ({error}). {WAY_OUT}") from error


def _line_to_json(line: SavedLine) -> dict[str, Any]:
    runs = [[int(action), len(list(run))] for action, run in itertools.groupby(line.actions)]
    if line.beginning is None:
        return {"parent": line.parent, "fork": line.fork, "actions": runs}
    begin = line.beginning
    content: dict[str, Any] = {"start": begin.start, "seed": begin.seed, "actions": runs}
    if begin.frames is not None:
        data = base64.b64encode(zlib.compress(np.ascontiguousarray(begin.frames).tobytes())).decode()
        taken = [] if begin.actions is None else begin.actions.tolist()
        content["context"] = {"shape": list(begin.frames.shape), "frames": data, "actions": taken}
    return content


def _from_json(content: dict[str, Any]) -> SavedPlay:
    lines: list[SavedLine] = []
    if len(content["lines"]) not in range(1, MOST_LINES + 1):
        raise ValueError(f"{len(content['lines'])} lines")
    room = MOST_ACTIONS
    for entry in content["lines"]:
        lines.append(_line_from_json(entry, lines, room))
        room -= len(lines[-1].actions)
    shown = _whole(content["shown"], 0, len(lines) - 1)
    marks = []
    for line, number in content["marks"]:
        line = _whole(line, 0, len(lines) - 1)
        marks.append((line, _whole(number, lines[line].fork + 1, lines[line].last)))
    return SavedPlay(
        world=_text(content["world"]),
        title=_text(content["title"]),
        digest=_text(content["digest"]),
        lines=tuple(lines),
        branches=tuple(_whole(line, 0, len(lines) - 1) for line in content["branches"]),
        shown=shown,
        number=_whole(content["number"], 0, lines[shown].last),
        marks=tuple(marks),
        frame=_text(content["frame"]),
    )


def _line_from_json(entry: dict[str, Any], earlier: list[SavedLine], room: int) -> SavedLine:
    runs = [(_whole(action, 0, 2**16 - 1), _whole(count, 1, room)) for action, count in entry["actions"]]
    if sum(count for _, count in runs) > room:
        raise ValueError(f"more than {MOST_ACTIONS:,} actions")
    actions = [action for action, count in runs for _ in range(count)]
    if "parent" in entry:
        parent = _whole(entry["parent"], 0, len(earlier) - 1)
        fork = _whole(entry["fork"], earlier[parent].fork + 1, earlier[parent].last)
        if not actions:
            raise ValueError("a branch without an action")
        return SavedLine(None, parent, fork, actions)
    seed = _whole(entry["seed"], 0, SEEDS - 1)
    if "context" not in entry:
        return SavedLine(Beginning(_whole(entry["start"], 0, 2**16), seed), -1, -1, actions)
    context = entry["context"]
    shape = tuple(_whole(n, 1, 2**16) for n in context["shape"])
    size = math.prod(shape)
    if len(shape) != 4 or size > MOST_CONTEXT:
        raise ValueError(f"context of {list(shape)}")
    data = zlib.decompressobj().decompress(base64.b64decode(context["frames"], validate=True), size + 1)
    frames = np.frombuffer(data, np.uint8).reshape(shape)
    taken = np.array([_whole(action, 0, 2**16 - 1) for action in context["actions"]], np.int64)
    return SavedLine(Beginning(None, seed, frames, taken), -1, -1, actions)


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r:.40} is not a whole number from {least} to {most}")
    return value


def _text(value: Any) -> str:
    if not (isinstance(value, str) and len(value) <= 256 and value.isprintable()):
        raise ValueError(f"{value!r:.40} is not a short text")
    return value
