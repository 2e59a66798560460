"""Players of Crafter do all there is to do, and nothing for too long."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("crafter")

from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.names import ACHIEVEMENTS, ACTION, ACTIONS, STATE, TILE
from worldsim_policies.base import make_explorer
from worldsim_policies.scripted.crafter import CrafterExplorer
from worldsim_policies.scripted.crafter_paths import Ground

AT = {name: index for index, name in enumerate(STATE)}


def play(env, explorer, seed, steps):
    """States `[T, S]` and actions `[T]`."""
    frame, info = env.reset(seed=seed)
    explorer.reset()
    states, actions = [], []
    for _ in range(steps):
        actions.append(explorer(frame, info))
        frame, _, dead, _, info = env.step(np.int64(actions[-1]))
        states.append(info["state"])
        if dead:
            break
    return np.stack(states), np.array(actions)


@pytest.fixture(scope="module")
def plays():
    env, explorer = CrafterEnv(), make_explorer("crafter", np.random.default_rng(0))
    return [play(env, explorer, seed, 400) for seed in range(8)]


def test_they_do_most_there_is_to_do(plays):
    done = {name: sum(int(states[-1][AT[name]]) for states, _ in plays) for name in ACHIEVEMENTS}
    frames = sum(len(actions) for _, actions in plays)
    print(*(f"{name}: {count * 1e4 / frames:.0f} in 10,000 frames" for name, count in done.items()), sep="\n")
    assert sum(count > 0 for count in done.values()) >= 15, done


def test_no_key_is_pressed_all_the_time(plays):
    shares = np.bincount(np.concatenate([actions for _, actions in plays]), minlength=len(ACTIONS))
    shares = shares / shares.sum()
    assert shares.max() < 0.4 and (shares > 0).sum() >= 15
    assert 0.01 < shares[ACTION["noop"]] < 0.12


def test_they_come_back_the_way_they_went(plays):
    """Somewhere they left for at least 20 steps and 5 tiles."""
    returns = 0
    for states, _ in plays:
        places = states[:, :2]
        for t in range(0, len(places) - 20, 20):
            far = np.abs(places[t:] - places[t]).sum(1)
            away = np.flatnonzero(far >= 5)
            returns += bool(len(away) and (far[away[0] :] == 0).any())
    assert returns >= 8


def test_not_all_are_good(plays):
    assert len({len(actions) for _, actions in plays}) > 1
    assert (
        np.std([states[-1][AT[ACHIEVEMENTS[0]] : AT[ACHIEVEMENTS[-1]] + 1].astype(bool).sum() for states, _ in plays])
        > 1
    )


def test_without_a_map_it_tries_keys():
    explorer = CrafterExplorer(np.random.default_rng(0))
    actions = [explorer(np.zeros((72, 72, 3), np.uint8), {}) for _ in range(300)]
    assert len(set(actions)) > 10


def test_ways_go_round_dig_and_bridge():
    tiles = np.full((5, 7), TILE["grass"], np.uint8)
    tiles[:, 3] = TILE["stone"]
    assert Ground(tiles).way((1, 2), [(5, 2)]) is None
    assert Ground(tiles, dug=("stone",)).way((1, 2), [(5, 2)]) == [(2, 2), (3, 2), (4, 2), (5, 2)]
    tiles[4, 3] = TILE["sand"]
    assert len(Ground(tiles, dug=("stone",)).way((1, 2), [(5, 2)])) == 4  # three more steps to dig, four to go round
    assert len(Ground(tiles).way((1, 2), [(5, 2)])) == 8
    tiles[:, 3] = TILE["water"]
    assert Ground(tiles).way((1, 2), [(5, 2)]) is None
    assert (3, 2) in Ground(tiles, stones=True).way((1, 2), [(5, 2)])
    tiles[:, 3] = TILE["lava"]
    assert Ground(tiles, dug=("stone",), stones=True).way((1, 2), [(5, 2)]) is None
    assert Ground(tiles).at((3, 2)) == "lava" and Ground(tiles).at((-1, 2)) == "outside"
    assert (0, 0) in Ground(tiles).cells(("grass",))
