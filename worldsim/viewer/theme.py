"""How the window looks: colours, text, key caps, pictures. Draws on surfaces; knows nothing of worlds or players."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pygame

from worldsim.viewer.keys import label

Colour = tuple[int, int, int]

GROUND: Colour = (15, 17, 21)
PANEL: Colour = (22, 25, 31)
RAISED: Colour = (33, 38, 46)
LINE: Colour = (48, 54, 65)
TEXT: Colour = (226, 230, 236)
DIM: Colour = (139, 148, 162)
ACCENT: Colour = (108, 196, 172)
WARNING: Colour = (236, 180, 94)
RECORDING: Colour = (236, 104, 96)

FONTS = (
    "inter",
    "segoeui",
    "helveticaneue",
    "notosans",
    "dejavusans",
)  # the first one the system has; else pygame's own
CAP_HEIGHT = 24
FINENESS = 4  # text is drawn so much larger and scaled down: even spacing at small sizes, whatever the font's hints


@functools.cache
def _font(size: int, bold: bool) -> pygame.Font:
    pygame.font.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a system without fontconfig
        path = next(filter(None, (pygame.font.match_font(name, bold=bold) for name in FONTS)), None)
    return pygame.Font(path, size if path else round(1.4 * size))  # pygame draws its own font smaller than asked


@functools.lru_cache(maxsize=512)
def _rendered(text: str, size: int, colour: Colour, bold: bool) -> pygame.Surface:
    large = _font(size * FINENESS, bold).render(text, True, colour)
    return pygame.transform.smoothscale(large, (large.get_width() // FINENESS, large.get_height() // FINENESS))


def write(
    surface: pygame.Surface,
    text: str,
    size: int = 14,
    colour: Colour = TEXT,
    bold: bool = False,
    **place: tuple[int, int],
) -> pygame.Rect:
    """Write one line at `place`, for example `midleft=(x, y)`; returns where it stands."""
    line = _rendered(text, size, colour, bold)
    return surface.blit(line, line.get_rect(**place))


def width_of(text: str, size: int = 14, bold: bool = False) -> int:
    """Pixels that a line of text takes."""
    return _rendered(text, size, TEXT, bold).get_width()


def box(
    surface: pygame.Surface, rect: pygame.Rect, fill: Colour, border: Colour | None = None, radius: int = 8
) -> None:
    """A rounded box."""
    pygame.draw.rect(surface, fill, rect, border_radius=radius)
    if border is not None:
        pygame.draw.rect(surface, border, rect, width=1, border_radius=radius)


def cap_width(code: str) -> int:
    """Pixels that a key's cap takes."""
    return max(CAP_HEIGHT, width_of(label(code), 12) + 14)


def cap(surface: pygame.Surface, code: str, x: int, centre: int, lit: bool = False) -> int:
    """A key's cap with its left edge at `x`, lit while it is held; returns its right edge."""
    rect = pygame.Rect(x, centre - CAP_HEIGHT // 2, cap_width(code), CAP_HEIGHT)
    box(surface, rect, ACCENT if lit else RAISED, ACCENT if lit else LINE, radius=5)
    colour = GROUND if lit else TEXT
    if code.startswith("Arrow"):  # drawn, because not every font has arrows
        turn = {"Up": 0, "Right": 1, "Down": 2, "Left": 3}.get(code.removeprefix("Arrow"), 0)
        points = [pygame.Vector2(p).rotate(90 * turn) + rect.center for p in ((-5, 3), (0, -4), (5, 3))]
        pygame.draw.polygon(surface, colour, points)
        pygame.draw.aalines(surface, colour, True, points)
    else:
        write(surface, label(code), 12, colour, center=rect.center)
    return rect.right


def fit(width: int, height: int, area: pygame.Rect, whole: bool = False) -> pygame.Rect:
    """The largest rectangle of this aspect, centred in `area`; `whole`: only by a whole factor, so pixels stay even."""
    factor = min(area.width / width, area.height / height)
    if whole and factor >= 1:
        factor = int(factor)
    rect = pygame.Rect(0, 0, max(1, round(width * factor)), max(1, round(height * factor)))
    rect.center = area.center
    return rect


def picture(surface: pygame.Surface, frame: np.ndarray, area: pygame.Rect, smooth: bool = False) -> pygame.Rect:
    """Show a frame, uint8 `[H, W, 3]`, letterboxed in `area`, smooth or with crisp pixels; returns where it stands."""
    height, width = frame.shape[:2]
    rect = fit(width, height, area, whole=not smooth)
    image = pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), (width, height), "RGB")
    scale = pygame.transform.smoothscale if smooth else pygame.transform.scale
    surface.blit(scale(image.convert(), rect.size), rect)
    return rect


def dot(surface: pygame.Surface, centre: tuple[int, int], colour: Colour) -> None:
    """A small light."""
    pygame.draw.aacircle(surface, colour, centre, 4)


def veil(surface: pygame.Surface, rect: pygame.Rect, alpha: int = 150) -> None:
    """Darken a part of the surface."""
    dark = pygame.Surface(rect.size)
    dark.fill(GROUND)
    dark.set_alpha(alpha)
    surface.blit(dark, rect)


def note(surface: pygame.Surface, lines: tuple[str, ...], area: pygame.Rect) -> None:
    """A box with a bold line and dim ones, at the foot of `area`."""
    width = max(width_of(line, 15 if i == 0 else 13, i == 0) for i, line in enumerate(lines)) + 36
    rect = pygame.Rect(0, 0, width, 20 * len(lines) + 18)
    rect.midbottom = (area.centerx, area.bottom - 16)
    shadow = pygame.Surface(rect.size, pygame.SRCALPHA)
    pygame.draw.rect(shadow, (*GROUND, 225), shadow.get_rect(), border_radius=10)
    surface.blit(shadow, rect)
    for i, line in enumerate(lines):
        middle = (rect.centerx, rect.top + 19 + 20 * i)
        write(surface, line, 15 if i == 0 else 13, TEXT if i == 0 else DIM, bold=i == 0, center=middle)


def icon() -> pygame.Surface:
    """The window's icon: a ring of light around a dark pupil."""
    surface = pygame.Surface((64, 64), pygame.SRCALPHA)
    pygame.draw.aacircle(surface, PANEL, (32, 32), 31)
    pygame.draw.aacircle(surface, ACCENT, (32, 32), 24, width=8)
    pygame.draw.aacircle(surface, TEXT, (32, 32), 7)
    return surface
