"""The other lines of play as small pictures of their ends, shown while time stands still, to be clicked."""

from __future__ import annotations

import pygame

from worldsim.viewer import draw, theme
from worldsim.viewer.player import View

HIGH, CAPTION, GAP = 54, 18, 8  # pixels: of a picture, of the line under it, around them
LEAST_HEIGHT = 300  # of the area; lower ones are left to the picture


def place(area: pygame.Rect, view: View) -> list[pygame.Rect]:
    """Where the pictures of `view.tips` go: in a row at the foot of an area, as many of them as fit."""
    if not view.tips or area.height < LEAST_HEIGHT:
        return []
    height, width = view.frame.shape[:2]
    size = max(40, round(HIGH * width / height)), HIGH
    fitting = min(len(view.tips), (area.width - GAP) // (size[0] + GAP))
    left = area.centerx - (fitting * (size[0] + GAP) - GAP) // 2
    top = area.bottom - HIGH - CAPTION - GAP
    return [pygame.Rect((left + i * (size[0] + GAP), top), size) for i in range(fitting)]


def draw_branches(surface: pygame.Surface, places: list[pygame.Rect], view: View, fps: float) -> None:
    """Draw them, each with how many seconds of play it holds."""
    if not places:
        return
    box = places[0].unionall(places[1:]).inflate(2 * GAP, 2 * GAP)
    box.height += CAPTION - GAP // 2
    draw.veil(surface, box, 225)
    for rect, (frame, last) in zip(places, view.tips, strict=False):
        draw.picture(surface, frame, rect, smooth=True)
        text = f"{last / fps:.1f} s"
        draw.write(surface, text, theme.CAP, theme.DIM, midtop=(rect.centerx, rect.bottom + 2))
