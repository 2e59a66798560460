"""Video file <-> frames, by PyAV.

    with VideoWriter("walk.mp4", fps=15) as video: video.write(frame)
    for frame in read_frames("walk.mp4", height=96, width=128): ...

Frames are uint8 RGB `[H, W, 3]`. Knows nothing of worlds or models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from worldsim import atomic
from worldsim.errors import WorldsimError

SHORTER_SIDE = 480  # small frames are enlarged by a whole factor until their shorter side is about this long
CODEC = "libx264"
QUALITY = "16"  # x264's constant rate factor: visually lossless
FAILURES = (OSError, av.FFmpegError)


class VideoWriter:
    """Write frames of one size as H.264, crisply enlarged if they are small, into `path`.

    The file is written beside `path` and renamed by `close()`: it is there whole or not at all. Leaving the context by
    an exception, or without a single frame, leaves the older file or none.

    Args:
        path: its suffix chooses the container: .mp4, .mkv, .mov.
        fps: frames a second.

    Raises:
        WorldsimError: if the file can't be made there, or, from `write` and `close`, if the disk is full.
    """

    def __init__(self, path: str | Path, fps: float):
        self.path, self.frames = Path(path), 0
        self._file = atomic.replacing(self.path, "Give a file, as in out.mp4")
        self._rate = Fraction(fps).limit_denominator(1001)
        self._stream: Any = None
        self._size = (0, 0)
        try:
            self._container: Any = av.open(str(self._file.part), "w")
            if CODEC not in self._container.supported_codecs:
                self._container.close()
                raise ValueError(f"no {CODEC} in {self.path.suffix}")
        except (ValueError, *FAILURES) as error:
            self._file.abandon()
            raise WorldsimError(f"can't write {self.path}: no video has that suffix; use .mp4") from error

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, uint8 RGB `[H, W, 3]`, of the same size as the first."""
        self._size = self._size if self.frames else frame.shape[:2]
        assert frame.shape[:2] == self._size, f"frame of {frame.shape}, after frames of {self._size}"
        try:
            if self._stream is None:
                self._start(*frame.shape[:2])
            size = (self._stream.width, self._stream.height)
            large = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST), np.uint8)
            self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(large, format="rgb24")))
        except FAILURES as error:
            raise self._failed(error) from error
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name; without a frame, leave none."""
        if not self.frames:
            return self.abandon()
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except FAILURES as error:
            raise self._failed(error) from error
        self._file.commit()

    def abandon(self) -> None:
        """Leave no new file."""
        try:
            self._container.close()
        except FAILURES:  # a full disk can't take the trailer either
            pass
        finally:
            self._file.abandon()

    def _start(self, height: int, width: int) -> None:
        factor = math.ceil(SHORTER_SIDE / min(height, width))
        options = {"crf": QUALITY, "preset": "veryfast", "x264-params": "mbtree=0"}  # mbtree: not the same twice
        self._stream = self._container.add_stream(CODEC, rate=self._rate, options=options)
        even = [n * factor + n * factor % 2 for n in (height, width)]  # as yuv420p wants it
        self._stream.height, self._stream.width = even
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.thread_count = 1  # beside a game loop

    def _failed(self, error: Exception) -> WorldsimError:
        self.abandon()
        return atomic.refused(self.path, error)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


def read_frames(path: str | Path, height: int | None = None, width: int | None = None) -> Iterator[np.ndarray]:
    """The frames of a video file, one by one, as uint8 RGB `[height, width, 3]`; its own size where none is given.

    Raises:
        WorldsimError: if there is no such file, or nothing in it can be read as video.
    """
    convert = VideoReformatter()  # one for all frames: to set it up takes longer than a small frame
    with _open(path) as container:
        try:
            for frame in container.decode(video=0):
                size = (width or frame.width, height or frame.height)
                picture = convert.reformat(frame, format="rgb24", threads=1).to_ndarray()
                yield cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        except av.FFmpegError as error:
            raise WorldsimError(f"{path} can't be read to its end ({error.strerror}). Is it cut off?") from error


def video_fps(path: str | Path) -> float:
    """Average frames a second of a video file.

    Raises:
        WorldsimError: as `read_frames`.
    """
    with _open(path) as container:
        return float(container.streams.video[0].average_rate)


def _open(path: str | Path) -> Any:
    try:
        container = av.open(str(path))
    except FAILURES as error:
        raise WorldsimError(f"can't read {path} as video: {error.strerror}") from error
    if not container.streams.video:
        container.close()
        raise WorldsimError(f"{path} has no video in it")
    return container
