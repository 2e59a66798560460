"""Renders the toy room from the front: flat colours, soft edges, any size. Knows a room, but not its physics.

Everything is a sprite: a few flat parts around an anchor, drawn at 4 times the resolution, cached at quarters of a
pixel, and laid over what is behind it. The wall with its decor is drawn once an episode, as wide as the room.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable

import numpy as np

from worldsim.evals.permanence.scene import SHAPES
from worldsim_envs.toybox.looks import LOOKS, Colour, Look
from worldsim_envs.toybox.room import (
    BOX,
    BOX_HEIGHT,
    BOX_WALL,
    BOX_WIDTH,
    CUP_HEIGHT,
    CUP_WIDTH,
    FENCE_WIDTH,
    FIRST_CUP,
    LID_STEPS,
    NOWHERE,
    SCREEN_STEPS,
    Room,
    Toy,
)

UNITS = 64.0  # of the view's height
GROUND = 54.0  # units from the top of the view down to where things stand
FLOOR, TRIM = 47.0, 2.0  # where the floor begins, and the height of the trim above it
SCREEN_STEP = 8.0  # units of a step of the screen; all of them reach just below what stands on the ground
RAIL = 4.0  # height of the rail it hangs from
FENCE_HEIGHT = 10.0
CARD, CARD_AT = 11.0, 2.0  # size of the card that shows what is wanted, and its distance from the view's corner
FINE, QUARTERS = 4, 4  # samples a pixel, and places of a sprite within one, each way
LIPS = 2.0  # height of the box's rim, and of its handle

Part = tuple[
    Colour, tuple[float, ...]
]  # a colour, and x0, y0, x1, y1 of a rectangle, x, y, radii of a disc, or a polygon
Sprite = tuple[int, int, np.ndarray, np.ndarray]  # left, top; uint8 colours times cover, and what is left of the ground


class View:
    """Renders frames of one size.

    Args:
        height, width: in pixels.
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.scale = height / UNITS
        self.units = width / self.scale  # of the room that are seen at once
        self._sprites: dict[Hashable, Sprite] = {}
        self._wall_key: Hashable = None

    def render(self, room: Room) -> np.ndarray:
        """The frame of a room whose view is `self.units` wide: uint8 RGB `[height, width, 3]`."""
        look = LOOKS[room.look]
        offset, frame = round(room.camera * self.scale), self.background(room)
        held = room.held
        boxed: list[Toy] = []
        loose: list[Toy] = []
        for i, toy in enumerate(room.toys):
            if i != held and toy.inside in (NOWHERE, BOX):
                (boxed if toy.inside == BOX else loose).append(toy)
        for toy in loose:
            self._put(frame, offset, ("shade", room.look, toy.radius), shadow(look, toy.radius), toy.x, 0.0)
        for toy in loose:
            self._toy(frame, offset, room, toy)
        if held != BOX:
            self._box(frame, offset, room, boxed)
        for i, cup in enumerate(room.cups):
            if held != FIRST_CUP + i:
                self._put(frame, offset, ("cup", room.look), cup_parts(look), cup.x, cup.height)
        self._screen(frame, offset, room)
        if held == BOX:
            self._box(frame, offset, room, boxed)
        elif held >= FIRST_CUP:
            cup = room.cups[held - FIRST_CUP]
            self._put(frame, offset, ("cup", room.look), cup_parts(look), cup.x, cup.height)
        elif held != NOWHERE:
            self._toy(frame, offset, room, room.toys[held])
        self._put(
            frame,
            0,
            ("card", room.look, room.goal),
            card_parts(look, room.goal),
            CARD_AT + CARD / 2,
            GROUND - CARD_AT - CARD,
        )
        closed = held != NOWHERE
        self._put(frame, 0, ("hand", room.look, closed), hand_parts(look, closed), room.hand_x, room.hand_top)
        return frame

    def hidden_layer(self, room: Room) -> np.ndarray:
        """The same view with nothing in the way, uint8 RGB `[height, width, 3]`: the wall, the box without its lid, and
        before them all toys, wherever they are; no screen, no cups, no hand."""
        look, offset, frame = LOOKS[room.look], round(room.camera * self.scale), self.background(room)
        for toy in room.toys:
            if toy.inside != BOX:
                self._put(frame, offset, ("shade", room.look, toy.radius), shadow(look, toy.radius), toy.x, 0.0)
        self._put(frame, offset, ("box", room.look), box_parts(look), room.box.x, room.box.height)
        self._put(frame, offset, ("lid", room.look, 0), lid_parts(look, 0), room.box.x, room.box.height)
        for toy in room.toys:
            self._toy(frame, offset, room, toy)
        return frame

    def background(self, room: Room) -> np.ndarray:
        """The frame of a room with nothing before the wall: uint8 RGB `[height, width, 3]`."""
        offset = round(room.camera * self.scale)
        return self._wall(room)[:, offset : offset + self.width].copy()

    def pixels(self, room: Room, toy: Toy) -> tuple[float, float]:
        """Where the middle of a toy's silhouette is in the frame: x, y; 0, 0 is the middle of the top left pixel."""
        up = toy.radius * (2 / 3 if SHAPES[toy.shape] == "cone" else 1)
        x = toy.x * self.scale - round(room.camera * self.scale)
        return x - 0.5, (GROUND - toy.height - up) * self.scale - 0.5

    def landmarks(self, room: Room) -> np.ndarray:
        """Boxes around both halves of each landmark on the wall that is wholly in view, int64 `[m, 4]`: left, top,
        right, bottom in pixels of the view, exclusive ends."""
        offset = round(room.camera * self.scale)
        boxes = []
        for _, x, low, wide, high in decoration(room):
            edges = [round((x + side * wide / 2) * self.scale - offset) for side in (-1, 0, 1)]
            top, bottom = round((GROUND - low - high) * self.scale), round((GROUND - low) * self.scale)
            pairs = itertools.pairwise(edges)
            boxes += [[left, top, right, bottom] for left, right in pairs if left >= 0 and right <= self.width]
        return np.array(boxes, np.int64).reshape(-1, 4)

    def _toy(self, frame: np.ndarray, offset: int, room: Room, toy: Toy) -> None:
        key = ("toy", room.look, toy.shape, toy.colour, toy.radius)
        colour = LOOKS[room.look].toys[toy.colour]
        self._put(frame, offset, key, toy_parts(toy.shape, toy.radius, colour), toy.x, toy.height)

    def _box(self, frame: np.ndarray, offset: int, room: Room, toys: list[Toy]) -> None:
        look, box = LOOKS[room.look], room.box
        self._put(frame, offset, ("box", room.look), box_parts(look), box.x, box.height)
        for toy in toys:
            self._toy(frame, offset, room, toy)
        self._put(frame, offset, ("lid", room.look, room.lid), lid_parts(look, room.lid), box.x, box.height)

    def _screen(self, frame: np.ndarray, offset: int, room: Room) -> None:
        key = ("screen", room.look, room.decor, room.screen_width, room.screen)
        middle = room.screen_x + room.screen_width / 2
        self._put(frame, offset, key, screen_parts(room), middle, GROUND)

    def _put(self, frame: np.ndarray, offset: int, key: Hashable, parts: list[Part], x: float, height: float) -> None:
        """Lay a sprite over the frame; `parts` are in units around its anchor, which is at x and a height."""
        column = round((x * self.scale - offset) * QUARTERS)
        row = round((GROUND - height) * self.scale * QUARTERS)
        place = (key, column % QUARTERS, row % QUARTERS)
        sprite = self._sprites.get(place)
        if sprite is None:
            sprite = rasterise(parts, self.scale, column % QUARTERS / QUARTERS, row % QUARTERS / QUARTERS)
            self._sprites[place] = sprite
        left, top, colours, keep = sprite
        left, top = left + column // QUARTERS, top + row // QUARTERS
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + colours.shape[1], frame.shape[1]), min(top + colours.shape[0], frame.shape[0])
        if x0 < x1 and y0 < y1:
            cut = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
            frame[y0:y1, x0:x1] = frame[y0:y1, x0:x1] * keep[cut] + colours[cut]

    def _wall(self, room: Room) -> np.ndarray:
        """The empty room, all of it; drawn anew when it is another one."""
        key = (room.look, room.decor, tuple(room.fences), room.view)
        if key != self._wall_key:
            self._wall_key = key
            self._sprites = {k: v for k, v in self._sprites.items() if k[0][0] != "screen"}  # type: ignore[index]
            self._wall_picture = self._draw_wall(room)
        return self._wall_picture

    def _draw_wall(self, room: Room) -> np.ndarray:
        look, rng = LOOKS[room.look], np.random.default_rng(room.decor)
        picture = np.empty((self.height, round(room.width * self.scale) + 1, 3), np.uint8)
        wall = look.walls[int(rng.integers(len(look.walls)))]
        darker = tuple(min(max(c + look.stripe, 0), 255) for c in wall)
        every = int(rng.choice([0, 8, 16, 32]))  # units of a stripe; 0: none
        units = (np.arange(picture.shape[1]) + 0.5) / self.scale
        striped = (units // every % 2 == 1) if every else np.zeros(len(units), bool)
        picture[:] = np.where(striped[:, None], darker, wall)
        picture[round((FLOOR - TRIM) * self.scale) :] = look.trim
        picture[round(FLOOR * self.scale) :] = look.floor
        for kind, x, low, wide, high in decoration(room):
            self._put(picture, 0, (kind, room.look, wide, high), decor_parts(look, kind, wide, high), x, low)
        for x in room.fences:
            half = FENCE_WIDTH / 2
            self._put(picture, 0, ("fence", room.look), [(look.fence, (-half, 0, half, FENCE_HEIGHT))], x, 0.0)
        return picture


def rasterise(parts: list[Part], scale: float, right: float, down: float) -> Sprite:
    """Draw parts (units, y up, around an anchor) whose anchor is at a fraction of a pixel.

    Returns:
        left, top: of the sprite in pixels from the anchor's pixel; float32 colours times cover `[h, w, 3]`, with a half
        added for rounding, and float32 `[h, w, 1]`, the share of the background that stays.
    """
    boxes = np.array([_extent(shape) for _, shape in parts]) * scale
    left, bottom = np.floor(boxes[:, 0].min() + right), boxes[:, 1].min() - down
    top = np.floor(-boxes[:, 3].max() + down)
    wide, high = int(np.ceil(boxes[:, 2].max() + right) - left), int(np.ceil(-bottom) - top)
    y, x = np.mgrid[: high * FINE, : wide * FINE]
    x = ((x + 0.5) / FINE + left - right) / scale
    y = -((y + 0.5) / FINE + top - down) / scale
    colours, cover = np.zeros((*x.shape, 3)), np.zeros((*x.shape, 1))
    for colour, shape in parts:
        inside = _inside(shape, x, y)
        colours[inside], cover[inside] = colour, 1
    mean = (high, FINE, wide, FINE)
    colours = colours.reshape(*mean, 3).mean((1, 3)) + 0.5
    keep = 1 - cover.reshape(*mean, 1).mean((1, 3))
    return int(left), int(top), colours.astype(np.float32), keep.astype(np.float32)


def _extent(shape: tuple[float, ...]) -> tuple[float, float, float, float]:
    if len(shape) == 3:
        x, y, r = shape
        return x - r, y - r, x + r, y + r
    return min(shape[::2]), min(shape[1::2]), max(shape[::2]), max(shape[1::2])


def _inside(shape: tuple[float, ...], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if len(shape) == 3:
        return (x - shape[0]) ** 2 + (y - shape[1]) ** 2 <= shape[2] ** 2
    if len(shape) == 4:
        return (x >= shape[0]) & (x < shape[2]) & (y >= shape[1]) & (y < shape[3])
    corners = np.array(shape).reshape(-1, 2)  # convex, counter-clockwise
    sides = zip(corners, np.roll(corners, -1, 0), strict=True)
    return np.logical_and.reduce([(b[0] - a[0]) * (y - a[1]) >= (b[1] - a[1]) * (x - a[0]) for a, b in sides])


def toy_parts(shape: int, r: float, colour: Colour) -> list[Part]:
    """A toy of radius r around the middle of its foot."""
    third = r / 3
    forms: dict[str, list[tuple[float, ...]]] = {
        "ball": [(0, r, r)],
        "box": [(-r, 0, r, 2 * r)],
        "cone": [(-r, 0, r, 0, 0, 2 * r)],
        "cross": [(-third, 0, third, 2 * r), (-r, r - third, r, r + third)],
    }
    return [(colour, form) for form in forms[SHAPES[shape]]]


def shadow(look: Look, r: float) -> list[Part]:
    """The shadow on the floor of a thing of that radius."""
    return [(look.shade, (-r, -1.25, r, 0.75))]


def box_parts(look: Look) -> list[Part]:
    """The open box, seen from the front."""
    half, top = BOX_WIDTH / 2, BOX_HEIGHT - LIPS
    return [
        (look.shade, (-half, -1.25, half, 0.75)),
        (look.box, (-half, 0, half, top)),
        (look.inside, (BOX_WALL - half, BOX_WALL, half - BOX_WALL, top - LIPS)),
    ]


def lid_parts(look: Look, steps: int) -> list[Part]:
    """The box's rim and handle, and the lid, so many steps down over the front."""
    half, top = BOX_WIDTH / 2, BOX_HEIGHT - LIPS
    opening = top - LIPS - BOX_WALL
    low = top - LIPS - max(opening * steps / LID_STEPS, 1.0)
    parts: list[Part] = [
        (look.line, (-4, top, 4, BOX_HEIGHT)),
        (look.box, (-half, top - LIPS, half, top)),
        (look.lid, (BOX_WALL - half, low, half - BOX_WALL, top - LIPS)),
    ]
    if steps == LID_STEPS:
        parts += [
            (look.line, (-2, BOX_WALL + 2, 2, BOX_WALL + 4)),
            (look.box, (BOX_WALL - half, 9.5, half - BOX_WALL, 10.5)),
        ]
    return parts


def cup_parts(look: Look) -> list[Part]:
    """A cup upside down, wide enough to its shoulders for what it covers."""
    half, shoulder, top = CUP_WIDTH / 2, CUP_HEIGHT - 3.5, CUP_HEIGHT - 1.5
    return [
        (look.shade, (-half, -1.25, half, 0.75)),
        (look.line, (-2, top, 2, CUP_HEIGHT)),
        (look.cup, (-half, 0, half, 0, half, shoulder, half - 2, top, 2 - half, top, -half, shoulder)),
        (look.rim, (-half, 0, half, 2)),
    ]


def screen_parts(room: Room) -> list[Part]:
    """The rail at the ceiling, and the cloth that hangs from it; anchored at the ceiling."""
    look, half = LOOKS[room.look], room.screen_width / 2
    cloth = look.screens[room.decor % len(look.screens)]
    low = -SCREEN_STEP * room.screen if room.screen else -RAIL - 2
    lighter: Colour = (cloth[0] + 10, cloth[1] + 10, cloth[2] + 10)
    parts: list[Part] = [(cloth, (-half, low, half, 0))]
    parts += [(lighter, (-half, y, half, y + 4)) for y in np.arange(low + 6, -RAIL, 8)]
    return [*parts, (look.line, (-half, low, half, low + 2)), (look.rail, (-half, -RAIL, half, 0))]


def card_parts(look: Look, goal: int) -> list[Part]:
    """The card in the corner of the view: the shape that is wanted in the box."""
    half = CARD / 2
    parts: list[Part] = [(look.line, (-half, 0, half, CARD)), (look.card, (1 - half, 1, half - 1, CARD - 1))]
    r = 3.5
    if goal >= 0:
        for colour, shape in toy_parts(goal, r, look.line):
            lifted = (*shape[:1], shape[1] + half - r, shape[2]) if len(shape) == 3 else _lift(shape, half - r)
            parts.append((colour, lifted))
    return parts


def _lift(shape: tuple[float, ...], by: float) -> tuple[float, ...]:
    return tuple(v + by if i % 2 else v for i, v in enumerate(shape))


def hand_parts(look: Look, closed: bool) -> list[Part]:
    """A glove that points down, anchored between its fingertips."""
    gap = 0.5 if closed else 2.0
    thick = 3.0
    fingers = [(-gap - thick, 0.0, -gap, 5.0), (gap, 0.0, gap + thick, 5.0)]
    parts: list[Part] = [(look.line, (x0 - 1, y0, x1 + 1, y1)) for x0, y0, x1, y1 in fingers]
    parts += [(look.line, (0, 7, 5.5)), (look.cuff, (-4, 10, 4, 14)), (look.glove, (0, 7, 4.5))]
    return [*parts, *((look.glove, finger) for finger in fingers)]


def decoration(room: Room) -> list[tuple[str, float, float, float, float]]:
    """What hangs on the wall: kind, x of the middle, height of the foot, width, height."""
    rng, x = np.random.default_rng([room.decor, 1]), 0.0
    things: list[tuple[str, float, float, float, float]] = []
    while True:
        kind = str(rng.choice(["window", "picture", "clock", "door", "lamp", "shelf"]))
        wide = {"window": 18, "picture": int(rng.integers(5, 9)) * 2, "clock": 10, "door": 16, "lamp": 8, "shelf": 20}[
            kind
        ]
        high = {"window": 16, "picture": int(rng.integers(4, 7)) * 2, "clock": 10, "door": 36, "lamp": 12, "shelf": 8}[
            kind
        ]
        low = {"door": 9, "shelf": 22}.get(kind, int(rng.integers(22, 29)))
        x += float(rng.integers(3, 22)) + wide / 2
        if x + wide / 2 > room.width - 2:
            return things
        things.append((kind, x, float(low), float(wide), float(high)))
        x += wide / 2


def decor_parts(look: Look, kind: str, wide: float, high: float) -> list[Part]:
    """A landmark's parts around the middle of its foot."""
    light, middle, dark, line = look.decor
    half, r = wide / 2, wide / 2
    frame: list[Part] = [(dark, (-half, 0, half, high))]
    if kind == "window":
        panes = [(-half + 2, 2.0, -1.0, high - 2), (1.0, 2.0, half - 2, high - 2)]
        return [(light, (-half, 0, half, high)), *((dark, pane) for pane in panes)]
    if kind == "picture":
        return [
            *frame,
            (light, (-half + 2, 2, half - 2, high - 2)),
            (middle, (-half + 2, 2, half - 2, 2, 0.5, high - 3)),
        ]
    if kind == "clock":
        return [
            (dark, (0, r, r)),
            (light, (0, r, r - 1.5)),
            (line, (-0.5, r, 0.5, r + 3)),
            (line, (0, r - 0.5, 2.5, r + 0.5)),
        ]
    if kind == "door":
        panels = [(-half + 3, 4.0, half - 3, 14.0), (-half + 3, 18.0, half - 3, high - 3)]
        return [(dark, (-half, -2, half, high)), *((middle, panel) for panel in panels)]
    if kind == "lamp":
        return [(line, (-1, 0, 1, high)), (middle, (-half, high - 7, half, high - 7, 2, high, -2, high))]
    books = [(-half + 2 + 3 * i, 2.0, -half + 4 + 3 * i, 5.0 + i % 3) for i in range(5)]
    return [(line, (-half, 0, half, 2)), *(((dark, middle, light)[i % 3], book) for i, book in enumerate(books))]


assert SCREEN_STEP * SCREEN_STEPS > GROUND + 1.25, "the screen hides shadows too"
