"""The Policy protocol: every kind of policy keeps it, and is made by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tiny import HEIGHT, WIDTH, tiny_spec
from tiny_game import real_rows, tiny_policy

from worldsim.errors import WorldsimError
from worldsim_policies.base import (
    PerRowPolicy,
    Policy,
    RandomPolicy,
    StickyPolicy,
    find_policy,
    make_explorer,
    make_policy,
    merge_infos,
)
from worldsim_policies.learned.policy import LearnedPolicy

SIZE = 6  # steps of an episode here


class Counter:
    """An explorer whose action depends on its generator, its row's info and how often it was asked."""

    def __init__(self, rng: np.random.Generator):
        self._count = int(rng.integers(1000))

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        self._count += 1 + int(info["key"])
        return self._count % 3


KINDS = {
    "random": lambda rows: RandomPolicy(3, rows),
    "sticky": lambda rows: StickyPolicy(3, rows),
    "per row": lambda rows: PerRowPolicy(Counter, rows),
    "learned": lambda rows: LearnedPolicy(tiny_policy(repeat=2), rows, sample=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_independent_and_decided_by_their_seeds(kind):
    """N rows act as N policies of one row, also where a row begins a new episode in between."""
    frames = np.random.default_rng(0).integers(0, 256, (2 * SIZE, 3, HEIGHT, WIDTH, 3), np.uint8)
    keys = np.random.default_rng(1).integers(0, 9, (2 * SIZE, 3))
    many: Policy = KINDS[kind](3)
    many.begin(np.arange(3), [7, 8, 9])
    singles = [KINDS[kind](1) for _ in range(3)]
    for row, policy in enumerate(singles):
        policy.begin(np.array([0]), [7 + row])
    taken = []
    for t, seen in enumerate(frames):
        if t == SIZE + 1:
            many.begin(np.array([1]), [99])
            singles[1].begin(np.array([0]), [99])
        actions = many.act(seen, {"key": keys[t]})
        alone = [p.act(seen[row : row + 1], {"key": keys[t, row : row + 1]})[0] for row, p in enumerate(singles)]
        assert actions.dtype == np.int64 and actions.tolist() == alone
        taken.append(actions)
    assert {*np.unique(taken)} <= {0, 1, 2} and len(np.unique(taken)) > 1


def test_sticky_actions_are_held_and_random_ones_are_not():
    runs = {}
    for name, policy in (("sticky", StickyPolicy(3, 1)), ("random", RandomPolicy(3, 1))):
        actions = np.array([policy.act(np.zeros((1, 2, 2, 3), np.uint8), {})[0] for _ in range(600)])
        assert np.bincount(actions, minlength=3).min() > 100
        runs[name] = 600 / (1 + np.count_nonzero(np.diff(actions)))
    assert runs["sticky"] > 5 and runs["random"] < 2


def test_an_explorer_gets_the_info_of_its_row_alone():
    """What a mask excludes is of other rows, as Gymnasium's vector environments have it."""
    seen: list[dict[str, Any]] = []

    def make(rng: np.random.Generator):
        def explore(observation: np.ndarray, info: dict[str, Any]) -> int:
            seen.append(info)
            return int(observation[0, 0, 0])

        return explore

    infos = {"a": np.array([5, 6]), "b": np.array([0, 1]), "_b": np.array([False, True])}
    nested = {**infos, "c": {"d": np.array([3, 4]), "_d": np.array([True, False])}}
    frames = np.array([1, 2], np.uint8).reshape(2, 1, 1, 1)
    assert PerRowPolicy(make, 2).act(frames, nested).tolist() == [1, 2]
    assert seen == [{"a": 5, "c": {"d": 3}}, {"a": 6, "b": 1, "c": {}}]


def test_merged_infos_are_those_of_the_rows_that_were_reset(game):
    envs = real_rows(3, "Disabled")
    _, before = envs.reset(seed=1)
    rows = np.array([False, True, False])
    _, new = envs.reset(seed=9, options={"reset_mask": rows.copy()})
    merged = merge_infos(before, new, rows)
    np.testing.assert_array_equal(merged["bars"][rows], new["bars"][rows])
    np.testing.assert_array_equal(merged["bars"][~rows], before["bars"][~rows])
    assert not new["bars"][~rows].any() and before["bars"][~rows].any()


def test_policies_are_made_by_name():
    spec = tiny_spec()
    assert isinstance(make_policy(find_policy("random"), spec, 2), RandomPolicy)
    assert isinstance(make_policy(find_policy("sticky"), spec, 2), StickyPolicy)
    assert isinstance(make_policy(tiny_policy(), spec, 2), LearnedPolicy)
    game = dataclasses.replace(spec, name="toybox", state_names=("x",))
    assert isinstance(make_policy(find_policy("scripted"), game, 2), PerRowPolicy)
    with pytest.raises(WorldsimError, match="no scripted policy for 'tiny'; there are some for .*toybox"):
        make_policy("scripted", spec, 1)
    with pytest.raises(WorldsimError, match="reads the exact state of a game; a generated world has none"):
        make_policy("scripted", dataclasses.replace(spec, name="toybox"), 1)
    with pytest.raises(WorldsimError, match="no policy 'gone': give random, sticky, scripted, doom-take-cover"):
        find_policy("gone")


@pytest.mark.parametrize("changes", [{"world": "other"}, {"width": 64}, {"actions": ("stay", "up", "down")}])
def test_a_policy_for_another_world_is_one_error(changes):
    with pytest.raises(WorldsimError, match="policy plays .*; this is 'tiny', 48x32, stay, left, right"):
        make_policy(tiny_policy(**changes), tiny_spec(), 1)


def test_explorers_of_worlds_without_one_need_the_number_of_actions():
    explorer = make_explorer("stranger", np.random.default_rng(0), 3)
    assert {explorer(np.zeros(0), {}) for _ in range(100)} == {0, 1, 2}
    with pytest.raises(WorldsimError, match="no explorer for 'stranger'; there are"):
        make_explorer("stranger", np.random.default_rng(0))
