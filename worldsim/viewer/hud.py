"""Figures over the picture: how fast play is, how late keys act, and how far the world may be trusted."""

from __future__ import annotations

import math
import statistics
from collections import deque

import pygame

from worldsim.viewer import draw, theme
from worldsim.viewer.drift import DRIFTING
from worldsim.viewer.player import Player, View

WIDTH, ROW, PADDING, LABEL = 250, 22, 12, 118  # pixels
PRESSES = 32  # of which the median latency is


class Hud:
    """The figures of a world being played.

    Attributes:
        latencies: of the newest key presses, seconds from the key to the drawing of the frame that it led to.
    """

    def __init__(self) -> None:
        self.latencies: deque[float] = deque(maxlen=PRESSES)
        self._largest = 0.0  # uncertainty so far
        self._timed: float | None = None

    def watch(self, view: View, now: float) -> None:
        """Note what is shown, at a time of `time.perf_counter`; call it for everything that is drawn."""
        self._largest = max(self._largest, view.uncertainty)
        if view.pressed_at is not None and view.pressed_at != self._timed:
            self._timed = view.pressed_at
            self.latencies.append(now - view.pressed_at)

    @property
    def latency(self) -> float | None:
        """The median of `latencies`; None before a key was pressed."""
        return statistics.median(self.latencies) if self.latencies else None

    def draw(self, surface: pygame.Surface, area: pygame.Rect, player: Player, view: View) -> None:
        """Draw them in the corner of an area, if they have room there."""
        rows: list[tuple[str, str, tuple[float, bool] | None]] = [
            ("frames a second", _speed(player, view), None),
            ("key to frame", _delay(self.latency, player.spec.fps), None),
            ("since a real frame", f"{view.index:,} frames, {view.index / player.spec.fps:.0f} s", None),
            ("undecided", "", (view.uncertainty / max(self._largest, 1e-6), False)),
        ]
        if view.drift is not None:
            over = view.strange or view.drift >= DRIFTING
            rows.append(("unlike real frames", f"{view.drift:.1f}", (view.drift / DRIFTING, over)))
        box = pygame.Rect(area.left, area.top, WIDTH, ROW * len(rows) + PADDING)
        if not area.contains(box):
            return
        draw.veil(surface, box, 235)
        y = box.top + PADDING // 2 + ROW // 2
        for label, text, bar in rows:
            draw.write(surface, label, theme.SMALL, theme.DIM, midleft=(box.left + PADDING, y))
            x = box.left + LABEL + PADDING
            if bar is not None:
                width = box.right - PADDING - x - (36 if text else 0)
                _bar(surface, pygame.Rect(x, y - 3, width, 6), *bar)
                x = box.right - PADDING - 26
            draw.write(surface, text, theme.SMALL, midleft=(x, y))
            y += ROW


def _bar(surface: pygame.Surface, rect: pygame.Rect, share: float, over: bool) -> None:
    draw.box(surface, rect, theme.LINE, radius=3)
    filled = pygame.Rect(rect.topleft, (round(rect.width * min(max(share, 0), 1)), rect.height))
    if filled.width:
        draw.box(surface, filled, theme.WARNING if over else theme.ACCENT, radius=3)


def _speed(player: Player, view: View) -> str:
    aim = "all it can" if player.speed == math.inf else f"{player.spec.fps * player.speed:g}"
    return f"{'-' if view.fps is None else f'{view.fps:.1f}'} of {aim}"


def _delay(latency: float | None, fps: float) -> str:
    return "-" if latency is None else f"{1000 * latency:.0f} ms, {latency * fps:.1f} frames"
