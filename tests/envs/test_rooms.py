"""The rooms: the contract, exactness, geometry, and what the explorer shows of them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.scene import SHAPES
from worldsim_envs.palette import HUES
from worldsim_envs.rooms.env import NEAR, STEP, THING_STATE, TURNS, RoomsEnv
from worldsim_envs.rooms.plan import BODY, Thing, clear, draw_place, draw_plan
from worldsim_envs.rooms.view import AROUND, EYE
from worldsim_envs.testing import WorldContract
from worldsim_envs.walk import FORWARD, LEFT, RIGHT
from worldsim_policies.base import make_explorer


class TestRooms(WorldContract):
    """The contract of every world."""

    gym_id = "worldsim/RoomsReal-v0"


def lab(colours: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(colours.reshape(-1, 1, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[:, 0]


def facing(env: RoomsEnv, distance: float, aside: float = 0.0) -> tuple[tuple[float, float, int], tuple[float, float]]:
    """A pose with the back to the western wall, which has no doors, and a place so far ahead and to the right."""
    rooms = env.reset(seed=5)[1]["rooms"].astype(float)
    x0, y0, _, y1 = rooms[rooms[:, 0].argmin()]
    pose = (x0 + BODY, (y0 + y1) / 2, 0)
    return pose, (pose[0] + distance, pose[1] - aside)


def hue(frame: np.ndarray, colour: int) -> np.ndarray:
    """float `[H, W]`: the share of each pixel that is a colour, by its distance from it."""
    away = np.linalg.norm(lab(frame) - lab(HUES[colour]), axis=-1)
    return np.clip(1 - away / 40, 0, 1).reshape(frame.shape[:2]).round()


def test_a_whole_turn_ends_in_the_very_frame_it_began_with():
    env = RoomsEnv()
    before, info = env.reset(seed=4)
    for action in (LEFT, RIGHT):
        frames = []
        for _ in range(TURNS):
            after, _, _, _, turned = env.step(action)
            frames.append(after)
        np.testing.assert_array_equal(after, before)
        np.testing.assert_array_equal(turned["state"], info["state"])
        assert all((a != before).any() for a in frames[:-1])


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_a_turn_shifts_the_picture_by_a_sixteenth_of_its_height_and_changes_nothing(size):
    env, shift = RoomsEnv(*size), size[0] // 16
    for seed in range(3):
        before = env.reset(seed=seed)[0].astype(int)
        for action, old, new in ((LEFT, np.s_[:-shift], np.s_[shift:]), (RIGHT, np.s_[shift:], np.s_[:-shift])):
            after = env.step(action)[0].astype(int)
            assert np.abs(after[:, new] - before[:, old]).max() <= 1  # of rounding
            before = after


def test_a_view_is_no_wider_than_all_around():
    env = RoomsEnv(16, 60)
    assert env.reset(seed=0)[0].shape == (16, 60, 3)
    with pytest.raises(WorldsimError, match="61x16"):
        RoomsEnv(16, 61)


def test_restored_is_never_left():
    env, other = RoomsEnv(render_mode="rgb_array"), RoomsEnv()
    env.reset(seed=1)
    actions = np.random.default_rng(0).integers(6, size=60)
    for action in actions[:20]:
        env.step(action)
    saved, now = env.save(), env.render()
    assert now is not None
    later = [env.step(action) for action in actions[20:]]
    following = env.reset()[0]
    for again in (env, other):
        observation, info = again.restore(saved)
        np.testing.assert_array_equal(observation, now)
        assert {"walls", "rooms", "doors", "joins", "state"} <= set(info)
        assert again.save() == saved
        for action, (frame, reward, terminated, _, info) in zip(actions[20:], later, strict=True):
            step = again.step(action)
            np.testing.assert_array_equal(step[0], frame)
            np.testing.assert_array_equal(step[4]["state"], info["state"])
            assert step[1:3] == (reward, terminated)
        np.testing.assert_array_equal(again.reset()[0], following)


def test_nobody_walks_into_or_through_walls():
    env = RoomsEnv(16, 16)
    rng = np.random.default_rng(0)
    bumps = 0
    for seed in range(4):
        _, info = env.reset(seed=seed, options={"things": ()})
        x1, y1, x2, y2 = info["walls"].astype(float).T
        before = info["state"][:2]
        for action in rng.choice(6, size=24, p=[0, 0.5, 0.1, 0.1, 0.15, 0.15]).repeat(6):
            _, _, _, _, info = env.step(action)
            x, y = map(float, info["state"][:2])
            away = np.maximum(np.maximum(x1 - x, x - x2), np.maximum(y1 - y, y - y2))
            assert away.min() > BODY - 1e-4, f"seed {seed}: {away.min()} from a wall at {x}, {y}"
            assert math.dist(before, (x, y)) <= STEP + 1e-5
            bumps += action == FORWARD and math.dist(before, (x, y)) < 0.9 * STEP
            before = (x, y)
    assert bumps > 20


def test_walking_askew_into_a_wall_slides_along_it():
    env = RoomsEnv()
    pose, _ = facing(env, 1)
    env.reset(seed=5, options={"things": (), "pose": (*pose[:2], TURNS // 3)})
    _, _, _, _, info = env.step(FORWARD)
    assert info["state"][0] == np.float32(pose[0])
    assert info["state"][1] - pose[1] == pytest.approx(STEP * math.sin(math.pi / 3), abs=1e-5)


def test_every_room_can_be_reached():
    for seed in range(30):
        plan = draw_plan(np.random.default_rng(seed))
        reached = {0}
        for _ in plan.rooms:
            reached |= {room for pair in plan.joins.tolist() if reached & set(pair) for room in pair}
        assert reached == set(range(len(plan.rooms))) and 3 <= len(plan.rooms) <= 6
        for (x0, y0, x1, y1), (a, b) in zip(plan.doors, plan.joins, strict=True):
            sides = plan.rooms[[a, b]]
            x, y, goal = (x0 + x1) / 2, (y0 + y1) / 2, sides[1]
            step = (STEP, 0.0) if x1 - x0 < y1 - y0 else (0.0, STEP)
            for _ in range(9):
                x, y = plan.walk(x, y, *step)
            assert goal[0] < x < goal[2] and goal[1] < y < goal[3]


@pytest.mark.parametrize("size", [(64, 64), (90, 120), (64, 48)])
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_thing_is_where_geometry_says(size, shape):
    env = RoomsEnv(*size)
    height, width = size
    focal = AROUND * height / math.tau
    for distance, aside, radius in ((1.6, 0.0, 0.4), (2.2, -0.7, 0.3), (2.5, 0.9, 0.35)):
        pose, (x, y) = facing(env, distance, aside)
        thing = Thing(2, shape, x, y, radius)
        frame, info = env.reset(seed=5, options={"things": [thing], "pose": pose})
        rows, columns = np.nonzero(hue(frame, 2))
        scale = focal / math.hypot(distance, aside)
        column = width / 2 + focal * math.atan2(aside, distance)
        assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(column, abs=0.8)
        wide = columns.max() + 1 - columns.min()
        assert wide == pytest.approx(2 * radius * scale, abs=3.1 if SHAPES[shape] == "cone" else 1.6)
        assert rows.max() + 1 == pytest.approx(height / 2 + EYE * scale, abs=1.3)
        share = {"ball": math.pi / 4, "box": 1.0, "cone": 0.5, "cross": 5 / 9}[SHAPES[shape]]
        assert len(rows) == pytest.approx(share * (2 * radius * scale) ** 2, rel=0.25)
        first = 5 + 2 * len(THING_STATE)
        np.testing.assert_allclose(info["state"][first : first + 5], [1, x, y, radius, shape], rtol=1e-6)
        assert not info["state"][5:first].any() and not info["state"][first + 5 :].any()


def test_a_thing_behind_a_wall_is_not_seen():
    env = RoomsEnv()
    pose, (x, y) = facing(env, 2)
    hidden, shown = Thing(0, 1, pose[0] - BODY - 1, y, 0.4), Thing(1, 1, x, y, 0.4)
    frame, _ = env.reset(seed=5, options={"things": [hidden], "pose": (*pose[:2], TURNS // 2)})
    empty, _ = env.reset(seed=5, options={"things": [], "pose": (*pose[:2], TURNS // 2)})
    np.testing.assert_array_equal(frame, empty)
    assert hue(env.reset(seed=5, options={"things": [shown], "pose": pose})[0], 1).any()


def test_nearer_things_hide_farther_ones():
    env = RoomsEnv()
    pose, (x, y) = facing(env, 1.5)
    near, far = Thing(0, 1, x, y, 0.4), Thing(4, 0, x + 1, y, 0.3)
    for things in ([near, far], [far, near]):
        frame, _ = env.reset(seed=5, options={"things": things, "pose": pose})
        assert hue(frame, 0).any() and not hue(frame, 4).any()


def test_what_is_touched_pays_one_and_is_gone_for_good():
    env = RoomsEnv()
    pose, (x, y) = facing(env, 1.6)
    things = [Thing(3, 0, x, y, 0.4), Thing(5, 2, x + 1.3, y, 0.3)]
    frame, _ = env.reset(seed=5, options={"things": things, "pose": pose})
    assert hue(frame, 3).any()
    history = []
    for _ in range(20):
        frame, reward, terminated, truncated, info = env.step(FORWARD)
        history.append((reward, terminated))
        if terminated:
            break
    assert sum(reward for reward, _ in history) == 2 and history[-1] == (1.0, True) and not truncated
    assert not info["state"][5:].any()
    env.restore(env.save())  # the game goes on, though the episode has ended
    for _ in range(TURNS):
        assert not hue(env.step(LEFT)[0], 3).any()


def test_nothing_but_things_is_near_their_colours():
    env, nearest = RoomsEnv(32, 32), []
    for seed in range(12):
        env.reset(seed=seed, options={"things": ()})
        for _ in range(5):
            frame = [env.step(LEFT)[0] for _ in range(8)][-1]
            nearest.append(np.linalg.norm(lab(frame)[:, None] - lab(HUES), axis=-1).min())
    assert min(nearest) > 40
    pairs = np.linalg.norm(lab(HUES)[:, None] - lab(HUES), axis=-1)
    assert pairs[~np.eye(6, dtype=bool)].min() > 40


def test_a_wider_frame_shows_the_same_and_more():
    square, wide = RoomsEnv(48, 48), RoomsEnv(48, 80)
    for seed in range(3):
        np.testing.assert_array_equal(square.reset(seed=seed)[0], wide.reset(seed=seed)[0][:, 16:64])


def test_even_right_before_a_wall_there_is_more_than_the_wall():
    env = RoomsEnv()
    pose, _ = facing(env, 1)
    frame, info = env.reset(seed=5, options={"things": (), "pose": (*pose[:2], TURNS // 2)})
    assert info["state"][4] == pytest.approx(BODY, abs=1e-4)
    wall = frame[32, 32].astype(int)
    for rows in (frame[:1], frame[-1:]):  # the ceiling, and the floor
        assert (np.abs(rows.astype(int) - wall).max(-1) > 20).all()


def test_things_leave_room_to_pass():
    for seed in range(20):
        env = RoomsEnv(16, 16)
        env.reset(seed=seed)
        things = env._things
        assert 1 <= len(things) <= 6 and len({t.colour for t in things}) == len(things)
        for i, thing in enumerate(things):
            assert clear(env.plan, things[:i], thing.x, thing.y, thing.radius)
    x, y = draw_place(np.random.default_rng(0), env.plan, 1.0)
    assert env.plan.may_stand(x, y) and not env.plan.may_stand(-1, -1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pose": (-3, 0, 0)}, "in a wall"),
        ({"things": [Thing(0, 0, 1, 1, 0.3), Thing(0, 1, 2, 2, 0.3)]}, "one colour"),
    ],
)
def test_impossible_situations_are_one_error(options, words):
    with pytest.raises(WorldsimError, match=words):
        RoomsEnv().reset(seed=0, options=options)


@pytest.mark.parametrize("saved", [b"", b"{}", b"[1, 2]", b"\xff\x00"])
def test_what_nobody_saved_is_one_error(saved):
    with pytest.raises(WorldsimError, match="not a saved state of rooms"):
        RoomsEnv().restore(saved)


def test_the_explorer_of_a_world_that_is_only_seen_does_without_a_plan():
    explorer = make_explorer("rooms", np.random.default_rng(0))
    frame, state = np.zeros((16, 16, 3), np.uint8), np.array([2.0, 2, 0, 1, 3, *[0.0] * 30])
    held = [explorer(frame, {"state": state, "walls": None}) for _ in range(4000)]
    assert np.bincount(held, minlength=6).min() > 0.02 * len(held)
    turned = np.array(held) == LEFT
    assert max(len(run) for run in "".join("x" if left else " " for left in turned).split()) >= TURNS


def test_the_explorer_shows_what_memory_needs():
    states, held, hidden, rooms, visited = [], [], [], 0, 0
    for seed in range(3):
        env = RoomsEnv(16, 16)
        explorer = make_explorer("rooms", np.random.default_rng([seed, 1]))
        observation, info = env.reset(seed=seed)
        episode = []
        for _ in range(700):
            held.append(explorer(observation, info))
            observation, _, _, _, info = env.step(held[-1])
            episode.append(info["state"])
        states += episode
        x, y, sin, cos = np.stack(episode).T[:4, :, None].astype(float)
        x0, y0, x1, y1 = env.plan.rooms.T
        rooms += len(env.plan.rooms)
        visited += ((x0 < x) & (x < x1) & (y0 < y) & (y < y1)).any(0).sum()
        there, to_x, to_y = np.stack(episode)[:, 5:].reshape(700, -1, len(THING_STATE)).transpose(2, 0, 1)[:3]
        away = np.hypot(to_x - x, to_y - y)
        seen = (to_x - x) * cos + (to_y - y) * sin > 0.75 * away
        for colour in np.flatnonzero(there.all(0)):
            hidden += np.diff(np.flatnonzero(seen[:, colour]), prepend=0).tolist()
    assert np.mean([state[4] < NEAR for state in states]) < 0.15
    assert np.bincount(held, minlength=6).min() > 0.04 * len(held)
    assert visited >= 0.6 * rooms
    assert (np.array(hidden) >= 8).sum() >= 20 and (np.array(hidden) >= 64).sum() >= 5
