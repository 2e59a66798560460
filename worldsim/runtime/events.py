"""Spoken events: what happens in a running world, told in words. Imports no torch; who paints is handed in.

    event = parse_event("a yellow ball drops in", looks.names)
    *_, state = happen(session, state, [event], painter)

The picture on screen is painted anew in one region, and shown (`Session.show`): all else is bit for bit what it was,
and so is everything that the world remembers. A look changes no state: `worldsim.runtime.looks` draws it.

H x W pixels.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Literal, Protocol

import cv2
import numpy as np

from worldsim.errors import WorldsimError
from worldsim.runtime.session import Session, State

MOST_LETTERS = 200  # of an event in words
APPEARS = ("drops in", "falls in", "comes in", "rolls in", "appears", "is here", "is there")
VANISHES = ("is gone", "vanishes", "disappears", "goes away", "is taken away")
COLOURS = {
    "red": (225, 35, 40), "yellow": (250, 220, 30), "green": (30, 170, 60), "cyan": (30, 200, 225),
    "blue": (40, 70, 225), "magenta": (215, 40, 200), "white": (250, 250, 250), "black": (10, 10, 10),
    "grey": (128, 128, 128), "orange": (245, 140, 30), "brown": (120, 80, 50),
}  # fmt: skip
DIFFERS = 24  # levels of 255 from the background, from which on something is there
REACH = 40.0  # how far a pixel of a thing may be from its colour (CIE76)
LEAST_THING = 1 / 512  # share of the frame's pixels
MARGIN = 3  # pixels around what vanishes: its edge and its shadow
FREE = 0.04  # share of the floor of a free region in which something may be, at most
HELD = 3  # frames for which a region is shown again


class Painter(Protocol):
    """Paints part of a picture anew.

    Attributes:
        cell: (rows, columns) in pixels, in which it paints.
    """

    @property
    def cell(self) -> tuple[int, int]:
        """See above."""

    def __call__(self, frame: np.ndarray, region: np.ndarray, thing: str, seed: int) -> np.ndarray:
        """The frame uint8 `[H, W, 3]` with a thing in the region, bool `[H, W]`; with nothing there if it is ""."""


@dataclasses.dataclass(frozen=True)
class Event:
    """What happens.

    Attributes:
        kind: "look": all is seen in another look; "appears", "vanishes": a thing does.
        what: the name of the look, or the thing in words, without an article.
    """

    kind: Literal["look", "appears", "vanishes"]
    what: str


def parse_event(words: str, looks: Sequence[str] = ()) -> Event:
    """What is told: a thing that comes or goes, or one of the `looks` of the world, which is named by itself.

    Raises:
        WorldsimError: if it is neither.
    """
    said = " ".join(words.lower().rstrip(" .!").split())
    if len(said) > MOST_LETTERS:
        raise WorldsimError(f"an event of {len(said):,} letters; at most {MOST_LETTERS} are read")
    for kind, endings in (("appears", APPEARS), ("vanishes", VANISHES)):
        for ending in endings:
            thing = re.sub(r"^(?:an?|the) ", "", said.removesuffix(ending).rstrip())
            if said.endswith(f" {ending}") and thing and thing not in looks:
                return Event(kind, thing)  # type: ignore[arg-type]
    named = [look for look in looks if look.lower() in re.findall(r"[^\W_]+", said)]
    if len(named) == 1:
        return Event("look", named[0])
    known = [f"'{looks[-1]}'"] if looks else []
    raise WorldsimError(
        f"{words[:60]!r} is no event that can be made to happen; say "
        + ", or ".join([f"'a yellow ball {APPEARS[0]}'", f"'the red ball {VANISHES[0]}'", *known])
    )


def happen(session: Session, state: State, events: Sequence[Event], painter: Painter) -> list[State]:
    """Let things appear or vanish, one event in every row of a state.

    A world believes what it has seen for some frames: so the region is held for `HELD` frames more, in which nobody
    does anything and all else goes on. The same state and events give the same pictures.

    Returns:
        The states of these 1 + `HELD` frames; play goes on from the last.

    Raises:
        WorldsimError: if there is no room for it, or no such thing.
    """
    assert len(events) == len(state), (len(events), len(state))
    rows = list(zip(state.frame, events, state.seed, state.number, strict=True))
    regions = np.stack([region_of(frame, event, painter) for frame, event, _, _ in rows])[..., None]
    pictures = np.stack([picture_after(frame, event, painter, int(s) + int(n)) for frame, event, s, n in rows])
    states = [session.show(state, pictures)]
    for _ in range(HELD):
        after, seen = session.step(states[-1], np.full(len(state), session.spec.noop))
        states.append(session.show(after, np.where(regions, pictures, seen.frame)))
    return states


def picture_after(frame: np.ndarray, event: Event, painter: Painter, seed: int = 0) -> np.ndarray:
    """The picture uint8 `[H, W, 3]` after an event, bit for bit the frame outside of where it happens.

    Raises:
        WorldsimError: if there is no room for it, or no such thing.
    """
    region = region_of(frame, event, painter)
    painted = painter(frame, region, event.what if event.kind == "appears" else "", seed % 2**63)
    return np.where(region[..., None], painted, frame)


def region_of(frame: np.ndarray, event: Event, painter: Painter) -> np.ndarray:
    """Where a frame changes by an event, bool `[H, W]`.

    Raises:
        WorldsimError: if there is no room for it, or no such thing.
    """
    assert event.kind != "look", event
    return where_nothing_is(frame, painter.cell) if event.kind == "appears" else where_it_is(frame, event.what)


def where_nothing_is(frame: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """A free region, bool `[H, W]`: at the foot of the frame, two cells high and two wide or, where there is less room,
    one; nothing stands in its lower half, and the fewest pixels differ from the median of their row.

    Raises:
        WorldsimError: if there is none.
    """
    differs = (np.abs(frame - np.median(frame, axis=1, keepdims=True)) > DIFFERS).any(-1)
    height, width = differs.shape
    top, floor = max(0, height - 2 * cell[0]), max(0, height - cell[0])
    for columns in (2 * cell[1], cell[1]):
        places = [np.s_[left : left + columns] for left in range(0, width - columns + 1, cell[1])]
        free = [place for place in places if differs[floor:, place].mean() <= FREE]
        if free:
            region = np.zeros_like(differs)
            region[top:, min(free, key=lambda place: float(differs[top:, place].mean()))] = True
            return region
    raise WorldsimError("there is no room in view: look elsewhere, and say it again")


def where_it_is(frame: np.ndarray, thing: str) -> np.ndarray:
    """The box around the largest thing of the colour that is named, and a margin, bool `[H, W]`.

    Raises:
        WorldsimError: if no colour is named, or nothing of it is in view.
    """
    named = [i for i, colour in enumerate(COLOURS) if colour in thing.split()]
    if len(named) != 1:
        raise WorldsimError(f"{thing!r}: things are found by their colour; name one of {', '.join(COLOURS)}")
    distance = np.linalg.norm(_lab(frame)[..., None, :] - _palette(), axis=-1)
    mask = (distance.argmin(-1) == named[0]) & (distance.min(-1) < REACH)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    found = [tuple(map(int, box)) for box in boxes[1:] if box[cv2.CC_STAT_AREA] >= LEAST_THING * mask.size]
    if not found:
        raise WorldsimError(f"there is no {thing} in view")
    left, top, width, height, _ = max(found, key=lambda box: box[cv2.CC_STAT_AREA])
    region = np.zeros(mask.shape, bool)
    region[max(0, top - MARGIN) : top + height + MARGIN, max(0, left - MARGIN) : left + width + MARGIN] = True
    return region


def _lab(frame: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


@functools.cache
def _palette() -> np.ndarray:
    return _lab(np.array([list(COLOURS.values())], np.uint8))[0]
