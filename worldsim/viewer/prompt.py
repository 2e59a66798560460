"""The prompt box: words are typed over whatever the window shows, and painted on a thread of their own.

    box = PromptBox([imaginer]); box.open(""); picture = box.handle(event); box.draw(surface); box.close()

The picture comes back from `handle` once it is painted. Knows no world and no player.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pygame

from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.runtime.base import Device
from worldsim.runtime.imaginer import ImaginerBundle, fitting_imaginer
from worldsim.runtime.painter import MOST_LETTERS, Painter, check_prompt, unknown_words
from worldsim.viewer import draw, theme
from worldsim.viewer.screen import Picture

CHANGED = pygame.event.custom_type()  # a painting has come further
WIDTH, PADDING, FIELD, BAR = 620, 18, 34, 4  # pixels
REPEAT = (400, 40)  # milliseconds until a held key repeats, and from one to the next
EXAMPLE = "a red ball and a green box, at night"

Asked = Callable[[str, str], tuple[str, str]]


class Cancelled(Exception):
    """The painting is no longer wanted."""


class Painting:
    """One picture being painted, on a thread, from the moment it is made.

    Args:
        open_painter: makes the painter, or gives the one there is; called on the thread.
        text: what was typed. world, seed: of `Painter.paint`.
        asked: see `PromptBox`.

    Attributes:
        done, steps: passes made, and how many there are.
        picture: uint8 `[H, W, 3]`, once it is there. look: what to draw it in. error: why it won't be there.
    """

    def __init__(self, open_painter: Callable[[], Painter], text: str, world: str, seed: int, asked: Asked):
        self.text, self.world, self.look = text, world, ""
        self.done, self.steps = 0, 1
        self.picture: np.ndarray | None = None
        self.error = ""
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, args=(open_painter, seed, asked), name="painter")
        self._thread.start()

    def cancel(self) -> None:
        """Let it end after the pass that it may be at; doesn't wait for that."""
        self._cancelled = True

    @property
    def alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _run(self, open_painter: Callable[[], Painter], seed: int, asked: Asked) -> None:
        try:
            painter = open_painter()
            self.look, told = asked(self.world, self.text)
            self.picture = painter.paint(told, self.world, seed=seed, progress=self._progress)
        except Cancelled:
            pass
        except WorldsimError as error:
            self.error = str(error)
        except Exception as error:  # on this thread nobody else would show it
            self.error = f"painting failed: {error}"
        _post_changed()

    def _progress(self, done: int, steps: int) -> None:
        if self._cancelled:
            raise Cancelled
        self.done, self.steps = done, steps
        _post_changed()


class PromptBox:
    """The box, shut at first.

    Args:
        imaginers: what may paint, the first one first.
        device: where.
        seed: of the first picture; each further one takes the next.
        asked: (world, text) -> the look that the text asks for, "" for none, and what is painted then.

    Attributes:
        text: what was typed; stays when the box is shut.
        error: one line on why there is no picture; "" if there is none to give.
    """

    def __init__(
        self,
        imaginers: Sequence[ImaginerBundle],
        device: Device = "auto",
        seed: int = 0,
        asked: Asked = lambda world, text: ("", text),
    ):
        self._asked = asked
        self._imaginers, self._device, self._seed = imaginers, device, seed
        self._painters: dict[str, Painter] = {}  # by the digest of their imaginer
        self._painting: Painting | None = None
        self._left: list[Painting] = []  # cancelled ones, whose threads may still be at a pass
        self._wanted = ""
        self.is_open = False
        self.text = self.error = ""

    @property
    def busy(self) -> bool:
        """Whether a picture is being painted."""
        return self._painting is not None

    def open(self, world: str = "") -> None:
        """Show the box, to paint for a world if there is an imaginer that draws it, else for one that the words fit."""
        self.is_open, self.error = True, ""
        self._wanted = world
        self.listen()

    def listen(self) -> None:
        """Ask the system for text; once more after the window was made anew."""
        pygame.key.start_text_input()
        pygame.key.set_repeat(*REPEAT)

    def shut(self) -> None:
        """Take the box away; a painting is cancelled."""
        self._cancel()
        self.is_open = False
        with contextlib.suppress(pygame.error):
            pygame.key.stop_text_input()
            pygame.key.set_repeat()

    def close(self) -> None:
        """Shut the box for good, and wait for its threads."""
        self.shut()
        for painting in self._left:
            painting.join()

    def handle(self, event: pygame.Event) -> Picture | Literal["shut"] | None:
        """Take text and keys; gives a picture, and is shut, when one was painted, or "shut" when it was left."""
        if event.type in (CHANGED, pygame.NOEVENT):
            return self._finished()
        if event.type == pygame.TEXTINPUT and not self.busy:
            self._type(event.text)
        elif event.type == pygame.KEYDOWN:
            if event.scancode == SCANCODES["Escape"]:
                if not self.busy:
                    self.shut()
                    return "shut"
                self._cancel()
            elif not self.busy and event.scancode in (SCANCODES["Enter"], SCANCODES["NumpadEnter"]):
                self._paint()
            elif not self.busy and event.scancode == SCANCODES["Backspace"]:
                self.error = ""
                word = event.mod & (pygame.KMOD_CTRL | pygame.KMOD_ALT)
                self.text = self.text.rstrip().rpartition(" ")[0] if word else self.text[:-1]
        return None

    def draw(self, surface: pygame.Surface) -> None:
        """Draw the box over what is there."""
        area = surface.get_rect()
        draw.veil(surface, area, 150)
        box = pygame.Rect(0, 0, min(WIDTH, area.width - 2 * PADDING), 2 * PADDING + FIELD + 66)
        box.center = area.centerx, area.height * 2 // 5
        draw.box(surface, box, theme.PANEL, theme.LINE, 12)
        left, width = box.left + PADDING, box.width - 2 * PADDING
        draw.write(surface, "What is there to see?", theme.TITLE, bold=True, topleft=(left, box.top + 14))
        field = pygame.Rect(left, box.top + 44, width, FIELD)
        draw.box(surface, field, theme.GROUND, theme.LINE if self.busy else theme.ACCENT, 6)
        self._draw_text(surface, field.inflate(-20, 0))
        if self._painting:
            share = self._painting.done / self._painting.steps
            bar = pygame.Rect(left, field.bottom + 8, width, BAR)
            draw.box(surface, bar, theme.LINE, radius=2)
            draw.box(surface, pygame.Rect(bar.topleft, (max(BAR, round(width * share)), BAR)), theme.ACCENT, radius=2)
        line, colour = self._line()
        line = draw.shortened(line, width, theme.SMALL)
        draw.write(surface, line, theme.SMALL, colour, midleft=(left, box.bottom - PADDING - 4))

    def _draw_text(self, surface: pygame.Surface, field: pygame.Rect) -> None:
        """The end of the text, as much as fits, and the caret."""
        shown = self.text
        while shown and draw.width_of(shown) > field.width - 8:
            shown = shown[max(1, len(shown) // 16) :]
        if not self.text:
            draw.write(surface, draw.shortened(EXAMPLE, field.width), colour=theme.DIM, midleft=field.midleft)
        right = draw.write(surface, shown, midleft=field.midleft).right if shown else field.left
        if not self.busy:
            pygame.draw.line(surface, theme.ACCENT, (right + 2, field.top + 8), (right + 2, field.bottom - 9), 2)

    def _line(self) -> tuple[str, theme.Colour]:
        """What is said under the text."""
        if self._painting:
            return f"Painting, {self._painting.done} of {self._painting.steps} steps. Esc cancels", theme.ACCENT
        if self.error:
            return self.error, theme.WARNING
        if unknown := unknown_words(self._imaginer(), self.text):
            return unknown[0].upper() + unknown[1:], theme.WARNING
        return "Enter paints it, and you step into it. Esc goes back", theme.DIM

    def _type(self, text: str) -> None:
        self.error = ""
        typed = self.text + "".join(c for c in text if c.isprintable())
        if len(typed) > MOST_LETTERS:
            self.error = f"At most {MOST_LETTERS:,} letters are read"
        self.text = typed[:MOST_LETTERS]

    def _paint(self) -> None:
        try:
            check_prompt(self.text)
        except WorldsimError as error:
            self.error = str(error)
            return
        self.error = ""
        imaginer = self._imaginer()
        world = self._wanted if self._wanted in imaginer.worlds else imaginer.world
        painter = functools.partial(self._open_painter, imaginer)
        self._painting = Painting(painter, self.text, world, self._seed, self._asked)
        self._seed += 1

    def _imaginer(self) -> ImaginerBundle:
        """The one for what is typed."""
        return fitting_imaginer(self._imaginers, self._wanted, self.text)

    def _open_painter(self, imaginer: ImaginerBundle) -> Painter:
        if imaginer.digest not in self._painters:
            self._painters[imaginer.digest] = Painter(imaginer, self._device)
        return self._painters[imaginer.digest]

    def _cancel(self) -> None:
        if self._painting:
            self._painting.cancel()
            self._left = [*(painting for painting in self._left if painting.alive), self._painting]
            self._painting = None

    def _finished(self) -> Picture | None:
        """The picture, if it is there."""
        painting = self._painting
        if painting is None or (painting.picture is None and not painting.error):
            return None
        self._painting = None
        if painting.picture is None:
            self.error = painting.error
            return None
        self.shut()
        unknown = ", ".join(self._imaginer().vocabulary.unknown(painting.text))
        said = f"unknown words: {unknown}" if unknown else ""
        return Picture(painting.world, painting.picture[None], said, painting.look)


def _post_changed() -> None:
    with contextlib.suppress(pygame.error):  # the window may be gone before the last pass
        pygame.event.post(pygame.Event(CHANGED))
