"""What is read off Crafter's frames, what is judged by it, and what is said of a moment."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("crafter")

from worldsim.errors import WorldsimError
from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.judge import RULES, daylight, judge, last_seen, night_falls
from worldsim_envs.crafter.names import ACTION, ITEMS, STATE, TILE
from worldsim_envs.crafter.reader import Reading, TileReader
from worldsim_envs.crafter.words import LENGTHS, describe
from worldsim_policies.scripted.crafter import CrafterExplorer

AT = {name: index for index, name in enumerate(STATE)}


def play(seed, size=72, steps=280):
    """Frames `[T + 1]`, states `[T + 1, S]` and actions `[T]` of an explorer, till it dies."""
    env, explorer = CrafterEnv(size, size), CrafterExplorer(np.random.default_rng(seed))
    frame, info = env.reset(seed=seed)
    frames, states, actions = [frame], [info["state"]], []
    for _ in range(steps):
        actions.append(explorer(frame, info))
        frame, _, dead, _, info = env.step(np.int64(actions[-1]))
        frames.append(frame)
        states.append(info["state"])
        if dead:
            break
    return np.stack(frames), np.stack(states), np.array(actions)


@pytest.fixture(scope="module")
def plays():
    return [play(seed) for seed in (3, 5, 8)]


@pytest.fixture(scope="module")
def everything(plays):
    """All frames and states."""
    return np.concatenate([p[0] for p in plays]), np.concatenate([p[1] for p in plays])


def test_frames_are_read_as_they_are(everything):
    frames, states = everything
    read, real = TileReader().read(frames), Reading.of_states(states)
    right = read.tiles == real.tiles
    for name, low, high in (("day", 0.5, 1.01), ("dusk", 0.1, 0.5), ("night", 0, 0.1)):
        those = (real.daylight >= low) & (real.daylight < high)
        share, certain = right[those].mean(), read.legible[those].mean()
        print(f"{name}: {share:.2%} of {those.sum()} frames' tiles right, {certain:.1%} certain")
        assert those.sum() > 20
        assert share > (0.65 if name == "night" else 0.99)  # asleep at night there is next to nothing to see
    assert right[read.legible].mean() > 0.9999
    np.testing.assert_array_equal(read.inventory, real.inventory)
    np.testing.assert_array_equal(read.sleeping, real.sleeping)
    np.testing.assert_array_equal(read.facing[~real.sleeping], real.facing[~real.sleeping])
    assert np.abs(read.daylight - real.daylight).max() < 0.03


@pytest.mark.parametrize("size", [64, 100])
def test_other_sizes_are_read_too(size):
    frames, states, _ = play(3, size, 40)
    read, real = TileReader(size, size).read(frames), Reading.of_states(states)
    assert (read.tiles == real.tiles).mean() > 0.99
    np.testing.assert_array_equal(read.inventory, real.inventory)


def test_frames_that_are_a_bit_off_are_read_too(plays):
    frames, states, _ = plays[0]
    rng = np.random.default_rng(0)
    off = np.clip(frames[:100] + rng.normal(0, 12, frames[:100].shape), 0, 255).astype(np.uint8)
    read, real = TileReader(tolerance=12.0).read(off), Reading.of_states(states[:100])
    assert (read.tiles == real.tiles).mean() > 0.99
    assert (read.inventory == real.inventory).mean() > 0.99


def test_the_game_keeps_its_rules(plays):
    for frames, states, actions in plays:
        for reading in (Reading.of_states(states), TileReader().read(frames)):
            found = judge(reading, actions)
            assert all(rule.kept == rule.occasions for rule in found.values()), found
    assert all(sum(judge(Reading.of_states(s), a)[name].occasions for _, s, a in plays) > 3 for name in RULES)


def test_a_world_that_does_as_it_likes_breaks_them(plays):
    _, states, actions = max(plays, key=lambda play: len(play[2]))
    found = judge(Reading.of_states(states), np.roll(actions, 7))
    assert found["move"].share < 0.9 and found["nothing from nothing"].share < 1


def step_with(changes, action, front="stone"):
    """What is judged of one step with an action, facing a tile, after which the inventory has changed."""
    env = CrafterEnv()
    state = env.reset(seed=1)[1]["state"]
    state[AT["facing_x"]], state[AT["facing_y"]] = 1, 0
    state[AT["tile_3_5"]] = TILE[front]
    after = state.copy()
    for name, change in changes.items():
        after[AT[name]] = TILE[change] if isinstance(change, str) else state[AT[name]] + change
    return {
        name: bool(rule.kept)
        for name, rule in judge(Reading.of_states(np.stack([state, after])), np.array([ACTION[action]])).items()
        if rule.occasions
    }


@pytest.mark.parametrize(
    ("action", "front", "changes", "broken"),
    [
        ("do", "tree", {"wood": 1, "tile_3_5": "grass"}, set()),
        ("do", "tree", {"wood": 0, "tile_3_5": "grass"}, {"collect"}),
        ("do", "tree", {"wood": 1}, {"collect"}),
        ("do", "stone", {"stone": 1, "tile_3_5": "path"}, {"collect"}),  # with no pickaxe
        ("do", "stone", {}, set()),
        ("noop", "tree", {"wood": 1}, {"nothing from nothing"}),
        ("place_table", "grass", {"tile_3_5": "table"}, {"place"}),  # for nothing
        ("place_table", "grass", {}, set()),
        ("make_wood_pickaxe", "table", {"wood_pickaxe": 1}, {"make"}),  # of nothing
        ("make_wood_pickaxe", "grass", {}, set()),
        ("noop", "grass", {"food": -2}, {"vitals"}),
        ("noop", "grass", {"drink": -1}, set()),
    ],
)
def test_each_rule(action, front, changes, broken):
    found = step_with(changes, action, front)
    assert {name for name, kept in found.items() if not kept} == broken


def test_night_falls(plays):
    states = plays[0][1]
    assert night_falls(Reading.of_states(states), 0) < 1e-3 < 0.3 < night_falls(Reading.of_states(states), 150)
    assert daylight(210) == pytest.approx(0, abs=1e-6)


def test_last_seen():
    """Five steps to the right and back: the leftmost column was away for ten."""
    x = np.array([10, 11, 12, 13, 14, 15, 14, 13, 12, 11, 10])
    ago = last_seen(np.stack([x, np.full_like(x, 10)], 1))
    assert (ago[0] == 0).all() and (ago[1][:, :-1] == 1).all() and (ago[1][:, -1] == 0).all()
    np.testing.assert_array_equal(ago[-1][3], [10, 1, 1, 1, 1, 1, 1, 1, 1])


def test_words_say_what_there_is(plays):
    state = plays[0][1][0].copy()
    tiles = slice(AT["tile_0_0"], None)
    state[tiles] = TILE["grass"]
    state[AT["tile_3_4"]], state[AT["tile_1_4"]], state[AT["tile_3_3"]] = (TILE[t] for t in ("player", "cow", "water"))
    state[AT["wood"]], state[AT["daylight"]], state[AT["drink"]] = 3, 0.05, 2
    rng = np.random.default_rng(0)
    words = [describe(state, rng, "long") for _ in range(20)]
    for said in map(str.lower, words):
        assert "a cow" in said and "above" in said and "water just to the left" in said and "three wood" in said
        assert "night" in said or "dark" in said
        assert "drink low" in said or "drink running out" in said
        assert "zombie" not in said
    assert len(set(words)) > 5


def test_words_by_length_and_chance(plays):
    lengths = dict.fromkeys(LENGTHS, 0)
    for state in plays[1][1][::20]:
        for length in LENGTHS:
            said = describe(state, np.random.default_rng(1), length)
            assert said == describe(state, np.random.default_rng(1), length) and said.endswith(".")
            lengths[length] += len(said)
    assert lengths["short"] < lengths["medium"] < lengths["long"]
    with pytest.raises(WorldsimError, match="huge"):
        describe(plays[0][1][0], np.random.default_rng(0), "huge")


def test_items_are_in_the_state_in_order():
    assert STATE[AT[ITEMS[0]] : AT[ITEMS[-1]] + 1] == ITEMS
