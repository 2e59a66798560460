"""The detector: which objects a frame shows, and where. Colours and areas; no neural judge, no world, no truth.

nearest palette colour in Lab -> connected components -> 0.3 to 3 times the expected area -> sub-pixel centroid -> shape
by template. Its one threshold was set on the calibration seeds (see `calibration.py`) and is frozen with the suite.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import numpy as np

from worldsim.evals.permanence.scene import PALETTE, SHAPES, Thing

REACH = 32.0  # a pixel is an object's if it is nearer than this (CIE76) to the nearest palette colour
LEAST_AREA, MOST_AREA = 0.3, 3.0  # of the expected one
TEMPLATE = 16  # pixels a side to which silhouettes are brought to be compared


@dataclasses.dataclass(frozen=True)
class Detection:
    """One object found: indices into `COLOURS` and `SHAPES`, centroid and area in pixels."""

    colour: int
    shape: int
    x: float
    y: float
    area: float


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """CIE76 difference of uint8 RGB frames `[..., H, W, 3]`, pixel by pixel, `[..., H, W]`."""
    colours = _tables()[0]
    return np.sqrt(((colours[_index(a)] - colours[_index(b)]) ** 2).sum(-1))


def detect(frame: np.ndarray, expected: tuple[float, float], reach: float = REACH) -> list[Detection]:
    """Every object in a frame.

    Args:
        frame: uint8 `[H, W, 3]`.
        expected: areas of the smallest and the largest object that may be there, in pixels.
        reach: how far from a palette colour a pixel may be.
    """
    nearest, closest = _nearest(frame)
    near = closest < reach
    found = []
    for colour in np.unique(nearest[near]):
        mask = ((nearest == colour) & near).astype(np.uint8)
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for i in range(1, count):
            left, top, width, height, area = (int(v) for v in boxes[i])
            if not LEAST_AREA * expected[0] <= area <= MOST_AREA * expected[1]:
                continue
            inside = labels[top : top + height, left : left + width] == i
            rows, columns = np.nonzero(inside)
            weights = 1.0 - closest[top : top + height, left : left + width][inside] / reach
            x, y = (low + values @ weights / weights.sum() for low, values in ((left, columns), (top, rows)))
            found.append(Detection(int(colour), _shape(inside), float(x), float(y), float(area)))
    return found


def shown(frames: np.ndarray, things: Sequence[Thing]) -> np.ndarray:
    """Whether any of some things can be found in frames uint8 `[n, H, W, 3]`, by colour and size; bool `[n]`."""
    nearest, closest = _nearest(frames)
    found = np.zeros(len(frames), bool)
    for thing in things:
        pixels = ((nearest == thing.colour) & (closest < REACH)).sum((1, 2))
        for i in np.flatnonzero(~found & (pixels >= LEAST_AREA * thing.area)):  # few: looked at more closely
            found[i] = any(d.colour == thing.colour for d in detect(frames[i], (thing.area, thing.area)))
    return found


def expected_areas(things: Sequence[Thing]) -> tuple[float, float]:
    """The smallest and largest area of a scene's things, for `detect`."""
    areas = [thing.area for thing in things]
    return min(areas), max(areas)


def silhouette(shape: int, size: int) -> np.ndarray:
    """A shape as float32 `[size, size]`, 0 … 1, filling its box; drawn four times as large and area-averaged."""
    fine = 4 * size
    y, x = (np.mgrid[:fine, :fine] + 0.5) / fine * 2 - 1
    inside = {
        "ball": x**2 + y**2 <= 1,
        "box": np.ones_like(x, bool),
        "cone": np.abs(x) <= (y + 1) / 2,
        "cross": np.minimum(np.abs(x), np.abs(y)) <= 1 / 3,
    }[SHAPES[shape]]
    return cv2.resize(inside.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def _nearest(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The palette colour nearest to each pixel, and its distance, both `[..., H, W]`."""
    _, nearest, closest = _tables()
    index = _index(frames)
    return nearest[index], closest[index]


def _index(frames: np.ndarray) -> np.ndarray:
    """Where the tables have each pixel's colour, of 6 bits a channel, `[..., H, W]`."""
    red, green, blue = (frames[..., i].astype(np.int32) >> 2 for i in range(3))
    return (red << 12) | (green << 6) | blue


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lab of all colours of 6 bits a channel `[2**18, 3]`, the nearest palette colour, and its distance `[2**18]`."""
    levels = np.arange(64, dtype=np.uint8) * 4 + 2
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 1, 3)
    palette = np.array([list(PALETTE.values())], np.uint8)
    colours, reserved = (cv2.cvtColor(x.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for x in (grid, palette))
    distance = np.linalg.norm(colours - reserved, axis=-1)  # [2**18, palette]
    return colours[:, 0], distance.argmin(-1).astype(np.uint8), distance.min(-1)


@functools.cache
def _templates() -> np.ndarray:
    return np.stack([silhouette(shape, TEMPLATE) for shape in range(len(SHAPES))])


def _shape(inside: np.ndarray) -> int:
    """The template that a mask `[h, w]`, cut to its box, is nearest to."""
    mask = cv2.resize(inside.astype(np.float32), (TEMPLATE, TEMPLATE), interpolation=cv2.INTER_LINEAR)
    return int(np.abs(_templates() - mask).mean((1, 2)).argmin())
