"""Opening pygame's one window, and its full screen. Knows nothing of what it shows."""

from __future__ import annotations

import os
import sys

import pygame

from worldsim.errors import WorldsimError
from worldsim.viewer import draw

SIZE = (1120, 720)  # pixels, at first


class Window:
    """The window, open until `close()`.

    Raises:
        WorldsimError: if there is no display.
    """

    def __init__(self, title: str) -> None:
        self._size = SIZE
        _avoid_wayland_without_a_socket()
        asked = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
        try:
            pygame.display.init()
            pygame.joystick.init()
            if pygame.display.get_driver() == "offscreen" and not asked:  # where SDL draws if it finds no display
                pygame.display.quit()
                raise pygame.error("none found")
            self.set_title(title)
            pygame.display.set_icon(draw.icon())
            self._open(SIZE)
        except pygame.error as error:
            raise WorldsimError(
                f"no display to open a window on ({error}). "
                "Play without one: python play.py --headless --record out.mp4"
            ) from error

    @property
    def surface(self) -> pygame.Surface:
        """What to draw on; another one after a change of size."""
        surface = pygame.display.get_surface()
        assert surface is not None
        return surface

    @property
    def full_screen(self) -> bool:
        """Whether the window covers the screen."""
        return bool(self.surface.get_flags() & pygame.FULLSCREEN)

    def toggle_full_screen(self) -> None:
        """Cover the whole screen, or go back to the size before."""
        if self.full_screen:
            self._open(self._size)
        else:
            self._size = self.surface.get_size()
            self._open((0, 0), pygame.FULLSCREEN)

    def set_title(self, title: str) -> None:
        """Name the window."""
        pygame.display.set_caption(title)

    def close(self) -> None:
        """Close the window."""
        pygame.joystick.quit()
        pygame.display.quit()

    def _open(self, size: tuple[int, int], flags: int = pygame.RESIZABLE) -> None:
        pygame.display.set_mode(size, flags)
        pygame.key.stop_text_input()  # an input method would swallow keys


def _avoid_wayland_without_a_socket() -> None:
    """libwayland complains on stderr where there is no folder for its socket, before SDL looks for X: keep to X."""
    chosen = {"SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER", "XDG_RUNTIME_DIR"} & set(os.environ)
    if sys.platform == "linux" and not chosen:
        os.environ["SDL_VIDEODRIVER"] = "x11"
