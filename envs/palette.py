"""The six hues reserved for objects, in every world that has objects of ours. Knows no world and draws nothing.

Any two are more than 40 apart in CIE Lab, so the nearest one names an object's colour; whatever else a world draws is
muted and stays away from all of them.
"""

from __future__ import annotations

import numpy as np

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (225, 35, 40),
    "yellow": (250, 220, 30),
    "green": (30, 170, 60),
    "cyan": (30, 200, 225),
    "blue": (40, 70, 225),
    "magenta": (215, 40, 200),
}
COLOURS = tuple(PALETTE)  # their order is that of colour indices
HUES = np.array(list(PALETTE.values()), np.uint8)  # uint8 RGB [6, 3]
