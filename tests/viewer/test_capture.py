"""Films of play: the video, and what the file beside it says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worldsim.data.video import read_frames
from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Frame, Session, State
from worldsim.viewer.capture import Capture
from worldsim.viewer.gallery import Gallery
from worldsim.viewer.playing import Playing
from worldsim.viewer.script import format_actions, parse_actions
from worldsim.viewer.viewer import Viewer


def played_again(world: Bundle, segments: list[dict], session: Session) -> list[np.ndarray]:
    """The film's frames, generated from what its file says."""
    states: list[State] = []
    for segment in segments:
        assert segment["first_frame"] == len(states)
        after = segment["after_frame"]
        state = session.start([segment["start"]], [segment["seed"]]) if after is None else states[after]
        for action in parse_actions(segment["actions"], world.spec):
            state, _ = session.step(state, np.array([action]))
            states.append(state)
    return [state.frame[0] for state in states]


def test_a_film_can_be_played_again_from_the_file_beside_it(staged, keyboard, world, watched, left, tmp_path):
    path = tmp_path / "out.mp4"
    stage = staged(start=1, seed=7, capture=Capture(path, world))
    keyboard.press(left[0])
    stage.frames(5)
    keyboard.tap("PageDown")
    stage.until(lambda: stage.player.view.start == 2)
    stage.frames(6)
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.rewinding and 0 < stage.player.view.position <= 4)
    keyboard.release("KeyR")
    stage.frames(3)
    assert not path.exists()
    stage.viewer.__exit__(None)

    beside = json.loads((tmp_path / "out.mp4.json").read_text())
    assert (beside["world"], beside["digest"]) == (world.spec.name, world.digest)
    begun = [(s["start"], s["seed"], s["after_frame"] is None) for s in beside["segments"]]
    assert begun == [(1, 7, True), (2, 7, True), (2, 7, False)]
    assert beside["frames"] == len(list(read_frames(path))) == len(stage.session.frames)
    assert np.array_equal(played_again(world, beside["segments"], watched()), stage.session.frames)


def test_leaving_a_world_says_what_was_filmed(staged, keyboard, world, tmp_path):
    path = tmp_path / "out.mp4"
    stage = staged(capture=Capture(path, world))
    stage.frames(2)
    keyboard.tap("Escape")
    stage.until(lambda: isinstance(stage.viewer.screen, Gallery))
    assert f"recorded {len(stage.session.frames)} frames in {path}" in stage.viewer.screen.notice
    assert path.exists()


def test_an_error_on_the_thread_reaches_the_user_and_leaves_no_film(world, watched, tmp_path):
    session = watched()
    step = session.step

    def breaking(state: State, actions: np.ndarray) -> tuple[State, Frame]:
        if session.frames:
            raise WorldsimError("broken")
        return step(state, actions)

    session.step = breaking
    capture = Capture(tmp_path / "out.mp4", world)
    with (
        pytest.raises(WorldsimError, match="broken"),
        Viewer([world], lambda chosen: Playing(chosen, lambda _: session, capture=capture), world) as viewer,
    ):
        for _ in range(1000):
            viewer.tick(20)
    assert not list(tmp_path.iterdir())


def test_a_film_without_a_frame_leaves_nothing(world, tmp_path):
    with Capture(tmp_path / "out.mp4", world) as capture:
        capture.begin(0, 0)
    assert "none recorded" in capture.summary and not list(tmp_path.iterdir())


def test_a_file_beside_that_cannot_be_written_is_said(world, tmp_path):
    (tmp_path / "out.mp4.json").mkdir()
    capture = Capture(tmp_path / "out.mp4", world)
    capture.begin(0, 0)
    capture.write(world.starts.frames[0, 0], 0)
    with pytest.raises(WorldsimError, match=r"out\.mp4 is written, but not .*out\.mp4\.json"):
        capture.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.mp4.json"]


def test_scripts_of_actions_go_both_ways(small_spec):
    actions = [1, 1, 1, 0, 2, 2]
    assert format_actions(actions, small_spec) == "left*3,stay,right*2"
    assert parse_actions(format_actions(actions, small_spec), small_spec) == actions
    assert parse_actions("right*3, stay", small_spec) == [2, 2, 2, 0] and parse_actions("", small_spec) == []
    with pytest.raises(WorldsimError, match="no action 'fly'"):
        parse_actions("left*2,fly", small_spec)
