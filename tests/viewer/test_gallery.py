"""The gallery: choosing a world with keys and mouse, what its cards say, and where they are."""

from __future__ import annotations

import numpy as np
import pygame
import pytest

from worldsim.runtime.bundle import Bundle, open_world, shipped_worlds
from worldsim.viewer import theme
from worldsim.viewer.gallery import FOOTER, Gallery
from worldsim.viewer.goal import goal_in_card, goal_of
from worldsim.viewer.playing import Playing
from worldsim.viewer.viewer import Viewer
from worldsim.viewer.window import SIZE


def chosen_card(gallery: Gallery, size: tuple[int, int]) -> pygame.Rect:
    """Where the chosen card is drawn, by the colour of its border."""
    surface = pygame.display.set_mode(size)
    gallery.draw(surface)
    x, y = np.nonzero((pygame.surfarray.array3d(surface) == theme.ACCENT).all(axis=-1))
    return pygame.Rect(x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)


@pytest.fixture
def play(watched):
    """Makes the screen of a world, and keeps the worlds it was asked for in `play.played`."""

    def play(chosen: Bundle) -> Playing:
        play.played.append(chosen)
        return Playing(chosen, lambda _: watched())

    play.played = []
    return play


def test_choosing_with_keys(world, play, keyboard):
    worlds = [world, Bundle(world.path), Bundle(world.path)]
    with Viewer(worlds, play) as viewer:
        viewer.tick(20)
        assert isinstance(viewer.screen, Gallery) and viewer.screen.chosen == 0
        before = pygame.surfarray.array3d(pygame.display.get_surface())
        keyboard.tap("ArrowRight")
        viewer.tick(20)
        assert not np.array_equal(before, pygame.surfarray.array3d(pygame.display.get_surface()))
        keyboard.tap("Enter")
        viewer.tick(20)
        assert play.played == [worlds[1]]
        keyboard.tap("Escape")
        viewer.tick(20)
        assert isinstance(viewer.screen, Gallery) and viewer.screen.chosen == 1
        keyboard.tap("Escape")
        assert not viewer.tick(20)


def test_choosing_with_the_mouse(world, play):
    worlds = [world, Bundle(world.path), Bundle(world.path)]
    with Viewer(worlds, play) as viewer:
        viewer.screen.chosen = 2
        middle = chosen_card(viewer.screen, SIZE).center
        viewer.screen.chosen = 0
        pygame.event.post(pygame.Event(pygame.MOUSEMOTION, pos=middle, rel=(1, 1), buttons=(0, 0, 0)))
        viewer.tick(20)
        assert viewer.screen.chosen == 2 and not play.played
        pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=middle, button=1))
        viewer.tick(20)
        assert play.played == [worlds[2]]


@pytest.mark.parametrize("key", ["Escape", None])
def test_leaving(world, play, keyboard, key):
    with Viewer([world], play) as viewer:
        if key:
            keyboard.tap(key)
        else:
            pygame.event.post(pygame.Event(pygame.QUIT))
        assert not viewer.tick(20)


def test_alt_enter_plays_nothing(world, play, keyboard):
    with Viewer([world], play) as viewer:
        keyboard.modifiers = pygame.KMOD_LALT
        keyboard.tap("Enter")
        assert viewer.tick(20) and not play.played


@pytest.mark.parametrize(
    ("count", "size"), [(1, SIZE), (5, SIZE), (8, SIZE), (5, (800, 600)), (5, (500, 400)), (40, SIZE)]
)
def test_cards_are_in_view_and_apart(world, count, size):
    pygame.display.set_mode(size)
    gallery, cards = Gallery([world] * count), []
    for gallery.chosen in range(count):
        cards.append(chosen_card(gallery, size))
        assert cards[-1].width >= 170 and cards[-1].size == cards[0].size, "cut off"
        assert pygame.Rect(0, 0, size[0], size[1] - FOOTER).contains(cards[-1])
    if count <= 8 and size[0] >= 800:  # no card has to be looked for
        assert all(cards[i].collidelist(cards[i + 1 :]) < 0 for i in range(count))


def test_a_card_says_what_there_is_to_do(world):
    assert goal_in_card("# Tiny\n\n> Follow the wave.\n\n> More.\n") == "Follow the wave."
    assert goal_of(world) == "left, right", "no card: its buttons"
    for name in shipped_worlds():
        assert goal_in_card(open_world(name).card).endswith((".", "?")), name


def test_hostile_and_long_names_are_drawn(world, tmp_path, monkeypatch):
    monkeypatch.setattr(Bundle, "card", "> \0\x1b[31m" + "no spaces" * 10_000)
    gallery = Gallery([world])
    gallery.draw(pygame.display.set_mode((500, 400)))
    gallery.notice = "\t" + "x" * 10_000
    gallery.draw(pygame.display.set_mode((500, 400)))
