"""A video of play, and a JSON file beside it that says what was played. Knows no window and no model.

    with Capture("walk.mp4", world) as capture: capture.begin(start=3, seed=7); capture.write(frame, action)

walk.mp4.json: {"world", "digest", "title", "fps", "frames", "segments"}; a segment is unbroken play:
{"first_frame", "start", "seed", "after_frame", "lead_in", "actions"}, with actions as `--actions` takes them. It goes
on from a frame of the video, or if `after_frame` is null, from a start and the actions of `lead_in`. The same start,
seed and actions in the world of that digest give the same frames, drawn in the look of the last of `looks`,
{"first_frame", "look"}, if the world has some. Play that began after frames from elsewhere has no
start: a save file keeps those.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import atomic
from worldsim.data.video import VideoWriter
from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle
from worldsim.viewer.script import format_actions


@dataclasses.dataclass
class Segment:
    """Unbroken play.

    Attributes:
        first_frame: its first frame's number in the video.
        start, seed: what play was begun with; no start for frames from elsewhere.
        after_frame: number of the frame in the video that it goes on from; None if that is not in the video.
        lead_in: actions from the start to there, if it is not.
        actions: the index of one action a frame.
    """

    first_frame: int
    start: int | None
    seed: int
    after_frame: int | None
    lead_in: list[int] = dataclasses.field(default_factory=list)
    actions: list[int] = dataclasses.field(default_factory=list)


class Capture:
    """Films a world; as a context manager, finishes the film, or after an exception leaves none.

    Args:
        path: of the video.
        world: what is played.

    Attributes:
        summary: what was written, for people; "" until it is closed.

    Raises:
        WorldsimError: if the video can't be made there, or, from `write` and `close`, if the disk is full.
    """

    def __init__(self, path: str | Path, world: Bundle):
        self.summary = ""
        self._world, self._video = world, VideoWriter(path, world.spec.fps)
        self._segments: list[Segment] = []
        self._looks: list[dict[str, Any]] = []

    def begin(self, start: int | None, seed: int, after_frame: int | None = None, lead_in: Sequence[int] = ()) -> None:
        """What is written from now on goes on from a start, or from actions after it, or from a frame of the video."""
        self._segments.append(Segment(self._video.frames, start, seed, after_frame, list(lead_in)))

    def change_look(self, look: str) -> None:
        """What is written from now on is drawn in this look of the world."""
        self._looks.append({"first_frame": self._video.frames, "look": look})

    def write(self, frame: np.ndarray, action: int) -> int:
        """Append one generated frame, uint8 `[H, W, 3]`, and the index of the action that led to it.

        Returns:
            The frame's number in the video.
        """
        self._video.write(frame)
        self._segments[-1].actions.append(action)
        return self._video.frames - 1

    def close(self) -> None:
        """Finish both files; without a frame, leave none. Closing again changes nothing."""
        if self.summary:
            return
        self._video.close()
        if not self._video.frames:
            self.summary = "no frame was played, and none recorded"
            return
        beside = self._video.path.with_name(f"{self._video.path.name}.json")
        try:
            atomic.write_text(beside, json.dumps(self._contents(), indent=1) + "\n")
        except WorldsimError as error:
            raise WorldsimError(f"{self._video.path} is written, but not what was played: {error}") from error
        self.summary = f"recorded {self._video.frames} frames in {self._video.path}; start, seed and keys in {beside}"

    def abandon(self) -> None:
        """Leave no file."""
        self._video.abandon()

    def _contents(self) -> dict[str, Any]:
        spec = self._world.spec
        return {
            "world": spec.name,
            "digest": self._world.digest,
            "title": spec.title,
            "fps": spec.fps,
            "frames": self._video.frames,
            **({"looks": self._looks} if self._looks else {}),
            "segments": [
                dataclasses.asdict(segment)
                | {name: format_actions(getattr(segment, name), spec) for name in ("lead_in", "actions")}
                for segment in self._segments
            ],
        }

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
