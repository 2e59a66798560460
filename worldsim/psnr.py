"""Peak signal-to-noise ratio of 8-bit frames: the one place that says what it is."""

from __future__ import annotations

import numpy as np

IDENTICAL = 60.0  # dB given to equal frames, whose PSNR would be infinite


def psnr_of_error(mean_squared_error: np.ndarray | float) -> np.ndarray:
    """dB, at most `IDENTICAL`, of mean squared errors in levels of 255: `[...]` -> `[...]`."""
    return np.minimum(10 * np.log10(255.0**2 / np.maximum(mean_squared_error, 1e-9)), IDENTICAL)
