"""Drawing: what it draws with outlives others' use of pygame."""

from __future__ import annotations

import pygame

from worldsim.viewer.draw import width_of


def test_text_is_drawn_after_somebody_quit_pygame() -> None:
    assert width_of("before") > 0
    pygame.quit()
    pygame.font.init()
    assert width_of("after") > 0
