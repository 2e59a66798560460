"""What the window shows one at a time: the gallery, or a world being played."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pygame

from worldsim.runtime.bundle import Bundle


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """Something to begin with in a world.

    Attributes:
        world: its name.
        frames: uint8 `[n, h, w, 3]`, of any size.
        said: what the user should know of it, a sentence or "".
        look: what the world is drawn in from then on; "" for as it is.
    """

    world: str
    frames: np.ndarray
    said: str = ""
    look: str = ""


# What a screen asks for: a world, a save file to be opened, a picture to begin with, words to make one of, the gallery,
# the end; None to stay.
Wish = Bundle | Path | Picture | Literal["prompt", "gallery", "quit"] | None


class Screen(Protocol):
    """A screen of the window.

    Attributes:
        title: of the window.
        world_name: of the world on it; "" if there are many.
    """

    title: str

    @property
    def world_name(self) -> str:
        """See the class."""

    @property
    def error(self) -> Exception | None:
        """Why the screen can't go on, if it can't."""

    def handle(self, event: pygame.Event) -> Wish:
        """Take an event; what the screen asks for in answer to it."""

    def draw(self, surface: pygame.Surface) -> None:
        """Draw everything."""

    def say(self, notice: str) -> None:
        """Show a line that the user should see."""

    def hold(self, still: bool) -> None:
        """Keys go elsewhere: let time stand still for as long, and then go on as before."""

    def take(self, picture: Picture) -> Wish:
        """Begin with a picture, or ask for the screen that can."""

    def close(self, failed: bool = False) -> str:
        """Leave the screen; returns a line that the user should see, or "".

        Args:
            failed: the program ends by an error: leave no half-written file.

        Raises:
            WorldsimError: if a file could not be finished.
        """
