"""Sketches: the outlines of frames as somebody might draw them, to learn from, and drawings as they are read.

A sketch is uint8 `[H, W]`, 255 where there is a line and 0 elsewhere. Knows no networks and no files.
"""

from __future__ import annotations

import cv2
import numpy as np

THRESHOLDS = 60.0, 240.0  # of the gradient, at full contrast; details are lost at the upper end
WOBBLE = 0.7  # deviation of the lines in pixels, at most
PATCH = 8  # pixels a side of the patches that lines are left out of, and that wobble as one
LEFT_OUT = 0.7  # share of the strokes, at most; of the patches half of it
FAINT = 0.3  # of the strongest contrast to the background; what is fainter is no line
LEAST_CONTRAST = 24  # levels of 255; drawings with less are empty
WIDEST = 5  # pixels; of what is wider, the outline is read


def outlines(frame: np.ndarray, threshold: float = 120.0) -> np.ndarray:
    """Thin lines where a frame uint8 `[H, W, 3]` changes (Canny 1986), at full contrast -> a sketch."""
    contrast = cv2.normalize(frame, np.empty(frame.shape, np.uint8), 0, 255, cv2.NORM_MINMAX)
    return np.asarray(cv2.Canny(contrast, threshold / 2, threshold, L2gradient=True))


def draw(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sketches of frames uint8 `[n, H, W, 3]` in one style: how much detail, how wide and shaky the lines are, and how
    many are left out; the same generator gives the same `[n, H, W]`."""
    height, width = frames.shape[1:3]
    threshold, pen = rng.uniform(*THRESHOLDS), int(rng.integers(1, 3 + min(height, width) // 96))
    left_out = rng.uniform(0, LEFT_OUT) * (rng.random() < 0.7)
    coarse = 2 + height // PATCH, 2 + width // PATCH
    shake = np.float32(rng.uniform(0, WOBBLE)) * rng.standard_normal((2, *coarse), np.float32)
    dx, dy = (cv2.resize(x, (width, height), interpolation=cv2.INTER_CUBIC) for x in shake)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    drawn = []
    for frame in frames:
        patches = (rng.random(coarse) >= left_out / 2).repeat(PATCH, 0).repeat(PATCH, 1)
        lines = outlines(frame, threshold) * patches[:height, :width]
        count, strokes = cv2.connectedComponents(lines)
        lines *= (rng.random(count) >= left_out)[strokes]
        wide = cv2.dilate(lines, np.ones((pen, pen), np.uint8))
        drawn.append(cv2.remap(wide, columns + dx, rows + dy, cv2.INTER_NEAREST))
    return np.stack(drawn)


def drawn_lines(picture: np.ndarray) -> np.ndarray:
    """What differs from the colour that is most of a drawing uint8 `[H, W, 3]`, dark on light or light on dark -> a
    sketch."""
    background = np.median(picture.reshape(-1, 3), axis=0)
    contrast = np.abs(picture - background).max(-1)
    return np.where(contrast > max(FAINT * contrast.max(), LEAST_CONTRAST), 255, 0).astype(np.uint8)


def hollow(lines: np.ndarray) -> np.ndarray:
    """A sketch of whose filled areas only the outlines are left."""
    inside = cv2.erode(lines, np.ones((WIDEST, WIDEST), np.uint8), borderType=cv2.BORDER_REPLICATE)
    inside = cv2.dilate(inside, np.ones((WIDEST - 2, WIDEST - 2), np.uint8))
    return lines * (inside == 0)
