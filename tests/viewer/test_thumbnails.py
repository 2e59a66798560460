"""Moving thumbnails: real generated frames, made only while the gallery is seen, and a still picture until then."""

from __future__ import annotations

import time

import numpy as np
import pygame

from worldsim.errors import WorldsimError
from worldsim.viewer.gallery import Gallery
from worldsim.viewer.playing import Playing
from worldsim.viewer.thumbnails import Thumbnails
from worldsim.viewer.viewer import Viewer

PATIENCE = 30  # seconds


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_every_world_plays_and_the_wanted_one_first(world, watched):
    opened = []
    thumbnails = Thumbnails([world] * 3, lambda bundle: opened.append(bundle) or watched())
    thumbnails.want(2)
    assert thumbnails.frames(2) is None
    thumbnails.rest(False)
    wait_for(lambda: thumbnails.frames(2) is not None)
    wait_for(lambda: all(thumbnails.frames(i) is not None for i in range(3)))
    frames = thumbnails.frames(0)
    assert frames.dtype == np.uint8 and frames.shape[1:] == (world.spec.height, world.spec.width, 3)
    assert len(frames) > 1 and (np.diff(frames.astype(int), axis=0) != 0).any()
    assert len(opened) == 3
    thumbnails.close()


def test_they_rest_and_end(world, watched):
    session = watched(slowness=0.05)
    thumbnails = Thumbnails([world], lambda _: session)
    thumbnails.rest(False)
    wait_for(lambda: session.frames)
    thumbnails.rest(True)
    time.sleep(0.15)
    made = len(session.frames)
    time.sleep(0.3)
    assert len(session.frames) == made
    thumbnails.close()
    assert thumbnails.frames(0) is None


def test_a_world_that_does_not_open_stays_still(world, watched):
    def open_session(bundle):
        if bundle is worlds[0]:
            raise WorldsimError("broken")
        return watched()

    worlds = [world, type(world)(world.path)]
    thumbnails = Thumbnails(worlds, open_session)
    thumbnails.rest(False)
    wait_for(lambda: thumbnails.frames(1) is not None)
    assert thumbnails.frames(0) is None
    thumbnails.close()


def test_the_gallery_moves_and_leaves_the_machine_to_play(world, watched, keyboard):
    thumbnail, played = watched(), watched()
    with Viewer([world], lambda chosen: Playing(chosen, lambda _: played), None, None, lambda _: thumbnail) as viewer:
        gallery = viewer.screen
        assert isinstance(gallery, Gallery)
        seen = set()
        deadline = time.monotonic() + PATIENCE
        while len(seen) < 4:
            assert time.monotonic() < deadline and viewer.tick(20)
            seen.add(pygame.surfarray.array3d(pygame.display.get_surface()).tobytes())
        keyboard.tap("Enter")
        viewer.tick(20)
        assert isinstance(viewer.screen, Playing)
        before = len(thumbnail.frames)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            viewer.tick(20)
        assert len(thumbnail.frames) <= before + 1
