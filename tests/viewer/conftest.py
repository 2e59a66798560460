"""What the window's tests share: real key events into a real session of a small world, under SDL's dummy driver."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest

from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.onnx import OnnxRuntime
from worldsim.runtime.pictures import begun_with
from worldsim.runtime.savefile import load_play, only_begun
from worldsim.runtime.session import Frame, Session, State
from worldsim.viewer.player import Player
from worldsim.viewer.playing import Playing
from worldsim.viewer.prompt import PromptBox
from worldsim.viewer.screen import Picture
from worldsim.viewer.viewer import Viewer

PATIENCE = 30  # seconds, on a busy machine


class Watched(Session):
    """A session that notes what it was asked to do, and may be slow."""

    def __init__(self, world: Bundle, slowness: float = 0.0, ends: bool = False):
        super().__init__(OnnxRuntime(world, "cpu", threads=1))
        self.slowness, self.ends = slowness, ends
        self.actions: list[int] = []
        self.frames: list[np.ndarray] = []

    def step(self, state: State, actions: np.ndarray) -> tuple[State, Frame]:
        """A frame of the real session."""
        time.sleep(self.slowness)
        state, made = super().step(state, actions)
        self.actions.append(int(actions[0]))
        self.frames.append(made.frame[0])
        return state, made._replace(ended=np.full(1, self.ends))


@dataclasses.dataclass
class Keyboard:
    """Posts key events, as SDL does."""

    modifiers: int = 0

    def press(self, code: str, key: int = 0) -> None:
        """A key goes down; `key` is what the layout calls it."""
        pygame.event.post(pygame.Event(pygame.KEYDOWN, scancode=SCANCODES[code], key=key, mod=self.modifiers))

    def release(self, code: str) -> None:
        """A key comes up."""
        pygame.event.post(pygame.Event(pygame.KEYUP, scancode=SCANCODES[code], key=0, mod=self.modifiers))

    def type(self, text: str) -> None:
        """A text is entered."""
        for letter in text:
            pygame.event.post(pygame.Event(pygame.TEXTINPUT, text=letter))

    def tap(self, code: str) -> None:
        """A key goes down and comes up at once."""
        self.press(code)
        self.release(code)


@dataclasses.dataclass
class Stage:
    """A window that plays one world."""

    viewer: Viewer
    session: Watched

    @property
    def playing(self) -> Playing:
        """The screen."""
        assert isinstance(self.viewer.screen, Playing)
        return self.viewer.screen

    @property
    def player(self) -> Player:
        """The player on screen."""
        return self.playing.player

    def until(self, condition: Callable[[], bool]) -> None:
        """Run the window's loop until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            assert self.viewer.tick(20), "the window closed"

    def run(self, seconds: float) -> None:
        """Run the window's loop."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    def frames(self, n: int) -> None:
        """Run until n more frames were generated."""
        wanted = len(self.session.frames) + n
        self.until(lambda: len(self.session.frames) >= wanted)


@pytest.fixture
def keyboard() -> Keyboard:
    return Keyboard()


@pytest.fixture
def world(tiny_world: Path) -> Bundle:
    return Bundle(tiny_world)


@pytest.fixture
def left(world: Bundle) -> tuple[str, int]:
    """A key of the world, and the index of what it does."""
    return "ArrowLeft", world.spec.action_index("left")


@pytest.fixture
def watched(world: Bundle) -> Callable[..., Watched]:
    """`watched(slowness=0, ends=False)` -> a session of the world."""
    return lambda **options: Watched(world, **options)


@pytest.fixture
def staged(world: Bundle) -> Iterator[Callable[..., Stage]]:
    """`staged(slowness=0, ends=False, prompt=None, **options of Playing)` -> a Stage, playing; closed after the test.
    With `gallery=True` it shows the gallery first."""
    viewers: list[Viewer] = []

    def stage(
        slowness: float = 0.0,
        ends: bool = False,
        prompt: PromptBox | None = None,
        gallery: bool = False,
        **options: Any,
    ) -> Stage:
        session = Watched(world, slowness, ends)

        def play(chosen: Bundle | Path | Picture) -> Playing:
            saved = load_play(chosen) if isinstance(chosen, Path) else None
            if isinstance(chosen, Picture):
                saved = only_begun(begun_with(chosen.frames, world, 0), world)
            return Playing(world, lambda _: session, saved=saved, **options)

        viewers.append(Viewer([world], play, None if gallery else world, prompt))
        made = Stage(viewers[-1], session)
        if gallery:
            return made
        made.until(lambda: made.player.view is not None)
        return made

    yield stage
    for viewer in viewers:
        viewer.__exit__(None)
