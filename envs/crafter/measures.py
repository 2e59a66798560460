"""What of Crafter is right in frames that continue a known past: tiles, inventory, what comes back into view.

Pure functions of arrays. N scenes, T frames of known past, n frames after them, S components of the exact state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldsim_envs.crafter.judge import last_seen, movers
from worldsim_envs.crafter.names import COLUMNS, ITEMS, ROWS, TILE, TILES
from worldsim_envs.crafter.reader import AT, MIDDLE, Reading

CREATURES = tuple(TILE[name] for name in ("cow", "zombie", "skeleton", "arrow"))
# MAY_BE[truth, shown]: whether what is shown is right, a creature that may have come since included
MAY_BE = np.array([[a == b or b in movers(a) for b in TILES] for a in TILES])


class Asked(NamedTuple):
    """Which tiles of the n frames can be asked for, each `[N, n, 7, 9]`.

    Attributes:
        known: bool, whether the known past showed what is there: a tile in view then, no creature now.
        away: int, how many steps ago it was last in view.
    """

    known: np.ndarray
    away: np.ndarray

    def returned(self, steps: int) -> np.ndarray:
        """Tiles that come back into view after so many steps or more, bool `[N, n, 7, 9]`."""
        return self.known & (self.away >= steps)


def asked(states: np.ndarray, context: int) -> Asked:
    """What can be asked of scenes of states `[N, T + n, S]`, of which the first T = `context` are known."""
    places, tiles = states[..., [AT["x"], AT["y"]]].astype(int), tiles_of(states)
    away = np.stack([last_seen(scene) for scene in places])
    known = np.stack([_in_view_before(scene, context) for scene in places])[:, context:]
    known &= ~np.isin(tiles[:, context:], CREATURES)
    known[..., MIDDLE[0], MIDDLE[1]] = False  # the player
    return Asked(known, away[:, context:])


def tiles_of(states: np.ndarray) -> np.ndarray:
    """The tiles in view of exact states `[..., S]`, int `[..., 7, 9]`."""
    return states[..., AT["tile_0_0"] :].astype(int).reshape(*states.shape[:-1], ROWS, COLUMNS)


def items_of(states: np.ndarray) -> np.ndarray:
    """What is carried in exact states `[..., S]`, int `[..., 16]`."""
    return states[..., AT[ITEMS[0]] : AT[ITEMS[-1]] + 1].astype(int)


def tiles_right(shown: np.ndarray, truth: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The share of the tiles chosen by `which` that are right, over the last two axes: tiles and bools `[..., 7, 9]` ->
    `[...]`, not a number where none is chosen."""
    return _share(MAY_BE[truth, shown], which, (-1, -2))


def items_right(shown: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The share of numbers that are right, of the items there are or are shown, over the last two axes: `[..., n, 16]`
    -> `[...]`. Items that nobody has and that are not shown are no achievement."""
    return _share(shown == truth, (shown > 0) | (truth > 0), (-1, -2))


def stacked(readings: list[Reading]) -> tuple[np.ndarray, np.ndarray]:
    """The tiles `[N, n, 7, 9]` and inventories `[N, n, 16]` of N readings of n frames."""
    tiles = np.stack([reading.tiles for reading in readings]).astype(int)
    return tiles, np.stack([reading.inventory for reading in readings])


def comes_back(states: np.ndarray, context: int, horizon: int, steps: int) -> np.ndarray:
    """After which frames of an episode something that was in view in the `context` frames up to there comes back within
    `horizon` frames, having been away for `steps` or more: states `[T, S]` -> bool `[T]`."""
    away = last_seen(states[:, [AT["x"], AT["y"]]].astype(int))
    least = np.where(away >= steps, away, len(away) + context).min((1, 2))  # [T]
    last = np.arange(len(least))
    found = np.zeros(len(least), bool)
    for ahead in range(1, horizon + 1):
        found[: len(least) - ahead] |= least[ahead:] <= ahead + context - 1
    return found & (last >= context - 1)


def _in_view_before(places: np.ndarray, context: int) -> np.ndarray:
    """Whether each tile of the view was in view in the first `context` frames, bool `[T, 7, 9]`."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    cells = np.stack([columns - COLUMNS // 2, rows - ROWS // 2], -1) + places[:, None, None]  # [T, 7, 9, 2]
    seen = {tuple(cell) for cell in cells[:context].reshape(-1, 2).tolist()}
    return np.array([tuple(cell) in seen for cell in cells.reshape(-1, 2).tolist()]).reshape(cells.shape[:-1])


def _share(right: np.ndarray, which: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    count = which.sum(axes)
    return np.where(count > 0, (right & which).sum(axes) / np.maximum(count, 1), np.nan)
