"""Prompts for Crafter whose answers are known: where one is, what is near, day or night, what is carried; read in
frames by the tile reader. Knows nothing of who answers."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from worldsim.evals.probes import Target
from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.names import COLUMNS, ITEMS, ROWS, STATE, TILE, VITALS
from worldsim_envs.crafter.reader import TileReader
from worldsim_envs.crafter.staging import begin, draw_bag
from worldsim_envs.crafter.words import bag, describe, scene

KINDS = ("day", "night")
TARGETS = tuple(Target(f"imagine.{name}", least=0.8) for name in ("terrain", "time", "carried"))
LABELS = {"terrain": "ground and notable things", "time": "time of day", "carried": "what is carried, exactly"}
STEPS = {"day": (15, 106), "night": (180, 241)}  # since the start, of a day of 300
BRIGHT, DARK = 0.75, 0.35  # daylight from which on it is day, and below which it is night
STUFF = ("sapling", "wood", "stone", "coal", "iron")  # that may be carried
LENGTH = "short"  # of what is said of the place


@dataclasses.dataclass(frozen=True, eq=False)
class AskedScene:
    """One prompt, judged by the tile reader; see `worldsim.evals.instruments.imagine.Asked`.

    Attributes:
        kind: "day" or "night".
        ground, near: names of tiles: what there is most to walk on, and what else is in view.
        carried: how much of each item.
    """

    kind: str
    text: str
    ground: str
    near: tuple[str, ...]
    carried: dict[str, int]
    real: np.ndarray
    look: str = ""

    def seen(self, frame: np.ndarray) -> dict[str, bool]:
        """Whether place, time and what is carried are as asked."""
        reading = _reader(*frame.shape[:2]).read(frame[None])
        ground, _ = scene(reading.tiles[0], LENGTH)
        there = all((reading.tiles[0] == TILE[name]).any() for name in self.near)
        light = float(reading.daylight[0])
        carried = {item: int(n) for item, n in zip(ITEMS, reading.inventory[0], strict=True) if item not in VITALS}
        return {
            "terrain": ground == self.ground and there,
            "time": light > BRIGHT if self.kind == "day" else light < DARK,
            "carried": {item: n for item, n in carried.items() if n} == self.carried,
        }


def ask(kind: str, seed: int, height: int, width: int) -> AskedScene:
    """One prompt of a kind, for frames of a size; the same seed gives the same prompt."""
    rng = np.random.default_rng([seed, 7])
    env = _env(height, width)
    env.reset(seed=seed)
    frame, info = begin(env, int(rng.integers(*STEPS[kind])), draw_bag(rng, STUFF))
    state = info["state"]
    tiles = state[STATE.index("tile_0_0") :].astype(int).reshape(ROWS, COLUMNS)
    ground, near = scene(tiles, LENGTH)
    carried = {item: int(n) for item in ITEMS if item not in VITALS and (n := state[STATE.index(item)])}
    text = f"{describe(state, rng, LENGTH)} {bag(state, rng)}"
    return AskedScene(kind, text, ground, tuple(near), carried, frame)


def ask_edit(seed: int, height: int, width: int) -> None:
    """Nothing: what a tile stands for is not its picture alone."""


def areas(height: int) -> None:
    """Nothing of the permanence suite's is found in Crafter's frames."""


@functools.cache
def _env(height: int, width: int) -> CrafterEnv:
    return CrafterEnv(height, width)


@functools.cache
def _reader(height: int, width: int) -> TileReader:
    return TileReader(height, width)
