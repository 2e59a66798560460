"""The timeline: where the moment shown is in what was played, bookmarks, and where to drag it with the mouse."""

from __future__ import annotations

from collections.abc import Sequence

import pygame

from worldsim.viewer import theme

HEIGHT, REACH = 4, 10  # pixels: of the line, and around it for the mouse
MARK = (3, 9)  # width and height of a bookmark


def draw_timeline(
    surface: pygame.Surface, area: pygame.Rect, position: int, length: int, marks: Sequence[int] = ()
) -> None:
    """Draw it at the top of `area`: past, and future that was played, of `length` moments, with bookmarks."""
    line = pygame.Rect(area.left, area.top, area.width, HEIGHT)
    surface.fill(theme.LINE, line)
    line.width = round(area.width * position / max(1, length - 1))
    surface.fill(theme.WARNING if position < length - 1 else theme.DIM, line)
    for mark in marks:
        place = pygame.Rect((0, 0), MARK)
        place.midtop = area.left + round((area.width - MARK[0]) * mark / max(1, length - 1)) + 1, area.top
        surface.fill(theme.ACCENT, place)


def position_at(area: pygame.Rect, point: tuple[int, int], length: int) -> int:
    """The moment at a point of the timeline of `area`."""
    return round(min(max((point[0] - area.left) / max(1, area.width - 1), 0), 1) * (length - 1))


def is_on_timeline(area: pygame.Rect, point: tuple[int, int]) -> bool:
    """Whether the mouse is near enough to take hold of it."""
    return abs(point[1] - area.top - HEIGHT // 2) <= REACH
