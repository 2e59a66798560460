"""The screen of a world being played: takes keys, shows the newest frame, the help and the status bar.

Generates nothing itself: frames come from a `Player` on a thread of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pygame

from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.looks import Looks
from worldsim.runtime.pictures import SUFFIXES, begun_with, fitting, read_picture
from worldsim.runtime.savefile import SUFFIX, SavedPlay, save_play
from worldsim.runtime.session import Session
from worldsim.viewer import branches, captions, draw, key_help, status, theme, timeline
from worldsim.viewer.bindings import Bindings
from worldsim.viewer.capture import Capture
from worldsim.viewer.challenge import Challenge
from worldsim.viewer.clip import write_clip
from worldsim.viewer.commands import Command, assign_keys
from worldsim.viewer.gamepad import Gamepad
from worldsim.viewer.goal import goal_in_card
from worldsim.viewer.hud import Hud
from worldsim.viewer.keys import is_shortcut
from worldsim.viewer.player import Player, View
from worldsim.viewer.playthrough import Playthrough
from worldsim.viewer.screen import Picture, Wish
from worldsim.viewer.twin import Twin
from worldsim_envs.registry import WORLDS

if TYPE_CHECKING:
    from worldsim_policies.base import Policy

MARGIN = 12  # pixels around the picture
CAPTION = 22  # pixels: height of the lines over the two pictures of a split screen
MOUSE = (pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION, pygame.MOUSEBUTTONUP)
CHANGED = pygame.event.custom_type()  # the player has something new to show


@dataclasses.dataclass(frozen=True)
class Extras:
    """What goes with play besides the world; none of it has to be there.

    Attributes:
        bindings: keys of the user's own choice.
        folder: where save files and films of the last seconds go.
        clip: kind of such a film. clip_seconds: of it. clip_keys: whether it shows the keys held.
        open_policy: makes the agent, which plays until somebody takes over.
        open_twin: makes the real game to play beside. Both are called on the player's thread.
        prompts: whether pictures can be painted of words.
        look: what a world that has such a look is drawn in at first.
    """

    bindings: Bindings = dataclasses.field(default_factory=Bindings)
    folder: Path = Path()
    clip: Literal["mp4", "gif"] = "mp4"
    clip_seconds: float = 20.0
    clip_keys: bool = False
    open_policy: Callable[[Bundle], Policy] | None = None
    open_twin: Callable[[Bundle], Twin] | None = None
    prompts: bool = False
    look: str = ""


class Playing:
    """The screen of a world being played.

    Args:
        world: what is played.
        open_session: makes its session; called on the player's thread.
        start: index of the start to begin at.
        seed: of all random numbers.
        smooth: scale smoothly rather than crisply.
        capture: films what is played; finished when the screen is left.
        saved: play this again first, and stay where it was; it fits the world.
        extras: what else there is.

    Raises:
        WorldsimError: if the user's keys do not fit the world, or its looks are not whole.
    """

    def __init__(
        self,
        world: Bundle,
        open_session: Callable[[Bundle], Session],
        start: int = 0,
        seed: int = 0,
        smooth: bool = False,
        capture: Capture | None = None,
        saved: SavedPlay | None = None,
        extras: Extras | None = None,
    ):
        self.world, self.smooth, self.extras = world, smooth, extras or Extras()
        self.spec = self.extras.bindings.applied(world.spec)
        self.name = self.spec.title or self.spec.name
        self.title = f"{self.name} - worldsim"
        self._starts = len(world.starts)
        self.panel, self.page = True, False  # the help, where it has room beside the picture, and where not
        self.hud, self.figures = Hud(), False
        self.challenge: Challenge | None = None
        self.best = 0  # frames for which a challenge found all it hid
        self._looks = Looks.open(world)
        there: dict[Command, bool] = {
            "agent": self.extras.open_policy is not None,
            "prompt": self.extras.prompts,
            "look": self._looks is not None,
            "challenge": world.spec.name in WORLDS and bool(WORLDS[world.spec.name].staging),  # something to hide
        }
        without = [command for command, is_there in there.items() if not is_there]
        self.keys = assign_keys(self.spec.keys.values(), self.extras.bindings.commands, without)
        self._own = {code for codes in self.spec.keys.values() for code in codes} - set(self.keys.values())
        self._own_at = {SCANCODES[code]: code for code in self._own}
        self._command_at = {SCANCODES[code]: name for name, code in self.keys.items()}
        self._help = key_help.KeyHelp(self.name, goal_in_card(world.card), self.spec.keys, self.keys)
        self._pad = Gamepad(self.spec.keys)
        self._capture = capture
        self._scrubbing = self._held = False  # _held: stands still only while keys go elsewhere
        self._shown_branches: list[pygame.Rect] = []  # where their pictures were drawn
        self._seed = seed
        self._writers: list[threading.Thread] = []
        agent = self.extras.open_policy is not None
        self.player = Player(self.spec, lambda: self._open(open_session), start, saved, agent, _post_changed)

    def _open(self, open_session: Callable[[Bundle], Session]) -> Playthrough:
        policy = self.extras.open_policy(self.world) if self.extras.open_policy else None
        twin = self.extras.open_twin(self.world) if self.extras.open_twin else None
        look = self.extras.look if self._looks and self.extras.look in self._looks.names else ""
        return Playthrough(open_session(self.world), self._seed, self._capture, policy, twin, self._looks, look)

    @property
    def error(self) -> Exception | None:
        """What ended the player, if something did."""
        return self.player.error

    def say(self, notice: str) -> None:
        """Show a line in the status bar for a while."""
        self.player.say(notice)

    @property
    def world_name(self) -> str:
        """Of the world played."""
        return self.spec.name

    def hold(self, still: bool) -> None:
        """Pause while keys go elsewhere."""
        if still:
            self._held = not self.player.paused
            self.player.keys.release_all()
        if self._held:
            self.player.pause(still)

    def take(self, picture: Picture) -> Wish:
        """Begin with a picture, paused, if it is of this world."""
        if picture.world != self.spec.name:
            return picture
        if picture.look:
            self.player.ask(lambda play: f"Look: {play.change_look(picture.look)}")
        self.player.begin_with(begun_with(picture.frames, self.world, self._seed))
        self.judge(picture.said)
        return None

    def judge(self, said: str = "") -> None:
        """Say how strange the picture is that play has just begun with, and what else the user should know of it."""
        also = f"; {said}" if said else ""
        self.player.ask(lambda play: f"{self._cap('pause')} plays. The picture is {play.verdict()}{also}")

    def close(self, failed: bool = False) -> str:
        """End play; a film is finished or, after a failure, removed. Returns what was filmed, for people.

        Raises:
            WorldsimError: if the last frames couldn't be generated or written.
        """
        self.player.close()
        for writer in self._writers:
            writer.join()
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
        """Press and release the world's keys, obey commands, take files, and follow the mouse on the timeline."""
        keys = self.player.keys
        if event.type == pygame.KEYDOWN and event.scancode in self._own_at:
            self._press(self._own_at[event.scancode])
        elif event.type == pygame.KEYUP and event.scancode in self._own_at:
            keys.release(self._own_at[event.scancode])
        elif event.type == pygame.KEYDOWN and not is_shortcut(event.mod, self._own):
            return self._command(self._command_at.get(event.scancode))
        elif event.type == pygame.KEYUP and self._command_at.get(event.scancode) == "rewind":
            self.player.rewind(False)
        elif event.type == pygame.WINDOWFOCUSLOST:
            keys.release_all()
            self.player.rewind(False)
        elif event.type in MOUSE:
            self._scrub(event)
        elif event.type == pygame.DROPFILE:
            return self._take_file(Path(event.file))
        else:
            for change in self._pad.changes(event):
                self._press(change.code) if change.down else keys.release(change.code)
            return self._command(self._pad.command(event))
        return None

    def _press(self, code: str) -> None:
        """A key of the world goes down: whoever presses it takes over from an agent."""
        if self.player.agent:
            self.player.let_agent_play(False)
        self.player.keys.press(code)

    def _take_file(self, path: Path) -> Wish:
        """Open a save file; begin with a picture."""
        if path.suffix.lower() not in SUFFIXES:
            return path
        try:
            picture = read_picture(path)
        except WorldsimError as error:
            self.say(str(error))
            return None
        return self.take(Picture(self.spec.name, picture[None], fitting(picture, self.spec)))

    def _scrub(self, event: pygame.Event) -> None:
        """Follow the mouse on the timeline, and on the pictures of branches."""
        surface, view = pygame.display.get_surface(), self.player.view
        if surface is None or view is None:
            return
        area = _status_area(surface)
        if event.type == pygame.MOUSEBUTTONDOWN:
            self._scrubbing = event.button == 1 and timeline.is_on_timeline(area, event.pos)
            under = pygame.Rect(event.pos, (1, 1)).collidelist(self._shown_branches)
            if event.button == 1 and under >= 0:
                self.player.show_branch(under)
        if self._scrubbing:
            self.player.seek(timeline.position_at(area, event.pos, view.length))
        if event.type == pygame.MOUSEBUTTONUP:
            self._scrubbing = False

    def _command(self, command: Command | None) -> Wish:
        player = self.player
        match command:
            case "gallery":
                return "gallery"
            case "pause":
                player.pause(not player.paused)
            case "step":
                player.step_once()
            case "rewind":
                player.rewind(True)
            case "back" | "forward":
                player.move(1 if command == "forward" else -1)
            case "switch":
                player.switch()
            case "mark":
                player.mark()
            case "jump":
                player.jump()
            case "restart":
                player.begin_again()
            case "previous" | "next":
                player.go_to((player.start + (1 if command == "next" else -1)) % self._starts)
            case "nearest":
                player.go_to_nearest()
            case "slower" | "faster":
                player.change_speed(1 if command == "faster" else -1)
            case "agent":
                player.let_agent_play(not player.agent)
            case "look":
                player.ask(lambda play: f"Look: {play.change_look()}")
            case "save":
                player.ask(self._save)
            case "clip":
                player.ask(self._film)
            case "challenge":
                self._challenge()
            case "prompt":
                return "prompt"
            case "hud":
                self.figures = not self.figures
            case "scaling":
                self.smooth = not self.smooth
            case "help":
                self._toggle_help()
        return None

    def _challenge(self) -> None:
        """Begin a challenge; or end the one that runs."""
        view = self.player.view
        if self.challenge and self.challenge.stage in ("away", "back"):
            self.challenge.give_up()
        elif self.challenge and self.challenge.stage == "hide":
            self.challenge = None
        elif view is not None:
            self.challenge = Challenge(view.generated, view.index)

    def _save(self, play: Playthrough) -> str:
        path = self._new_file(SUFFIX)
        save_play(play.saved(), path)
        return f"Saved in {path}"

    def _film(self, play: Playthrough) -> str:
        """Write the last seconds, on a thread of its own: play goes on meanwhile."""
        history, path = play.history, self._new_file(f".{self.extras.clip}")
        number = round(self.extras.clip_seconds * self.spec.fps)
        moments, look = history.recent(max(1, number)), play.look

        def write() -> None:
            pictures = [(play.drawn(moment.frame, look), moment.action) for moment in moments]
            try:
                write_clip(path, pictures, self.spec, self.extras.clip_keys)
            except WorldsimError as error:
                self.say(str(error))
            else:
                self.say(f"The last {len(pictures) / self.spec.fps:.0f} s are in {path}")

        self._writers = [writer for writer in self._writers if writer.is_alive()]
        self._writers.append(threading.Thread(target=write, name="clip"))
        self._writers[-1].start()
        return "Writing a film of the last seconds …"

    def _new_file(self, suffix: str) -> Path:
        """A name that no file has."""
        stem = f"{self.spec.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        names = (self.extras.folder / f"{stem}{extra}{suffix}" for extra in ("", *(f"-{n}" for n in range(2, 1000))))
        return next(path for path in names if not path.exists())

    def _toggle_help(self) -> None:
        surface = pygame.display.get_surface()
        if surface is not None and self._help.fits_beside(_above_status(surface)):
            self.panel = not self.panel
        else:
            self.page = not self.page

    def draw(self, surface: pygame.Surface) -> None:
        """Draw everything."""
        surface.fill(theme.GROUND)
        area, held, view = _above_status(surface), self.player.keys.held(), self.player.view
        beside = self._help.fits_beside(area)
        if beside and self.panel:
            area.width -= key_help.PANEL
            self._help.draw_panel(surface, pygame.Rect(area.right, 0, key_help.PANEL, area.height), held)
        place = self._draw_pictures(surface, area.inflate(-2 * MARGIN, -2 * MARGIN), view)
        if view is not None:
            self.hud.watch(view, time.perf_counter())
            if self.challenge:
                self.challenge.watch(view.generated, view.index)
                self.best = max(self.best, self.challenge.hidden if self.challenge.all_kept else 0)
                place = self.challenge.draw(surface, place, self.challenge.line(self._cap("challenge"), self.best))
            if self.figures:
                self.hud.draw(surface, place.inflate(-MARGIN, -MARGIN), self.player, view)
            self._shown_branches = branches.place(area, view)
            branches.draw_branches(surface, self._shown_branches, view, self.spec.fps)
        if self.page and not beside:
            self._help.draw_page(surface, area, held)
        facts = [] if view is None else captions.facts_of(self.player, view, self.smooth)
        if not (self.panel if beside else self.page):
            facts.append(f"{self._cap('help')} help")
        bar = _status_area(surface)
        state = captions.status_of(self.player, view, self.name, self.keys)
        status.draw_status(surface, bar, state, facts, self._capture is not None)
        if view is not None:
            timeline.draw_timeline(surface, bar, view.position, view.length, view.marks)

    def _draw_pictures(self, surface: pygame.Surface, area: pygame.Rect, view: View | None) -> pygame.Rect:
        """Draw the picture, with a real game beside both; returns the rectangle of the generated one."""
        if self.extras.open_twin is None:
            return self._draw_picture(surface, area, view)
        beside, above = area.copy(), area.copy()
        beside.width, above.height = (area.width - MARGIN) // 2, (area.height - MARGIN) // 2 - CAPTION
        sizes = [draw.fit(self.spec.width, self.spec.height, each).width for each in (beside, above)]
        left, right = area.copy(), area.copy()
        if sizes[0] >= sizes[1]:
            left.width = right.width = beside.width
            right.right = area.right
        else:
            left.height = right.height = (area.height - MARGIN) // 2
            right.bottom = area.bottom
        for part, text in ((left, "generated"), (right, _beside(view))):
            text = draw.shortened(text, part.width, theme.SMALL)
            draw.write(surface, text, theme.SMALL, theme.DIM, topleft=part.topleft)
            part.height, part.top = max(1, part.height - CAPTION), part.top + CAPTION
        if view is not None and view.twin is not None:
            draw.picture(surface, view.twin.frame, right, self.smooth)
        return self._draw_picture(surface, left, view)

    def _draw_picture(self, surface: pygame.Surface, area: pygame.Rect, view: View | None) -> pygame.Rect:
        frame = self.world.starts.frames[self.player.start, -1] if view is None else view.frame
        place = draw.picture(surface, frame, area, self.smooth)
        if view is None:
            draw.veil(surface, place)
        elif self.player.paused or self.player.rewinding:
            draw.outline(surface, place, theme.WARNING)
        return place

    def _cap(self, command: Command) -> str:
        return captions.cap(self.keys, command)


def _beside(view: View | None) -> str:
    """What is said over the real game's picture."""
    if view is None:
        return "real"
    if view.twin is None:
        return "real: can't go back with you; begin again to compare"
    if view.twin.over:
        return "real: its episode has ended"
    return f"real: {view.twin.psnr:.1f} dB PSNR"


def _above_status(surface: pygame.Surface) -> pygame.Rect:
    """The surface without the status bar."""
    return pygame.Rect(0, 0, surface.get_width(), max(0, surface.get_height() - status.HEIGHT))


def _status_area(surface: pygame.Surface) -> pygame.Rect:
    """The status bar, at the foot of the surface."""
    return pygame.Rect(0, _above_status(surface).bottom, surface.get_width(), status.HEIGHT)


def _post_changed() -> None:
    with contextlib.suppress(pygame.error):  # the window may be gone before the player's last frame
        pygame.event.post(pygame.Event(CHANGED))
