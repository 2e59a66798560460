"""Doom's take cover: the contract, chance from the seed alone, tics, what the state says, and who survives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from worldsim.errors import WorldsimError
from worldsim_envs.doom.take_cover import FAR, LEFT, MOST, RIGHT, SLOTS, STAND, DoomTakeCoverEnv
from worldsim_envs.registry import make_real
from worldsim_envs.sources import find_env
from worldsim_envs.testing import CloneContract, WorldContract
from worldsim_policies.evaluation import play_episodes
from worldsim_policies.learned.policy import LearnedPolicy, load_policy
from worldsim_policies.scripted.doom_take_cover import PLACES, PLACES_APART, TakeCoverExplorer, dodge, mirrored, passing


class TestDoomTakeCover(WorldContract):
    """The contract of every world."""

    gym_id = "worldsim/DoomTakeCoverReal-v0"


class TestDoomTakeCoverClone(CloneContract):
    """Played again, by chance too."""

    steps = 60

    def make(self):
        return DoomTakeCoverEnv(render_mode="rgb_array", frame_skip=6)


def play(env: DoomTakeCoverEnv, seed: int, choose, frames: int = MOST):
    """Every step of an episode, or of its first frames."""
    observation, info = env.reset(seed=seed)
    history = [(observation, 0.0, False, False, info)]
    while len(history) <= frames and not (history[-1][2] or history[-1][3]):
        history.append(env.step(choose(history[-1][4])))
    return history


def held(seed: int, tics: int = 24):
    """Keys that depend on nothing but the tic, whatever the frame skip."""
    keys = np.random.default_rng(seed).integers(3, size=MOST // tics + 1)
    return lambda info: int(keys[info["tics"] // tics])


@pytest.fixture(scope="module")
def env():
    env = DoomTakeCoverEnv()
    yield env
    env.close()


def test_a_whole_episode_comes_from_its_seed(env):
    first = play(env, 3, held(0))
    play(env, 4, held(1))
    again = play(env, 3, held(0))
    assert len(first) == len(again) > 20 and first[-1][2]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[4]["state"], b[4]["state"])
        assert a[1:4] == b[1:4] and a[4]["tics"] == b[4]["tics"]


def test_the_return_is_tics_whatever_the_frame_skip(env):
    other = DoomTakeCoverEnv(frame_skip=1)
    by_four, one_by_one = play(env, 0, held(0)), play(other, 0, held(0))
    assert by_four[-1][2] and one_by_one[-1][2]
    assert len(one_by_one) - 1 == one_by_one[-1][4]["tics"] == by_four[-1][4]["tics"]
    assert sum(step[1] for step in by_four) == by_four[-1][4]["tics"]
    assert {step[1] for step in by_four[1:-1]} == {4.0} and 1 <= by_four[-1][1] <= 4
    np.testing.assert_array_equal(by_four[-2][4]["state"], one_by_one[4 * (len(by_four) - 2)][4]["state"])
    assert other.world.fps == 35 and env.world.fps == 35 / 4
    other.close()


def test_2100_tics_are_truncated_not_terminated():
    env = DoomTakeCoverEnv(frame_skip=8)  # 2,100 is no multiple of it
    history = play(env, 0, lambda info: dodge(info["state"]))
    _, reward, terminated, truncated, info = history[-1]
    assert truncated and not terminated
    assert sum(step[1] for step in history) == info["tics"] == MOST and reward == MOST % 8
    assert not any(step[2] or step[3] for step in history[:-1])
    env.close()


@pytest.mark.parametrize(("action", "way"), [(STAND, 0), (LEFT, 1), (RIGHT, -1)])
def test_keys_step_aside(env, action, way):
    places = [info["state"][0] for *_, info in play(env, 0, lambda info: action, 10)]
    assert (np.sign(np.diff(places)[1:]) == way).all()  # Doom doesn't heed the first few tics of a game


def test_the_state_is_what_the_picture_shows():
    env = DoomTakeCoverEnv(240, 320)
    checked = 0
    for seed in range(2):
        for frame, _, terminated, _, info in play(env, seed, held(seed), 60):
            monsters, fireballs, monsters_seen, fireballs_seen = info["state"][4:8]
            assert 0 <= monsters_seen <= monsters >= 3 and 0 <= fireballs_seen <= fireballs
            balls = info["state"][8:].reshape(SLOTS, 3)
            assert (balls[:, 0] < FAR).sum() == min(fireballs, SLOTS) and (np.diff(balls[:, 0]) >= 0).all()
            bright = (frame.astype(int) > (180, 150, 40)).all(-1) if not terminated else None
            for ahead, left, _ in balls[:1]:
                if bright is not None and 60 < ahead < 400 and abs(left) < 0.85 * ahead:
                    column, radius = round(160 - 160 * left / ahead), round(160 * 6 / ahead) + 2
                    assert bright[:, column - radius : column + radius + 1].any(), (ahead, left)
                    checked += 1
            if not fireballs:
                assert bright is None or bright.sum() < 20
    assert checked > 20
    env.close()


def test_fireballs_fly_as_the_state_says(env):
    history = play(env, 1, lambda info: STAND, 21)
    states = [info["state"] for *_, info in history if info["state"][5] == 1]
    for before, after in itertools.pairwise(states):
        ahead, left, drift = before[8:11]
        np.testing.assert_allclose(
            after[8:11], (ahead - 4 * (100 - drift**2) ** 0.5, left + 4 * drift, drift), atol=0.1
        )
    assert len(states) > 3


def test_the_map_of_what_passes_is_where_it_passes(env):
    """A player who stands sees a fireball on the same tile until it is there, and on none where there is none."""
    states = np.stack([info["state"] for *_, info in play(env, 1, lambda info: STAND, 30)])
    coming = states[states[:, 8] < FAR]
    alone = coming.copy()
    alone[:, 11::3] = FAR  # nothing else flies
    tiles = passing(alone).reshape(len(alone), len(PLACES), -1)
    where, when = tiles.max(2).argmax(1), tiles.max(1).argmax(1)
    assert len({*where.tolist()}) == 1 and (np.diff(when) <= 0).all() and {*when.tolist()} == {0, 1, 2, 3}
    arrived = alone[alone[:, 8].argmin(), 9]  # to the left of the player
    assert abs(PLACES[where[0]] - arrived) <= 1.5 * PLACES_APART  # it was seen last a frame before
    assert passing(coming).sum() > tiles.sum() and not passing(states[states[:, 5] == 0]).any()


def test_in_a_mirror_left_is_right(env):
    """What passes there is what would pass whoever is there, and a dodger steps to the other side."""
    states = np.stack([info["state"] for *_, info in play(env, 1, lambda info: dodge(info["state"]), 120)])
    facts = np.concatenate([states, passing(states)], axis=1)
    other = mirrored(facts)
    there = other[:, : states.shape[1]]
    np.testing.assert_allclose(other[:, states.shape[1] :], passing(there), atol=1e-5)
    np.testing.assert_allclose(mirrored(other), facts, atol=1e-4)
    assert (np.abs(there[:, :3] - states[:, :3]).max(0) > [20, -1, 2]).all() and (there[:, 9] == -states[:, 9]).all()
    steps = [(dodge(here), dodge(mirror)) for here, mirror in zip(states, there, strict=True)]
    assert (
        np.mean([(LEFT, RIGHT, STAND)[(RIGHT, LEFT, STAND).index(a)] == b for a, b in steps]) > 0.9
    )  # plans that are as good are many
    assert {LEFT, RIGHT} < {a for a, _ in steps}


def test_a_hit_takes_health_and_pushes(env):
    states = np.stack([info["state"] for *_, info in play(env, 1, lambda info: STAND)])
    hit = np.flatnonzero(np.diff(states[:, 3]))
    assert states[0, 1:4].tolist() == [32, 0, 100]
    assert len(hit) == 1 and states[-1, 3] in (79, 58, 37, 16) and states[hit[0] + 1, 1] < 32


def test_the_explorer_dies_early_and_late_and_not_at_all(env):
    """Of those who stand and wait many die at once, so that the recording shows hits; of those who dodge few do."""
    lived, idlers, held_keys = [], [], []
    for seed in range(16):
        explorer = TakeCoverExplorer(np.random.default_rng([seed, 1]))

        def choose(info, explorer=explorer):
            held_keys.append(explorer(np.zeros(0), info))
            return held_keys[-1]

        lived.append(play(env, seed, choose, 150)[-1][4]["tics"])
        idlers.append(explorer.idle)
    assert min(lived) < 200 and 200 < np.median(lived) < 600 and max(lived) == 600
    assert np.mean([t for t, idle in zip(lived, idlers, strict=True) if idle]) < np.mean(lived)
    assert np.bincount(held_keys, minlength=3).min() > 0.1 * len(held_keys)


def test_the_dodger_outlives_chance_by_far(env):
    for seed in (10, 11):
        assert not play(env, seed, lambda info: dodge(info["state"]), 150)[-1][2]


def test_the_same_chance_makes_the_same_explorer(env):
    plays = []
    for _ in range(2):
        explorer = TakeCoverExplorer(np.random.default_rng(5))
        plays.append([step[4]["state"] for step in play(env, 5, lambda info, e=explorer: e(np.zeros(0), info), 30)])
    np.testing.assert_array_equal(*plays)


def test_what_cannot_be_says_why(monkeypatch):
    with pytest.raises(WorldsimError, match="4:3"):
        make_real("doom-take-cover", height=64, width=64)
    with pytest.raises(WorldsimError, match="tic"):
        DoomTakeCoverEnv(frame_skip=0)
    env = make_real("doom-take-cover", height=96, width=128)
    assert env.reset(seed=0)[0].shape == (96, 128, 3)
    env.close()
    monkeypatch.setitem(__import__("sys").modules, "vizdoom", None)
    with pytest.raises(WorldsimError, match=r"pip install '\.\[doom\]'"):
        make_real("doom-take-cover")


@pytest.mark.slow
def test_the_agent_that_ships_learned_in_the_dream_alone_and_plays_the_game():
    """Random keys come to some 265 tics."""
    policy = load_policy("doom-take-cover")
    assert policy.training["world_digest"]  # of a generated world; a game has none
    envs = find_env("worldsim/DoomTakeCoverReal-v0").make(8, "Disabled", MOST // 4)
    scores = play_episodes(envs, LearnedPolicy(policy, 8), 8, 0, lambda _: None)
    envs.close()
    assert scores.total.mean() > 400
