"""Real video files of all kinds, written by PyAV, for tests of the import."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

H, W, FPS = 72, 104, 10


def scene(seed: int, length: int, height: int = H, width: int = W) -> np.ndarray:
    """A shot: a bright block that walks over a ground of its own, uint8 `[length, height, width, 3]`."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(10, 160, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8)
    ground = ground.repeat(6, 0).repeat(6, 1)[:height, :width]
    frames = np.repeat(ground[None], length, axis=0)
    for t, frame in enumerate(frames):
        left = (4 * t + 10 * seed) % (width - 16)
        frame[height // 3 : height // 3 + 16, left : left + 16] = (250, 230, 40)
    return frames


def write(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    source: str = "rgb24",
    times: Sequence[float] | None = None,
) -> Path:
    """Write frames, `[n, H, W, 3]` or as `source` says, shown at `times` (seconds; every 1/FPS if not given)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options={"crf": "12"} if codec == "libx264" else {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = pix_fmt, 8_000_000
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format=source)
            frame.pts = round(1000 * (i / FPS if times is None else times[i]))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn(path: Path) -> Path:
    """Have an .mp4 say that players turn it by a quarter, clockwise: in the matrix of its track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    one, minus_one = 1 << 16, (-1 << 16) & 0xFFFFFFFF
    data[at : at + 36] = struct.pack(">9I", 0, one, 0, minus_one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
