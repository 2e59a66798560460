"""The colours of the toy room in four styles. Data only.

In the looks of `JUDGED`, everything but the toys stays at least 40 (CIE76) away from all six of their hues.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldsim_envs.palette import HUES

Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Look:
    """Colours of everything, RGB.

    Attributes:
        walls, screens: one of each is chosen by an episode's decor.
        stripe: added to the wall's colour where it is patterned. trim: along the foot of the wall. shade: under things.
        decor: of the landmarks on the wall: light, middle, dark, line.
        toys: the six hues as this look shows them.
    """

    walls: tuple[Colour, ...]
    screens: tuple[Colour, ...]
    floor: Colour
    trim: Colour
    stripe: int
    shade: Colour
    fence: Colour
    rail: Colour
    box: Colour
    inside: Colour
    lid: Colour
    cup: Colour
    rim: Colour
    glove: Colour
    cuff: Colour
    line: Colour
    card: Colour
    decor: tuple[Colour, Colour, Colour, Colour]
    toys: tuple[Colour, ...]


def _hues(towards: Colour, share: float) -> tuple[Colour, ...]:
    mixed = np.rint(HUES * (1 - share) + np.array(towards) * share).astype(int)
    return tuple((int(r), int(g), int(b)) for r, g, b in mixed)


LOOKS = {
    "day": Look(
        walls=((226, 216, 198), (216, 206, 206), (214, 214, 196), (230, 208, 190)),
        screens=((98, 84, 104), (108, 92, 82), (84, 80, 92)),
        floor=(168, 146, 120),
        trim=(240, 234, 222),
        stripe=-9,
        shade=(134, 114, 92),
        fence=(92, 72, 56),
        rail=(64, 56, 58),
        box=(126, 94, 64),
        inside=(50, 40, 36),
        lid=(178, 146, 106),
        cup=(66, 60, 68),
        rim=(236, 226, 210),
        glove=(252, 246, 238),
        cuff=(108, 84, 92),
        line=(52, 46, 50),
        card=(250, 244, 230),
        decor=((244, 240, 228), (176, 156, 138), (110, 94, 86), (70, 60, 58)),
        toys=_hues((0, 0, 0), 0),
    ),
    "night": Look(
        walls=((50, 46, 58), (56, 48, 50), (46, 48, 50), (60, 52, 62)),
        screens=((104, 92, 110), (112, 98, 90), (96, 90, 96)),
        floor=(38, 34, 36),
        trim=(80, 72, 78),
        stripe=7,
        shade=(22, 20, 22),
        fence=(118, 98, 80),
        rail=(20, 18, 20),
        box=(92, 70, 52),
        inside=(18, 14, 14),
        lid=(134, 110, 84),
        cup=(134, 124, 120),
        rim=(44, 38, 40),
        glove=(226, 218, 208),
        cuff=(90, 72, 80),
        line=(14, 12, 14),
        card=(196, 186, 170),
        decor=((150, 138, 120), (92, 82, 82), (70, 62, 66), (28, 26, 30)),
        toys=_hues((0, 0, 0), 0),
    ),
    "ink": Look(
        walls=((248, 245, 238), (246, 242, 232), (250, 248, 244), (244, 241, 236)),
        screens=((44, 42, 44), (58, 54, 52), (36, 36, 40)),
        floor=(232, 227, 216),
        trim=(30, 28, 30),
        stripe=-14,
        shade=(150, 146, 140),
        fence=(30, 28, 30),
        rail=(16, 15, 16),
        box=(30, 28, 30),
        inside=(248, 245, 238),
        lid=(92, 88, 86),
        cup=(248, 245, 238),
        rim=(30, 28, 30),
        glove=(255, 253, 248),
        cuff=(30, 28, 30),
        line=(16, 15, 16),
        card=(255, 253, 248),
        decor=((250, 248, 244), (188, 184, 178), (96, 92, 90), (30, 28, 30)),
        toys=_hues((16, 15, 16), 0.35),
    ),
    "pastel": Look(
        walls=((250, 228, 226), (228, 236, 248), (232, 246, 232), (248, 242, 220)),
        screens=((200, 180, 208), (178, 196, 214), (214, 192, 176)),
        floor=(240, 222, 204),
        trim=(255, 252, 248),
        stripe=-8,
        shade=(218, 198, 182),
        fence=(190, 160, 150),
        rail=(160, 140, 158),
        box=(206, 172, 146),
        inside=(140, 112, 102),
        lid=(238, 212, 184),
        cup=(176, 162, 190),
        rim=(250, 240, 236),
        glove=(255, 252, 250),
        cuff=(214, 160, 170),
        line=(130, 112, 124),
        card=(255, 252, 246),
        decor=((255, 252, 248), (226, 200, 196), (180, 168, 196), (140, 124, 140)),
        toys=_hues((255, 255, 255), 0.4),
    ),
}
JUDGED = ("day", "night")
