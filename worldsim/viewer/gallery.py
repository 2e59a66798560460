"""The gallery: a card with a picture for every world; choose one with keys or mouse. Opens no world itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import pygame

from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.viewer import theme

Wish = Bundle | Literal["gallery", "quit"] | None  # of a screen: another one, the end, or to stay
NARROWEST, WIDEST, CAPTION, INSET, GAP, HEADER, FOOTER = 200, 440, 70, 10, 24, 112, 32  # pixels


class Gallery:
    """The screen at the start.

    Args:
        worlds: at least one.
    """

    title = "worldsim"

    def __init__(self, worlds: Sequence[Bundle]):
        assert worlds
        self.worlds = worlds
        self.chosen = 0
        self._previews = [pygame.image.load(world.path / "preview.png").convert() for world in worlds]
        self._pictures: dict[tuple[int, tuple[int, int]], pygame.Surface] = {}
        self._cards: list[pygame.Rect] = []  # where they were drawn, for the mouse
        self._columns = 1

    def handle(self, event: pygame.Event) -> Wish:
        """The world to play, "quit", or None to stay."""
        if event.type == pygame.KEYDOWN:
            if event.scancode in (SCANCODES["Enter"], SCANCODES["NumpadEnter"], SCANCODES["Space"]):
                return self.worlds[self.chosen]
            if event.scancode in (SCANCODES["Escape"], SCANCODES["F10"]):
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
        left = self._cards[0].left
        surface.fill(theme.GROUND, (0, 0, area.width, HEADER - GAP // 2))
        theme.write(surface, "worldsim", 30, bold=True, topleft=(left, 26))
        theme.write(surface, "Every frame is generated from your keys.", 15, theme.DIM, topleft=(left, 67))
        self._draw_footer(surface)

    def _place_cards(self, area: pygame.Rect) -> None:
        """Where the cards are: in as many columns as make them largest with all in view, or else as narrow as may be
        and scrolled so that the chosen one is seen."""
        widths = {columns: self._fitting(area, columns) for columns in range(1, len(self.worlds) + 1)}
        self._columns = max(widths, key=lambda columns: widths[columns])
        width = widths[self._columns]
        if width < NARROWEST:
            width, self._columns = NARROWEST, max(1, min(len(self.worlds), (area.width - GAP) // (NARROWEST + GAP)))
        height = width * 3 // 4 + CAPTION
        left = max(GAP, (area.width - self._columns * (width + GAP) + GAP) // 2)
        rows_seen = max(1, (area.height - HEADER - FOOTER) // (height + GAP))
        first_row = max(0, self.chosen // self._columns - rows_seen + 1)
        self._cards = [
            pygame.Rect(left + column * (width + GAP), HEADER + (row - first_row) * (height + GAP), width, height)
            for row, column in (divmod(i, self._columns) for i in range(len(self.worlds)))
        ]

    def _fitting(self, area: pygame.Rect, columns: int) -> int:
        """How wide cards may be at most, so that all of them are in view in so many columns."""
        rows = -(-len(self.worlds) // columns)
        high = (area.height - HEADER - FOOTER) // rows - GAP - CAPTION
        return min(WIDEST, (area.width - GAP) // columns - GAP, high * 4 // 3)

    def _draw_card(self, surface: pygame.Surface, card: pygame.Rect, index: int) -> None:
        spec, chosen = self.worlds[index].spec, index == self.chosen
        theme.box(surface, card, theme.RAISED if chosen else theme.PANEL, theme.ACCENT if chosen else theme.LINE, 12)
        area = pygame.Rect(card.left + INSET, card.top + INSET, card.width - 2 * INSET, card.height - CAPTION - INSET)
        theme.box(surface, area, theme.GROUND, radius=6)
        picture = self._picture(index, area.size)
        surface.blit(picture, picture.get_rect(center=area.center))
        left = card.left + INSET + 4
        theme.write(surface, spec.title or spec.name, 18, bold=True, topleft=(left, area.bottom + 10))
        facts = f"{spec.width} x {spec.height} pixels · {spec.fps:g} frames a second"
        theme.write(surface, facts, 13, theme.DIM, topleft=(left, area.bottom + 36))

    def _picture(self, index: int, size: tuple[int, int]) -> pygame.Surface:
        """A world's preview as large as fits: enlarged crisply, then fitted smoothly. Kept, for it is made slowly."""
        if (index, size) not in self._pictures:
            preview = self._previews[index]
            place = theme.fit(*preview.get_size(), pygame.Rect((0, 0), size))
            large = pygame.transform.scale_by(preview, math.ceil(place.width / preview.get_width()))
            self._pictures[index, size] = pygame.transform.smoothscale(large, place.size)
        return self._pictures[index, size]

    def _draw_footer(self, surface: pygame.Surface) -> None:
        area = surface.get_rect()
        surface.fill(theme.PANEL, (0, area.height - FOOTER, area.width, FOOTER))
        x, y = 16, area.height - FOOTER // 2
        for codes, what in ((("ArrowLeft", "ArrowRight"), "choose"), (("Enter",), "play"), (("Escape",), "quit")):
            for code in codes:
                x = theme.cap(surface, code, x, y) + 4
            x = theme.write(surface, what, 13, theme.DIM, midleft=(x + 4, y)).right + 22
