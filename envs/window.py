"""A window for the `human` render mode of any world. Knows only frames; pygame is imported when a window opens."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    import pygame

SCALE_TO = 480  # pixels of the window's shorter side, about


class Window:
    """Shows frames at the world's speed when the render mode is "human"; does nothing otherwise.

    Without a display, frames are drawn off screen, as Gymnasium's own environments draw them, and a warning says so.

    Raises:
        WorldsimError: when the first frame is shown, if the video driver that SDL_VIDEODRIVER names can't be opened.
    """

    def __init__(self, world: WorldSpec, render_mode: str | None):
        self._world = world
        self._human = render_mode == "human"
        self._screen: pygame.Surface | None = None

    def show(self, frame: np.ndarray) -> bool:
        """Show a uint8 RGB frame `[H, W, 3]`, and wait until it is due.

        Returns:
            whether play goes on: False once somebody has closed the window.
        """
        if not self._human:
            return True
        import pygame

        if self._screen is None:
            self._screen, self._clock = self._open(frame), pygame.time.Clock()
        surface = pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), frame.shape[1::-1], "RGB")
        self._screen.blit(pygame.transform.scale(surface, self._screen.get_size()), (0, 0))
        pygame.display.flip()
        self._clock.tick(self._world.fps)
        return not pygame.event.get(pygame.QUIT)

    def _open(self, frame: np.ndarray) -> pygame.Surface:
        import pygame

        scale = max(1, SCALE_TO // min(frame.shape[:2]))
        asked = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
        try:
            pygame.display.init()
            screen = pygame.display.set_mode((frame.shape[1] * scale, frame.shape[0] * scale))
        except pygame.error as error:
            raise WorldsimError(
                f"no display for render_mode='human' ({error}). Use render_mode='rgb_array'."
            ) from error
        if pygame.display.get_driver() == "offscreen" and not asked:  # SDL's choice where it finds no display
            warnings.warn("no display was found: render_mode='human' shows its frames to nobody", stacklevel=2)
        pygame.display.set_caption(self._world.title or self._world.name)
        return screen

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens a window of its own."""
        return {"_world": self._world, "_human": self._human, "_screen": None}

    def close(self) -> None:
        """Close the window."""
        if self._screen is not None:
            import pygame

            pygame.display.quit()
            self._screen = None
