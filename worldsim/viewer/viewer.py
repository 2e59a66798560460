"""The viewer: one window, a gallery and a world being played, and the loop that shows them.

    with Viewer(worlds, play=lambda world: Playing(world, open_session)) as viewer: viewer.run()

The loop only waits for events, of which a new frame is one, and draws: the window answers however slow the model is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pygame

from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session
from worldsim.viewer.commands import KEYS
from worldsim.viewer.gallery import Gallery
from worldsim.viewer.keys import is_shortcut
from worldsim.viewer.prompt import PromptBox
from worldsim.viewer.screen import Picture, Screen, Wish
from worldsim.viewer.window import Window

REDRAW = 250  # milliseconds, when nothing happens
FULL_SCREEN = SCANCODES[KEYS["full screen"]]


class Viewer:
    """The window with a gallery of `worlds`, or with one of them at once.

    Args:
        worlds: for the gallery.
        play: makes the screen of a world, a save file or a picture; called whenever one is chosen, dropped onto the
            window or painted.
        world: play this one, open this file, or begin with this picture, at once.
        prompt: where words are typed; without one, nothing is painted.
        open_session: makes the session of a world, for thumbnails that move.

    Attributes:
        screen: the one shown.

    Raises:
        WorldsimError: if there is no display.
    """

    def __init__(
        self,
        worlds: Sequence[Bundle],
        play: Callable[[Any], Screen],
        world: Bundle | Path | Picture | None = None,
        prompt: PromptBox | None = None,
        open_session: Callable[[Bundle], Session] | None = None,
    ):
        self._play, self._window, self._prompt = play, Window(Gallery.title), prompt
        self._gallery = Gallery(worlds, prompt is not None, open_session)
        self.screen: Screen = self._gallery
        self._pads: dict[int, pygame.joystick.JoystickType] = {}  # kept open, so that they send events
        self._show(play(world) if world else self._gallery)

    def run(self) -> None:
        """Show the window until it is closed.

        Raises:
            WorldsimError: if a world can't be opened or played.
        """
        while self.tick():
            pass

    def tick(self, timeout: int = REDRAW) -> bool:
        """Wait for events, at most `timeout` milliseconds; take them all; draw. False once the window is to close."""
        for event in [pygame.event.wait(timeout), *pygame.event.get()]:
            if event.type == pygame.KEYDOWN and event.scancode == FULL_SCREEN and not is_shortcut(event.mod):
                self._window.toggle_full_screen()
                if self._prompt and self._prompt.is_open:
                    self._prompt.listen()
                continue
            self._connect(event)
            wish = "quit" if event.type == pygame.QUIT else self._handle(event)
            if wish == "quit":
                return False
            if wish == "prompt":
                self._type()
            elif wish == "gallery":
                self._show(self._gallery)
            elif isinstance(wish, (Path, Picture)):
                self._open(wish)
            elif wish is not None:
                self._show(self._play(wish))
        if self.screen.error:
            raise self.screen.error
        self.screen.draw(self._window.surface)
        if self._prompt and self._prompt.is_open:
            self._prompt.draw(self._window.surface)
        pygame.display.flip()
        return True

    def _handle(self, event: pygame.Event) -> Wish:
        """Give an event to the prompt box, if it is open, or to the screen."""
        if self._prompt is None or not self._prompt.is_open:
            return self.screen.handle(event)
        made = self._prompt.handle(event)
        if made == "shut":
            self.screen.hold(False)
            return None
        return made if made is None else self.screen.take(made)

    def _type(self) -> None:
        """Open the prompt box over the screen."""
        if self._prompt is not None:
            self.screen.hold(True)
            self._prompt.open(self.screen.world_name)

    def _open(self, wanted: Path | Picture) -> None:
        """Show what was dropped onto the window or painted; if it can't be, say why and stay."""
        try:
            self._show(self._play(wanted))
        except WorldsimError as error:
            self.screen.say(str(error))

    def _connect(self, event: pygame.Event) -> None:
        """Take note of gamepads that come and go."""
        if event.type == pygame.JOYDEVICEADDED:
            pad = pygame.joystick.Joystick(event.device_index)
            self._pads[pad.get_instance_id()] = pad
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)

    def _show(self, screen: Screen) -> None:
        self._leave()
        self.screen = screen
        self._gallery.show(screen is self._gallery)
        self._window.set_title(screen.title)

    def _leave(self, failed: bool = False) -> None:
        left, self.screen = self.screen, self._gallery
        self._gallery.notice = left.close(failed)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._prompt:
                self._prompt.close()
            self._gallery.end()
            self._leave(failed=kind is not None)
        finally:
            self._window.close()
