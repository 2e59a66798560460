"""A picture as a place to begin: read with bounds, and fitted to the frames of a world. Knows no window."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from worldsim.safe_read import PIXELS, PNG, read_bytes, reading
from worldsim.spec import WorldSpec

LARGEST = 64 << 20  # bytes of the file
WAY_OUT = "Give a PNG or JPEG picture."
SUFFIXES = (".png", ".jpg", ".jpeg")


def read_picture(path: str | Path) -> np.ndarray:
    """A PNG or JPEG picture as uint8 RGB `[H, W, 3]`.

    Raises:
        WorldsimError: if it is neither, cut, or so large that it is not even unpacked.
    """
    data = read_bytes(path, LARGEST, WAY_OUT)
    with reading(path, WAY_OUT):
        height, width = _size(data)
        if not 0 < height * width <= PIXELS:
            raise ValueError(f"{width:,}x{height:,} pixels; at most {PIXELS:,} are read")
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if found is None:
            raise ValueError("cut or damaged")
        return np.ascontiguousarray(found[..., ::-1], np.uint8)


def fitted(picture: np.ndarray, world: WorldSpec) -> np.ndarray:
    """A picture, uint8 RGB `[h, w, 3]`, as a frame `[H, W, 3]`: the largest part of its middle that has that shape."""
    height, width = picture.shape[:2]
    scale = min(height / world.height, width / world.width)
    high, wide = max(1, round(world.height * scale)), max(1, round(world.width * scale))
    top, left = (height - high) // 2, (width - wide) // 2
    part = picture[top : top + high, left : left + wide]
    way = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (world.width, world.height), interpolation=way), np.uint8)


def _size(data: bytes) -> tuple[int, int]:
    """Height and width that a PNG or JPEG file says it has."""
    if data.startswith(PNG):
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if data.startswith(b"\xff\xd8"):
        at = 2
        while True:
            marker, length = struct.unpack(">HH", data[at : at + 4])
            if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):  # a frame's header
                height, width = struct.unpack(">HH", data[at + 5 : at + 9])
                return height, width
            if marker < 0xFFC0 or length < 2:
                raise ValueError("cut or damaged")
            at += 2 + length
    raise ValueError("neither PNG nor JPEG")
