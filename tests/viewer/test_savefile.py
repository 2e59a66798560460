"""Save files: what was played comes back bit for bit, and what is no whole save file of this world is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pygame
import pytest

from worldsim.cli.main import main
from worldsim.errors import WorldsimError
from worldsim.runtime.savefile import Beginning, load_play, save_play
from worldsim.viewer.capture import Capture
from worldsim.viewer.history import MOST_BRANCHES
from worldsim.viewer.playing import Extras, Playing
from worldsim.viewer.playthrough import Playthrough
from worldsim.viewer.viewer import Viewer


def at_will(play: Playthrough, turns: int, seed: int) -> None:
    """Play at random: go on, go back, begin again, switch, set bookmarks."""
    rng = np.random.default_rng(seed)
    for _ in range(turns):
        what = rng.choice(["step", "step", "back", "begin", "switch", "mark"])
        if what == "step":
            for action in rng.integers(0, 3, 4):
                play.step(int(action))
        elif what == "back":
            play.history.seek(int(rng.integers(len(play.history))))
        elif what == "begin":
            play.begin(int(rng.integers(3)))
        elif what == "switch":
            play.history.switch()
        else:
            play.history.mark()


def tour(play: Playthrough) -> list[tuple[bytes, list[int]]]:
    """All frames and bookmarks of every line that can be switched to, beginning with the line shown."""
    seen = []
    for _ in range(len(play.history.branches) + 1):
        moments = play.history.recent(10**6)
        seen.append((b"".join(moment.frame.tobytes() for moment in moments), play.history.marked()))
        play.history.switch()
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_any_play_comes_back_bit_for_bit(watched, tmp_path, seed):
    play = Playthrough(watched(), seed=seed)
    play.begin(0)
    at_will(play, 24, seed)
    save_play(play.saved(), tmp_path / "a.world")
    again = Playthrough(watched(), seed=99)
    assert again.open(load_play(tmp_path / "a.world")), "the frame shown is the one saved"
    assert again.history.number == play.history.number and np.array_equal(
        again.history.now.frame, play.history.now.frame
    )
    assert again.saved() == play.saved() or json.dumps(again.saved().marks) == json.dumps(play.saved().marks)
    at_end = play.history.line.last - play.history.oldest
    for each in (play, again):
        each.history.seek(at_end)
    assert tour(again) == tour(play)


def test_play_goes_on_from_a_file_as_if_it_was_never_left(watched, tmp_path):
    play = Playthrough(watched(), seed=5)
    play.begin(1)
    for action in (1, 2, 0, 1):
        play.step(action)
    save_play(play.saved(), tmp_path / "a.world")
    again = Playthrough(watched(), seed=5)
    again.open(load_play(tmp_path / "a.world"))
    assert np.array_equal(play.step(2).frame, again.step(2).frame)


def test_a_film_of_opened_play_says_what_came_before(watched, world, tmp_path):
    play = Playthrough(watched(), seed=5)
    play.begin(1)
    play.step(1)
    play.step(2)
    save_play(play.saved(), tmp_path / "a.world")
    with Capture(tmp_path / "out.mp4", world) as capture:
        again = Playthrough(watched(), seed=9, capture=capture)
        again.open(load_play(tmp_path / "a.world"))
        again.step(0)
    (segment,) = json.loads((tmp_path / "out.mp4.json").read_text())["segments"]
    assert (segment["start"], segment["seed"], segment["after_frame"]) == (1, 5, None)
    assert (segment["lead_in"], segment["actions"]) == ("left,right", "stay")


def test_play_that_began_with_other_frames_carries_them(watched, world, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, world.spec.height, world.spec.width, 3), np.uint8)
    play = Playthrough(watched(), seed=5)
    play.begin_with(Beginning(None, 5, frames, np.array([1, 2])))
    play.step(1)
    save_play(play.saved(), tmp_path / "a.world")
    again = Playthrough(watched(), seed=5)
    assert again.open(load_play(tmp_path / "a.world"))
    assert np.array_equal(again.history.recent(9)[0].frame, frames[-1])


def test_a_play_of_many_branches_keeps_those_that_can_be_returned_to(watched, tmp_path):
    play = Playthrough(watched(), seed=5)
    play.begin(0)
    play.step(1)
    for _ in range(MOST_BRANCHES + 4):  # each leaves the line before in its middle
        play.history.seek(len(play.history) - 2)
        play.step(2)
        play.step(1)
    save_play(play.saved(), tmp_path / "a.world")
    again = Playthrough(watched(), seed=5)
    assert again.open(load_play(tmp_path / "a.world"))
    assert tour(again) == tour(play) and len(again.history.branches) == MOST_BRANCHES


def test_the_key_saves_and_the_file_opens_in_a_window(staged, keyboard, world, watched, left, tmp_path):
    stage = staged(start=1, seed=3, extras=Extras(folder=tmp_path))
    keyboard.press(left[0])
    stage.frames(6)
    keyboard.release(left[0])
    keyboard.tap("KeyM")
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.rewinding and stage.player.view.position <= 2)
    keyboard.release("KeyR")
    stage.frames(3)
    keyboard.tap("KeyP")
    stage.run(0.2)
    view = stage.player.view
    keyboard.tap("F5")
    stage.until(lambda: list(tmp_path.glob("*.world")) != [])
    stage.until(lambda: "Saved in" in stage.player.notice[0])
    (path,) = tmp_path.glob("*.world")

    def play(wanted):
        saved = load_play(wanted) if isinstance(wanted, Path) else None
        return Playing(world, lambda _: watched(), saved=saved)

    with Viewer([world], play) as viewer:
        pygame.event.post(pygame.Event(pygame.DROPFILE, file=str(path)))
        for _ in range(400):
            viewer.tick(20)
            player = getattr(viewer.screen, "player", None)
            if player and player.view and not player.replaying:
                break
        assert player.paused and np.array_equal(player.view.frame, view.frame)
        assert (player.view.start, player.view.index, player.view.branches) == (1, view.index, view.branches)
        keyboard.tap("KeyJ")
        for _ in range(20):
            viewer.tick(20)
        assert player.view.marks and player.view.position in player.view.marks


def test_what_is_dropped_and_no_save_file_is_explained_and_play_goes_on(staged, keyboard, tmp_path):
    stage = staged()
    (tmp_path / "no.world").write_text("{")
    pygame.event.post(pygame.Event(pygame.DROPFILE, file=str(tmp_path / "no.world")))
    stage.until(lambda: "no.world" in stage.player.notice[0])
    stage.frames(2)


BEGINNINGS = {
    "a start that is not there": {"start": 99, "seed": 0, "actions": []},
    "an action that is not there": {"start": 0, "seed": 0, "actions": [[3, 1]]},
    "frames of another size": {
        "seed": 0,
        "actions": [],
        "context": {"shape": [1, 2, 2, 3], "frames": "eJxjYEAAAAAMAAE=", "actions": []},
    },
}


@pytest.mark.parametrize("line", BEGINNINGS.values(), ids=BEGINNINGS)
def test_what_the_world_cannot_have_is_refused(content, world, line, tmp_path):
    changed = {"lines": [line], "branches": [], "shown": 0, "number": 0, "marks": []}
    (tmp_path / "b.world").write_text(json.dumps(content | changed))
    with pytest.raises(WorldsimError, match="can't be of world 'tiny'"):
        load_play(tmp_path / "b.world").check_fits(world)


@pytest.fixture
def content(watched, tmp_path):
    """What a save file of three frames and a branch holds."""
    play = Playthrough(watched(), seed=5)
    play.begin(1)
    play.step(1)
    play.step(2)
    play.history.seek(1)
    play.step(0)
    save_play(play.saved(), tmp_path / "a.world")
    return json.loads((tmp_path / "a.world").read_text())


CHANGES = {
    "a newer format": {"format": 2},
    "no lines": {"lines": []},
    "lines of another kind": {"lines": [7]},
    "a parent that comes later": {"lines": [{"parent": 0, "fork": 0, "actions": [[0, 1]]}]},
    "a fork after the end": {
        "lines": [{"start": 0, "seed": 0, "actions": []}, {"parent": 0, "fork": 1, "actions": [[0, 1]]}]
    },
    "too many actions": {"lines": [{"start": 0, "seed": 0, "actions": [[0, 10**9]]}]},
    "a negative action": {"lines": [{"start": 0, "seed": 0, "actions": [[-1, 1]]}]},
    "a moment after the end": {"number": 1000},
    "a shown line that is not there": {"shown": 5},
    "a bookmark in a line that is not there": {"marks": [[9, 0]]},
    "frames that are none": {
        "lines": [
            {"seed": 0, "actions": [], "context": {"shape": [1, 9, 9, 3], "frames": "AAAA", "actions": []}},
        ]
    },
    "frames without end": {
        "lines": [
            {"seed": 0, "actions": [], "context": {"shape": [2**16] * 4, "frames": "AAAA", "actions": []}},
        ]
    },
    "a text without end": {"title": "x" * 10**6},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_whole_is_one_clear_error(content, change, tmp_path):
    (tmp_path / "b.world").write_text(json.dumps(content | change))
    with pytest.raises(WorldsimError, match="b.world") as raised:
        load_play(tmp_path / "b.world")
    assert len(str(raised.value).splitlines()) == 1 and len(str(raised.value)) < 400


def test_a_file_cut_anywhere_is_refused(content, tmp_path):
    text = json.dumps(content)
    for length in range(0, len(text) - 1, 23):
        (tmp_path / "b.world").write_text(text[:length])
        with pytest.raises(WorldsimError, match=r"b\.world can't be read"):
            load_play(tmp_path / "b.world")


def test_a_file_of_another_bundle_is_refused_before_a_window_opens(content, tiny_world, tmp_path, capsys):
    for change, message in (({"digest": "0" * 64}, "other weights"), ({"digest": "", "world": "mars"}, "not here")):
        (tmp_path / "b.world").write_text(json.dumps(content | change))
        assert main(["play", str(tmp_path / "b.world"), "--world", str(tiny_world)]) == 2
        error = capsys.readouterr().err
        assert message in error and "b.world" in error and len(error.splitlines()) == 1
