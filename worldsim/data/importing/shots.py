"""Where a shot ends: most of the picture is found nowhere near its place in the frame before.

Blocks are looked for around their place by their structure, so neither a pan nor a flash is a cut, and two shots of one
game are told apart though they have the same colours. The threshold adapts to the frames before, so that a fast camera
is not taken for cuts. Fades and dissolves are not found.
"""

from __future__ import annotations

import collections

import cv2
import numpy as np

SIDE = 72  # pixels that the shorter side is scaled to
BLOCK = 18  # pixels a side
REACH = 14  # pixels that a block is looked for in each direction
FOUND = 0.7  # correlation
FLAT = 4.0  # levels, standard deviation: a block without structure is only compared by its brightness
BRIGHTNESS = 40.0  # levels by which such a block may change
LEAST, MOST = 0.55, 0.9  # share of the blocks not found that is a cut, at the least, and in any case
TIMES = 2.5  # as large as the median of the frames before
BEFORE = 24  # frames
SAME = 10  # levels: a frame that differs nowhere by more shows what the one before shows


class CutDetector:
    """Told every frame of a file in order, says which of them begins a shot."""

    def __init__(self) -> None:
        self._changes: collections.deque[float] = collections.deque(maxlen=BEFORE)
        self._last: np.ndarray | None = None

    def __call__(self, frame: np.ndarray) -> bool:
        """Whether uint8 RGB `[h, w, 3]` is of another shot than the one before it."""
        before, self._last = self._last, _small(frame)
        if before is None or before.shape != self._last.shape:
            return False
        change = lost_share(before, self._last)
        usual = float(np.median(self._changes)) if self._changes else 0.0
        is_cut = change >= min(MOST, max(LEAST, TIMES * usual))
        if is_cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return is_cut


def is_same(frame: np.ndarray, before: np.ndarray) -> bool:
    """Whether two frames `[h, w, 3]` of one size show the same, but for the noise of compression."""
    return int(cv2.absdiff(frame, before).max()) <= SAME


def lost_share(before: np.ndarray, now: np.ndarray) -> float:
    """Share of the blocks of grey `now` `[h, w]` that are nowhere near their place in `before`."""
    around = cv2.copyMakeBorder(before, REACH, REACH, REACH, REACH, cv2.BORDER_REPLICATE)
    lost = []
    for top in range(0, now.shape[0] - BLOCK + 1, BLOCK):
        for left in range(0, now.shape[1] - BLOCK + 1, BLOCK):
            block = now[top : top + BLOCK, left : left + BLOCK]
            if block.std() < FLAT:
                there = before[top : top + BLOCK, left : left + BLOCK]
                lost.append(abs(float(block.mean()) - float(there.mean())) > BRIGHTNESS)
                continue
            place = around[top : top + BLOCK + 2 * REACH, left : left + BLOCK + 2 * REACH]
            lost.append(cv2.matchTemplate(place, block, cv2.TM_CCOEFF_NORMED).max() < FOUND)
    return float(np.mean(lost))


def _small(frame: np.ndarray) -> np.ndarray:
    """Grey float32, of about `SIDE` pixels and never less than a block a side."""
    h, w = frame.shape[:2]
    scale = SIDE / min(h, w)
    size = max(BLOCK, round(w * scale)), max(BLOCK, round(h * scale))
    return cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).astype(np.float32)
