"""Films of the last seconds, after the fact."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.data.video import read_frames, video_fps
from worldsim.errors import WorldsimError
from worldsim.viewer import theme
from worldsim.viewer.clip import BAR, write_clip
from worldsim.viewer.playing import Extras


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_the_key_films_the_last_seconds(staged, keyboard, world, tmp_path, kind):
    stage = staged(extras=Extras(folder=tmp_path, clip=kind, clip_seconds=0.4))
    stage.frames(12)
    keyboard.tap("KeyP")
    stage.run(0.2)
    keyboard.tap("KeyC")
    stage.until(lambda: "last 0 s are in" in stage.player.notice[0])
    (path,) = tmp_path.iterdir()
    spec = world.spec
    frames = np.stack(list(read_frames(path, spec.height, spec.width)))
    count = round(0.4 * spec.fps)
    assert path.suffix == f".{kind}" and len(frames) == count
    last = stage.session.frames[stage.player.view.index - count : stage.player.view.index]
    assert np.abs(frames.astype(int) - np.stack(last)).mean() < 8
    assert video_fps(path) == pytest.approx(spec.fps, rel=0.1)


def test_the_keys_held_are_lit_under_the_picture(world, tmp_path):
    spec = world.spec
    frame = np.zeros((spec.height, spec.width, 3), np.uint8)
    write_clip(tmp_path / "a.gif", [(frame, None), (frame, 1), (frame, 2)], spec, keys=True)
    none, left, right = read_frames(tmp_path / "a.gif")
    assert none.shape[0] > none.shape[1] * spec.height / spec.width + BAR / 2
    lit = [(np.abs(picture.astype(int) - theme.ACCENT).max(-1) < 24) for picture in (none, left, right)]
    assert [int(mask.any()) for mask in lit] == [0, 1, 1]
    assert np.argwhere(lit[1])[:, 1].mean() < np.argwhere(lit[2])[:, 1].mean()


def test_a_film_that_cannot_be_written_is_explained(world, tmp_path):
    frame = np.zeros((world.spec.height, world.spec.width, 3), np.uint8)
    (tmp_path / "file").write_text("")
    for name in ("a.gif", "a.mp4"):
        with pytest.raises(WorldsimError, match=name):
            write_clip(tmp_path / "file" / name, [(frame, 0)], world.spec)
