"""Prompts for the toy box whose answers are known: things, their order, and looks. Knows nothing of who answers."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from worldsim.evals.permanence.detector import Detection, detect
from worldsim.evals.permanence.scene import COLOURS, SHAPES
from worldsim.evals.probes import Target
from worldsim_envs.toybox.clips import LIGHT, SOURCE, posed_room
from worldsim_envs.toybox.env import ToyboxEnv
from worldsim_envs.toybox.looks import JUDGED, LOOKS
from worldsim_envs.toybox.room import Room
from worldsim_envs.toybox.staging import AREAS
from worldsim_envs.toybox.words import NAMES, PHRASINGS, caption

KINDS = {"one": 1, "two": 2, "three": 3, "relation": 2}  # and how many things
LABELS = {**{kind: f"{kind}: right" for kind in KINDS}, "count": "as many as asked"}
TARGETS = (
    *(Target(f"{made}.one", least=0.95) for made in ("imagine-pictures", "imagine")),
    *(Target(f"{made}.two", least=0.85) for made in ("imagine-pictures", "imagine")),
    *(Target(f"{made}.relation", least=0.75) for made in ("imagine-pictures", "imagine")),
    Target("imagine.look", least=0.98),
    Target("imagine-ends.kept", least=0.9),
    Target("imagine-edits.right", least=0.85),
    Target("imagine-edits.kept", least=0.9),
    Target("imagine-restyle.kept", least=0.9),
    *(Target(f"imagine-sizes.{width}x{height}", most=1.5) for height, width in SOURCE.unseen),
)


@dataclasses.dataclass(frozen=True, eq=False)
class AskedToys:
    """One prompt, judged by the detector of the permanence suite; see `worldsim.evals.instruments.imagine.Asked`.

    Attributes:
        kind: "one", "two", "three": so many things; "relation": two, from left to right.
        things: (colour, shape) of each, indices into the permanence suite's `COLOURS` and `SHAPES`.
        judged: whether things can be detected in the look that is asked for.
        areas: of the smallest and the largest thing that may be there, in pixels.
    """

    kind: str
    text: str
    things: tuple[tuple[int, int], ...]
    look: str
    judged: bool
    areas: tuple[float, float]
    real: np.ndarray

    def seen(self, frame: np.ndarray) -> dict[str, bool]:
        """Whether the things are there, for a relation in their order, and whether there are as many as asked."""
        if not self.judged:
            return {}
        found = detect(frame, self.areas)
        return {self.kind: self._right(found), "count": len(found) == len(self.things)}

    def _right(self, found: Sequence[Detection]) -> bool:
        there = collections.Counter((d.colour, d.shape) for d in found)
        if collections.Counter(self.things) - there:
            return False
        if self.kind != "relation":
            return True
        at = {thing: np.mean([d.x for d in found if (d.colour, d.shape) == thing]) for thing in self.things}
        return bool(at[self.things[0]] < at[self.things[1]])


def ask(kind: str, seed: int, height: int, width: int) -> AskedToys:
    """One prompt of a kind, for frames of a size; the same seed gives the same prompt."""
    rng = np.random.default_rng([seed, 7])
    env = _env(height, width)
    room = posed_room(rng, env, KINDS[kind])
    room.look = str(rng.choice(list(LOOKS)))
    things = tuple((toy.colour, toy.shape) for toy in room.toys)
    names = [f"{COLOURS[colour]} {NAMES[SHAPES[shape]]}" for colour, shape in things]
    text = caption(room, "short", int(rng.integers(PHRASINGS))).rstrip(".")
    if kind == "relation":
        text = str(rng.choice([f"a {names[0]} left of a {names[1]}", f"a {names[1]} right of a {names[0]}"]))
    text = f"{text}, {rng.choice(LIGHT[room.look])}"
    return AskedToys(kind, text, things, room.look, room.look in JUDGED, areas(height), env.view.render(room))


@dataclasses.dataclass(frozen=True, eq=False)
class EditedToys:
    """A toy that is to become another; see `worldsim.evals.instruments.imagine.AskedEdit`.

    Attributes:
        wanted: (colour, shape) of what it becomes. stays: those of the others.
        areas: of the smallest and the largest thing that may be there, in pixels.
    """

    text: str
    frame: np.ndarray
    region: np.ndarray
    real: np.ndarray
    wanted: tuple[int, int]
    stays: tuple[tuple[int, int], ...]
    areas: tuple[float, float]

    def seen(self, frame: np.ndarray) -> tuple[bool, list[bool]]:
        """Whether the region shows the toy that was asked for alone, and which of the others are outside."""
        height, width = self.region.shape
        inside: list[tuple[int, int]] = []
        outside: list[tuple[int, int]] = []
        for d in detect(frame, self.areas):
            row, column = min(int(d.y), height - 1), min(int(d.x), width - 1)
            (inside if self.region[row, column] else outside).append((d.colour, d.shape))
        return inside == [self.wanted], [thing in outside for thing in self.stays]


def ask_edit(seed: int, height: int, width: int) -> EditedToys:
    """One of two or three toys becomes one of another colour or shape; the same seed gives the same."""
    rng = np.random.default_rng([seed, 8])
    env = _env(height, width)
    room = posed_room(rng, env, int(rng.integers(2, 4)))
    room.look = str(rng.choice(JUDGED))
    which = int(rng.integers(len(room.toys)))
    changed = _changed(room, which, rng)
    before, without, after = (env.view.render(r) for r in (room, _without(room, which), changed))
    region = (before != without).any(-1) | (after != without).any(-1)
    wanted = changed.toys[which]
    stays = tuple((toy.colour, toy.shape) for i, toy in enumerate(room.toys) if i != which)
    text = f"{caption(changed, 'short', int(rng.integers(PHRASINGS))).rstrip('.')}, {rng.choice(LIGHT[room.look])}"
    return EditedToys(text, before, region, after, (wanted.colour, wanted.shape), stays, areas(height))


def _without(room: Room, which: int) -> Room:
    room = room.copy()
    del room.toys[which]
    return room


def _changed(room: Room, which: int, rng: np.random.Generator) -> Room:
    """With another colour or shape of one toy, as no other has them."""
    room = room.copy()
    colours = [c for c in range(len(COLOURS)) if c not in {toy.colour for toy in room.toys}]
    shapes = [s for s in range(len(SHAPES)) if s != room.toys[which].shape]
    if rng.random() < 0.5:
        room.toys[which].colour = int(rng.choice(colours))
    else:
        room.toys[which].shape = int(rng.choice(shapes))
    return room


def areas(height: int) -> tuple[float, float]:
    """Areas of the smallest and the largest toy in frames of a height, in pixels."""
    scale = height / 64
    return min(AREAS.values()) * (4 * scale) ** 2, max(AREAS.values()) * (6 * scale) ** 2


@functools.cache
def _env(height: int, width: int) -> ToyboxEnv:
    return ToyboxEnv(height, width)
