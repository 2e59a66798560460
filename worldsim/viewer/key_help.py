"""The help: the keys of a world and of the window, as a panel beside the picture or as a page over a small window."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping

import pygame

from worldsim.viewer import draw, theme
from worldsim.viewer.commands import EXPLAINED, Command

PANEL = 240  # width of the panel, and the least one of a column of the page, in pixels
PADDING = 18
LEAST_PITCH, MOST_PITCH = draw.CAP_HEIGHT + 1, 34  # from one line of keys to the next, in pixels
GROUP_GAP = 14
GOAL_LINES = 3
LEAST_PICTURE = 360  # width that the panel leaves for the picture

Line = tuple[tuple[str, ...], str]  # codes of keys, and what they do


class KeyHelp:
    """All keys, with those lit that are held.

    Args:
        title, goal: of the world.
        buttons: the world's own, with the codes of their keys.
        commands: the window's, with the key of each.
    """

    def __init__(self, title: str, goal: str, buttons: Mapping[str, tuple[str, ...]], commands: Mapping[Command, str]):
        self._title, self._goal = title, goal
        self._buttons: list[Line] = [(codes, name.replace("_", " ")) for name, codes in buttons.items()]
        rows = ([(name, word) for name, word in row if name in commands] for row in EXPLAINED)
        self._commands = [
            (tuple(commands[name] for name, _ in row), ", ".join(word for _, word in row if word))
            for row in rows
            if row
        ]

    def fits_beside(self, area: pygame.Rect) -> bool:
        """Whether a panel with all keys has room beside the picture."""
        return area.width >= PANEL + LEAST_PICTURE and self._in_panel(area.height)[1] >= LEAST_PITCH

    def draw_panel(self, surface: pygame.Surface, area: pygame.Rect, held: Collection[str]) -> None:
        """Draw into an area of width `PANEL` for which `fits_beside` was true."""
        surface.fill(theme.PANEL, area)
        buttons, room = self._in_panel(area.height)
        pitch = min(MOST_PITCH, room)
        x, y = area.left + PADDING, self._draw_heading(surface, area.left + PADDING, area.top + PADDING, PANEL)
        y += pitch // 2
        for codes, name in buttons:
            _draw_line(surface, codes, name, x, y, area.right - PADDING, held)
            y += pitch
        y += GROUP_GAP - pitch // 2
        pygame.draw.line(surface, theme.LINE, (x, y), (area.right - PADDING, y))
        y += GROUP_GAP + pitch // 2 - 2
        for codes, name in self._commands:
            _draw_line(surface, codes, name, x, y, area.right - PADDING, held, theme.DIM)
            y += pitch

    def draw_page(self, surface: pygame.Surface, area: pygame.Rect, held: Collection[str]) -> None:
        """Draw over the whole area, in as many columns as are needed and fit; what has no room is left out."""
        draw.veil(surface, area, 238)
        x, y = area.left + PADDING, self._draw_heading(surface, area.left + PADDING, area.top + 12, area.width)
        columns = max(1, (area.width - 2 * PADDING) // (PANEL - PADDING))
        buttons = [(*line, theme.TEXT) for line in self._buttons]
        commands = [(*line, theme.DIM) for line in self._commands]
        most = max(1, (area.bottom - y) // LEAST_PITCH)
        rows = max(len(buttons), len(commands))
        if columns >= 2 and rows <= most:  # a column for each
            lines = [*buttons, *[None] * (rows - len(buttons)), *commands]
        else:
            lines = [*buttons, *commands]
            rows = max(1, min(most, -(-len(lines) // columns)))
        pitch, width = min(MOST_PITCH, (area.bottom - y) // rows), (area.width - 2 * PADDING) // columns
        for i, line in enumerate(lines[: rows * columns]):
            if line is not None:
                left, middle = x + i // rows * width, y + i % rows * pitch + pitch // 2
                _draw_line(surface, line[0], line[1], left, middle, left + width - 8, held, line[2])

    def _draw_heading(self, surface: pygame.Surface, x: int, y: int, width: int) -> int:
        title = draw.shortened(self._title, width - 2 * PADDING, theme.TITLE, bold=True)
        y = draw.write(surface, title, theme.TITLE, bold=True, topleft=(x, y)).bottom + 4
        for line in draw.wrapped(self._goal, width - 2 * PADDING, theme.SMALL, GOAL_LINES):
            y = draw.write(surface, line, theme.SMALL, theme.DIM, topleft=(x, y)).bottom + 2
        return y + 10

    def _in_panel(self, height: int) -> tuple[list[Line], int]:
        """The world's lines in a panel of this height, and their distance. Where all of them have no room, buttons of
        one first word share a line, the largest such group first; the page names them all."""
        goal = draw.wrapped(self._goal, PANEL - 2 * PADDING, theme.SMALL, GOAL_LINES)
        room = height - (PADDING + 40 + 18 * len(goal)) - 2 * GROUP_GAP - 8
        lines = self._buttons
        while room // (len(lines) + len(self._commands)) < LEAST_PITCH:
            shorter = _with_a_group(lines)
            if len(shorter) == len(lines):
                break
            lines = shorter
        return lines, room // (len(lines) + len(self._commands))


def _with_a_group(lines: list[Line]) -> list[Line]:
    """The largest group of lines whose names begin with the same word as one line, by the first key of each."""
    first = [name.split()[0] for _, name in lines]
    word, count = collections.Counter(first).most_common(1)[0]
    if count < 2:
        return lines
    group = tuple(codes[0] for (codes, _), begins in zip(lines, first, strict=True) if begins == word)
    at = first.index(word)
    others = [line for line, begins in zip(lines, first, strict=True) if begins != word]
    return [*others[:at], (group, word), *others[at:]]


def _draw_line(
    surface: pygame.Surface,
    codes: tuple[str, ...],
    name: str,
    x: int,
    y: int,
    end: int,
    held: Collection[str],
    colour: theme.Colour = theme.TEXT,
) -> None:
    """Caps, and beside them what they do, between `x` and `end`."""
    right = x
    for code in codes:
        right = draw.cap(surface, code, right, y, lit=code in held) + 5
    left = max(right + 6, x + 84)
    draw.write(surface, draw.shortened(name, end - left, theme.SMALL), theme.SMALL, colour, midleft=(left, y))
