"""Renders rooms from the player's eyes: one ray for every half column, flat colours, no texture.

The image plane is a cylinder: all columns are equally wide angles, so a turn shifts the picture and does nothing else.
Everything is a span of rows on a ray (wall, skirting, shadow, thing), laid over what is farther away with exact
coverage of the rows it begins and ends in. Knows a plan and things, but no rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from worldsim.evals.permanence.scene import SHAPES
from worldsim_envs.palette import HUES
from worldsim_envs.rooms.plan import Plan, Thing

EYE = 0.5  # height of the eyes; a wall's is 1
AROUND = 3.75  # width of a picture of 360 degrees, in heights of the picture
SKIRTING = 0.12  # height of the darker foot of walls
PANELS = 2  # of walls, each 1 wide: every other is darker
DIM_SKIRTING, DIM_PANEL, DIM_SHADOW = 0.75, 0.93, 0.6  # their shares of the light
HAZE, FOG = 0.07, np.array((60, 56, 52), np.float32)  # share of the fog in a unit of depth, about
RAYS = 2  # a column: pixels are their mean
SHADOW = 1.15  # radius of a thing's shadow, in the thing's
NEAREST = 0.05  # what is nearer than this isn't drawn
SLACK = 1e-9  # by which walls are longer, so that no ray slips through a corner


class View:
    """Renders frames of one size. Shapes: H rows, W columns, R rays a column.

    Args:
        height, width: in pixels.
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.focal = AROUND * height / math.tau  # columns in a radian, and the cylinder's radius in pixels
        middles = np.arange(width) + (np.arange(RAYS)[:, None] + 0.5) / RAYS
        self._angles = (middles - width / 2) / self.focal  # to the right, [R, W]
        self._rows = np.arange(height, dtype=np.float32)[:, None]
        self._upper = self._rows + 0.5 < height / 2
        rise = np.abs(self._rows + 0.5 - height / 2) / self.focal
        self._clarity = _clarity(EYE / np.maximum(rise, 1e-3)).astype(np.float32)

    def render(
        self, plan: Plan, things: Iterable[Thing], x: float, y: float, cos: float, sin: float
    ) -> tuple[np.ndarray, float]:
        """The view from x, y towards (cos, sin).

        Returns:
            uint8 RGB `[height, width, 3]`, and the distance of the wall in the middle of it.
        """
        ahead, aside = np.cos(self._angles).ravel(), np.sin(self._angles).ravel()
        dx, dy = ahead * cos + aside * sin, ahead * sin - aside * cos  # right of (cos, sin) is (sin, -cos)
        depth, wall, along = _cast(plan, x, y, dx, dy)
        clear = _clarity(depth)
        bright = clear * np.where(along.astype(np.int64) % PANELS, DIM_PANEL, 1.0)
        paint = plan.paint[:, wall] * bright.astype(np.float32) + FOG[:, None] * (1 - clear).astype(np.float32)
        depth = depth.reshape(self._angles.shape)
        picture = self._paint_walls(plan, depth, paint.reshape(3, *depth.shape))
        self._paint_things(picture, plan, things, depth, (x, y, cos, sin))
        frame = np.ascontiguousarray((picture + 0.5).astype(np.uint8).transpose(1, 2, 0))
        middle = self.width // 2
        return frame, float(depth[:, max(middle - 1, 0) : middle + 1].min())

    def _paint_walls(self, plan: Plan, depth: np.ndarray, paint: np.ndarray) -> np.ndarray:
        """Floor and ceiling, and walls of depth `[R, W]` and paint `[3, R, W]` before them: float32 `[3, H, W]`."""
        ground = np.where(self._upper, plan.ceiling, plan.floor) * self._clarity + FOG * (1 - self._clarity)
        foot = self._row(0, depth)
        cover = self._cover(self._row(1, depth), foot)
        picture = ground.T[:, :, None] * (1 - cover.sum(0) / RAYS)
        half = self.height // 2
        cover[:, half:] -= (1 - DIM_SKIRTING) * self._cover(self._row(SKIRTING, depth), foot)[:, half:]
        for ray in range(RAYS):
            picture += cover[ray] * (paint[:, None, ray] / RAYS)
        return picture

    def _paint_things(
        self,
        picture: np.ndarray,
        plan: Plan,
        things: Iterable[Thing],
        depth: np.ndarray,
        pose: tuple[float, float, float, float],
    ) -> None:
        seen = sorted(((*bearing(thing, pose), thing) for thing in things), key=lambda item: -item[0])
        for away, angle, thing in seen:
            reach = SHADOW * thing.radius
            first, last = self._columns(away, angle, reach)
            part, off, walls = (each[..., first:last] for each in (picture, self._angles - angle, depth))
            if first < last and away > NEAREST and away - reach < walls.max():
                self._paint_shadow(part, plan, off, walls, away, reach)
                self._paint_thing(part, thing, off, walls, away)

    def _columns(self, away: float, angle: float, radius: float) -> tuple[int, int]:
        """First and last (exclusive) column in which a disc on the floor may be seen: between its tangents."""
        half = math.asin(min(radius / max(away, radius), 1.0))
        left, right = ((angle + side) * self.focal + self.width / 2 for side in (-half, half))
        return min(max(math.floor(left), 0), self.width), min(max(math.ceil(right), 0), self.width)

    def _paint_shadow(
        self,
        picture: np.ndarray,
        plan: Plan,
        off: np.ndarray,
        walls: np.ndarray,
        away: float,
        radius: float,
    ) -> None:
        """A dark disc on the floor: a ray, at an angle off its middle, is in it from the nearer to the farther root."""
        middle = away * np.cos(off)
        inside = middle**2 - away**2 + radius**2
        root = np.sqrt(np.maximum(inside, 0))
        near, far = np.maximum(middle - root, NEAREST), np.maximum(middle + root, NEAREST)
        cover = self._cover(self._row(0, far), self._row(0, near)) * ((inside > 0) & (far < walls))[:, None]
        _lay(picture, cover, FOG + (DIM_SHADOW * plan.floor - FOG) * np.float32(1 / (1 + HAZE * away)))

    def _paint_thing(self, picture: np.ndarray, thing: Thing, off: np.ndarray, walls: np.ndarray, away: float) -> None:
        across = off * away / thing.radius  # -1 to 1, for it faces the player
        low, high = _outline(SHAPES[thing.shape], across)
        cover = self._cover(self._row(thing.radius * high, away), self._row(thing.radius * low, away))
        _lay(picture, cover * (away < walls)[:, None], HUES[thing.colour].astype(np.float32))

    def _row(self, height: float | np.ndarray, depth: float | np.ndarray) -> np.ndarray:
        """The row at which something of a height is seen, in pixels from the top."""
        return np.asarray(self.height / 2 + self.focal * (EYE - height) / depth, np.float32)

    def _cover(self, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        """The share of each pixel that a span of rows covers on each ray, `[R, n]`, `[R, n]` -> `[R, H, n]`."""
        share = np.minimum(bottom[:, None], self._rows + 1)
        share -= np.maximum(top[:, None], self._rows)
        return np.clip(share, 0, 1, out=share)


def bearing(thing: Thing, pose: tuple[float, float, float, float]) -> tuple[float, float]:
    """How far away a thing is from a pose (x, y, cos, sin), and at what angle to the right of straight ahead."""
    x, y, cos, sin = pose
    ahead, aside = (thing.x - x) * cos + (thing.y - y) * sin, (thing.x - x) * sin - (thing.y - y) * cos
    return math.hypot(ahead, aside), math.atan2(aside, ahead)


def _lay(picture: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> None:
    """Lay a colour `[3]` over a picture `[3, H, n]` where it covers the rays `[R, H, n]`."""
    picture += cover.sum(0) / RAYS * (colour[:, None, None] - picture)


def _outline(shape: str, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest point of a thing, in radii above the floor, so many radii off its middle."""
    away = np.abs(off)
    if shape == "ball":
        half = np.sqrt(np.maximum(1 - off**2, 0))
        return 1 - half, 1 + half
    if shape == "cross":
        low, high = np.where(away < 1 / 3, 0, 2 / 3), np.where(away < 1 / 3, 2, 4 / 3)
    else:
        low, high = np.zeros_like(off), np.full_like(off, 2.0) if shape == "box" else 2 * (1 - away)
    return low, np.where(away < 1, high, low)


def _cast(plan: Plan, x: float, y: float, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth of the nearest wall on each ray, which one it is, and where on it the ray ends."""
    to = np.where(plan.axis == 0, plan.at - x, plan.at - y)
    seen = np.flatnonzero(to * plan.facing < 0)
    upright, to = (plan.axis[seen] == 0)[:, None], to[seen][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = to / np.where(upright, dx, dy)
        along = np.where(upright, y, x) + depth * np.where(upright, dy, dx)
    hit = (depth > 0) & (along >= plan.low[seen, None] - SLACK) & (along <= plan.high[seen, None] + SLACK)
    depth = np.where(hit, depth, np.inf)
    wall, rays = depth.argmin(0), np.arange(len(dx))
    return depth[wall, rays], seen[wall], along[wall, rays]


def _clarity(depth: np.ndarray) -> np.ndarray:
    """How much is left of a colour at a depth; the rest is fog."""
    return 1 / (1 + HAZE * depth)
