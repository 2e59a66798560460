"""The permanence challenge: hide what you see, wait, look again. The permanence suite's detector tells what was kept.

    challenge = Challenge(frame, index); challenge.watch(frame, index); challenge.line("G")

It knows only pictures, as they were generated and in no other look: objects of the suite's colours and how many there
are of each, as the suite's own probes do.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
import pygame

from worldsim.evals.permanence.detector import detect
from worldsim.evals.permanence.scene import COLOURS, PALETTE
from worldsim.viewer import draw, theme

AREAS = (32.0, 300.0)  # of the smallest and the largest object, in pixels of a frame 64 high
OUT = 8  # frames in a row that show none of the objects, more than a detector blinks: then they are out of sight
BACK = 30  # frames from the first that shows one again, in which the others may follow
HEIGHT, DOT = 34, 6  # pixels: of the strip over the picture, and radius of an object's dot

Stage = Literal["hide", "away", "back", "done", "over"]


class Challenge:
    """One challenge, from the frame in which the objects are to be seen.

    Args:
        frame: uint8 `[H, W, 3]`.
        index: its number.

    Attributes:
        objects: how many of each colour (index into `COLOURS`) there are to be kept.
        stage: "hide", "away" while all are out of sight, "back" while they come back, "done", or "over" where time did
            not go on.
        hidden: frames for which all were out of sight.
        kept: how many of them were there again.
    """

    def __init__(self, frame: np.ndarray, index: int):
        self.objects = _objects(frame)
        self.stage: Stage = "hide" if self.objects else "over"
        self.hidden = self.kept = 0
        self._index = self._began = index
        self._seen = self.objects
        self._back: Counter[int] = Counter()
        self._without = 0  # frames in a row that show none

    @property
    def all_kept(self) -> bool:
        """Whether it is done, and nothing was lost."""
        return self.stage == "done" and self.kept == self.objects.total()

    def watch(self, frame: np.ndarray, index: int) -> None:
        """See the next frame, or the same one again; any other ends the challenge."""
        if self.stage in ("done", "over") or index == self._index:
            return
        if index < self._index:
            self.stage = "over"
            return
        self._index = index
        self._seen = _objects(frame) & self.objects
        self._without = 0 if self._seen else self._without + 1
        if self.stage in ("hide", "back") and self._without >= OUT:
            self._began = index - OUT if self.stage == "hide" else self._began
            self.stage, self._back = "away", Counter()
        if self.stage == "away" and not self._seen:
            self.hidden = index - self._began
        elif self.stage in ("away", "back") and self._seen:
            self._come_back(index)

    def give_up(self) -> None:
        """What did not come back is lost; before anything was hidden, there was no challenge."""
        self.stage = "done" if self.stage in ("away", "back") else "over"

    def line(self, key: str, best: int = 0) -> str:
        """What to tell the player.

        Args:
            key: cap of the key that begins and ends challenges.
            best: frames for which everything was kept, in the best challenge so far.
        """
        count = self.objects.total()
        match self.stage:
            case "hide":
                what = "it: cover it" if count == 1 else f"all {count}: cover them"
                return f"Hide {what}, or look away. In sight: {self._seen.total()}"
            case "away":
                return f"Out of sight for {self.hidden} frames. Look again: the later, the better. {key}: give up"
            case "back":
                return f"After {self.hidden} frames: {self.kept} of {count} are back. {key}: give up"
            case "done":
                lost = ", ".join(COLOURS[colour] for colour in sorted((self.objects - self._back).elements()))
                told = "All kept" if self.all_kept else f"Kept {self.kept} of {count}, lost {lost}"
                return f"{told} after {self.hidden} frames. Best: {best}. {key}: again"
        if not count:
            return f"Nothing in sight that could be counted: turn to some objects. {key}: try again"
        return f"Time did not go on: the challenge is over. {key}: again"

    def draw(self, surface: pygame.Surface, area: pygame.Rect, text: str) -> pygame.Rect:
        """Draw a strip along the top of an area: a dot for each object, filled while it is in sight, and the text.

        Returns:
            what is left of the area.
        """
        strip = pygame.Rect(area.left, area.top, area.width, HEIGHT)
        draw.veil(surface, strip, 225)
        x, seen = strip.left + 2 * DOT, Counter(self._back if self.stage == "done" else self._seen)
        for colour in sorted(self.objects.elements()):
            pygame.draw.aacircle(
                surface, PALETTE[COLOURS[colour]], (x, strip.centery), DOT, 0 if seen[colour] > 0 else 1
            )
            seen[colour] -= 1
            x += 3 * DOT
        tone = theme.ACCENT if self.all_kept else theme.WARNING if self.stage == "done" else theme.TEXT
        text = draw.shortened(text, strip.right - x - DOT, theme.BODY)
        draw.write(surface, text, theme.BODY, tone, midleft=(x, strip.centery))
        return pygame.Rect(area.left, strip.bottom, area.width, max(0, area.height - HEIGHT))

    def _come_back(self, index: int) -> None:
        if self.stage == "away":
            self.stage, self._first = "back", index
        self._back |= self._seen  # not all at once: a screen goes up row by row
        self.kept = self._back.total()
        if self._back == self.objects or index >= self._first + BACK:
            self.stage = "done"


def _objects(frame: np.ndarray) -> Counter[int]:
    scale = (frame.shape[0] / 64) ** 2
    return Counter(found.colour for found in detect(frame, (AREAS[0] * scale, AREAS[1] * scale)))
