"""Crafter: the contract, and that it is Crafter: its picture and its rules, faster and exact."""

from __future__ import annotations

import numpy as np
import pytest

crafter = pytest.importorskip("crafter")

from worldsim.errors import WorldsimError  # noqa: E402
from worldsim_envs.crafter import game, names  # noqa: E402
from worldsim_envs.crafter.env import CrafterEnv  # noqa: E402
from worldsim_envs.crafter.names import ACTION, ITEMS, STATE, TILE  # noqa: E402
from worldsim_envs.testing import CloneContract, WorldContract  # noqa: E402

AT = {name: index for index, name in enumerate(STATE)}


class TestCrafter(WorldContract):
    """Tiles, seen from above."""

    gym_id = "worldsim/CrafterReal-v0"

    def test_a_tile_is_eight_pixels_and_the_state_is_what_is_seen(self, env):
        frame, info = env.reset(seed=1)
        assert frame.shape == (72, 72, 3)
        semantic = info["semantic"]
        assert semantic[3, 4] == TILE["player"]
        grass = [frame[8 * r : 8 * r + 8, 8 * c : 8 * c + 8] for r, c in np.argwhere(semantic == TILE["grass"])]
        assert len(grass) > 20 and all((tile == grass[0]).all() for tile in grass)
        x, y = info["state"][:2].astype(int)
        np.testing.assert_array_equal(info["map"][y - 3 : y + 4, x - 4 : x + 5], semantic)
        np.testing.assert_array_equal(info["state"][AT["tile_0_0"] :].reshape(7, 9), semantic)

    def test_the_view_moves_by_whole_tiles(self, env):
        before = env.reset(seed=1)[1]
        after = env.step(ACTION["move_left"])[-1]
        assert after["state"][AT["x"]] == before["state"][AT["x"]] - 1
        assert tuple(after["state"][[AT["facing_x"], AT["facing_y"]]]) == (-1, 0)
        ground = before["semantic"] < TILE["player"]
        same = after["semantic"][:, 1:] == before["semantic"][:, :-1]
        assert same[ground[:, :-1] & (after["semantic"][:, 1:] < TILE["player"])].mean() > 0.9

    @pytest.mark.parametrize(("height", "width"), [(64, 64), (36, 90)])
    def test_another_size(self, height, width):
        env = CrafterEnv(height, width)
        assert env.reset(seed=0)[0].shape == (height, width, 3)

    def test_too_small_to_be_seen_is_one_error(self):
        with pytest.raises(WorldsimError, match="72x72"):
            CrafterEnv(24, 72)


class TestCrafterClone(CloneContract):
    """Saved as what there is."""

    steps = 40  # over some of the times when creatures come and go

    def make(self):
        return CrafterEnv(render_mode="rgb_array")

    def test_a_night_is_restored(self):
        env, other = self.make(), self.make()
        for seed in range(20):  # not everybody lives to see it
            info, over = env.reset(seed=seed)[1], False
            while not over and not (info["state"][AT["steps"]] > 150 and info["state"][AT["daylight"]] < 0.3):
                _, _, over, _, info = env.step(ACTION["noop"])
            if not over:
                break
        assert info["state"][AT["daylight"]] < 0.3
        np.testing.assert_array_equal(other.restore(env.save())[0], env.render())
        for _ in range(30):
            (frame, _, over, *_), (again, *_) = env.step(1), other.step(1)
            np.testing.assert_array_equal(frame, again)
            if over:
                break

    def test_not_begun_is_one_error(self):
        with pytest.raises(WorldsimError, match="reset"):
            CrafterEnv().save()


def test_the_names_are_crafter_s():
    constants = crafter.constants
    assert list(names.ACTIONS) == constants.actions and list(names.MATERIALS[1:]) == constants.materials
    assert list(ITEMS) == list(constants.items) and list(names.ACHIEVEMENTS) == constants.achievements


def test_it_is_crafter(monkeypatch):
    """Frame by frame and reward by reward, from the same world, with the creatures that vanish picked in one order."""
    balance = crafter.Env._balance_object

    def in_order(self, chunk, creatures, *rest):
        there = self._world.objects
        return balance(self, chunk, sorted(creatures, key=lambda c: there.index(c) if c in there else 0), *rest)

    monkeypatch.setattr(game, "_generate", crafter.worldgen.generate_world)
    monkeypatch.setattr(crafter.Env, "_balance_object", in_order)
    theirs, ours = crafter.Env(size=(72, 72), seed=4), game.Game(72, 72)
    frame = theirs.reset()
    ours.begin(hash((4, 1)) % (2**31 - 1))
    rng = np.random.default_rng(0)
    for _ in range(260):
        np.testing.assert_array_equal(frame, ours.frame)
        action = int(rng.integers(17) if rng.random() < 0.4 else rng.integers(1, 7))
        frame, reward, done, _ = theirs.step(action)
        assert ours.act(action) == reward and ours.over == done
        for player in (theirs._player, ours._player):
            player.health = max(player.health, 5)


def test_the_worlds_are_crafter_s():
    """All but those few tiles where the noise is within a ten-thousandth of a threshold."""
    world, ours = crafter.engine.World(game.AREA, crafter.constants.materials, (12, 12)), game.Game(72, 72)
    world.reset(11)
    player = crafter.objects.Player(world, (32, 32))
    world.add(player)
    crafter.worldgen.generate_world(world, player)
    ours.begin(11)
    assert (world._mat_map == ours.info()["map"].T)[world._obj_map == 0].mean() > 0.95


def test_the_rules_are_crafter_s():
    constants = crafter.constants
    assert list(names.WALKABLE) == constants.walkable
    for tile, rule in constants.collect.items():
        item, tool, left = names.COLLECT[tile]
        assert (rule["receive"], rule["require"]) == ({item: 1}, {tool: 1} if tool else {}) and rule["leaves"] == left
    for name, rule in constants.place.items():
        assert names.USES[f"place_{name}"] == rule["uses"] and set(names.ONTO[f"place_{name}"]) == set(rule["where"])
    for name, rule in constants.make.items():
        assert names.USES[f"make_{name}"] == rule["uses"] and set(names.NEARBY[f"make_{name}"]) == set(rule["nearby"])
