"""Clips of the toy box in words: posed scenes and free play, in every look, some in two looks, some that change theirs.

Knows how rooms are drawn and named; nothing of how clips are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from worldsim.data.captioned import CLIP_FRAMES, MOMENT, ClipSource, Explorer
from worldsim.data.clip_shards import Clip
from worldsim.evals.permanence.scene import COLOURS, SHAPES
from worldsim_envs.toybox.env import ToyboxEnv
from worldsim_envs.toybox.layout import SPEEDS, draw_toys
from worldsim_envs.toybox.looks import LOOKS
from worldsim_envs.toybox.room import Act, Room, Toy
from worldsim_envs.toybox.sets import empty_room, stroll
from worldsim_envs.toybox.synonyms import SYNONYMS
from worldsim_envs.toybox.words import LENGTHS, LIT, NAMES, OUT, PHRASINGS, caption, where

POSED = 0.6  # of the groups
PAIRED = 0.35  # of the groups that don't change their look
CHANGING = 0.08  # of the groups
MOVING = 0.35  # of the posed groups
WARM_UP = 120  # frames of free play before a clip, at most
LIGHT = {
    "day": ("by day", "in daylight"),
    "night": ("at night", "in the dark"),
    "ink": ("in ink", "drawn in ink"),
    "pastel": ("in pastel", "in pastel colours"),
}
TURNS = {
    "day": ("day breaks", "it becomes day"),
    "night": ("night falls", "it becomes night"),
    "ink": ("all turns to ink",),
    "pastel": ("all turns to pastel",),
}


def look_phrases(look: str) -> tuple[str, ...]:
    """All that captions say of a look, as recorded and in other words."""
    told = (*LIGHT[look], LIT[look])
    return tuple(dict.fromkeys((*(way for said in told for way in (said, *SYNONYMS.phrases[said])), look)))


def make_clips(seed: int, height: int, width: int, explorer: Callable[[np.random.Generator], Explorer]) -> list[Clip]:
    """The clips of one group; the same seed gives the same clips."""
    rng = np.random.default_rng([seed, 3])
    env = _env(height, width)
    rooms = _posed(rng, env) if rng.random() < POSED else _played(rng, env, explorer, seed)
    look, other = (str(name) for name in rng.permutation(list(LOOKS))[:2])
    if rng.random() < CHANGING:
        return [_clip(env, rooms, look, seed, rng, (int(rng.integers(4, 13)), other))]
    looks = [look, other] if rng.random() < PAIRED else [look]
    return [_clip(env, rooms, name, seed, rng) for name in looks]


def phrases(room: Room, rng: np.random.Generator) -> tuple[str, ...]:
    """A room in words, in several ways and lengths, each true by itself."""
    light = str(rng.choice(LIGHT[room.look]))
    texts = [caption(room, length, int(rng.integers(PHRASINGS))) for length in LENGTHS]
    texts.append(f"{caption(room, 'short', 0)}, {light}")
    here = sorted((toy for toy in room.toys if where(room, toy) not in OUT), key=lambda toy: toy.x)
    if len(here) > 1:
        i = int(rng.integers(len(here) - 1))
        left, right = _name(here[i]), _name(here[i + 1])
        sides = (f"a {left} left of a {right}", f"a {right} right of a {left}", f"a {left} to the left of a {right}")
        texts.append(f"{rng.choice(sides)}, {light}")
    return tuple(texts)


def posed_room(rng: np.random.Generator, env: ToyboxEnv, toys: int) -> Room:
    """A room with so many toys of different colours in view, side by side, and nothing before them."""
    room = empty_room(rng, env.view)
    drawn = draw_toys(rng, toys)
    while len({toy.colour for toy in drawn}) < toys:
        drawn = draw_toys(rng, toys)
    share = room.view / toys
    for i, toy in enumerate(drawn):
        slack = max(share / 2 - toy.radius - 1, 0)
        toy.x = room.camera + share * (i + 0.5) + float(np.round(rng.uniform(-slack, slack)))
    room.toys = drawn
    return room


def _posed(rng: np.random.Generator, env: ToyboxEnv) -> list[Room]:
    room = posed_room(rng, env, int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])))
    if rng.random() < MOVING:
        room.toys[int(rng.integers(len(room.toys)))].vx = float(rng.choice(SPEEDS[:5]) * rng.choice((-1, 1)))
    actions = stroll(rng, CLIP_FRAMES - 1)
    if rng.random() < 0.2:
        begin, pan = int(rng.integers(12)), int(rng.choice([Act.PAN_LEFT, Act.PAN_RIGHT]))
        actions[begin : begin + 4] = [pan] * 4
    rooms = [room.copy()]
    for action in actions:
        room.step(action)
        rooms.append(room.copy())
    return rooms


def _played(
    rng: np.random.Generator, env: ToyboxEnv, explorer: Callable[[np.random.Generator], Explorer], seed: int
) -> list[Room]:
    observation, info = env.reset(seed=seed)
    explore, rooms = explorer(rng), []
    for _ in range(int(rng.integers(WARM_UP)) + CLIP_FRAMES):
        rooms.append(env.room.copy())
        observation, _, _, _, info = env.step(np.int64(explore(observation, info)))
    return rooms[-CLIP_FRAMES:]


def _clip(
    env: ToyboxEnv,
    rooms: list[Room],
    look: str,
    group: int,
    rng: np.random.Generator,
    change: tuple[int, str] | None = None,
) -> Clip:
    """Render rooms in a look, and from some frame on in another."""
    drawn = [room.copy() for room in rooms]
    for i, room in enumerate(drawn):
        room.look = change[1] if change and i >= change[0] else look
    frames = np.stack([env.view.render(room) for room in drawn])
    moments = tuple(phrases(room, rng) for room in drawn[::MOMENT])
    story = moments[0]
    if change:
        story = tuple(f"{text.rstrip('.')}, then {rng.choice(TURNS[change[1]])}" for text in story)
    return Clip(frames, story, moments, look, group)


def _name(toy: Toy) -> str:
    return f"{COLOURS[toy.colour]} {NAMES[SHAPES[toy.shape]]}"


@functools.cache
def _env(height: int, width: int) -> ToyboxEnv:
    return ToyboxEnv(height, width)


SOURCE = ClipSource(
    sizes=(
        (64, 64), (32, 32), (48, 48), (96, 96), (64, 64), (48, 64), (64, 96), (80, 128), (64, 64), (96, 160), (64, 128),
        (64, 48), (96, 64), (80, 64),
    ),
    unseen=((48, 80), (112, 80)),
    make=make_clips,
    looks={look: look_phrases(look) for look in LIGHT},
)  # fmt: skip
