"""The window: a gallery and a world being played, and the one loop that shows them. Generates nothing itself.

    with Viewer(worlds, play=lambda world: Playing(world, open_session)) as viewer: viewer.run()

A world's frames come from a `Player` on a thread of its own; the loop only waits for events (a frame is one) and draws,
so the window answers however slow the model is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pygame

from worldsim.data.video import VideoWriter
from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session
from worldsim.viewer import theme
from worldsim.viewer.gallery import Gallery, Wish
from worldsim.viewer.keys import label
from worldsim.viewer.player import Player

SIZE, SIDEBAR, STATUS, MARGIN = (1120, 696), 240, 32, 12
REDRAW = 250  # milliseconds, when nothing happens
COMMANDS = {  # a world that needs the first key has it; the F keys stay
    "pause": (("Space", "F2"), "pause"),
    "step": (("Enter", "F3"), "a single frame"),
    "restart": (("Backspace", "F4"), "begin again"),
    "previous": (("PageUp", "F5"), "previous start"),
    "next": (("PageDown", "F6"), "next start"),
    "scaling": (("Tab", "F7"), "crisp or smooth"),
    "help": (("F1",), "show or hide this"),
    "gallery": (("Escape",), "all worlds"),
    "quit": (("F10",), "quit"),
}
CHANGED = pygame.event.custom_type()  # the player has something new


class Playing:
    """The screen of a world being played.

    Args:
        world: what is played.
        open_session: makes its session; called on the player's thread.
        start, seed: where play begins.
        smooth: scale smoothly rather than crisply.
        record: a video file for the generated frames.
    """

    def __init__(
        self,
        world: Bundle,
        open_session: Callable[[Bundle], Session],
        start: int = 0,
        seed: int = 0,
        smooth: bool = False,
        record: Path | None = None,
    ):
        self.world, self.spec, self.smooth, self.help = world, world.spec, smooth, True
        self.title = f"{self.spec.title or self.spec.name} - worldsim"
        self.start, self._starts = start, len(world.starts)
        taken = {code for codes in self.spec.keys.values() for code in codes}
        self._codes = {SCANCODES[code]: code for code in taken}
        self.commands = {name: [c for c in codes if c not in taken] for name, (codes, _) in COMMANDS.items()}
        self._command_of = {SCANCODES[code]: name for name, codes in self.commands.items() for code in codes}
        self.video = VideoWriter(record, self.spec.fps) if record else None
        self.player = Player(
            self.spec,
            open_session=lambda: open_session(world),
            start=start,
            seed=seed,
            changed=_post_changed,
            on_frame=self.video.write if self.video else lambda frame: None,
        )

    def close(self, failed: bool = False) -> None:
        """End play; the video is finished or, after a failure, removed.

        Raises:
            WorldsimError: if the last frames couldn't be made or written.
        """
        self.player.close()
        if self.video:
            self.player.join()
            if failed or self.player.error:
                self.video.abandon()
            else:
                self.video.close()
            if self.player.error and not failed:
                raise self.player.error

    def handle(self, event: pygame.Event) -> Wish:
        """ "gallery", "quit", or None to stay."""
        keys = self.player.keys
        if event.type == pygame.KEYDOWN and event.scancode in self._codes:
            keys.press(self._codes[event.scancode])
        elif event.type == pygame.KEYUP and event.scancode in self._codes:
            keys.release(self._codes[event.scancode])
        elif event.type == pygame.WINDOWFOCUSLOST:
            keys.release_all()
        elif event.type == pygame.KEYDOWN:
            return self._command(self._command_of.get(event.scancode))
        return None

    def _command(self, name: str | None) -> Wish:
        if name == "gallery":
            return "gallery"
        if name == "quit":
            return "quit"
        if name == "pause":
            self.player.pause(not self.player.paused)
        elif name == "step":
            self.player.step_once()
        elif name in ("restart", "previous", "next"):
            self.start = (self.start + {"restart": 0, "previous": -1, "next": 1}[name]) % self._starts
            self.player.go_to(self.start)
        elif name == "scaling":
            self.smooth = not self.smooth
        elif name == "help":
            self.help = not self.help
        return None

    def draw(self, surface: pygame.Surface) -> None:
        """Draw everything."""
        surface.fill(theme.GROUND)
        area = surface.get_rect()
        area.height -= STATUS
        if self.help and area.width >= 2 * SIDEBAR:
            area.width -= SIDEBAR
            self._draw_sidebar(surface, pygame.Rect(area.right, 0, SIDEBAR, area.height))
        view = self.player.view
        frame = self.world.starts.frames[self.start, -1] if view is None else view.frame
        place = theme.picture(surface, frame, area.inflate(-2 * MARGIN, -2 * MARGIN), self.smooth)
        if view is None:
            theme.veil(surface, place)
            theme.note(surface, (f"Opening {self.spec.title or self.spec.name} …",), area)
        elif self.player.paused and view.ended:
            theme.note(
                surface, ("The end", f"{self._cap('restart')} begins again · {self._cap('pause')} dreams on"), area
            )
        elif self.player.paused:
            theme.note(surface, ("Paused", f"{self._cap('pause')} goes on · {self._cap('step')} makes one frame"), area)
        self._draw_status(surface, pygame.Rect(0, surface.get_height() - STATUS, surface.get_width(), STATUS))

    def _draw_sidebar(self, surface: pygame.Surface, area: pygame.Rect) -> None:
        surface.fill(theme.PANEL, area)
        held = self.player.keys.held()
        x, y = area.left + 18, area.top + 30
        theme.write(surface, self.spec.title or self.spec.name, 19, bold=True, midleft=(x, y))
        y += 44
        pitch = min(34, (area.bottom - y - 30) // (len(self.spec.keys) + len(self.commands)))  # many keys move together
        for button, codes in self.spec.keys.items():
            right = x
            for code in codes:
                right = theme.cap(surface, code, right, y, lit=code in held) + 5
            theme.write(surface, button, 14, midleft=(max(right + 6, x + 72), y))
            y += pitch
        pygame.draw.line(surface, theme.LINE, (x, y), (area.right - 18, y))
        y += 30
        for name, command_codes in self.commands.items():
            theme.cap(surface, command_codes[0], x, y)
            theme.write(surface, COMMANDS[name][1], 13, theme.DIM, midleft=(x + 90, y))
            y += pitch

    def _draw_status(self, surface: pygame.Surface, area: pygame.Rect) -> None:
        surface.fill(theme.PANEL, area)
        view, player, middle = self.player.view, self.player, area.centery
        colour, speed = theme.DIM, "starting"
        if view and player.paused:
            speed = "paused"
        elif view and view.fps and player.keeps_up:
            colour, speed = theme.ACCENT, f"{view.fps:.1f} fps"
        elif view and view.fps:
            colour, speed = theme.WARNING, f"{view.fps:.1f} of {self.spec.fps:g} fps: this machine is too slow"
        theme.dot(surface, (area.left + 18, middle), colour)
        right = theme.write(surface, speed, 13, theme.TEXT, midleft=(area.left + 30, middle)).right
        facts = (
            [] if view is None else [f"start {view.start}", f"frame {view.index}", "smooth" if self.smooth else "crisp"]
        )
        if view and view.action is not None:
            facts.insert(0, self.spec.actions[view.action].name)
        if view and abs(view.reward) >= 0.05:
            facts.append(f"reward {view.reward:.1f}")
        if not self.help:
            facts.append(f"{self._cap('help')} help")
        x = area.right - 16
        if self.video:
            theme.dot(surface, (x - 4, middle), theme.RECORDING)
            x = theme.write(surface, "recording", 13, theme.TEXT, midright=(x - 14, middle)).left - 18
        for fact in reversed(facts):
            if x - theme.width_of(fact, 13) > right + 20:
                x = theme.write(surface, fact, 13, theme.DIM, midright=(x, middle)).left - 18

    def _cap(self, command: str) -> str:
        return label(self.commands[command][0])


class Viewer:
    """The window: a gallery of `worlds`, or one of them at once.

    Args:
        worlds: for the gallery.
        play: makes the screen of a world; it is asked whenever one is chosen.
        world: play this one at once.

    Raises:
        WorldsimError: if there is no display.
    """

    def __init__(self, worlds: Sequence[Bundle], play: Callable[[Bundle], Playing], world: Bundle | None = None):
        open_window()
        self._play = play
        self._gallery = Gallery(worlds)
        self.screen: Gallery | Playing = self._gallery
        if world:
            self._show(play(world))

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
            wish = "quit" if event.type == pygame.QUIT else self.screen.handle(event)
            if wish == "quit":
                return False
            if wish == "gallery":
                self._show(self._gallery)
            elif isinstance(wish, Bundle):
                self._show(self._play(wish))
        if isinstance(self.screen, Playing) and self.screen.player.error:
            raise self.screen.player.error
        surface = pygame.display.get_surface()
        assert surface is not None
        self.screen.draw(surface)
        pygame.display.flip()
        return True

    def _show(self, screen: Gallery | Playing) -> None:
        self._leave()
        self.screen = screen
        pygame.display.set_caption(screen.title)

    def _leave(self, failed: bool = False) -> None:
        if isinstance(self.screen, Playing):
            self.screen.close(failed)
            self.screen = self._gallery

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._leave(failed=kind is not None)
        finally:
            pygame.display.quit()


def _post_changed() -> None:
    with contextlib.suppress(pygame.error):  # the window may be gone before the player's last frame
        pygame.event.post(pygame.Event(CHANGED))


def open_window() -> None:
    """Open pygame's window.

    Raises:
        WorldsimError: if there is no display.
    """
    asked = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
    try:
        pygame.display.init()
        if pygame.display.get_driver() == "offscreen" and not asked:  # where SDL draws if it finds no display
            pygame.display.quit()
            raise pygame.error("none found")
        pygame.display.set_caption(Gallery.title)
        pygame.display.set_icon(theme.icon())
        pygame.display.set_mode(SIZE, pygame.RESIZABLE)
        pygame.key.stop_text_input()  # an input method would swallow keys
    except pygame.error as error:
        raise WorldsimError(
            f"no display to open a window on ({error}). Play without one: python play.py --headless --record out.mp4"
        ) from error
