"""A window for the `human` render mode of any world, and its keys as pygame knows them.

Knows only frames and keys; pygame is imported when it is needed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    import pygame

SCALE_TO = 480  # pixels of the window's shorter side, about


class Window:
    """Shows frames at the world's speed when the render mode is "human"; does nothing otherwise.

    Raises:
        WorldsimError: when the first frame is shown, if there is no display.
    """

    def __init__(self, world: WorldSpec, render_mode: str | None):
        self._world = world
        self._human = render_mode == "human"
        self._screen: pygame.Surface | None = None

    def show(self, frame: np.ndarray) -> None:
        """Show a uint8 RGB frame `[H, W, 3]`, and wait until it is due."""
        if not self._human:
            return
        import pygame

        if self._screen is None:
            scale = max(1, SCALE_TO // min(frame.shape[:2]))
            asked = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
            try:
                pygame.display.init()
                if pygame.display.get_driver() == "offscreen" and not asked:  # where SDL draws if it finds no display
                    pygame.display.quit()
                    raise pygame.error("none found")
                self._screen = pygame.display.set_mode((frame.shape[1] * scale, frame.shape[0] * scale))
            except pygame.error as error:
                raise WorldsimError(
                    f"no display for render_mode='human' ({error}). Use render_mode='rgb_array'."
                ) from error
            pygame.display.set_caption(self._world.title or self._world.name)
            self._clock = pygame.time.Clock()
        surface = pygame.image.frombuffer(np.ascontiguousarray(frame).tobytes(), frame.shape[1::-1], "RGB")
        self._screen.blit(pygame.transform.scale(surface, self._screen.get_size()), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._world.fps)

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens a window of its own."""
        return {"_world": self._world, "_human": self._human, "_screen": None}

    def close(self) -> None:
        """Close the window."""
        if self._screen is not None:
            import pygame

            pygame.display.quit()
            self._screen = None

    def keys_to_action(self) -> dict[tuple[int, ...], int]:
        """The world's key combinations as sorted pygame key codes."""
        return {tuple(sorted(map(pygame_key, keys))): action for keys, action in self._world.key_combinations().items()}


def pygame_key(code: str) -> int:
    """The pygame key of a W3C `KeyboardEvent.code` name on a US layout: "ArrowUp", "KeyW", "Digit1", "Space", ..."""
    import pygame

    if code.startswith("Key"):
        return int(getattr(pygame, f"K_{code.removeprefix('Key').lower()}"))
    name = code.removeprefix("Arrow").removeprefix("Digit").upper()
    return int(getattr(pygame, f"K_{'RETURN' if name == 'ENTER' else name}"))
