"""A picture dropped onto the window as a place to begin."""

from __future__ import annotations

import cv2
import numpy as np
import pygame
import pytest
from bombs import png_bomb

from worldsim.errors import WorldsimError
from worldsim.runtime import pictures
from worldsim.runtime.pictures import fitted, read_picture
from worldsim.viewer.gallery import Gallery
from worldsim.viewer.viewer import Viewer


def drop(path) -> None:
    """Drop a file onto the window."""
    pygame.event.post(pygame.Event(pygame.DROPFILE, file=str(path)))


def gradient(height: int, width: int) -> np.ndarray:
    """A smooth picture, uint8 `[height, width, 3]`."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, np.full((height, width), 90)], -1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_dropped_picture_begins_a_play_that_waits(staged, keyboard, world, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), gradient(200, 500)[..., ::-1])
    stage = staged()
    stage.frames(3)
    drop(path)
    stage.until(lambda: stage.player.view.start is None and "500x200" in stage.player.notice[0])
    assert stage.player.paused and stage.player.view.index == 0 and stage.player.view.drift > 0
    assert "the world has learned" in stage.player.notice[0]
    assert f"to {world.spec.width}x{world.spec.height}" in stage.player.notice[0]
    expected = fitted(gradient(200, 500), world.spec)
    assert np.abs(stage.player.view.frame.astype(int) - expected).mean() < 3
    keyboard.tap("KeyP")
    stage.frames(2)
    assert stage.player.view.branches == 1


@pytest.mark.parametrize(("slack", "strange"), [(0.01, True), (100.0, False)])
def test_a_picture_unlike_anything_learned_is_said_to_be_so_until_it_is_played(
    staged, keyboard, tmp_path, monkeypatch, slack, strange
):
    monkeypatch.setattr(pictures, "SLACK", slack)
    stage = staged()
    assert not stage.player.view.strange, "a start of the world"
    cv2.imwrite(str(tmp_path / "a.png"), gradient(32, 48)[..., ::-1])
    drop(tmp_path / "a.png")
    stage.until(lambda: stage.player.view.start is None)
    assert stage.player.view.strange == strange
    stage.until(lambda: ("unlike" in stage.player.notice[0]) == strange and stage.player.notice[0] != "")
    keyboard.tap("KeyP")
    stage.frames(2)
    stage.until(lambda: not stage.player.view.strange)


def test_the_middle_is_cut_to_the_worlds_shape(world):
    picture = np.zeros((320, 1000, 3), np.uint8)
    picture[:, 260:740] = 255  # 320 high, the world's 3:2 is 480 wide
    assert (fitted(picture, world.spec) == 255).all()
    assert fitted(np.zeros((2, 3, 3), np.uint8), world.spec).shape == (world.spec.height, world.spec.width, 3)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("bomb.png", png_bomb(), "60,000x60,000 pixels"),
        ("text.png", b"hello", "neither PNG nor JPEG"),
        ("cut.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "cut.jpg"),
        ("empty.png", b"", "neither PNG nor JPEG"),
        ("missing.png", None, "there is no"),
    ],
)
def test_what_is_no_picture_is_explained_and_play_goes_on(staged, tmp_path, name, data, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(WorldsimError, match=message):
        read_picture(tmp_path / name)
    stage = staged()
    drop(tmp_path / name)
    stage.until(lambda: message in stage.player.notice[0])
    stage.frames(2)
    assert stage.player.view.start == 0


def test_the_gallery_asks_for_a_world_first(world, tmp_path):
    with Viewer([world], lambda chosen: None) as viewer:
        drop(tmp_path / "a.png")
        viewer.tick(20)
        assert isinstance(viewer.screen, Gallery) and "Choose a world first" in viewer.screen.notice
