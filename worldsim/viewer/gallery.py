"""The gallery: a card for every world, chosen with keys or mouse, and one for words. Opens no world itself."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pygame

from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.pictures import SUFFIXES
from worldsim.runtime.session import Session
from worldsim.viewer import draw, theme
from worldsim.viewer.goal import goal_of
from worldsim.viewer.keys import is_shortcut
from worldsim.viewer.screen import Picture, Wish
from worldsim.viewer.thumbnails import Thumbnails

NARROWEST, WIDEST, CAPTION, INSET, GAP, HEADER, FOOTER = 170, 440, 84, 10, 20, 100, 32  # pixels
PLAY = ("Enter", "NumpadEnter", "Space")
HINTS = (
    (("ArrowLeft", "ArrowRight"), "choose"),
    (("Enter",), "play"),
    (("F11",), "full screen"),
    (("Escape",), "quit"),
)


CHANGED = pygame.event.custom_type()  # thumbnails are to be drawn anew
PACE = 80  # milliseconds from one frame of a thumbnail to the next
PROMPT = ("In your words", "Say what there is to see, and step into it.")


class Gallery:
    """The screen at the start.

    Args:
        worlds: at least one.
        prompts: whether pictures can be painted of words: one card more.
        open_session: makes the session of a world, for thumbnails that move; without it they stand still.

    Attributes:
        chosen: index of the world that Enter plays; after the last one, that of the card for words.
        notice: a line under the headline, in place of the usual one.
    """

    title, world_name = "worldsim", ""
    error: Exception | None = None

    def __init__(
        self,
        worlds: Sequence[Bundle],
        prompts: bool = False,
        open_session: Callable[[Bundle], Session] | None = None,
    ):
        assert worlds
        self.worlds = worlds
        self._count = len(worlds) + prompts
        self._thumbnails = Thumbnails(worlds, open_session, _post_changed) if open_session else None
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
                return self._wish(self.chosen)
            if event.scancode == SCANCODES["Escape"]:
                return "quit"
            moves = {"ArrowLeft": -1, "ArrowRight": 1, "ArrowUp": -self._columns, "ArrowDown": self._columns}
            move = next((move for code, move in moves.items() if event.scancode == SCANCODES[code]), 0)
            if 0 <= self.chosen + move < self._count:
                self._choose(self.chosen + move)
        elif event.type in (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN):
            under = pygame.Rect(event.pos, (1, 1)).collidelist(self._cards)
            if under >= 0:
                self._choose(under)
                if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
                    return self._wish(under)
        return None

    def _choose(self, card: int) -> None:
        self.chosen = card
        if self._thumbnails:
            self._thumbnails.want(card)

    def _wish(self, card: int) -> Wish:
        """What a card stands for."""
        return self.worlds[card] if card < len(self.worlds) else "prompt"

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

    def hold(self, still: bool) -> None:
        """Nothing moves that could be missed."""

    def take(self, picture: Picture) -> Wish:
        """A picture is played in its own world."""
        return picture

    def show(self, shown: bool) -> None:
        """The gallery comes into view, or is left: thumbnails move, and are made, only while it is seen."""
        if self._thumbnails:
            pygame.time.set_timer(CHANGED, PACE if shown else 0)
            self._thumbnails.rest(not shown)

    def close(self, failed: bool = False) -> str:
        """Nothing is to be finished."""
        return ""

    def end(self) -> None:
        """The window closes."""
        if self._thumbnails:
            self.show(False)
            self._thumbnails.close()

    def _place_cards(self, area: pygame.Rect) -> None:
        """Where the cards are: in as many columns as make them largest with all in view, or else as narrow as may be
        and scrolled so that the chosen one is seen."""
        count = self._count
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
        chosen = index == self.chosen
        draw.box(surface, card, theme.RAISED if chosen else theme.PANEL, theme.ACCENT if chosen else theme.LINE, 12)
        area = pygame.Rect(card.left + INSET, card.top + INSET, card.width - 2 * INSET, card.height - CAPTION - INSET)
        draw.box(surface, area, theme.GROUND, radius=6)
        if index < len(self.worlds):
            spec, goal = self.worlds[index].spec, self._goals[index]
            name = spec.title or spec.name
            self._draw_picture(surface, area, index)
        else:
            name, goal = PROMPT
            _draw_lines(surface, area)
        left, width = card.left + INSET + 4, area.width - 8
        size = theme.TITLE if draw.width_of(name, theme.TITLE, bold=True) <= width else theme.BODY
        name = draw.shortened(name, width, size, bold=True)
        y = draw.write(surface, name, size, bold=True, topleft=(left, area.bottom + 8)).bottom + 4
        for line in draw.wrapped(goal, width, theme.SMALL):
            y = draw.write(surface, line, theme.SMALL, theme.DIM, topleft=(left, y)).bottom + 1

    def _draw_picture(self, surface: pygame.Surface, area: pygame.Rect, index: int) -> None:
        """A world's thumbnail as it moves, or its preview."""
        frames = self._thumbnails.frames(index) if self._thumbnails else None
        if frames is None:
            picture = self._picture(index, area.size)
        else:
            now = frames[pygame.time.get_ticks() // PACE % len(frames)]
            picture = _enlarged(pygame.surfarray.make_surface(now.swapaxes(0, 1)).convert(), area.size)
        surface.blit(picture, picture.get_rect(center=area.center))

    def _picture(self, index: int, size: tuple[int, int]) -> pygame.Surface:
        """A world's preview as large as fits. Cached, for scaling is slow."""
        if (index, size) not in self._pictures:
            self._pictures[index, size] = _enlarged(self._previews[index], size)
        return self._pictures[index, size]

    def _draw_footer(self, surface: pygame.Surface) -> None:
        area = surface.get_rect()
        surface.fill(theme.PANEL, (0, area.height - FOOTER, area.width, FOOTER))
        x, y = 16, area.height - FOOTER // 2
        for codes, what in HINTS:
            for code in codes:
                x = draw.cap(surface, code, x, y) + 4
            x = draw.write(surface, what, theme.SMALL, theme.DIM, midleft=(x + 4, y)).right + 22
        if self._count > 1:
            place = f"{self.chosen + 1} of {self._count}"
            draw.write(surface, place, theme.SMALL, theme.DIM, midright=(area.width - 16, y))


def _enlarged(picture: pygame.Surface, size: tuple[int, int]) -> pygame.Surface:
    """A picture as large as fits: enlarged crisply, then fitted smoothly."""
    place = draw.fit(*picture.get_size(), pygame.Rect((0, 0), size))
    large = pygame.transform.scale_by(picture, math.ceil(place.width / picture.get_width()))
    return pygame.transform.smoothscale(large, place.size)


def _draw_lines(surface: pygame.Surface, area: pygame.Rect) -> None:
    """Lines of text with a caret: the picture of the card for words."""
    step = area.height // 5
    for i, share in enumerate((0.62, 0.7, 0.34)):
        y = area.top + step * (i + 1) + step // 2
        line = pygame.Rect(area.left + area.width // 7, y, round(area.width * share), max(4, step // 5))
        draw.box(surface, line, theme.RAISED if i < 2 else theme.ACCENT, radius=3)
    caret = pygame.Rect(line.right + 6, line.centery - step // 3, 3, 2 * step // 3)
    draw.box(surface, caret, theme.TEXT, radius=1)


def _post_changed() -> None:
    with contextlib.suppress(pygame.error):  # the window may be gone
        pygame.event.post(pygame.Event(CHANGED))
