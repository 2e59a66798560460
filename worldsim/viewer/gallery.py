"""The gallery: a card for every world, chosen with keys or mouse. Opens no world itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pygame

from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.viewer import draw, theme
from worldsim.viewer.goal import goal_of
from worldsim.viewer.keys import is_shortcut
from worldsim.viewer.picture import SUFFIXES
from worldsim.viewer.screen import Wish

NARROWEST, WIDEST, CAPTION, INSET, GAP, HEADER, FOOTER = 170, 440, 84, 10, 20, 100, 32  # pixels
PLAY = ("Enter", "NumpadEnter", "Space")
HINTS = (
    (("ArrowLeft", "ArrowRight"), "choose"),
    (("Enter",), "play"),
    (("F11",), "full screen"),
    (("Escape",), "quit"),
)


class Gallery:
    """The screen at the start.

    Args:
        worlds: at least one.

    Attributes:
        chosen: index of the world that Enter plays.
        notice: a line under the headline, in place of the usual one.
    """

    title = "worldsim"
    error: Exception | None = None

    def __init__(self, worlds: Sequence[Bundle]):
        assert worlds
        self.worlds = worlds
        self.chosen, self.notice = 0, ""
        self._previews = [pygame.surfarray.make_surface(world.preview.swapaxes(0, 1)).convert() for world in worlds]
        self._goals = [goal_of(world) for world in worlds]
        self._pictures: dict[tuple[int, tuple[int, int]], pygame.Surface] = {}
        self._cards: list[pygame.Rect] = []  # where they were drawn, for the mouse
        self._columns = 1

    def handle(self, event: pygame.Event) -> Wish:
        """Choose, play, open a file or quit."""
        if event.type == pygame.DROPFILE:
            path = Path(event.file)
            if path.suffix.lower() not in SUFFIXES:
                return path
            self.say("Choose a world first; then drop the picture to begin with it.")
        if event.type == pygame.KEYDOWN and not is_shortcut(event.mod):
            if event.scancode in [SCANCODES[code] for code in PLAY]:
                return self.worlds[self.chosen]
            if event.scancode == SCANCODES["Escape"]:
                return "quit"
            moves = {"ArrowLeft": -1, "ArrowRight": 1, "ArrowUp": -self._columns, "ArrowDown": self._columns}
            move = next((move for code, move in moves.items() if event.scancode == SCANCODES[code]), 0)
            if 0 <= self.chosen + move < len(self.worlds):
                self.chosen += move
        elif event.type in (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN):
            under = pygame.Rect(event.pos, (1, 1)).collidelist(self._cards)
            if under >= 0:
                self.chosen = under
                if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
                    return self.worlds[under]
        return None

    def draw(self, surface: pygame.Surface) -> None:
        """Draw everything."""
        surface.fill(theme.GROUND)
        area = surface.get_rect()
        self._place_cards(area)
        for i, card in enumerate(self._cards):
            self._draw_card(surface, card, i)
        surface.fill(theme.GROUND, (0, 0, area.width, HEADER - GAP // 2))  # over cards that are scrolled
        left = self._cards[0].left
        draw.write(surface, self.title, theme.HEADLINE, bold=True, topleft=(left, 20))
        line = draw.shortened(self.notice or "Every frame is generated from your keys.", area.right - left - GAP)
        draw.write(surface, line, colour=theme.ACCENT if self.notice else theme.DIM, topleft=(left, 61))
        self._draw_footer(surface)

    def say(self, notice: str) -> None:
        """Show a line under the headline."""
        self.notice = notice

    def close(self, failed: bool = False) -> str:
        """Nothing is to be finished."""
        return ""

    def _place_cards(self, area: pygame.Rect) -> None:
        """Where the cards are: in as many columns as make them largest with all in view, or else as narrow as may be
        and scrolled so that the chosen one is seen."""
        count = len(self.worlds)
        columns = max(range(1, count + 1), key=lambda columns: self._fitting(area, columns, -(-count // columns)))
        rows = -(-count // columns)
        if self._fitting(area, columns, rows) < NARROWEST:
            columns = max(1, min(count, (area.width - GAP) // (NARROWEST + GAP)))
            rows = max(1, (area.height - HEADER - FOOTER) // (NARROWEST * 3 // 4 + CAPTION + GAP))
        width = max(NARROWEST, self._fitting(area, columns, rows))
        height = width * 3 // 4 + CAPTION
        left = max(GAP, (area.width - columns * (width + GAP) + GAP) // 2)
        first_row = max(0, self.chosen // columns - rows + 1)
        self._columns = columns
        self._cards = [
            pygame.Rect(left + column * (width + GAP), HEADER + (row - first_row) * (height + GAP), width, height)
            for row, column in (divmod(i, columns) for i in range(count))
        ]

    def _fitting(self, area: pygame.Rect, columns: int, rows: int) -> int:
        """How wide cards may be at most, so that so many columns and rows are in view."""
        high = (area.height - HEADER - FOOTER) // rows - GAP - CAPTION
        return min(WIDEST, (area.width - GAP) // columns - GAP, high * 4 // 3)

    def _draw_card(self, surface: pygame.Surface, card: pygame.Rect, index: int) -> None:
        world, chosen = self.worlds[index], index == self.chosen
        draw.box(surface, card, theme.RAISED if chosen else theme.PANEL, theme.ACCENT if chosen else theme.LINE, 12)
        area = pygame.Rect(card.left + INSET, card.top + INSET, card.width - 2 * INSET, card.height - CAPTION - INSET)
        draw.box(surface, area, theme.GROUND, radius=6)
        picture = self._picture(index, area.size)
        surface.blit(picture, picture.get_rect(center=area.center))
        left, width = card.left + INSET + 4, area.width - 8
        name = world.spec.title or world.spec.name
        size = theme.TITLE if draw.width_of(name, theme.TITLE, bold=True) <= width else theme.BODY
        name = draw.shortened(name, width, size, bold=True)
        y = draw.write(surface, name, size, bold=True, topleft=(left, area.bottom + 8)).bottom + 4
        for line in draw.wrapped(self._goals[index], width, theme.SMALL):
            y = draw.write(surface, line, theme.SMALL, theme.DIM, topleft=(left, y)).bottom + 1

    def _picture(self, index: int, size: tuple[int, int]) -> pygame.Surface:
        """A world's preview as large as fits: enlarged crisply, then fitted smoothly. Cached, for scaling is slow."""
        if (index, size) not in self._pictures:
            preview = self._previews[index]
            place = draw.fit(*preview.get_size(), pygame.Rect((0, 0), size))
            large = pygame.transform.scale_by(preview, math.ceil(place.width / preview.get_width()))
            self._pictures[index, size] = pygame.transform.smoothscale(large, place.size)
        return self._pictures[index, size]

    def _draw_footer(self, surface: pygame.Surface) -> None:
        area = surface.get_rect()
        surface.fill(theme.PANEL, (0, area.height - FOOTER, area.width, FOOTER))
        x, y = 16, area.height - FOOTER // 2
        for codes, what in HINTS:
            for code in codes:
                x = draw.cap(surface, code, x, y) + 4
            x = draw.write(surface, what, theme.SMALL, theme.DIM, midleft=(x + 4, y)).right + 22
        if len(self.worlds) > 1:
            place = f"{self.chosen + 1} of {len(self.worlds)}"
            draw.write(surface, place, theme.SMALL, theme.DIM, midright=(area.width - 16, y))
