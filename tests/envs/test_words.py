"""What worlds say of their moments is true of the frames, and clips of play in words can be made of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.data.captioned import CLIP_FRAMES
from worldsim_envs.atari.words import where
from worldsim_envs.doom.maze_words import region
from worldsim_envs.doom.take_cover import doom_take_cover_spec
from worldsim_envs.doom.take_cover_words import tell as tell_take_cover
from worldsim_envs.palette import COLOURS, HUES
from worldsim_envs.registry import WORLDS, load
from worldsim_envs.rooms.env import RoomsEnv
from worldsim_envs.rooms.words import tell as tell_rooms
from worldsim_policies.base import make_explorer


@pytest.mark.parametrize("world", [name for name, entry in WORLDS.items() if entry.clips and name != "toybox"])
def test_every_world_makes_clips_in_words(world: str) -> None:
    source = load(WORLDS[world].clips)
    height, width = source.sizes[0]

    def make(seed: int) -> list:
        return source.make(seed, height, width, lambda rng: make_explorer(world, rng))

    clips = make(3)
    assert len(clips) > 1
    for clip, same in zip(clips, make(3), strict=True):
        assert clip.frames.shape == (CLIP_FRAMES, height, width, 3) and clip.group == 3
        assert clip.moments == same.moments and np.array_equal(clip.frames, same.frames)
        assert len(clip.moments) == 5 and all(texts for texts in clip.moments)
        assert all(text.endswith(".") and ".." not in text for texts in clip.moments for text in texts)
    assert all(side % 16 == 0 for size in (*source.sizes, *source.unseen) for side in size)


def shows(frame: np.ndarray, colour: int) -> int:
    """Pixels that are nearer to a colour of the palette than its own haze makes of it."""
    hue = HUES[colour] / np.linalg.norm(HUES[colour].astype(float))
    pixels = frame.reshape(-1, 3).astype(float)
    cosine = pixels @ hue / np.maximum(np.linalg.norm(pixels, axis=1), 1)
    return int(((cosine > 0.985) & (pixels.max(1) - pixels.min(1) > 60)).sum())


def test_things_that_rooms_are_said_to_show_are_in_the_frame() -> None:
    env, rng = RoomsEnv(64, 96), np.random.default_rng(0)
    named = unnamed = missing = 0
    for seed in range(60):
        _, info = env.reset(seed=seed)
        for _ in range(12):
            for _ in range(5):
                frame, _, terminated, _, info = env.step(np.int64(1))  # turns
            if terminated:
                break
            texts = tell_rooms(env, info["state"], rng)
            for colour, name in enumerate(COLOURS):
                said, pixels = any(name in text for text in texts), shows(frame, colour)
                named += said and pixels > 0
                missing += said and pixels == 0
                unnamed += not said and pixels > 30  # of what is seen without its middle
    assert named > 40 and missing <= named // 20 and unnamed <= named // 5


def test_sides_of_a_room_are_those_of_the_frame() -> None:
    env, rng = RoomsEnv(64, 96), np.random.default_rng(0)
    sides = {"left": 0, "right": 0}
    for seed in range(40):
        frame, info = env.reset(seed=seed)
        texts = tell_rooms(env, info["state"], rng)
        names = [name for name in COLOURS if name in texts[0]]
        side = next((side for side in sides if side in texts[1]), None)
        if len(names) != 1 or side is None:
            continue
        hue = COLOURS.index(names[0])
        left, right = shows(frame[:, :48], hue), shows(frame[:, 48:], hue)
        assert (left > right) == (side == "left")
        sides[side] += 1
    assert min(sides.values()) > 1


def test_take_cover_counts_what_is_in_the_picture() -> None:
    spec, rng = doom_take_cover_spec(), np.random.default_rng(0)
    state = dict.fromkeys(spec.state_names, 0.0) | {"place": 700.0, "monsters_seen": 3.0, "fireballs_seen": 1.0}
    state |= {"fireball_0_ahead": 100.0, "fireball_0_left": -60.0}
    values = np.array([state[name] for name in spec.state_names], np.float32)
    few, _, most = tell_take_cover(None, values, rng)
    assert few == "Three imps."
    assert most.startswith("Three imps and one fireball, the nearest comes on the right, close; ")
    assert most.endswith("at the left of the room.")


def test_places_in_words() -> None:
    assert [where(y / 210)[0] for y in (190, 175, 100, 26, 15)] == [
        "at the bottom of the road",
        "in the first lane",
        "in the sixth lane",
        "in the tenth lane",
        "at the top of the road",
    ]
    assert [region(*place) for place in ((700, -400), (1200, -400), (700, 0), (200, -900))] == [
        "middle", "east", "north", "south-west"
    ]  # fmt: skip
