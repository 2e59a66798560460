"""The status bar under the picture: a light with a few words, and facts that give way where the window is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pygame

from worldsim.viewer import draw, theme

HEIGHT = 32
PADDING, GAP = 16, 18


class Status(NamedTuple):
    """How play goes, with the colour of its light."""

    text: str
    colour: theme.Colour


def draw_status(
    surface: pygame.Surface, area: pygame.Rect, status: Status, facts: Sequence[str], recording: bool
) -> None:
    """Draw the bar.

    Args:
        surface, area: where.
        status: always shown.
        facts: shown at the right as far as there is room, the last one first.
        recording: whether play is being filmed.
    """
    surface.fill(theme.PANEL, area)
    middle, x = area.centery, area.right - PADDING
    draw.dot(surface, (area.left + PADDING + 2, middle), status.colour)
    text = draw.shortened(status.text, area.width - 3 * PADDING - 90 * recording, theme.SMALL)
    end = draw.write(surface, text, theme.SMALL, midleft=(area.left + PADDING + 14, middle)).right
    if recording:
        x = draw.write(surface, "recording", theme.SMALL, midright=(x, middle)).left - 10
        draw.dot(surface, (x, middle), theme.RECORDING)
        x -= GAP
    for fact in reversed(facts):
        if x - draw.width_of(fact, theme.SMALL) < end + GAP:
            break
        x = draw.write(surface, fact, theme.SMALL, theme.DIM, midright=(x, middle)).left - GAP
