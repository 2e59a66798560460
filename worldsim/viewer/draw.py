"""Drawing on pygame surfaces: text, key caps, boxes, pictures. Knows nothing of worlds or players."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pygame

from worldsim.viewer import theme
from worldsim.viewer.keys import label
from worldsim.viewer.theme import Colour

FONTS = ("inter", "segoeui", "helveticaneue", "notosans", "dejavusans")  # the first installed one, else pygame's own
CAP_HEIGHT = 22
SUPERSAMPLING = 4  # text is drawn larger and scaled down: even spacing at small sizes, whatever the font's hints
LONGEST_TEXT = 300  # characters of one line; names come from files and may be of any length


@functools.cache
def _font(size: int, bold: bool) -> pygame.Font:
    pygame.font.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a system without fontconfig
        path = next(filter(None, (pygame.font.match_font(name, bold=bold) for name in FONTS)), None)
    return pygame.Font(path, size if path else round(1.4 * size))  # pygame draws its own font smaller than asked


@functools.lru_cache(maxsize=512)
def _rendered(text: str, size: int, colour: Colour, bold: bool) -> pygame.Surface:
    try:
        large = _font(size * SUPERSAMPLING, bold).render(text, True, colour)
    except pygame.error:  # somebody has quit pygame since, and its fonts with it
        _font.cache_clear()
        large = _font(size * SUPERSAMPLING, bold).render(text, True, colour)
    return pygame.transform.smoothscale(
        large, (large.get_width() // SUPERSAMPLING, large.get_height() // SUPERSAMPLING)
    )


def _printable(text: str) -> str:
    """One line of text that a font can draw: control characters become spaces."""
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_TEXT])


def width_of(text: str, size: int = theme.BODY, bold: bool = False) -> int:
    """Width of one line of text, in pixels."""
    return _rendered(_printable(text), size, theme.TEXT, bold).get_width()


def shortened(text: str, width: int, size: int = theme.BODY, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits into `width` pixels with an ellipsis."""
    text = _printable(text)
    if width_of(text, size, bold) <= width:
        return text
    while text and width_of(text + "…", size, bold) > width:
        text = text[:-1].rstrip()
    return text + "…" if text else ""


def wrapped(text: str, width: int, size: int = theme.BODY, lines: int = 2) -> list[str]:
    """The text broken at spaces into at most `lines` lines of `width` pixels; the last is shortened if need be."""
    rest, made = _printable(text).split(), list[str]()
    while rest and len(made) < lines - 1:
        count = 1
        while count < len(rest) and width_of(" ".join(rest[: count + 1]), size) <= width:
            count += 1
        made.append(shortened(" ".join(rest[:count]), width, size))
        rest = rest[count:]
    return [*made, shortened(" ".join(rest), width, size)] if rest else made


def write(
    surface: pygame.Surface,
    text: str,
    size: int = theme.BODY,
    colour: Colour = theme.TEXT,
    bold: bool = False,
    **place: tuple[int, int],
) -> pygame.Rect:
    """Write one line at `place`, for example `midleft=(x, y)`; returns the rectangle that it takes."""
    line = _rendered(_printable(text), size, colour, bold)
    return surface.blit(line, line.get_rect(**place))


def box(
    surface: pygame.Surface, rect: pygame.Rect, fill: Colour, border: Colour | None = None, radius: int = 8
) -> None:
    """A rounded box."""
    pygame.draw.rect(surface, fill, rect, border_radius=radius)
    if border is not None:
        pygame.draw.rect(surface, border, rect, width=1, border_radius=radius)


def cap_width(code: str) -> int:
    """Width of a key cap, in pixels."""
    return max(CAP_HEIGHT, width_of(label(code), theme.CAP) + 14)


def cap(surface: pygame.Surface, code: str, x: int, centre: int, lit: bool = False) -> int:
    """A key cap with its left edge at `x`, lit while the key is held; returns its right edge."""
    rect = pygame.Rect(x, centre - CAP_HEIGHT // 2, cap_width(code), CAP_HEIGHT)
    box(surface, rect, theme.ACCENT if lit else theme.RAISED, theme.ACCENT if lit else theme.LINE, radius=5)
    colour = theme.GROUND if lit else theme.TEXT
    if code.startswith("Arrow"):  # drawn, because not every font has arrows
        turn = {"Up": 0, "Right": 1, "Down": 2, "Left": 3}.get(code.removeprefix("Arrow"), 0)
        points = [pygame.Vector2(p).rotate(90 * turn) + rect.center for p in ((-5, 3), (0, -4), (5, 3))]
        pygame.draw.polygon(surface, colour, points)
        pygame.draw.aalines(surface, colour, True, points)
    else:
        write(surface, label(code), theme.CAP, colour, center=rect.center)
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
    """Show a frame, uint8 `[H, W, 3]`, letterboxed in `area`, smooth or with crisp pixels; returns its rectangle."""
    height, width = frame.shape[:2]
    rect = fit(width, height, area, whole=not smooth)
    image = pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), (width, height), "RGB")
    scale = pygame.transform.smoothscale if smooth else pygame.transform.scale
    surface.blit(scale(image.convert(), rect.size), rect)
    return rect


def outline(surface: pygame.Surface, rect: pygame.Rect, colour: Colour) -> None:
    """A line around a rectangle, outside of it."""
    pygame.draw.rect(surface, colour, rect.inflate(8, 8), width=2, border_radius=3)


def dot(surface: pygame.Surface, centre: tuple[int, int], colour: Colour) -> None:
    """A small light."""
    pygame.draw.aacircle(surface, colour, centre, 4)


def veil(surface: pygame.Surface, rect: pygame.Rect, alpha: int = 150) -> None:
    """Darken a part of the surface."""
    dark = pygame.Surface(rect.size)
    dark.fill(theme.GROUND)
    dark.set_alpha(alpha)
    surface.blit(dark, rect)


def icon() -> pygame.Surface:
    """The window's icon: a ring of light around a dark pupil."""
    surface = pygame.Surface((64, 64), pygame.SRCALPHA)
    pygame.draw.aacircle(surface, theme.PANEL, (32, 32), 31)
    pygame.draw.aacircle(surface, theme.ACCENT, (32, 32), 24, width=8)
    pygame.draw.aacircle(surface, theme.TEXT, (32, 32), 7)
    return surface
