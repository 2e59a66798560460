"""Look away and back, turn once round, walk out and return: what is staged is what really happens in the rooms."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.detector import detect, expected_areas
from worldsim.evals.permanence.gates import found_before
from worldsim.evals.permanence.scene import LEAST_SEEN, TWINS, Scene
from worldsim_envs.rooms.env import TURNS, RoomsEnv
from worldsim_envs.rooms.staging import PROBES, WAYS, stage

POINTS = (1, 9, 40)
SEEDS = range(len(WAYS))  # one for each way


@pytest.fixture(scope="module")
def scenes() -> dict[int, tuple[Scene, ...]]:
    return {seed: stage("P3", seed, POINTS, 64, 64) for seed in SEEDS}


def play(env: RoomsEnv, actions: np.ndarray) -> list[np.ndarray]:
    steps = [env.step(action) for action in actions]
    assert not any(step[1] for step in steps), "something was touched"
    return [step[0] for step in steps]


@pytest.mark.parametrize("seed", SEEDS)
def test_played_again_in_the_rooms_it_is_the_same(scenes, seed):
    for scene in (scenes[seed][0], scenes[seed][3]):
        env = RoomsEnv()
        first, _ = env.restore(scene.start)
        np.testing.assert_array_equal([first, *play(env, scene.actions)], scene.context)
        hidden = play(env, scene.hide)
        np.testing.assert_array_equal(hidden[0], scene.first.frame)
        played = 0
        for branch in scene.branches:
            hidden += play(env, scene.hold[played : branch.k])
            played, here = branch.k, env.save()
            np.testing.assert_array_equal(hidden[-1], branch.covered)
            np.testing.assert_array_equal(play(env, branch.actions), [view.frame for view in branch.views])
            env.restore(here)
        assert len(hidden) == len(scene.hide) + max(POINTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_while_hidden_nothing_of_the_targets_is_seen(scenes, seed):
    scene = scenes[seed][0]
    colours = {scene.last.things[i].colour for i in scene.targets}
    saved = json.loads(scene.start)
    saved["things"] = [thing for thing in saved["things"] if thing[0] not in colours]
    env, without = RoomsEnv(), RoomsEnv()
    env.restore(scene.start)
    without.restore(json.dumps(saved).encode())
    actions = np.concatenate([scene.actions, scene.hide, scene.hold])
    frames, emptied = play(env, actions), play(without, actions)
    start = len(scene.actions) + len(scene.hide) - 1
    np.testing.assert_array_equal(frames[start:], emptied[start:])
    assert (frames[start - len(scene.hide)] != emptied[start - len(scene.hide)]).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reveal_is_the_view_from_where_one_began(scenes, seed):
    for scene in scenes[seed]:
        for branch in scene.branches:
            for view in branch.views[branch.gate :]:
                assert np.abs(view.frame.astype(int) - scene.last.frame).max() <= (
                    1 if seed == WAYS.index("out") else 0
                )
                assert view.things[0].visible > 0.9 or scene.twin == "absent"
            before = branch.views[branch.gate - 1]
            assert (before.frame != scene.last.frame).any()
            turning = len(branch.actions) - len(branch.views) + branch.gate + 1
            assert turning == {"back": len(scene.hide), "around": TURNS - len(scene.hide)}.get(
                scene.conditions["way"], TURNS - len(scene.hide) + min(branch.k, 24)
            )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_detector_finds_what_is_said_to_be_there(scenes, seed):
    for scene in scenes[seed]:
        assert found_before(scene)
        for view in (scene.last, *(branch.views[branch.gate] for branch in scene.branches)):
            there = {thing.colour: thing for thing in view.things if thing.visible > 0.9}
            seen = detect(view.frame, expected_areas(view.things))
            assert {d.colour for d in seen} >= set(there)
            for found in seen:
                thing = there[found.colour]
                assert np.hypot(found.x - thing.x, found.y - thing.y) < 0.5
                assert found.shape == thing.shape and 0.6 < found.area / thing.area < 1.4


@pytest.mark.parametrize("seed", SEEDS)
def test_twins_differ_in_the_first_target_alone(scenes, seed):
    a, colour, place, absent = scenes[seed]
    assert tuple(scene.twin for scene in scenes[seed]) == TWINS
    for other in (colour, place, absent):
        assert (a.hide == other.hide).all() and (a.hold == other.hold).all() and a.conditions == other.conditions
        assert a.last.things[1:] == other.last.things[1:]
        assert (a.last.frame != other.last.frame).any()
        for mine, its in zip(a.branches, other.branches, strict=True):
            assert (mine.actions == its.actions).all() and mine.gate == its.gate
            np.testing.assert_array_equal(mine.covered, its.covered)
    assert a.last.things[0].colour != colour.last.things[0].colour
    assert colour.last.things[0].colour not in {thing.colour for thing in a.last.things}
    assert abs(a.last.things[0].x - place.last.things[0].x) > a.last.things[0].radius
    assert a.last.things[0].colour == place.last.things[0].colour
    shown = detect(absent.last.frame, expected_areas(absent.last.things))
    assert a.last.things[0].colour not in {d.colour for d in shown}


def test_targets_are_seen_for_long_enough_and_landmarks_are_free(scenes):
    for twins in scenes.values():
        a, absent = twins[0], twins[3]
        target = a.last.things[0]
        whole = sum(
            any(d.colour == target.colour and d.area > 0.8 * target.area for d in detect(f, (target.area,) * 2))
            for f in a.context
        )
        assert whole >= LEAST_SEEN
        for mine, its in zip(a.branches, absent.branches, strict=True):
            assert len(mine.landmarks)
            for x0, y0, x1, y1 in mine.landmarks:
                box = slice(y0, y1), slice(x0, x1)
                np.testing.assert_array_equal(mine.views[mine.gate].frame[box], its.views[its.gate].frame[box])


def test_the_control_stands_and_sees(scenes):
    for seed, (scene, *others) in scenes.items():
        assert all(other.control is None for other in others)
        env = RoomsEnv()
        env.restore(scene.start)
        play(env, scene.actions)
        frames = play(env, scene.control.actions[:3])
        for k, (start, views) in scene.control.checks.items():
            branch = next(branch for branch in scene.branches if branch.point == k)
            assert start == len(scene.hide) + k + branch.gate, seed
            assert all((view.frame == frame).all() for view, frame in zip(views, frames, strict=True))


def test_the_same_seed_stages_the_same_and_others_do_not(scenes):
    again = stage("P3", 1, POINTS, 64, 64)
    for first, second in zip(scenes[1], again, strict=True):
        np.testing.assert_array_equal(first.context, second.context)
        assert first.start == second.start and first.conditions == second.conditions
    assert stage("P3", 4, (1,), 64, 64)[0].start != again[0].start


def test_wide_frames_take_longer_to_turn_away_from():
    wide = stage("P3", 0, (2,), 64, 68)[0]
    square = stage("P3", 0, (2,), 64, 64)[0]
    assert len(wide.hide) > len(square.hide) and wide.context.shape[1:] == (64, 68, 3)


@pytest.mark.parametrize(
    ("probe", "size", "words"),
    [("P5", (64, 64), "no probe 'P5'"), ("P3", (64, 48), "48x64"), ("P3", (32, 40), "40x32")],
)
def test_what_cannot_be_staged_is_one_error(probe, size, words):
    assert PROBES == ("P3",)
    with pytest.raises(WorldsimError, match=words):
        stage(probe, 0, (1,), *size)
