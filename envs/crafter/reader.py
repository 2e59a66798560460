"""Reads Crafter's frames: which tile is where, what is carried, how dark it is. For real frames and generated ones.

Every tile is compared with Crafter's own textures, lit as the game lights them: by night colours fade and noise comes
in from the corners, as grey values, so that colour tells more than brightness there. What noise hides can't be read by
anyone: `legible` says of each tile whether the best reading is certain. Knows neither the game nor a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim.errors import require
from worldsim_envs.crafter.names import COLUMNS, ITEMS, MATERIALS, ROWS, STATE, TILE, TILES, WALKABLE

AT = {name: index for index, name in enumerate(STATE)}
MIDDLE = ROWS // 2, COLUMNS // 2
LEVELS = np.linspace(0, 1, 51)  # of daylight
NOISE_MEAN, NOISE_DEVIATION = 79.5, 95 / 12**0.5  # of the night: uniform from 32 to 127
NIGHT, SLEEP = np.array([0, 16, 64], np.float32), np.array([0, 0, 16], np.float32)  # tints
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
GREY = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], np.float32).T / np.sqrt([3, 2, 6], dtype=np.float32)  # a basis
CERTAIN = 7.0  # log-likelihood by which the best reading beats the next one
FACINGS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclasses.dataclass
class Reading:
    """What some frames show.

    Attributes:
        tiles: uint8 `[T, 7, 9]`, indices of `names.TILES`.
        inventory: int `[T, 16]`, 0 to 9, in the order of `names.ITEMS`.
        facing: int `[T, 2]`, of the player: x to the right, y down. As it was, while asleep.
        sleeping: bool `[T]`.
        daylight: float `[T]`, 0 to 1.
        legible: bool `[T, 7, 9]`, whether a tile is certain.
    """

    tiles: np.ndarray
    inventory: np.ndarray
    facing: np.ndarray
    sleeping: np.ndarray
    daylight: np.ndarray
    legible: np.ndarray

    @classmethod
    def of_states(cls, states: np.ndarray) -> Reading:
        """What exact states `[T, S]` say, in place of frames."""
        tiles = states[:, AT["tile_0_0"] :].reshape(-1, ROWS, COLUMNS).astype(np.uint8)
        return cls(
            tiles=tiles,
            inventory=states[:, AT[ITEMS[0]] : AT[ITEMS[-1]] + 1].astype(int),
            facing=states[:, [AT["facing_x"], AT["facing_y"]]].astype(int),
            sleeping=states[:, AT["sleeping"]] > 0,
            daylight=states[:, AT["daylight"]].astype(float),
            legible=np.ones(tiles.shape, bool),
        )


class TileReader:
    """Reads frames of one size.

    Args:
        height, width: of the frames in pixels.
        tolerance: standard deviation of their values, 0 to 255, from the game's own.

    Raises:
        WorldsimError: if crafter is not installed, whose textures are needed.
    """

    def __init__(self, height: int = 72, width: int = 72, tolerance: float = 6.0):
        self._tolerance = tolerance
        self._unit = unit = np.array([width // COLUMNS, height // (ROWS + 2)])
        self._corner = (width - unit[0] * COLUMNS) // 2, (height - unit[1] * (ROWS + 2)) // 2
        self._looks = _looks(unit)
        self._templates = np.stack([look.image for look in self._looks]).reshape(len(self._looks), -1, 3)
        self._ids = np.array([look.tile for look in self._looks])
        self._is_player = self._ids == TILE["player"]
        self._vignette = _vignette(unit)
        self._slots = _slots(unit)
        lights = [(float(level), asleep) for asleep in (False, True) for level in LEVELS]
        self._lights = [(light, self._lit(MIDDLE, *light)) for light in lights]

    def read(self, frames: np.ndarray) -> Reading:
        """What frames, uint8 `[T, H, W, 3]`, show."""
        tiles = self._cut(frames)
        lights = self._find_lights(tiles[:, MIDDLE[0], MIDDLE[1]])
        shape = len(frames), ROWS, COLUMNS
        best, legible = np.zeros(shape, np.int64), np.zeros(shape, bool)
        for light in set(lights):
            those = np.array([other == light for other in lights])
            for row, column in np.ndindex(ROWS, COLUMNS):
                likely = self._likelihood(tiles[those, row, column], *self._lit((row, column), *light))
                likely[:, self._is_player != ((row, column) == MIDDLE)] = -np.inf
                best[those, row, column] = first = likely.argmax(1)
                others = np.where(self._ids[first][:, None] == self._ids, -np.inf, likely).max(1)
                legible[those, row, column] = likely.max(1) - others > CERTAIN
        looks = [self._looks[index] for index in best[:, MIDDLE[0], MIDDLE[1]]]
        return Reading(
            tiles=self._ids[best].astype(np.uint8),
            inventory=self._count(tiles),
            facing=_kept([look.facing for look in looks]),
            sleeping=np.array([asleep for _, asleep in lights]),
            daylight=np.array([level for level, _ in lights]),
            legible=legible,
        )

    def _cut(self, frames: np.ndarray) -> np.ndarray:
        """Frames as tiles, float32 `[T, 9, 9, pixels, 3]`."""
        (w, h), (x, y) = self._unit, self._corner
        inner = frames[:, y : y + h * (ROWS + 2), x : x + w * COLUMNS].astype(np.float32)
        parts = inner.reshape(len(frames), ROWS + 2, h, COLUMNS, w, 3).transpose(0, 1, 3, 2, 4, 5)
        return parts.reshape(len(frames), ROWS + 2, COLUMNS, h * w, 3)

    def _lit(self, place: tuple[int, int], level: float, asleep: bool) -> tuple[np.ndarray, np.ndarray]:
        """The textures `[K, pixels, 3]` as seen at a place of the view, and the noise `[pixels]` on each channel."""
        noise = 2 * max(0.5 - level, 0) * self._vignette[place]
        noised = (1 - noise[:, None]) * self._templates + noise[:, None] * NOISE_MEAN
        night = 0.5 * (0.4 * noised + 0.6 * (noised @ LUMA)[..., None]) + 0.5 * NIGHT
        lit, deviation = level * self._templates + (1 - level) * night, (1 - level) * 0.5 * noise * NOISE_DEVIATION
        if asleep:
            lit, deviation = 0.5 * (lit @ LUMA)[..., None] + 0.5 * SLEEP, deviation * 0.5
        return (lit - 0.5).astype(np.float32), deviation.astype(np.float32)  # the game rounds down

    def _find_lights(self, middle: np.ndarray) -> list[tuple[float, bool]]:
        """Daylight, and whether asleep, from where the player stands `[T, pixels, 3]`: no noise gets there."""
        likely = []
        for (_, asleep), (lit, deviation) in self._lights:
            fits = [look.tile == TILE["player"] and look.asleep == asleep for look in self._looks]
            likely.append(self._likelihood(middle, lit[fits], deviation).max(1))
        return [self._lights[index][0] for index in np.argmax(likely, axis=0)]

    def _count(self, tiles: np.ndarray) -> np.ndarray:
        """What is carried, int `[T, 16]`."""
        shown = tiles[:, ROWS:].reshape(len(tiles), -1, 1, tiles.shape[3] * 3)[:, : len(ITEMS)]
        return np.asarray(((shown - self._slots) ** 2).sum(-1).argmin(-1))

    def _likelihood(self, seen: np.ndarray, expected: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Log-likelihood `[T, K]` of pictures `[T, pixels, 3]` under what is expected `[K, pixels, 3]`, with grey noise
        of a deviation `[pixels]`, up to a constant."""
        colour = np.full_like(deviation, self._tolerance)
        spread = np.stack([np.sqrt(self._tolerance**2 + 3 * deviation**2), colour, colour], -1)
        a, b = ((image @ GREY / spread).reshape(len(image), -1) for image in (seen, expected))
        square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return np.asarray(-0.5 * square - np.log(spread).sum())


def state_reader(height: int, width: int) -> Callable[[np.ndarray], np.ndarray]:
    """What reads frames, uint8 `[..., H, W, 3]`, as exact states, float32 `[..., S]`, named by `names.STATE`; 0 for
    what frames don't show.

    Raises:
        WorldsimError: if crafter is not installed.
    """
    reader = TileReader(height, width)

    def read(frames: np.ndarray) -> np.ndarray:
        found = reader.read(frames.reshape(-1, *frames.shape[-3:]))
        states = np.zeros((len(found.tiles), len(STATE)), np.float32)
        states[:, AT["facing_x"] : AT["facing_y"] + 1] = found.facing
        states[:, AT["sleeping"]], states[:, AT["daylight"]] = found.sleeping, found.daylight
        states[:, AT[ITEMS[0]] : AT[ITEMS[-1]] + 1] = found.inventory
        states[:, AT["tile_0_0"] :] = found.tiles.reshape(len(states), -1)
        return states.reshape(*frames.shape[:-3], -1)

    return read


@dataclasses.dataclass(frozen=True)
class _Look:
    """One way a tile can look: its index, its picture `[h, w, 3]`, and for the player where to and whether asleep."""

    tile: int
    image: np.ndarray
    facing: tuple[int, int] | None = None
    asleep: bool = False


def _looks(unit: np.ndarray) -> list[_Look]:
    """All the ways a tile can look."""
    textures = _textures()
    grounds = {name: textures.get(name, unit)[..., :3] for name in MATERIALS[1:]}
    grounds["outside"] = np.full((*unit, 3), 127, np.uint8)
    looks = [_Look(TILE[name], _upright(image)) for name, image in grounds.items()]

    def add(tile: str, texture: str, on: tuple[str, ...], facing: tuple[int, int] | None = None) -> None:
        for ground in on:
            image = _upright(_over(grounds[ground], textures.get(texture, unit)))
            looks.append(_Look(TILE[tile], image, facing, texture == "player-sleep"))

    for name, facing in FACINGS.items():
        add("player", f"player-{name}", (*WALKABLE, "lava"), facing)
        add("arrow", f"arrow-{name}", (*WALKABLE, "water", "lava"))
    add("player", "player-sleep", WALKABLE)
    for creature in ("cow", "zombie", "skeleton"):
        add(creature, creature, WALKABLE)
    add("plant", "plant", ("grass",))
    add("ripe plant", "plant-ripe", ("grass",))
    assert {look.tile for look in looks} == set(range(len(TILES)))
    return looks


def _slots(unit: np.ndarray) -> np.ndarray:
    """What each item's place in the inventory shows with 0 to 9 of it, float32 `[16, 10, values]`."""
    textures, slots = _textures(), np.zeros((len(ITEMS), 10, *unit, 3), np.float32)
    for slot, item in zip(slots, ITEMS, strict=True):
        for amount in range(1, 10):
            for name, size, offset in ((item, 0.8, 0.1), (str(amount), 0.6, 0.4)):
                x, y = (offset * unit).astype(int)
                w, h = (size * unit).astype(int)
                part = slot[amount, x : x + w, y : y + h]
                part[:] = _over(part, textures.get(name, size * unit))
    return slots.swapaxes(2, 3).reshape(len(ITEMS), 10, -1)


def _textures() -> Any:
    engine, constants = require("crafter.engine", "crafter"), require("crafter.constants", "crafter")
    return engine.Textures(constants.root / "assets")


def _over(ground: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """A texture, transparent where it has a fourth channel, over a ground, both `[w, h, .]`."""
    if texture.shape[-1] == 3:
        return texture
    alpha = texture[..., 3:] / np.float32(255)
    return np.floor(alpha * texture[..., :3] + (1 - alpha) * ground)


def _upright(image: np.ndarray) -> np.ndarray:
    """From Crafter's order of axes, `[x, y]`, to a frame's."""
    return image.swapaxes(0, 1).astype(np.float32)


def _vignette(unit: np.ndarray) -> np.ndarray:
    """How much of the noise gets to each pixel of each tile, `[7, 9, pixels]`."""
    w, h = unit
    x, y = np.linspace(-1, 1, COLUMNS * w), np.linspace(-1, 1, ROWS * h)
    strength = 1 - np.exp(-0.5 * (x[None] ** 2 + y[:, None] ** 2) / 0.5**2)
    return strength.reshape(ROWS, h, COLUMNS, w).swapaxes(1, 2).reshape(ROWS, COLUMNS, h * w).astype(np.float32)


def _kept(facings: list[tuple[int, int] | None]) -> np.ndarray:
    """Where the player faces; while asleep, as before: int `[T, 2]`."""
    kept, last = [], (0, 1)
    for facing in facings:
        last = facing or last
        kept.append(last)
    return np.array(kept)
