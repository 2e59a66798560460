"""What is on screen: the picture, the help and full screen, at any size."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pygame
import pytest

from worldsim.viewer import draw, key_help, playing, status, theme
from worldsim.viewer.window import SIZE

MANY_KEYS = {
    f"button {letter}": (f"Key{letter}",) for letter in "ABCDEFGHI"
}  # with those of the tiny world as many as the toy box has


def screen() -> np.ndarray:
    """What is shown, uint8 `[H, W, 3]`."""
    return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)


def lit_caps() -> list[tuple[int, int]]:
    """Width and height of every blob of the colour of a held key's cap."""
    mask = (screen() == theme.ACCENT).all(axis=-1).astype(np.uint8)
    _, _, blobs, _ = cv2.connectedComponentsWithStats(mask)
    return [(int(w), int(h)) for _, _, w, h, area in blobs[1:] if area > 100]


@pytest.mark.parametrize("size", [SIZE, (640, 300), (301, 557), (90, 60), (1, 1)])
@pytest.mark.parametrize("smooth", [False, True])
def test_any_size(staged, keyboard, size, smooth):
    stage = staged(smooth=smooth)
    pygame.display.set_mode(size, pygame.RESIZABLE)
    stage.run(0.1)
    keyboard.tap("F1")
    keyboard.tap("KeyP")
    stage.run(0.1)
    keyboard.tap("Escape")
    stage.run(0.1)


@pytest.mark.parametrize("size", [(500, 400), (800, 600), SIZE, (1280, 800)])
def test_the_help_shows_all_keys_apart(staged, keyboard, world, size):
    world.spec = dataclasses.replace(world.spec, keys=MANY_KEYS | {"left": ("KeyL",), "right": ("KeyR",)})
    stage = staged()
    pygame.display.set_mode(size, pygame.RESIZABLE)
    keyboard.tap("KeyP")
    for (code,) in world.spec.keys.values():
        keyboard.press(code)
    stage.run(0.2)
    if not lit_caps():  # no room beside the picture
        assert size < SIZE
        keyboard.tap("F1")
        stage.run(0.2)
    caps = lit_caps()
    assert len(caps) == len(world.spec.keys)
    assert {height for _, height in caps} == {draw.CAP_HEIGHT}
    keyboard.tap("F1")
    stage.run(0.2)
    assert not lit_caps()


def test_the_picture_keeps_its_aspect():
    area = pygame.Rect(10, 20, 500, 300)
    filled = draw.fit(48, 32, area)
    assert filled.size == (450, 300) and filled.center == area.center
    assert draw.fit(48, 32, area, whole=True).size == (48 * 9, 32 * 9)
    assert draw.fit(1000, 100, area, whole=True).size == (500, 50), "what is too large is shrunk all the same"


def test_crisp_shows_the_pixels_as_they_are_and_smooth_does_not():
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    surface = pygame.display.set_mode((500, 300))

    def shown(smooth: bool) -> np.ndarray:
        rect = draw.picture(surface, frame, surface.get_rect(), smooth)
        return pygame.surfarray.array3d(surface.subsurface(rect)).swapaxes(0, 1)

    assert np.array_equal(shown(smooth=False), frame.repeat(9, axis=0).repeat(9, axis=1))
    assert len(np.unique(shown(smooth=True).reshape(-1, 3), axis=0)) > 10 * frame[..., 0].size


def test_the_newest_frame_is_shown_whole_in_a_pause(staged, keyboard):
    stage = staged()
    stage.frames(2)
    keyboard.tap("KeyP")
    stage.run(0.5)
    frame = stage.session.frames[-1]
    margin = 2 * playing.MARGIN
    area = pygame.Rect(0, 0, SIZE[0] - key_help.PANEL - margin, SIZE[1] - status.HEIGHT - margin)
    view = draw.fit(frame.shape[1], frame.shape[0], area.move(playing.MARGIN, playing.MARGIN), whole=True)
    factor = view.width // frame.shape[1]
    assert np.array_equal(screen()[view.top : view.bottom : factor, view.left : view.right : factor], frame)


def test_full_screen_and_back(staged, keyboard):
    stage = staged()
    pygame.display.set_mode((640, 480), pygame.RESIZABLE)
    keyboard.tap("F11")
    stage.run(0.2)
    surface = pygame.display.get_surface()
    assert surface.get_flags() & pygame.FULLSCREEN and surface.get_size() == pygame.display.get_desktop_sizes()[0]
    keyboard.tap("F11")
    stage.run(0.2)
    surface = pygame.display.get_surface()
    assert not surface.get_flags() & pygame.FULLSCREEN and surface.get_size() == (640, 480)
    assert not stage.player.paused


def test_text_is_broken_and_shortened_to_its_width():
    words = "one two three four five six seven eight nine ten"
    lines = draw.wrapped(words, 90, theme.SMALL, lines=3)
    assert len(lines) == 3 and all(draw.width_of(line, theme.SMALL) <= 90 for line in lines)
    assert words.startswith(" ".join(lines).removesuffix("…")) and lines[-1].endswith("…")
    assert draw.wrapped("one two", 500) == ["one two"] and draw.wrapped("", 500) == []
    assert draw.shortened("one", 500) == "one" and draw.shortened("one", 1) == ""
