"""The screen of a world being played: takes keys, shows the newest frame, the help and the status bar.

Generates nothing itself: frames come from a `Player` on a thread of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pygame

from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session
from worldsim.viewer import draw, key_help, status, theme, timeline
from worldsim.viewer.capture import Capture
from worldsim.viewer.commands import Command, assign_keys
from worldsim.viewer.goal import goal_in_card
from worldsim.viewer.keys import is_shortcut, label
from worldsim.viewer.player import Player, View
from worldsim.viewer.screen import Wish

MARGIN = 12  # pixels around the picture
CHANGED = pygame.event.custom_type()  # the player has something new to show


class Playing:
    """The screen of a world being played.

    Args:
        world: what is played.
        open_session: makes its session; called on the player's thread.
        start: index of the start to begin at.
        seed: of all random numbers.
        smooth: scale smoothly rather than crisply.
        capture: films what is played; finished when the screen is left.
    """

    def __init__(
        self,
        world: Bundle,
        open_session: Callable[[Bundle], Session],
        start: int = 0,
        seed: int = 0,
        smooth: bool = False,
        capture: Capture | None = None,
    ):
        self.world, self.spec, self.smooth = world, world.spec, smooth
        self.name = self.spec.title or self.spec.name
        self.title = f"{self.name} - worldsim"
        self._starts = len(world.starts)
        self.panel, self.page = True, False  # the help, where it has room beside the picture, and where not
        self.keys = assign_keys(self.spec.keys.values())
        self._own = {code for codes in self.spec.keys.values() for code in codes} - set(self.keys.values())
        self._own_at = {SCANCODES[code]: code for code in self._own}
        self._command_at = {SCANCODES[code]: name for name, code in self.keys.items()}
        self._help = key_help.KeyHelp(self.name, goal_in_card(world.card), self.spec.keys, self.keys)
        self._capture = capture
        self._scrubbing = False
        self.player = Player(
            self.spec,
            open_session=lambda: open_session(world),
            start=start,
            seed=seed,
            changed=_post_changed,
            capture=capture,
        )

    @property
    def error(self) -> Exception | None:
        """What ended the player, if something did."""
        return self.player.error

    def close(self, failed: bool = False) -> str:
        """End play; a film is finished or, after a failure, removed. Returns what was filmed, for people.

        Raises:
            WorldsimError: if the last frames couldn't be generated or written.
        """
        self.player.close()
        if self._capture is None:
            return ""
        self.player.join()
        if failed or self.player.error:
            self._capture.abandon()
        else:
            self._capture.close()
        if self.player.error and not failed:
            raise self.player.error
        return self._capture.summary

    def handle(self, event: pygame.Event) -> Wish:
        """Press and release the world's keys, obey commands, and follow the mouse on the timeline."""
        keys = self.player.keys
        if event.type == pygame.KEYDOWN and event.scancode in self._own_at:
            keys.press(self._own_at[event.scancode])
        elif event.type == pygame.KEYUP and event.scancode in self._own_at:
            keys.release(self._own_at[event.scancode])
        elif event.type == pygame.KEYDOWN and not is_shortcut(event.mod, self._own):
            return self._command(self._command_at.get(event.scancode))
        elif event.type == pygame.KEYUP and self._command_at.get(event.scancode) == "rewind":
            self.player.rewind(False)
        elif event.type == pygame.WINDOWFOCUSLOST:
            keys.release_all()
            self.player.rewind(False)
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION, pygame.MOUSEBUTTONUP):
            self._scrub(event)
        return None

    def _scrub(self, event: pygame.Event) -> None:
        surface, view = pygame.display.get_surface(), self.player.view
        if surface is None or view is None:
            return
        area = _status_area(surface)
        if event.type == pygame.MOUSEBUTTONDOWN:
            self._scrubbing = event.button == 1 and timeline.is_on_timeline(area, event.pos)
        if self._scrubbing:
            self.player.seek(timeline.position_at(area, event.pos, view.length))
        if event.type == pygame.MOUSEBUTTONUP:
            self._scrubbing = False

    def _command(self, command: Command | None) -> Wish:
        match command:
            case "gallery":
                return "gallery"
            case "pause":
                self.player.pause(not self.player.paused)
            case "step":
                self.player.step_once()
            case "rewind":
                self.player.rewind(True)
            case "switch":
                self.player.switch()
            case "restart" | "previous" | "next":
                way = {"restart": 0, "previous": -1, "next": 1}[command]
                self.player.go_to((self.player.start + way) % self._starts)
            case "scaling":
                self.smooth = not self.smooth
            case "help":
                self._toggle_help()
        return None

    def _toggle_help(self) -> None:
        surface = pygame.display.get_surface()
        if surface is not None and self._help.fits_beside(_above_status(surface)):
            self.panel = not self.panel
        else:
            self.page = not self.page

    def draw(self, surface: pygame.Surface) -> None:
        """Draw everything."""
        surface.fill(theme.GROUND)
        area, held = _above_status(surface), self.player.keys.held()
        beside = self._help.fits_beside(area)
        if beside and self.panel:
            area.width -= key_help.PANEL
            self._help.draw_panel(surface, pygame.Rect(area.right, 0, key_help.PANEL, area.height), held)
        self._draw_picture(surface, area.inflate(-2 * MARGIN, -2 * MARGIN))
        if self.page and not beside:
            self._help.draw_page(surface, area, held)
        view = self.player.view
        facts = [] if view is None else self._facts(view)
        if not (self.panel if beside else self.page):
            facts.append(f"{label(self.keys['help'])} help")
        bar = _status_area(surface)
        status.draw_status(surface, bar, self._status(view), facts, self._capture is not None)
        if view is not None:
            timeline.draw_timeline(surface, bar, view.position, view.length)

    def _draw_picture(self, surface: pygame.Surface, area: pygame.Rect) -> None:
        view = self.player.view
        frame = self.world.starts.frames[self.player.start, -1] if view is None else view.frame
        place = draw.picture(surface, frame, area, self.smooth)
        if view is None:
            draw.veil(surface, place)
        elif self.player.paused or self.player.rewinding:
            draw.outline(surface, place, theme.WARNING)

    def _status(self, view: View | None) -> status.Status:
        pause, step, restart, rewind = (
            label(self.keys.get(command, "")) for command in ("pause", "step", "restart", "rewind")
        )
        if view is None:
            return status.Status(f"Opening {self.name} …", theme.DIM)
        back = (view.length - 1 - view.position) / self.spec.fps
        if self.player.rewinding:
            return status.Status(f"Rewinding, {back:.1f} s back", theme.WARNING)
        if self.player.paused and view.ended:
            return status.Status(f"The end. {restart} begins again, {rewind} goes back", theme.WARNING)
        if self.player.paused and back:
            return status.Status(f"Paused {back:.1f} s back. {pause} goes on from here", theme.WARNING)
        if self.player.paused:
            return status.Status(f"Paused. {pause} goes on, {step} makes one frame", theme.WARNING)
        if view.fps is None:
            return status.Status("Playing", theme.DIM)
        if self.player.keeps_up:
            return status.Status(f"{view.fps:.1f} fps", theme.ACCENT)
        return status.Status(f"{view.fps:.1f} of {self.spec.fps:g} fps: this machine is too slow", theme.WARNING)

    def _facts(self, view: View) -> list[str]:
        facts = [] if view.action is None else [self.spec.actions[view.action].name]
        if abs(view.reward) >= 0.05:
            facts.append(f"reward {view.reward:.1f}")
        if view.branches:
            facts.append(f"branches {view.branches}")
        return [*facts, "smooth" if self.smooth else "crisp", f"start {view.start}", f"frame {view.index}"]


def _above_status(surface: pygame.Surface) -> pygame.Rect:
    """The surface without the status bar."""
    return pygame.Rect(0, 0, surface.get_width(), max(0, surface.get_height() - status.HEIGHT))


def _status_area(surface: pygame.Surface) -> pygame.Rect:
    """The status bar, at the foot of the surface."""
    return pygame.Rect(0, _above_status(surface).bottom, surface.get_width(), status.HEIGHT)


def _post_changed() -> None:
    with contextlib.suppress(pygame.error):  # the window may be gone before the player's last frame
        pygame.event.post(pygame.Event(CHANGED))
