"""WorldSpec: reads what it wrote, chooses actions from keys, refuses what makes no sense."""

from __future__ import annotations

import dataclasses
import json

import pytest

from worldsim.errors import WorldsimError, require
from worldsim.spec import Action, WorldSpec


def test_json_comes_back_equal(small_spec):
    assert WorldSpec.from_json(json.loads(json.dumps(small_spec.to_json()))) == small_spec


@pytest.mark.parametrize(
    ("held", "action"),
    [
        ([], "stay"),
        (["KeyQ"], "stay"),
        (["KeyA"], "left"),
        (["ArrowRight"], "right"),
        (["ArrowRight", "Space"], "jump"),
        (["ArrowUp"], "stay"),
        (["ArrowLeft", "ArrowRight"], "left"),
    ],
)
def test_keys_choose_the_action_with_the_most_buttons(small_spec, held, action):
    assert small_spec.actions[small_spec.action_for(set(held))].name == action


def test_key_combinations_list_every_way(small_spec):
    combinations = small_spec.key_combinations()
    assert combinations[()] == 0
    assert combinations["KeyA",] == combinations["ArrowLeft",] == 1
    assert combinations["ArrowRight", "Space"] == combinations["ArrowRight", "ArrowUp"] == 3
    assert len(combinations) == 6


def test_unknown_action_lists_the_known_ones(small_spec):
    assert small_spec.action_index("jump") == 3
    with pytest.raises(WorldsimError, match="no action 'fly'; it has stay, left, right, jump"):
        small_spec.action_index("fly")


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"fps": 0},
        {"fps": float("nan")},
        {"fps": float("inf")},
        {"frame_skip": 0},
        {"frame_skip": 1.5},
        {"height": 4097},
        {"width": 10**9},
        {"actions": (Action("small"), *(Action("a", ("left",)) for _ in range(4096)))},
        {"keys": {"left": ("KeyA",), "right": tuple(map(str, range(5000))), "up": ("KeyU",)}},
        {"state_names": ("x",) * 5000},
        {"title": "small\x1b[2J"},
        {"title": "x" * 201},
        {"state_names": ("x\ny",)},
        {"actions": (Action("a\x07"),)},
        {"actions": (Action("a"), Action("b"))},
        {"actions": (Action("a", ("left",)),)},
        {"actions": (Action("a"), Action("b", ("nowhere",)))},
    ],
)
def test_nonsense_is_refused(small_spec, change):
    with pytest.raises(WorldsimError, match="small"):
        dataclasses.replace(small_spec, **change)


@pytest.mark.parametrize(
    "name", ["../../outside", "/etc", "a/b", "A", "", ".hidden", "mod:X-v0", "a b", "x" * 65, "é", "a\n"]
)
def test_a_name_that_can_not_be_a_folder_s_is_refused(small_spec, name):
    with pytest.raises(WorldsimError, match="can't be a world's name"):
        WorldSpec.from_json({**small_spec.to_json(), "name": name})


@pytest.mark.parametrize(
    "damage",
    [
        {"name": 3},
        {"fps": 10**400},
        {"actions": [{"name": 3, "buttons": []}]},
        {"actions": 3},
        {"height": None},
        {"surprise": 1},
        {"keys": []},
    ],
)
def test_damaged_json_is_refused(small_spec, damage):
    with pytest.raises(WorldsimError):
        WorldSpec.from_json({**small_spec.to_json(), **damage})


def test_missing_fields_are_refused():
    with pytest.raises(WorldsimError, match="not a world spec"):
        WorldSpec.from_json({"name": "x"})


def test_a_missing_package_says_how_to_install_it():
    with pytest.raises(WorldsimError, match=r"pip install '\.\[doom\]'"):
        require("no_such_module", "doom")
