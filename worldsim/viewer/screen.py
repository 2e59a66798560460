"""What the window shows one at a time: the gallery, or a world being played."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import pygame

from worldsim.runtime.bundle import Bundle

# What a screen asks for: a world, a save file to be opened, the gallery, the end; None to stay.
Wish = Bundle | Path | Literal["gallery", "quit"] | None


class Screen(Protocol):
    """A screen of the window.

    Attributes:
        title: of the window.
    """

    title: str

    @property
    def error(self) -> Exception | None:
        """Why the screen can't go on, if it can't."""

    def handle(self, event: pygame.Event) -> Wish:
        """Take an event; what the screen asks for in answer to it."""

    def draw(self, surface: pygame.Surface) -> None:
        """Draw everything."""

    def say(self, notice: str) -> None:
        """Show a line that the user should see."""

    def close(self, failed: bool = False) -> str:
        """Leave the screen; returns a line that the user should see, or "".

        Args:
            failed: the program ends by an error: leave no half-written file.

        Raises:
            WorldsimError: if a file could not be finished.
        """
