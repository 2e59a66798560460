"""Metrics of frames: PSNR, SSIM, high-frequency energy, palette. Knows no simulator, no world and no torch.

Frames are uint8 RGB `[..., H, W, 3]` throughout.
"""

from __future__ import annotations

import cv2
import numpy as np

from worldsim.errors import require
from worldsim.psnr import psnr_of_error


def psnr(frames: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio of each frame in dB, `[...]`; at most `worldsim.psnr.IDENTICAL`.

    Args:
        frames, truth: uint8 `[..., H, W, 3]`.
        where: bool `[H, W]`, the pixels that count; all if not given.
    """
    error = (frames.astype(np.float32) - truth.astype(np.float32)) ** 2
    mean = error.mean((-3, -2, -1)) if where is None else error[..., where, :].mean((-2, -1))
    return psnr_of_error(mean)


def ssim(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity of each frame (Wang et al. 2004), `[...]`, 1 for equal frames.

    Raises:
        WorldsimError: if scikit-image is not installed.
    """
    similarity = require("skimage.metrics", "eval").structural_similarity
    flat, flat_truth = (x.reshape(-1, *x.shape[-3:]) for x in (frames, truth))
    values = [similarity(a, b, channel_axis=-1, data_range=255) for a, b in zip(flat, flat_truth, strict=True)]
    return np.array(values).reshape(frames.shape[:-3])


def detail(frames: np.ndarray) -> np.ndarray:
    """High-frequency energy of each frame, `[...]`: mean magnitude of the brightness's Laplacian, in levels of 255."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    return np.array([_laplacian(frame) for frame in flat]).reshape(frames.shape[:-3])


def _laplacian(frame: np.ndarray) -> float:
    grey = frame.astype(np.float32).mean(-1)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.abs(4 * grey[1:-1, 1:-1] - around).mean())


def palette(frames: np.ndarray, levels: int = 8) -> np.ndarray:
    """Share of pixels in each of levels³ colours, over all frames, `[levels³]`."""
    step = 256 // levels
    red, green, blue = (frames[..., i].astype(np.int64) // step for i in range(3))
    counts = np.bincount((red * levels**2 + green * levels + blue).ravel(), minlength=levels**3)
    return counts / max(counts.sum(), 1)


def palette_distance(frames: np.ndarray, others: np.ndarray) -> float:
    """Total variation between two palettes: 0 the same colours, 1 none in common."""
    return float(np.abs(palette(frames) - palette(others)).sum() / 2)


def thumbnails(frames: np.ndarray, rows: int = 12, columns: int = 16) -> np.ndarray:
    """Each frame area-averaged, float32 `[n, rows * columns * 3]`, levels of 255: what is left without details."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    small = [cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA) for frame in flat]
    return np.stack(small).reshape(len(flat), -1).astype(np.float32)


def nearest_distance(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Root mean square distance of each query `[n, d]` to the nearest row of the gallery `[m, d]`, `[n]`."""
    squares = (queries**2).sum(1)[:, None] + (gallery**2).sum(1) - 2 * queries @ gallery.T
    return np.sqrt(np.maximum(squares.min(1), 0) / queries.shape[1])
