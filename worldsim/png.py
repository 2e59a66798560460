"""Pictures as the bytes of PNG files. Reading them is `worldsim.safe_read`'s."""

from __future__ import annotations

import cv2
import numpy as np


def encode_png(picture: np.ndarray) -> bytes:
    """A picture uint8 RGB `[H, W, 3]`, packed as small as PNG gets."""
    ok, data = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert ok, picture.shape
    return data.tobytes()
