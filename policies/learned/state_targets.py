"""What an encoder is pretrained to predict besides the exact state of a world. Needs no torch.

N rows, C components of state, D components derived from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class StateTargets:
    """Targets derived from the exact state, and their mirror image.

    Attributes:
        derive: states `[N, C]` -> what follows from them, `[N, D]`.
        mirror: states and derived targets, side by side, `[N, C + D]` -> those of the mirror images of the frames.
    """

    derive: Callable[[np.ndarray], np.ndarray]
    mirror: Callable[[np.ndarray], np.ndarray]
