"""Any file that PyAV reads -> upright RGB frames with their times. Knows nothing of sizes, clocks or shots.

Rotation flags are followed, what is transparent becomes black, grey and 10 bits become RGB of 8, and a frame without a
time stamp follows the one before it at the file's average rate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from worldsim.data.video import FAILURES
from worldsim.errors import WorldsimError

Timed = tuple[float, np.ndarray]  # seconds from the file's beginning, uint8 RGB [h, w, 3]
USUAL_RATE = 25.0  # frames a second of a file that doesn't say


class NoVideo(WorldsimError):
    """A file is no video."""


class DamagedFrames(Exception):
    """The rest of a file can't be decoded; `str` of it says why."""


def video_length(path: Path) -> float:
    """Seconds of video that a file says it has, 0 if it doesn't.

    Raises:
        NoVideo: if it is none.
    """
    with _opened(path) as (container, stream):
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return container.duration / av.time_base if container.duration else 0.0


def video_rate(path: Path) -> float:
    """Average frames a second that a file says it has.

    Raises:
        NoVideo: if it is none.
    """
    with _opened(path) as (_, stream):
        return float(stream.average_rate or 0) or USUAL_RATE


def decode_video(path: Path, start: float = 0.0, end: float = float("inf")) -> Iterator[Timed]:
    """The frames from `start` to before `end` seconds.

    Raises:
        NoVideo: if it is none.
        DamagedFrames: after the last frame that can be decoded, if there should be more.
    """
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 0) or USUAL_RATE
        zero = float((stream.start_time or 0) * (stream.time_base or Fraction(1)))
        if start > 0:
            container.seek(round((start + zero) / stream.time_base), stream=stream)
        now, convert = start - 1 / rate, VideoReformatter()
        try:
            for frame in container.decode(stream):
                now = now + 1 / rate if frame.time is None else float(frame.time) - zero
                if now >= end:
                    return
                if now >= start - 1e-6:
                    yield now, upright(frame, convert)
        except (*FAILURES, ValueError) as error:
            raise DamagedFrames(getattr(error, "strerror", None) or str(error)) from error


def sample_video(path: Path, count: int) -> list[np.ndarray]:
    """Up to `count` frames, spread over a file; fewer where it can't be sought in."""
    length = video_length(path)
    found = []
    for i in range(count):
        with contextlib.suppress(DamagedFrames):
            found += [frame for _, frame in _first(decode_video(path, length * i / count))]
    return found


def upright(frame: Any, convert: VideoReformatter) -> np.ndarray:
    """A decoded frame as uint8 RGB `[h, w, 3]`, turned as its file says, over black where it is transparent.

    One converter serves all frames of a file: to set up one takes longer than a small frame."""
    if any(component.is_alpha for component in frame.format.components):
        rgba = convert.reformat(frame, format="rgba", threads=1).to_ndarray()
        picture = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] // 255).astype(np.uint8)
    else:
        picture = np.asarray(convert.reformat(frame, format="rgb24", threads=1).to_ndarray(), np.uint8)
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90) % 4))


def _first(frames: Iterator[Timed]) -> list[Timed]:
    return [frame for frame, _ in zip(frames, range(1), strict=False)]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    try:
        container = av.open(str(path))
    except (*FAILURES, ValueError) as error:
        raise NoVideo(f"{path} is no video ({getattr(error, 'strerror', None) or error})") from error
    with container:
        if not container.streams.video:
            raise NoVideo(f"{path} has no video in it")
        yield container, container.streams.video[0]
