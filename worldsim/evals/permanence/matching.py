"""Which detection is which object. Knows positions and colours, and no score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from worldsim.evals.permanence.detector import Detection
from worldsim.evals.permanence.scene import Thing

SEEN = 0.5  # share of a thing that must be visible for it to be looked for


def assign(things: Sequence[Thing], seen: Sequence[Detection]) -> tuple[dict[int, Detection], list[Detection]]:
    """Match detections to things by their index: colour first, then the nearest; and the detections left over."""
    from scipy.optimize import linear_sum_assignment

    cost = [[distance(d, thing) + 1e6 * (d.colour != thing.colour) for d in seen] for thing in things]
    rows, columns = linear_sum_assignment(np.array(cost).reshape(len(things), len(seen)))
    pairs = {int(i): seen[j] for i, j in zip(rows, columns, strict=True)}
    taken = set(columns.tolist())
    return pairs, [d for j, d in enumerate(seen) if j not in taken]


def distance(a: Detection | Thing, b: Detection | Thing) -> float:
    """Between two centroids, in pixels."""
    return math.hypot(a.x - b.x, a.y - b.y)
