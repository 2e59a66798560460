"""The toy box: the contract, its physics, what its actions do, its words, its explorer, and the probes staged in it."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.detector import detect, difference
from worldsim.evals.permanence.scene import COLOURS, PALETTE, SHAPES
from worldsim_envs.registry import make_real
from worldsim_envs.testing import WorldContract
from worldsim_envs.toybox.env import ToyboxEnv, room_of, room_state
from worldsim_envs.toybox.layout import draw_room
from worldsim_envs.toybox.looks import JUDGED, LOOKS
from worldsim_envs.toybox.moves import Pilot
from worldsim_envs.toybox.room import (
    BOX,
    BOX_WIDTH,
    FENCE_WIDTH,
    FIRST_CUP,
    GRAVITY,
    LID_STEPS,
    NOWHERE,
    SCREEN_STEPS,
    Act,
    Cover,
    Room,
    Toy,
)
from worldsim_envs.toybox.view import View
from worldsim_envs.toybox.words import HIDDEN, LENGTHS, OUT, PHRASINGS, caption, where
from worldsim_policies.scripted.toybox import ToyboxExplorer

BALL, BLOCK, CONE = SHAPES.index("ball"), SHAPES.index("box"), SHAPES.index("cone")


def room_with(*toys: Toy, **fields: object) -> Room:
    """A room 192 wide, seen from 64 to 128; the box at 20, the hand at 96, the screen over 70 to 122."""
    room = Room(view=64.0, look="day", decor=3, toys=list(toys), box=Cover(20.0), cups=[], fences=[], screen_x=70.0,
                screen_width=52.0, camera=64.0, hand_x=32.0, hand_height=24.0, goal=CONE)  # fmt: skip
    for name, value in fields.items():
        setattr(room, name, value)
    return room


def play(room: Room, *actions: int) -> list[float]:
    return [room.step(action) for action in actions]


def do(room: Room, way: str, *arguments: object) -> None:
    """One of the pilot's ways, to its end."""
    pilot = Pilot()
    pilot.room = room
    for action in getattr(pilot, way)(*arguments):
        room.step(action)


def seen(room: Room, view: View) -> list[float]:
    """The share of each toy that the frame shows: what changes with its colour."""
    frame, shares = view.render(room).astype(int), []
    for i, toy in enumerate(room.toys):
        other = room.copy()
        other.toys[i].colour = (toy.colour + 3) % len(COLOURS)
        shares.append(np.abs(frame - view.render(other)).sum() / 500 / (toy.radius * view.scale) ** 2 / 3)
    return shares


class TestToybox(WorldContract):
    """A room of toys."""

    gym_id = "worldsim/ToyboxReal-v0"

    def test_restored_is_never_left(self, env):
        env.reset(seed=5)
        rng = np.random.default_rng(0)
        for action in rng.integers(len(Act), size=40):
            env.step(action)
        saved, future = env.save(), rng.integers(len(Act), size=60)
        first = [env.step(action) for action in future]
        other = self.make()
        _, info = other.restore(saved)
        assert other.save() == saved
        np.testing.assert_array_equal(info["state"], room_state(Room.from_bytes(saved)))
        for action, (observation, reward, *_, before) in zip(future, first, strict=True):
            again, reward_again, *_, info = other.step(action)
            np.testing.assert_array_equal(again, observation)
            np.testing.assert_array_equal(info["state"], before["state"])
            assert reward == reward_again
        assert other.save() == env.save()

    @pytest.mark.parametrize("saved", [b"", b"{}", b"[1]", b'{"toys": 3}'])
    def test_what_was_not_saved_is_not_restored(self, env, saved):
        with pytest.raises(WorldsimError, match=r"not a saved toy room"):
            env.restore(saved)

    def test_a_room_saved_for_another_shape_is_one_error(self, env):
        wide = make_real("toybox", height=36, width=64)
        wide.reset(seed=0)
        with pytest.raises(WorldsimError, match=r"another shape"):
            env.restore(wide.save())

    def test_before_the_first_reset_is_one_error(self):
        for call in (ToyboxEnv().save, ToyboxEnv().hidden_layer):
            with pytest.raises(WorldsimError, match=r"reset"):
                call()

    @pytest.mark.parametrize("size", [(36, 64), (96, 128), (90, 70)])
    def test_another_size_shows_the_same_room(self, size):
        env = make_real("toybox", height=size[0], width=size[1])
        frame, _ = env.reset(seed=3)
        assert frame.shape == (*size, 3)
        for toy, share in zip(env.room.toys, seen(env.room, env.view), strict=True):
            if share > 0.3:
                x, y = env.view.pixels(env.room, toy)
                assert difference(frame[round(y), round(x)], PALETTE[COLOURS[toy.colour]] * np.ones(1, np.uint8)) < 3

    @pytest.mark.parametrize("size", [(8, 8), (64, 300), (64, 40)])
    def test_a_size_it_can_t_be_seen_in_is_one_error(self, size):
        with pytest.raises(WorldsimError, match=f"{size[1]}x{size[0]}"):
            make_real("toybox", height=size[0], width=size[1])

    def test_looks(self):
        with pytest.raises(WorldsimError, match=r"sepia.*day, night, ink, pastel"):
            ToyboxEnv(look="sepia")
        env = ToyboxEnv(look="any")
        assert {(env.reset(seed=seed), env.room.look)[1] for seed in range(24)} == set(LOOKS)

    def test_state_tells_the_room(self, env):
        env.reset(seed=4)
        for action in np.random.default_rng(1).integers(len(Act), size=50):
            _, _, _, _, info = env.step(action)
        described, room = room_of(info["state"]), env.room.copy()
        room.decor, room.fences = described.decor, described.fences
        np.testing.assert_array_equal(room_state(described), room_state(room))
        assert described.toys[0].shape == room.toys[0].shape and len(described.cups) == len(room.cups)

    def test_fast_enough_to_record(self, env):
        env.reset(seed=0)
        actions = np.random.default_rng(0).integers(len(Act), size=1200)
        began = time.process_time()
        for action in actions:
            env.step(action)
        assert len(actions) / (time.process_time() - began) > 700  # 3,900 on the machine it was made on


# --- physics


def test_nothing_loses_speed_and_movers_stay_in_their_pen():
    toys = [Toy(BALL, 0, 4.0, 76.0, vx=2.0), Toy(BLOCK, 1, 5.0, 90.0, vx=-1.0), Toy(CONE, 2, 6.0, 110.0)]
    room = room_with(*toys, fences=[68.0, 122.0])
    energy, speeds = room.kinetic(), set()
    for _ in range(500):
        room.step(Act.STAND)
        assert room.kinetic() == energy
        speeds.add(tuple(toy.vx for toy in room.toys))
        assert all(69 + toy.radius <= toy.x <= 121 - toy.radius for toy in room.toys)
        xs = [toy.x for toy in room.toys]
        assert xs == sorted(xs)
    assert len(speeds) > 4  # they hit each other


def test_a_hit_hands_the_speed_on_and_overshoots_nothing():
    room = room_with(Toy(BLOCK, 0, 4.0, 80.0, vx=3.0), Toy(BLOCK, 1, 4.0, 92.5))
    play(room, Act.STAND)
    assert [t.x for t in room.toys] == [83.0, 92.5]
    play(room, Act.STAND)  # they meet half a frame after 84: the other goes on from 92.5 for half a unit
    assert [t.vx for t in room.toys] == [0.0, 3.0]
    assert room.toys[0].x == 84.5 and room.toys[1].x == 94.0


def test_balls_bounce_for_ever_and_blocks_lie_where_they_fall():
    room = room_with(Toy(BALL, 0, 4.0, 80.0, height=20.0), Toy(BLOCK, 1, 4.0, 100.0, height=20.0))
    heights = []
    for _ in range(300):
        room.step(Act.STAND)
        ball, block = room.toys
        assert ball.height >= 0
        np.testing.assert_allclose(ball.vy**2 / 2 + GRAVITY * ball.height, GRAVITY * 20, rtol=1e-9)
        heights.append(ball.height)
    assert max(heights[150:]) > 19 and (block.height, block.vy) == (0.0, 0.0)


@pytest.mark.parametrize("hide", [[Act.SCREEN_DOWN] * SCREEN_STEPS, [Act.PAN_RIGHT] * 16, [Act.PAN_LEFT] * 16])
def test_what_is_hidden_moves_as_if_it_were_seen(hide):
    toys = [Toy(BALL, 0, 4.0, 76.0, vx=2.0, height=9.0), Toy(BLOCK, 1, 5.0, 90.0, vx=-1.5), Toy(CONE, 2, 6.0, 110.0)]
    room = room_with(*toys, fences=[68.0, 124.0])
    shown, view = room.copy(), View(64, 64)
    play(room, *hide)
    play(shown, *[Act.STAND] * len(hide))
    for _ in range(200):
        assert room.toys == shown.toys
        play(room, Act.STAND)
        play(shown, Act.STAND)
    assert max(seen(room, view)) == 0 and min(seen(shown, view)) > 0.3


def test_walls_turn_back_what_rolls_through_the_whole_room():
    room = room_with(Toy(BLOCK, 0, 5.0, 10.0, vx=-4.0))
    xs = [(play(room, Act.STAND), room.toys[0].x)[1] for _ in range(100)]
    assert min(xs) >= 5 and max(xs) <= 187 and min(xs) < 9 and max(xs) > 183


# --- actions


def test_every_action_has_its_effect_and_no_other():
    toy = Toy(BLOCK, 0, 4.0, 96.0)
    effects = {}
    for action in range(len(Act)):
        room = room_with(toy, screen=3, screen_x=0.0, hand_height=8.0)
        room.toys[0] = Toy(BLOCK, 0, 4.0, 96.0)
        before = room.copy()
        play(room, action)
        room.last = before.last
        effects[Act(action).label] = {n for n in Room.__slots__ if getattr(room, n) != getattr(before, n)}
    assert effects == {
        "stand": set(), "pan-left": {"camera"}, "pan-right": {"camera"}, "screen-up": {"screen"},
        "screen-down": {"screen"}, "hand-left": {"hand_x"}, "hand-right": {"hand_x"}, "hand-up": {"hand_height"},
        "hand-down": set(), "grab": {"held"}, "paint": {"toys"}, "lid": {"lid", "closing"},
    }  # fmt: skip


def test_panning_moves_the_view_by_so_many_pixels():
    room, view = room_with(screen_x=200.0), View(64, 64)
    before = view.render(room)
    play(room, Act.PAN_RIGHT)
    np.testing.assert_array_equal(view.render(room)[40:, :-4], before[40:, 4:])


def test_the_screen_and_the_lid_take_their_time():
    room = room_with()
    play(room, *[Act.SCREEN_DOWN] * (SCREEN_STEPS - 1))
    assert room.screen == SCREEN_STEPS - 1
    play(room, Act.SCREEN_DOWN, Act.SCREEN_DOWN, Act.SCREEN_UP, Act.LID)
    assert (room.screen, room.lid) == (SCREEN_STEPS - 1, 1)
    play(room, *[Act.LID] * 5)  # the key stays down: once
    assert (room.lid, room.closing) == (LID_STEPS, True)
    play(room, Act.STAND, Act.LID, Act.STAND, Act.STAND)
    assert room.lid == 0


def test_what_is_behind_is_all_there_is_whatever_is_in_the_way():
    toys = Toy(BLOCK, 0, 4.0, 76.0), Toy(BALL, 1, 4.0, 90.0), Toy(CONE, 2, 4.0, 120.0)
    room, view = room_with(*toys, cups=[Cover(76.0)], box=Cover(90.0)), View(64, 64)
    room.toys[0].inside, room.toys[1].inside = FIRST_CUP, BOX
    play(room, *[Act.STAND] * 9)  # all has come to rest
    open_air = view.hidden_layer(room)
    for toy in room.toys:
        x, y = (round(v) for v in view.pixels(room, toy))
        np.testing.assert_array_equal(open_air[y, x], LOOKS["day"].toys[toy.colour])
    play(room, *[Act.SCREEN_DOWN] * 7, Act.LID, *[Act.STAND] * 3, *[Act.HAND_LEFT] * 4)
    np.testing.assert_array_equal(view.hidden_layer(room), open_air)
    room.toys[0].colour = 3
    assert not np.array_equal(view.hidden_layer(room), open_air)


def test_paint_makes_the_next_colour_of_what_is_at_hand():
    room = room_with(Toy(BLOCK, 4, 4.0, 96.0), Toy(BLOCK, 1, 4.0, 120.0), hand_height=8.0)
    play(room, Act.PAINT, Act.PAINT)
    assert [t.colour for t in room.toys] == [5, 1]
    play(room, Act.STAND, Act.PAINT)
    assert [t.colour for t in room.toys] == [0, 1]


def test_a_toy_is_taken_carried_and_dropped():
    room = room_with(Toy(CONE, 0, 5.0, 98.0, vx=0.0), hand_height=12.0)
    play(room, Act.GRAB, Act.HAND_RIGHT, Act.HAND_UP, Act.HAND_UP)
    assert room.held == 0 and room.toys[0].x == room.hand == 100 and room.toys[0].height == 20 - 10
    play(room, Act.GRAB)
    assert room.held == NOWHERE
    play(room, *[Act.STAND] * 8)
    assert (room.toys[0].x, room.toys[0].height) == (100.0, 0.0)


def test_no_toy_is_put_where_another_stands_or_behind_the_screen():
    room = room_with(Toy(CONE, 0, 5.0, 96.0), Toy(BLOCK, 1, 5.0, 104.0), held=0, hand_height=12.0)
    play(room, Act.GRAB)
    assert room.held == 0
    play(room, Act.HAND_LEFT, Act.GRAB, Act.STAND, Act.SCREEN_DOWN, Act.GRAB)
    assert room.held == NOWHERE  # let go at 92; then the screen hangs before it


def test_a_mover_that_is_taken_stands_still_afterwards():
    room = room_with(Toy(BLOCK, 0, 5.0, 96.0, vx=1.0), hand_height=12.0)
    play(room, Act.GRAB, Act.STAND, Act.GRAB, *[Act.STAND] * 5)
    assert room.toys[0].vx == 0 and room.toys[0].x == 96.0


def test_the_wanted_toy_in_the_box_pays_one_and_another_is_wanted():
    room = room_with(Toy(BLOCK, 0, 4.0, 120.0), Toy(CONE, 1, 4.0, 80.0), box=Cover(100.0), screen_x=0.0)
    rewards = []
    for toy in (0, 1):
        pilot = Pilot()
        pilot.room = room
        for action in pilot.carry(toy, 96.0 + 8 * toy, 32.0):
            rewards.append(room.step(action))
    assert sum(rewards) == 1 and room.score == 1
    assert room.toys[1].inside == BOX and room.goal == -1  # nothing is left outside
    assert room.toys[0].inside == BOX


def test_the_closed_box_hides_its_toys_and_takes_them_along():
    room, view = room_with(Toy(BALL, 0, 4.0, 96.0), box=Cover(100.0), screen_x=0.0), View(64, 64)
    room.toys[0].inside, room.toys[0].height = BOX, 2.0
    assert min(seen(room, view)) > 0.5
    do(room, "turn_lid", True)
    assert seen(room, view) == [0.0]
    do(room, "take", 0)
    assert room.held == NOWHERE  # the lid is in the way
    do(room, "carry", BOX, 116.0, 32.0)
    assert room.box.x == room.hand and room.toys[0].x == room.box.x - 4 and room.toys[0].height == 2.0
    do(room, "turn_lid", False)
    do(room, "carry", 0, 80.0, 36.0)
    assert room.toys[0].inside == NOWHERE and abs(room.toys[0].x - 80) <= 2


def test_cups_hide_drag_and_uncover():
    room = room_with(Toy(BLOCK, 0, 5.0, 96.0), cups=[Cover(120.0), Cover(80.0)], screen_x=0.0)
    view = View(64, 64)
    do(room, "carry", FIRST_CUP, 96.0, 36.0)
    assert room.toys[0].inside == FIRST_CUP and seen(room, view) == [0.0]
    here = room.cups[0].x
    do(room, "swap", FIRST_CUP, FIRST_CUP + 1, 112.0)
    assert abs(room.cups[0].x - 80) <= 2 and abs(room.cups[1].x - here) <= 2
    assert room.toys[0].x - room.cups[0].x == 96.0 - here and seen(room, view) == [0.0]
    do(room, "take", FIRST_CUP)
    do(room, "lift", 40.0)
    assert room.toys[0].inside == NOWHERE and seen(room, view)[0] > 0.5 and room.cups[0].height > 20


def test_what_the_screen_covers_can_t_be_touched():
    room = room_with(Toy(BLOCK, 0, 4.0, 96.0), hand_height=8.0, screen=SCREEN_STEPS)
    play(room, Act.GRAB, Act.PAINT)
    assert room.held == NOWHERE and room.toys[0].colour == 0


# --- rooms and pictures


def test_rooms_are_drawn_anew_with_nothing_hidden_and_nothing_in_the_way():
    counts, cups, movers = set(), set(), 0
    for seed in range(80):
        room = draw_room(np.random.default_rng(seed), 64.0, "day")
        counts.add(len(room.toys))
        cups.add(len(room.cups))
        assert room.screen == room.lid == 0 and room.held == NOWHERE
        assert all(where(room, toy) not in HIDDEN for toy in room.toys if not toy.vx)
        still = sorted((t for t in room.toys if not t.vx), key=lambda t: t.x)
        for a, b in itertools.pairwise(still):
            assert b.x - a.x >= a.radius + b.radius
        for toy in still:
            assert abs(toy.x - room.box.x) > BOX_WIDTH / 2 and toy.radius <= toy.x <= room.width - toy.radius
        moving = [t for t in room.toys if t.vx]
        movers += bool(moving)
        if room.fences:
            low, high = room.fences
            assert moving and all(low + FENCE_WIDTH / 2 + t.radius <= t.x <= high - 1 - t.radius for t in moving)
    assert counts == {1, 2, 3, 4, 5, 6} and cups == {0, 2, 3} and 20 < movers < 70


@pytest.mark.parametrize("look", JUDGED)
def test_the_hues_are_the_toys_alone(look):
    view, hues = View(64, 64), list(PALETTE.values())
    for seed in range(12):
        room = draw_room(np.random.default_rng(seed), 64.0, look)
        room.toys, room.screen, room.lid = [], seed % 8, seed % 4
        colours = np.unique(view.render(room).reshape(-1, 3), axis=0)
        for hue in hues:
            assert difference(colours, np.broadcast_to(np.uint8(hue), colours.shape)).min() >= 40, (hue, seed)


@pytest.mark.parametrize("look", JUDGED)
def test_the_detector_finds_every_toy_that_is_seen(look):
    view = View(64, 64)
    toys = [Toy(s, c, r, 0.0) for s, c, r in ((0, 0, 4), (1, 1, 4), (2, 2, 5), (3, 3, 6), (2, 4, 6), (0, 5, 5))]
    for shift in (0.0, 0.25, 0.5, 0.8):
        room = room_with(*toys[:5], look=look)
        for i, toy in enumerate(room.toys):
            toy.x = 71.0 + 12 * i + shift
        found = detect(view.render(room), (30.0, 150.0))
        assert sorted(d.colour for d in found) == [0, 1, 2, 3, 4]
        for d in found:
            toy = room.toys[d.colour]
            x, y = view.pixels(room, toy)
            assert np.hypot(d.x - x, d.y - y) < 1 and d.shape == toy.shape


# --- words


@pytest.fixture(scope="module")
def played() -> list[list[Room]]:
    """Every moment of four episodes of the explorer's."""
    episodes = []
    for seed, look in enumerate(LOOKS):
        env, explorer = ToyboxEnv(16, 16, look=look), ToyboxExplorer(np.random.default_rng([seed, 1]))
        observation, info = env.reset(seed=seed)
        episodes.append([env.room.copy()])
        for _ in range(1500):
            observation, _, _, _, info = env.step(explorer(observation, info))
            episodes[-1].append(env.room.copy())
    return episodes


def test_captions_are_true_of_the_state(played):
    view, said = View(64, 64), set()
    for room in (room for episode in played for room in episode[::23]):
        for toy, share in zip(room.toys, seen(room, view), strict=True):
            place = where(room, toy)
            said.add(place)
            assert (share < 0.05) if place in (*HIDDEN, *OUT) else (place == "on the floor" or share > 0), place
        here = [toy for toy in room.toys if where(room, toy) not in OUT]
        for length in LENGTHS:
            for phrasing in range(PHRASINGS):
                words = caption(room, length, phrasing)
                assert all(COLOURS[toy.colour] in words for toy in here)
                assert ("night" in words) == (length == "long" and room.look == "night")
    assert {"behind the screen", "under a cup", "in the closed box", "in the hand", "on the floor", *OUT} <= said


def test_captions_say_it_in_several_ways():
    room = room_with(Toy(BALL, 0, 4.0, 80.0), Toy(BLOCK, 4, 5.0, 150.0), Toy(CONE, 1, 6.0, 110.0, vx=1.0))
    assert caption(room, "short") == "a red ball and a yellow cone"
    assert caption(room, "medium") == "a red ball and a yellow cone; the yellow cone is rolling to the right"
    room.screen = SCREEN_STEPS
    assert caption(room, "medium", 1).startswith(
        "There are a red ball and a yellow cone. The red ball is behind the screen."
    )
    assert "out of sight to the right is the blue block" in caption(room, "long", 2)
    assert "The screen is down" in caption(room, "long", 3)
    texts = {caption(room, length, phrasing) for length in LENGTHS for phrasing in range(PHRASINGS)}
    assert len(texts) == len(LENGTHS) * PHRASINGS
    room.toys[2].colour, room.toys[2].shape = 0, BALL
    assert caption(room, "short") == "two red balls"


# --- explorer


def test_the_explorer_hides_and_reveals_in_every_way(played):
    times, done = [], set()
    for episode in played:
        hidden = [0] * len(episode[0].toys)
        for before, room in itertools.pairwise(episode):
            done.update("painted" for a, b in zip(before.toys, room.toys, strict=True) if a.colour != b.colour)
            for i, toy in enumerate(room.toys):
                place = where(room, toy)
                if place in (*HIDDEN, *OUT):
                    hidden[i] += 1
                    done.add(place)
                elif hidden[i]:
                    times.append(hidden[i])
                    hidden[i] = 0
    assert {"behind the screen", "under a cup", "in the closed box", "painted", *OUT} <= done
    assert len(times) > 100 and min(times) < 8 and max(times) > 300


def test_the_explorer_plays_the_same_again():
    plays = []
    for _ in range(2):
        env, explorer = ToyboxEnv(16, 16), ToyboxExplorer(np.random.default_rng(3))
        observation, info = env.reset(seed=3)
        actions = []
        for _ in range(200):
            actions.append(explorer(observation, info))
            observation, _, _, _, info = env.step(actions[-1])
        plays.append(actions)
    assert plays[0] == plays[1] and len(set(plays[0])) > 4
