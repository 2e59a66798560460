"""The six hues reserved for objects, in every world that has objects of ours. Knows no world and draws nothing.

Any two are more than 40 apart in CIE Lab, so the nearest one is an object's colour; everything else that a world draws
is muted and keeps its distance from all of them.
"""

from __future__ import annotations

import numpy as np

from worldsim.evals.permanence.scene import COLOURS, PALETTE

__all__ = ["COLOURS", "HUES", "PALETTE"]

HUES = np.array(list(PALETTE.values()), np.uint8)  # uint8 RGB [6, 3]
