"""The contact sheet of an import: clips that were taken, first, middle and last frame of each; below, framed in red,
what was left, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from worldsim.data.recording import Recording

SHOWN = 48  # clips
LEFT = 32  # frames that were left
COLUMNS = 9  # frames in a row; a clip takes three
SIDE = 96  # pixels, about, of the shorter side of a frame
TEXT = 14  # pixels of a line
PAPER, INK, RED = (250, 250, 250), (40, 40, 40), (200, 40, 40)


class ContactSheet:
    """Told of leftovers as they come, and of the recording in the end; shows some of both.

    Args:
        height, width: of the frames.
    """

    def __init__(self, height: int, width: int):
        self._scale = max(1, round(SIDE / min(height, width)))
        self._shape = (height, width)
        self._taken: list[tuple[str, np.ndarray]] = []
        self._left: list[tuple[str, np.ndarray]] = []

    def take(self, recording: Recording, names: Sequence[str]) -> None:
        """Some clips of a recording, whose seeds number the sources of these names."""
        clips = recording.episodes()
        for i in np.unique(np.linspace(0, len(clips) - 1, SHOWN).astype(int)):
            start, end = clips[i]
            frames = [recording.frames[at] for at in (start, (start + end) // 2, end - 1)]
            texts = names[int(recording.seeds[i])], "", ""
            self._taken += zip(texts, frames, strict=True)

    def leave(self, thumbnails: list[tuple[str, np.ndarray]]) -> None:
        """Frames that were left, with the reasons."""
        self._left += thumbnails[: max(0, LEFT - len(self._left))]

    def png(self) -> bytes:
        """The sheet."""
        picture = np.concatenate([self._rows(self._taken, INK), self._rows(self._left, RED)])
        return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()

    def _rows(self, entries: list[tuple[str, np.ndarray]], colour: tuple[int, int, int]) -> np.ndarray:
        h, w = (side * self._scale for side in self._shape)
        high, wide, rows = h + TEXT + 8, w + 8, -(-len(entries) // COLUMNS)
        sheet = np.full((rows * high, COLUMNS * wide, 3), PAPER, np.uint8)
        for i, (text, frame) in enumerate(entries):
            top, left = i // COLUMNS * high, i % COLUMNS * wide
            sheet[top : top + h + 8, left : left + wide] = colour
            large = frame.repeat(self._scale, 0).repeat(self._scale, 1)
            sheet[top + 4 : top + 4 + h, left + 4 : left + 4 + w] = large
            place = (left + 2, top + h + 8 + TEXT - 4)
            cv2.putText(sheet, text[-w // 6 :], place, cv2.FONT_HERSHEY_PLAIN, 0.8, colour, 1, cv2.LINE_AA)
        return sheet
