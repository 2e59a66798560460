"""Prompts for the toy box whose answers are known: things, their order, and looks. Knows nothing of who answers."""

from __future__ import annotations

import functools

import numpy as np

from worldsim.evals.instruments.imagine import Asked
from worldsim.evals.permanence.scene import COLOURS, SHAPES
from worldsim_envs.toybox.clips import LIGHT, posed_room
from worldsim_envs.toybox.env import ToyboxEnv
from worldsim_envs.toybox.looks import JUDGED, LOOKS
from worldsim_envs.toybox.staging import AREAS
from worldsim_envs.toybox.words import NAMES, PHRASINGS, caption

KINDS = {"one": 1, "two": 2, "three": 3, "relation": 2}  # and how many things


def ask(kind: str, seed: int, height: int, width: int) -> Asked:
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
    return Asked(kind, text, things, room.look, room.look in JUDGED, areas(height), env.view.render(room))


def areas(height: int) -> tuple[float, float]:
    """Areas of the smallest and the largest toy in frames of a height, in pixels."""
    scale = height / 64
    return min(AREAS.values()) * (4 * scale) ** 2, max(AREAS.values()) * (6 * scale) ** 2


@functools.cache
def _env(height: int, width: int) -> ToyboxEnv:
    return ToyboxEnv(height, width)
