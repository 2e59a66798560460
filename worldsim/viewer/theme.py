"""The palette: every colour and type size of the window. Draws nothing."""

from __future__ import annotations

Colour = tuple[int, int, int]

GROUND: Colour = (15, 17, 21)
PANEL: Colour = (22, 25, 31)
RAISED: Colour = (33, 38, 46)
LINE: Colour = (48, 54, 65)
TEXT: Colour = (226, 230, 236)
DIM: Colour = (150, 159, 173)
ACCENT: Colour = (108, 196, 172)
WARNING: Colour = (236, 180, 94)
RECORDING: Colour = (236, 104, 96)

HEADLINE, TITLE, BODY, SMALL, CAP = 30, 18, 14, 13, 12  # type sizes, in pixels
